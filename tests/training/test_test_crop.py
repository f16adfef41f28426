"""A recipe's crop of test images is kept with the weights: evaluation and prediction show the network that."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import reskeras
from reskeras.data.decode import WHOLE
from reskeras.errors import ReskerasError

TINY = {"family": "cifar", "stages": [1, 1], "input_shape": [8, 8, 1]}
ONE = {"epochs": 1, "batch_size": 32, "precision": "float32", "holdout": 0.0, "deterministic": True}


@pytest.fixture(scope="module")
def cropped(tmp_path_factory):
    out = tmp_path_factory.mktemp("cropped") / "run"
    told = []
    run = reskeras.train(reskeras.network(**TINY), "digits@200", out=out, test_crop=0.8, tell=told.append, **ONE)
    assert any("resize to cover 10x10, crop 8x8 from its centre" in line for line in told)
    return run


def centre(images):
    """Images resized to 10x10 as stock TensorFlow does it, and their centre of 8x8."""
    resized = tf.image.resize(images, (10, 10), antialias=True)
    return tf.clip_by_value(tf.round(resized), 0, 255)[:, 1:9, 1:9]


def test_evaluation_sees_the_centre_of_a_larger_image(cropped):
    source = cropped.source()
    every = [source.test.example(tf.constant(index, tf.int64)) for index in range(source.test.count)]
    images, labels = tf.stack([image for image, _ in every]), np.array([int(label) for _, label in every])
    logits = cropped.model()(cropped.preprocessing().normalise(centre(images)))
    result = cropped.evaluate()
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    assert result.loss == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-4)
    # a pixel whose exact value ends in a half may be rounded up or down
    assert result.top1 == pytest.approx(np.mean(np.argmax(logits, axis=1) == labels), abs=0.01)
    whole = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels, cropped.model()(cropped.preprocessing().normalise(images))
    )
    assert abs(float(tf.reduce_mean(whole)) - result.loss) > 0.01
    # the last epoch's validation is the same measurement
    assert cropped.folder.metrics()[-1]["val_accuracy"] == pytest.approx(result.top1, abs=1e-6)


def test_prediction_shows_the_same(cropped, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    [found] = cropped.predict(tmp_path / "noise.png", top=10)
    logits = cropped.model()(cropped.preprocessing().normalise(centre(pixels[None, ..., None])))
    for name, share in found.top:
        assert share == pytest.approx(float(tf.nn.softmax(logits)[0, int(name)]), rel=1e-3)


def test_training_does_not_depend_on_it_and_the_next_run_has_its_own(cropped, tmp_path):
    plain = reskeras.train(reskeras.network(**TINY), "digits@200", out=tmp_path / "plain", **ONE)
    assert plain.preprocessing().framing == WHOLE
    digests = [run.folder.provenance()["trained_sha256"] for run in (plain, cropped)]
    assert digests[0] == digests[1]
    tuned = reskeras.train(cropped.path, "digits@200", start=cropped, out=tmp_path / "tuned", test_crop=0.5, **ONE)
    assert tuned.preprocessing().framing.crop == 0.5
    again = reskeras.train(cropped.path, "digits@200", start=cropped, out=tmp_path / "again", **ONE)
    assert again.preprocessing().framing == WHOLE


@pytest.mark.parametrize("share", [0, 0.05, 1.2, "most"])
def test_what_is_no_share_is_refused(share):
    with pytest.raises(ReskerasError, match="test_crop"):
        reskeras.recipe("quick", test_crop=share)
