"""Models as people write them in Keras come to a run by what they compute: whatever their layers are called, however
they are put together, and back from a training of their own."""

import keras
import numpy as np
import pytest
from keras import layers

import reskeras
from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError
from reskeras.evaluation.difference import relative_difference
from tests.cli.running import invoke, printed

CIFAR = {"family": "cifar", "stages": [1, 1], "input_shape": [16, 16, 1], "classes": 10}


def unit(x, width, stride=1, suffix=""):
    """A basic unit as most write it."""
    y = layers.Conv2D(width, 3, stride, padding="same", use_bias=False, name=f"a{suffix}")(x)
    y = layers.Activation("relu")(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same", use_bias=False)(y))
    if stride > 1:
        x = layers.BatchNormalization()(layers.Conv2D(width, 1, stride, use_bias=False)(x))
    return layers.Activation("relu")(layers.add([x, y]))


def body(image):
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return unit(unit(x, 8, suffix="one"), 16, 2, suffix="two")


def plain(head):
    image = keras.Input((16, 16, 3))
    return keras.Model(image, head(layers.GlobalAveragePooling2D()(body(image))))


def nested():
    image = keras.Input((16, 16, 3))
    inner = keras.Model(image, body(image), name="body")
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            inner,
            keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")], name="head"),
        ]
    )


def in_half():
    policy = keras.dtype_policies.DTypePolicy("float32")
    return plain(lambda x: layers.Softmax(dtype=policy)(layers.Dense(5)(x)))


MODELS = {
    "a dense head": lambda: plain(layers.Dense(5, name="my_classes")),
    "softmax inside": lambda: plain(layers.Dense(5, activation="softmax")),
    "no bias": lambda: plain(layers.Dense(5, use_bias=False, activation="softmax")),
    "a softmax layer": in_half,
    "a softmax, and nothing more": lambda: plain(
        lambda x: layers.Dropout(0.2)(
            layers.Identity()(layers.Activation("linear", dtype="float32")(layers.Dense(5, activation="softmax")(x)))
        )
    ),
    "an activation layer": lambda: plain(lambda x: layers.Activation("softmax")(layers.Dense(5)(x))),
    "models in a Sequential": nested,
    "dropout": lambda: plain(lambda x: layers.Dense(5)(layers.Dropout(0.3)(x))),
    "one of ours": lambda: reskeras.build(**{**CIFAR, "input_shape": [16, 16, 3]}),
    "our pre-activation": lambda: reskeras.build(
        **{**CIFAR, "input_shape": [16, 16, 3], "order": "full_preact", "skip": "shortcut_gate"}
    ),
    "no scale": lambda: reskeras.build(**{**CIFAR, "input_shape": [16, 16, 3], "bn": {"scale": False}}),
}


def lively(model, seed=0):
    """`model` with statistics, scales and shifts as a training leaves them."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        name = variable.name.rpartition("/")[2]
        if name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif name in ("beta", "moving_mean", "bias"):
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return model


def probabilities(model, images):
    given = np.asarray(model(images, training=False))
    return given if np.allclose(given.sum(axis=1), 1, atol=1e-4) else np.asarray(keras.ops.softmax(given))


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_ported_by_what_it_computes(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = lively(MODELS[name]())
    model.save(tmp_path / "net.keras")
    run = reskeras.port(tmp_path / "net.keras", out=tmp_path / "run")
    # of different brightness, as averages over noise alone are alike
    images = np.random.default_rng(1).uniform(0, 1, (4, 16, 16, 3)).astype(np.float32)
    images *= np.linspace(0.1, 3, 4, dtype=np.float32)[:, None, None, None]
    expected = probabilities(model, images)
    assert np.ptp(expected, axis=0).max() > 1e-3
    assert relative_difference(probabilities(run.model(), images), expected) < 1e-4
    ported = run.folder.provenance()["ported"]
    assert ported["proof"]["against"] == "the Keras model itself"
    assert ported["pixels"] == "assumed"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            lambda: plain(lambda x: layers.Dense(5)(layers.Dense(9, activation="relu")(x))),
            "no spec computes the same function; obstacles: head",
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((8, 8, 3)), layers.DepthwiseConv2D(3), layers.Flatten(), layers.Dense(2)]
            ),
            "it has depthwise 3x3 conv",
        ),
    ],
)
def test_what_no_spec_computes_is_refused_with_what_is_in_the_way(model, said, tmp_path):
    with pytest.raises(ReskerasError, match=said) as caught:
        reskeras.port(model(), out=tmp_path / "run")
    assert caught.value.status == 2
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_network_that_was_trained_by_plain_keras_comes_back(tmp_path):
    source = open_source("digits")
    images, labels = (
        np.stack(each)
        for each in zip(
            *((image.numpy(), int(label)) for image, label in (source.train.decode(index) for index in range(600))),
            strict=True,
        )
    )
    images = np.asarray(keras.ops.image.resize(images, (16, 16))) / 255
    model = reskeras.build(**CIFAR, seed=1)
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(images, labels, batch_size=32, epochs=4, verbose=0)
    model.save(tmp_path / "mine.keras")
    shown = invoke("port", tmp_path / "mine.keras", "--normalise", "unit", "--out", tmp_path / "run")
    assert shown.exit_code == 0, shown.output
    assert "from those of the Keras model itself" in shown.stdout
    found = reskeras.Run(tmp_path / "run").evaluate("digits")
    assert found.top1 > 0.7
    assert "agrees" in printed("export", tmp_path / "run", "--data", "digits", "--to", "tflite", "--no-timing")
    assert "page" in printed("report", tmp_path / "run")
    assert (tmp_path / "run" / "report.html").is_file()
