"""Models in the style of keras.io's examples and of what people build on them: what each is, and what becomes of it."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers, ops

import reskeras
from reskeras.errors import ReskerasError
from reskeras.evaluation.difference import relative_difference
from tests.cli.running import printed
from tests.porting.test_people import lively, plain, probabilities, unit


def resnet_layer(x, width=16, kernel=3, stride=1, activation="relu", norm=True, conv_first=True):
    """keras.io's `resnet_layer` of cifar10_resnet.py."""
    conv = layers.Conv2D(
        width,
        kernel,
        stride,
        padding="same",
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(1e-4),
    )
    x = conv(x) if conv_first else x
    x = layers.BatchNormalization()(x) if norm else x
    x = layers.Activation(activation)(x) if activation else x
    return x if conv_first else conv(x)


def cifar_v1(norm_on_projections):
    image = keras.Input((16, 16, 3))
    x = resnet_layer(image)
    for stage, width in enumerate((16, 32, 64)):
        stride = 2 if stage else 1
        y = resnet_layer(resnet_layer(x, width, stride=stride), width, activation=None)
        if stage:
            x = resnet_layer(x, width, 1, stride, activation=None, norm=norm_on_projections)
        x = layers.Activation("relu")(layers.add([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    return keras.Model(image, layers.Dense(10, activation="softmax", kernel_initializer="he_normal")(x))


def cifar_v2():
    image = keras.Input((16, 16, 3))
    x, width = resnet_layer(image), 16
    for stage in range(3):
        out = width * (2 if stage else 4)
        y = resnet_layer(x, width, 1, 2 if stage else 1, "relu" if stage else None, bool(stage), conv_first=False)
        y = resnet_layer(resnet_layer(y, width, conv_first=False), out, 1, conv_first=False)
        x = layers.add([resnet_layer(x, out, 1, 2 if stage else 1, None, norm=False), y])
        width = out
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    return keras.Model(image, layers.Dense(10, activation="softmax")(layers.Flatten()(layers.AveragePooling2D(4)(x))))


def from_scratch():
    """keras.io's image_classification_from_scratch, a small Xception."""
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same")(layers.Rescaling(1 / 255)(image))
    previous = x = layers.Activation("relu")(layers.BatchNormalization()(x))
    for width in (16, 24):
        x = layers.SeparableConv2D(width, 3, padding="same")(layers.Activation("relu")(x))
        x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.BatchNormalization()(x))
        previous = x = layers.add([x, layers.Conv2D(width, 1, strides=2, padding="same")(previous)])
    return keras.Model(image, layers.Dense(1)(layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(x))))


def transfer():
    """A base inside a model, called for inference, behind augmentation and preprocessing."""
    image = keras.Input((16, 16, 3))
    inner = keras.Input((16, 16, 3))
    base = keras.Model(inner, unit(unit(stem(inner), 8, suffix="one"), 16, 2, suffix="two"), name="base")
    base.trainable = False
    x = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])(image)
    x = base(keras.applications.imagenet_utils.preprocess_input(x, mode="tf"), training=False)
    return keras.Model(image, layers.Dense(5)(layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))))


def stem(x):
    return layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(x)))


def in_precision(policy, nested=False):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = plain(lambda x: layers.Activation("softmax", dtype="float32")(layers.Dense(5)(x)))
        return keras.Sequential([keras.Input((16, 16, 3)), model]) if nested else model
    finally:
        keras.mixed_precision.set_global_policy(before)


def blocks():
    """Residuals and projections as Sequential models."""
    x = image = keras.Input((16, 16, 3))
    x = keras.Sequential([layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()])(x)
    for width, stride in ((8, 1), (16, 2)):
        main = keras.Sequential(
            [
                layers.Conv2D(width, 3, stride, padding="same"),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Conv2D(width, 3, padding="same"),
                layers.BatchNormalization(),
            ]
        )
        shortcut = keras.Sequential([layers.Conv2D(width, 1, stride), layers.BatchNormalization()])
        x = ops.relu(main(x) + (shortcut(x) if stride > 1 else x))
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def with_operations(
    relu=ops.relu,
    add=ops.add,
    pool=lambda x: ops.mean(x, axis=[1, 2]),
    excite=lambda y, width: y,
    head=lambda x: ops.softmax(layers.Dense(5)(x)),
    size=16,
):
    """Layers for weights alone, and functions for everything else."""

    def convolved(x, width, kernel=3, stride=1):
        return layers.BatchNormalization()(layers.Conv2D(width, kernel, stride, padding="same", use_bias=False)(x))

    image = keras.Input((size, size, 3))
    x = relu(convolved(image, 8))
    for width, stride in ((8, 1), (16, 2)):
        y = excite(convolved(relu(convolved(x, width, 3, stride)), width), width)
        x = relu(add(x if stride == 1 else convolved(x, width, 1, stride), y))
    return keras.Model(image, head(pool(x)))


# the gates of squeeze-and-excitation, as people write them


def dense_gate(y, width, activation="sigmoid", bias=True, shape=None):
    z = layers.Dense(width // 4, activation="relu", use_bias=bias)(layers.GlobalAveragePooling2D()(y))
    z = layers.Dense(width, activation=activation, use_bias=bias)(z)
    return layers.Multiply()([y, layers.Reshape(shape or (1, 1, width))(z)])


def reshaped_gate(y, width):
    z = layers.Reshape((1, 1, -1))(layers.GlobalAveragePooling2D()(y))
    return y * layers.Dense(width, activation="sigmoid")(layers.Dense(width // 4, activation="relu")(z))


def kept_gate(y, width):
    z = layers.GlobalAveragePooling2D(keepdims=True)(y)
    return y * layers.Dense(width, "sigmoid", use_bias=False)(layers.Dense(width // 4, "relu", use_bias=False)(z))


def mean_gate(y, width, axis=(1, 2)):
    z = layers.Conv2D(width // 4, 1, activation="relu")(ops.mean(y, axis=axis, keepdims=True))
    return y * layers.Conv2D(width, 1, activation="sigmoid")(z)


def expanded_gate(y, width):
    z = layers.Dense(width // 4, activation="relu")(ops.mean(y, axis=(1, 2)))
    return y * layers.Dense(width, activation="sigmoid")(z)[:, None, None, :]


def convolved_head(x):
    x = layers.Conv2D(5, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return layers.Softmax()(layers.Flatten()(x))


PORTED = {
    "cifar v1 with norms on its projections": lambda: cifar_v1(True),
    "transfer learning": transfer,
    "mixed precision": lambda: in_precision("mixed_float16"),
    "mixed precision inside": lambda: in_precision("mixed_bfloat16", nested=True),
    "sequential blocks": blocks,
    "operations": with_operations,
    "operators": lambda: with_operations(keras.activations.relu, lambda x, y: x + y, layers.GlobalAveragePooling2D()),
    "layers": lambda: with_operations(layers.Activation("relu"), lambda x, y: layers.Add()([x, y])),
    "the maximum of it and 0": lambda: with_operations(lambda x: ops.maximum(x, 0)),
    "flatten after a global pool": lambda: with_operations(pool=lambda x: layers.Flatten()(ops.max(x, axis=(1, 2)))),
    "an average pool of everything": lambda: with_operations(pool=lambda x: layers.Flatten()(ops.average_pool(x, 8))),
    "a convolution as head": lambda: with_operations(pool=lambda x: x, head=convolved_head),
    "no bias": lambda: with_operations(head=layers.Dense(5, use_bias=False, name="of_any_name")),
    **{
        gate.__name__: lambda gate=gate: with_operations(excite=gate)
        for gate in (dense_gate, reshaped_gate, kept_gate, mean_gate, expanded_gate)
    },
}


@pytest.mark.sample(7)
@pytest.mark.parametrize("name", PORTED)
def test_what_is_a_network_of_this_space_is_ported(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = lively(PORTED[name]())
    assert reskeras.conform(model).exact
    run = reskeras.port(model, out=tmp_path / "run")
    images = np.random.default_rng(1).uniform(0, 255, (4, 16, 16, 3))
    images = np.round(images * np.linspace(0.1, 1, 4)[:, None, None, None]).astype(np.float32)
    told = run.folder.provenance()["ported"]
    expected = probabilities(model, images if told["pixels"] == "told" else images / 255)
    allowed = 0.02 if "precision" in name else 1e-4  # the model itself rounds
    assert np.ptp(expected, axis=0).max() > 1e-3
    assert relative_difference(probabilities(run.model(), run.preprocessing().normalise(images)), expected) < allowed
    assert told["proof"]["difference"] < 1e-4
    assert ("float32" in told["proof"]["against"]) is ("precision" in name)


def two_outputs(form=list):
    image = keras.Input((16, 16, 3))
    x = unit(stem(image), 8, suffix="one")
    named = {"main": unit(x, 16, 2, suffix="two"), "auxiliary": x}
    made = {name: layers.Dense(5, name=name)(layers.GlobalAveragePooling2D()(y)) for name, y in named.items()}
    return keras.Model(image, made if form is dict else list(made.values()))


class Subclassed(keras.Model):
    """Layers, and a call of its own."""

    def __init__(self):
        super().__init__()
        self.conv, self.dense = layers.Conv2D(4, 3), layers.Dense(2)

    def call(self, x):
        return self.dense(ops.mean(self.conv(x), axis=(1, 2)))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, 16, 16, 3), np.float32))
    return model


def flattened_late():
    """A dense layer on a map of several positions is no global pool and dense layer."""
    return with_operations(pool=lambda x: x, head=lambda x: layers.Flatten()(layers.Dense(5)(x)))


REFUSED = {
    "cifar v1, norms missing": (lambda: cifar_v1(False), "stage2_unit1, stage3_unit1 without bn"),
    "cifar v2, of other widths": (cifar_v2, "stage1_unit1 without 1x1 conv, 32"),
    "from scratch": (from_scratch, r"depthwise 3x3 conv \(2\)"),
    "subclassed": (subclassed, r"its own call method.*keras.Model\(model.inputs, model.outputs\)"),
    "a lambda": (lambda: plain(lambda x: layers.Dense(5)(layers.Lambda(lambda x: 2 * x)(x))), "Lambda layer"),
    "an auxiliary output": (two_outputs, r"2 outputs \(main, auxiliary\).*build a keras.Model with one"),
    "named outputs": (lambda: two_outputs(dict), r"2 outputs \(\w+, \w+\).*build a keras.Model with one"),
    "not built": (lambda: keras.Sequential([layers.Conv2D(4, 3), layers.Dense(2)]), "not built.*keras.Input"),
    "two classes by a sigmoid": (lambda: plain(layers.Dense(1, activation="sigmoid")), "head with sigmoid"),
    "several labels": (lambda: plain(lambda x: ops.sigmoid(layers.Dense(5)(x))), "head with sigmoid"),
    "softmax over rows": (
        lambda: with_operations(head=lambda x: ops.softmax(layers.Dense(5)(x), axis=0)),
        "another axis",
    ),
    "relu6": (lambda: with_operations(ops.relu6), "Relu6"),
    "the maximum of it and 1": (lambda: with_operations(lambda x: ops.maximum(x, 1)), "Maximum"),
    "a difference": (lambda: with_operations(add=ops.subtract), "Subtract of 2"),
    "a mean of rows": (
        lambda: with_operations(pool=lambda x: layers.Flatten()(ops.mean(x, axis=1))),
        "average over axes",
    ),
    "a mean of columns": (lambda: with_operations(pool=lambda x: ops.mean(x, axis=(2, 3))), "average over axes"),
    "a dense layer by position": (flattened_late, "obstacles|not a network"),
    "a hard gate": (
        lambda: with_operations(excite=lambda y, width: dense_gate(y, width, "hard_sigmoid")),
        r"dense, 2 \(1\)",
    ),
    "a gate of columns": (
        lambda: with_operations(excite=lambda y, width: mean_gate(y, width, (1, 3))),
        "average over axes",
    ),
    "a gate by row": (
        lambda: with_operations(
            size=32, excite=lambda y, width: dense_gate(y, width, shape=(width, 1, 1)) if width == 16 else y
        ),
        r"dense, 4 \(1\)",
    ),
    "an average pool of a part": (
        lambda: with_operations(pool=lambda x: layers.Flatten()(ops.average_pool(x, 4))),
        "pools between or after its units",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_none_is_refused_with_what_is_in_the_way(name, tmp_path):
    make, said = REFUSED[name]
    model = make()
    with pytest.raises(ReskerasError, match=said) as refusal:
        reskeras.port(model, out=tmp_path / "run")
    assert refusal.value.status == 2
    assert len(str(refusal.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()
    if name not in ("subclassed", "not built"):
        assert not reskeras.conform(model).exact


def test_one_output_of_two_is_ported(tmp_path):
    model = two_outputs()
    assert reskeras.port(keras.Model(model.inputs, model.outputs[0]), out=tmp_path / "run").folder.spec().classes == 5


def test_a_file_of_another_librarys_class_names_the_way_out(tmp_path):
    """As those of a package that is not installed here, whose files have arguments of its constructor."""
    path = tmp_path / "net.keras"
    config = {
        "module": "absent_hub.models",
        "class_name": "Classifier",
        "config": {"width": 3},
        "registered_name": "absent_hub>Classifier",
    }
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
    said = "absent_hub>Classifier is a subclassed model.*load it with its own library"
    for act in (reskeras.conform, lambda path: reskeras.port(path, out=tmp_path / "run")):
        with pytest.raises(ReskerasError, match=said) as refusal:
            act(path)
        assert refusal.value.status == 2


def test_a_built_run_becomes_a_whole_one(tmp_path):
    """What `build` makes knows neither pixels nor classes, which a training of one's own has."""
    printed("build", "--family", "cifar", "--depth", "8", "--input-shape", "16x16x3", "--out", tmp_path / "built")
    with pytest.raises(ReskerasError, match="it was built, not trained; `reskeras port` turns it into a complete run"):
        reskeras.Run(tmp_path / "built").export()
    run = reskeras.port(tmp_path / "built", normalise="tf", out=tmp_path / "run")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(run.model()(images), reskeras.load(tmp_path / "built")(images))
    assert run.preprocessing().kind == "scale"
    with pytest.raises(ReskerasError, match="is a complete run already"):
        reskeras.port(tmp_path / "run", out=tmp_path / "again")
