"""Models of keras-hub and of Keras 2 themselves: ported and proven by asking them, or refused with the way out.

`make test-peers` installs both libraries (the extra `peers`) and runs these.
"""

import subprocess
import sys

import keras
import numpy as np
import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.evaluation.difference import relative_difference
from tests.porting.test_people import lively, probabilities

try:
    import keras_hub
    import tensorflow as tf
    import tf_keras
except ImportError:  # the tests are left out then, as their names are still collected
    keras_hub = tf = tf_keras = None

pytestmark = pytest.mark.peers

DEEP = {"input_conv_filters": [32, 32, 64], "input_conv_kernel_sizes": [3, 3, 3]}


def backbone(block, **options):
    """A small ResNet of keras-hub's."""
    keras.utils.set_random_seed(0)
    return keras_hub.models.ResNetBackbone(
        **{
            "input_conv_filters": [64],
            "input_conv_kernel_sizes": [7],
            "stackwise_num_filters": [64, 96],
            "stackwise_num_blocks": [1, 2],
            "stackwise_num_strides": [1, 2],
            "block_type": block,
            "image_shape": (32, 32, 3),
            **options,
        }
    )


def classifier(block, activation="softmax", **options):
    return lively(keras_hub.models.ResNetImageClassifier(backbone(block, **options), 5, activation=activation))


def agrees(run, model, images, scale=255):
    expected = probabilities(model, images)
    assert np.ptp(expected, axis=0).max() > 1e-3
    return relative_difference(probabilities(run.model(), images / np.float32(scale)), expected) < 1e-4


def images_of(size):
    noise = np.random.default_rng(1).uniform(0, 1, (4, size, size, 3)).astype(np.float32)
    return noise * np.linspace(0.1, 1, 4, dtype=np.float32)[:, None, None, None]


@pytest.mark.parametrize(
    ("block", "options", "fields"),
    [
        ("basic_block", {}, {"order": "original", "projection": "strided"}),
        ("basic_block", {"use_pre_activation": True}, {"order": "full_preact", "projection": "strided"}),
        ("bottleneck_block", {}, {"order": "original", "projection": "strided"}),
        ("bottleneck_block", {"use_pre_activation": True}, {"order": "full_preact", "projection": "strided"}),
        ("bottleneck_block_vd", DEEP, {"order": "original", "projection": "pooled"}),
        ("basic_block_vd", DEEP, {"order": "original", "projection": "pooled"}),
    ],
)
def test_a_classifier_of_keras_hub(block, options, fields, tmp_path):
    model = classifier(block, **options)
    found = reskeras.resolve(reskeras.conform(model).spec)
    assert {"order": found.stages[0].order, "projection": found.projection} == fields
    run = reskeras.port(model, out=tmp_path / "run")
    assert agrees(run, model, images_of(32), 1)
    assert run.folder.provenance()["ported"]["pixels"] == "assumed"


def test_what_stands_around_the_map_that_is_pooled_is_told_by_its_number():
    model = classifier("bottleneck_block", use_pre_activation=True)
    for value, border in ((float("-inf"), "edge"), (0.0, "zero"), (-1e30, None)):
        image = keras.Input((32, 32, 3))
        x = keras.ops.pad(
            keras.layers.Conv2D(64, 7, 2, use_bias=False, padding="valid")(keras.layers.ZeroPadding2D(3)(image)),
            [[0, 0], [1, 1], [1, 1], [0, 0]],
            constant_values=value,
        )
        rest = keras.Model(model.backbone.get_layer("pool1_pool").input, model.backbone.output)
        whole = keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(rest(x))))
        found = reskeras.conform(whole)
        assert (found.spec.stem.pool.border if found.exact else None) == border


def test_what_no_spec_says_of_keras_hub_is_refused(tmp_path):
    with pytest.raises(ReskerasError, match="head without global average pool"):
        reskeras.port(backbone("bottleneck_block"), out=tmp_path / "run")


def test_a_file_of_keras_hub_has_no_graph_but_keras_loads_it(tmp_path):
    """Its configuration is arguments of a constructor."""
    classifier("basic_block").save(tmp_path / "net.keras")
    with pytest.raises(ReskerasError, match=r"pass the object: reskeras.conform\(model\), reskeras.port\(model\)"):
        reskeras.conform(tmp_path / "net.keras")
    command = "from reskeras_cli.main import commands; commands(['port', 'net.keras'])"  # Keras finds the library
    told = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "from those of the Keras model itself" in told.stdout


# Keras 2


def in_keras_2(prepare=lambda x: x, scale=1.0, pool=lambda x: tf.reduce_mean(x, axis=[1, 2])):
    """A small residual network of layers and of TensorFlow's operations."""
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(0)

    def convolved(x, width, stride=1, size=3):
        x = layers.Conv2D(width, size, strides=stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    image = tf_keras.Input((16, 16, 3))
    x = tf.nn.relu(convolved(prepare(image), 8))
    for width, stride in ((8, 1), (16, 2)):
        y = convolved(tf.nn.relu(convolved(x, width, stride)), width)
        x = tf.nn.relu((convolved(x, width, stride, 1) if stride > 1 else x) + y)
    model = tf_keras.Model(image, layers.Dense(5, activation="softmax")(pool(x)))
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if any(part in variable.name for part in ("gamma", "variance")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif any(part in variable.name for part in ("beta", "mean", "bias")):
            variable.assign(rng.normal(0, 0.3, variable.shape))
        elif variable is model.layers[-1].kernel:  # so that the softmax tells classes apart
            variable.assign(scale * variable)
    return model


PREPARED = {
    "operators": lambda: lambda x: x / 127.5 - 1.0,
    "caffe": lambda: tf_keras.applications.resnet50.preprocess_input,
    "augmentation": lambda: lambda x: tf_keras.layers.Rescaling(1 / 255)(tf_keras.layers.RandomFlip()(x)),
}


# Keras 2 cannot write an ellipsis, which `caffe` has, as .keras
@pytest.mark.parametrize(
    ("name", "suffix"),
    [("operators", "h5"), ("operators", "keras"), ("caffe", "h5"), ("augmentation", "h5"), ("augmentation", "keras")],
)
def test_a_model_of_keras_2_is_asked_itself(name, suffix, tmp_path):
    path = tmp_path / f"net.{suffix}"
    in_keras_2(PREPARED[name](), 0.01 if name == "caffe" else 1.0).save(path)
    assert reskeras.conform(path).exact
    with pytest.raises(ReskerasError, match=r"was saved by Keras 2.*Keras 3 cannot load.*tf_keras") as refusal:
        reskeras.port(path, out=tmp_path / "run")
    assert refusal.value.status == 2
    model = tf_keras.models.load_model(path, compile=False)
    run = reskeras.port(model, out=tmp_path / "run")
    assert run.folder.provenance()["ported"]["pixels"] == "told"
    images = np.round(255 * images_of(16))
    expected = np.asarray(model(images, training=False))
    assert np.ptp(expected, axis=0).max() > 1e-3
    given = run.preprocessing().normalise(images.astype(np.uint8))
    assert relative_difference(probabilities(run.model(), given), expected) < 1e-4


@pytest.mark.parametrize(
    "prepare",
    [
        lambda x: 1.0 / (x + 1.0),
        lambda x: x[:, ::-1],
        lambda x: tf.nn.bias_add(x, [1.0] * 16, data_format="NCHW"),
        lambda x: tf.math.subtract(tf.reduce_mean(x, axis=[1, 2], keepdims=True), x),
        lambda x: tf.reduce_mean(x, axis=3, keepdims=True) + x,
        lambda x: tf_keras.layers.RandomFlip()(x, training=True),
    ],
)
def test_another_operation_of_keras_2_is_in_the_way(prepare, tmp_path):
    in_keras_2(prepare).save(tmp_path / "net.h5")
    assert not reskeras.conform(tmp_path / "net.h5").exact


def test_inception_resnet_v2_of_keras_2(tmp_path):
    model = tf_keras.applications.InceptionResNetV2(weights=None, classes=4, input_shape=(75, 75, 3))
    model.save(tmp_path / "net.h5")
    with pytest.raises(ReskerasError, match=r"reskeras.port\(tf_keras.models.load_model"):
        reskeras.port(tmp_path / "net.h5", out=tmp_path / "run")
    run = reskeras.port(tf_keras.models.load_model(tmp_path / "net.h5", compile=False), out=tmp_path / "run")
    assert run.folder.spec().cells == reskeras.network("inception-resnet-v2-released").cells
    assert run.folder.provenance()["ported"]["proof"]["difference"] < 1e-4
