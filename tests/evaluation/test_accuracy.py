"""Evaluation and prediction against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.errors import ReskerasError
from reskeras.evaluation.accuracy import evaluate


def test_evaluation_equals_numpy_over_every_image(trained):
    source, preprocessing, model = trained.source(), trained.preprocessing(), trained.model()
    result = trained.evaluate()
    inputs, labels = [], []
    for index in range(source.test.count):
        image, label = source.test.example(tf.constant(index, tf.int64))
        resized = np.clip(np.round(tf.image.resize(image, (16, 16), antialias=True).numpy()), 0, 255)
        inputs.append((resized - preprocessing.mean) / preprocessing.std)
        labels.append(int(label))
    inputs, labels = np.stack(inputs).astype(np.float32), np.array(labels)
    logits = model.predict(inputs, verbose=0).astype(np.float64)
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert result.images == len(labels) == 359
    assert result.top1 == pytest.approx((logits.argmax(axis=1) == labels).mean())
    top5 = np.argsort(-logits, axis=1)[:, :5]
    assert result.top5 == pytest.approx((top5 == labels[:, None]).any(axis=1).mean())
    assert result.loss == pytest.approx(-np.log(softmax[np.arange(len(labels)), labels]).mean(), rel=1e-4)


def test_a_model_of_equal_logits_is_never_right():
    images = keras.Input((4, 4, 1))
    model = keras.Model(images, keras.layers.Dense(3, kernel_initializer="zeros")(keras.layers.Flatten()(images)))
    split = Split("test", 6, lambda index: (tf.zeros([4, 4, 1], tf.uint8), tf.cast(index % 3, tf.int32)))
    plain = Preprocessing(4, 4, 1, "scale", np.ones(1, np.float32), np.ones(1, np.float32))
    result = evaluate(model, split, plain, "zeros", batch_size=4)
    assert (result.top1, result.top5, result.images) == (0.0, None, 6)
    assert result.loss == pytest.approx(np.log(3))


def test_prediction_of_a_file_equals_evaluation_of_the_same_image(trained, tmp_path):
    source, model = trained.source(), trained.model()
    image, _ = source.test.example(tf.constant(7, tf.int64))
    Image.fromarray(image.numpy()[..., 0]).save(tmp_path / "digit.png")
    [prediction] = trained.predict([tmp_path / "digit.png"], top=10)
    resized = np.clip(np.round(tf.image.resize(image, (16, 16), antialias=True).numpy()), 0, 255)
    logits = model(trained.preprocessing().normalise(resized[None])).numpy()
    expected = tf.nn.softmax(logits)[0].numpy()
    assert dict(prediction.top) == pytest.approx({str(digit): expected[digit] for digit in range(10)}, abs=1e-5)
    values = [value for _, value in prediction.top]
    assert values == sorted(values, reverse=True)


def test_colour_and_odd_sizes_are_made_to_fit_a_grey_network(trained, tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (50, 31, 3), np.uint8)).save(tmp_path / "colour.png")
    Image.fromarray(rng.integers(0, 255, (9, 40, 4), np.uint8)).save(tmp_path / "rgba.png")
    predictions = trained.predict([tmp_path / "colour.png", tmp_path / "rgba.png"], top=1)
    assert [len(prediction.top) for prediction in predictions] == [1, 1]


def test_unreadable_images_are_named(trained, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(ReskerasError, match=r"broken\.png") as caught:
        trained.predict([tmp_path / "broken.png"])
    assert caught.value.status == 1
    with pytest.raises(ReskerasError, match=r"file not found: .*absent\.png") as caught:
        trained.predict([tmp_path / "absent.png"])
    assert caught.value.status == 2


def test_a_run_is_not_evaluated_on_data_with_other_classes(trained, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(2):
            Image.new("L", (8, 8), index * 90).save(tmp_path / name / f"{index}.png")
    with pytest.raises(ReskerasError, match=r"class of .*'cat' is not one of 0, 1, 2") as caught:
        trained.evaluate(data=f"folder:{tmp_path}")
    assert caught.value.status == 2
