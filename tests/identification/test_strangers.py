"""Claims about models that somebody else wrote: other layers for the same thing, other formats, hostile files."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from keras import layers

import reskeras
from reskeras.errors import ReskerasError
from reskeras_cli.main import commands
from tests.cli.test_help import PROBE
from tests.graph.by_hand import distance, randomised
from tests.identification.configs import archive, config_of, described, renamed


def tutorial(activation="relu"):
    """A CIFAR ResNet-8 as tutorials write it: additions residual first, an average pool of everything, a softmax."""

    def block(x, width, stride):
        y = layers.Activation("relu")(layers.BatchNormalization()(convolution(x, width, 3, stride)))
        y = layers.BatchNormalization()(convolution(y, width, 3))
        if stride > 1:
            x = convolution(x, width, 1, stride, name=f"{width}_shortcut")
            x = layers.BatchNormalization(name=f"{width}_shortcut_bn")(x)
        return relu(layers.add([y, x]))

    def convolution(x, width, size, stride=1, name=None):
        return layers.Conv2D(width, size, strides=stride, padding="same", kernel_initializer="he_normal", name=name)(x)

    relu = layers.ReLU()  # one layer for all, as people write it
    images = keras.Input((16, 16, 3))
    x = layers.Activation(activation)(layers.BatchNormalization()(convolution(images, 16, 3)))
    for width, stride in ((16, 1), (32, 2), (64, 2)):
        x = block(x, width, stride)
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    return keras.Model(images, layers.Dense(10, activation="softmax")(x))


def test_a_tutorials_resnet_is_read_for_what_it_is():
    found = reskeras.conform(tutorial())
    assert found.exact
    assert found.softmax
    assert {each.field: each.value for each in found.deviations} == {
        "padding": "same",
        "conv_bias": True,
        "bn.momentum": 0.99,
        "bn.epsilon": 1e-3,
        "stages.0..2.shortcut": "B",
        "initialiser": "truncated_normal, 2.0 / fan_in (9), glorot_uniform (1)",
    }
    assert "cannot express" in next(each.remark for each in found.deviations if each.field == "initialiser")
    assert found.spec.depth == 8


def test_the_written_spec_is_the_same_function(tmp_path):
    theirs = randomised(tutorial())
    found = reskeras.conform(theirs)
    ours = reskeras.build(found.write(tmp_path / "spec.yaml"))
    source = [layer for layer in theirs.layers if layer.weights]
    left = list(source)
    for layer in (layer for layer in ours.layers if layer.weights):
        match = next(
            each
            for each in left
            if ("shortcut" in each.name) == ("shortcut" in layer.name)
            and [weight.shape for weight in each.weights] == [weight.shape for weight in layer.weights]
        )
        left.remove(match)
        layer.set_weights(match.get_weights())
    assert not left
    images = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)
    logits = keras.Model(theirs.input, theirs.layers[-1].input)(images) @ source[-1].kernel + source[-1].bias
    assert distance(ours(images, training=False), logits) < 1e-5


def test_another_activation_stands_in_the_way():
    found = reskeras.conform(tutorial(activation="swish"))
    assert not found.exact
    [obstacle] = found.obstacles
    assert (obstacle.units, {step.words for step in obstacle.steps}) == ("stem", {"relu", "silu"})
    with pytest.raises(ReskerasError, match="obstacles: stem without relu, with silu"):
        found.write("never.yaml")


def test_a_batch_norm_kept_in_training_and_channels_first_stand_in_the_way():
    for spoil in (
        lambda layer: layer["inbound_nodes"][0]["kwargs"].update(training=True),
        lambda layer: layer["config"].update(data_format="channels_first"),
    ):
        config = config_of(family="cifar", stages=[1, 1], input_shape=[8, 8, 3])
        for layer in config["layers"]:
            if layer["class_name"] in ("FusedBatchNormalization", "GlobalAveragePooling2D"):
                spoil(layer)
        assert not reskeras.conform(described(config)).exact


def test_explicit_padding_is_the_same_convolution():
    images = keras.Input((8, 8, 3))
    padded = layers.Conv2D(16, 3, use_bias=False)(layers.ZeroPadding2D(1)(images))
    whole = keras.Model(
        images,
        reskeras.build(family="cifar", stages=[1], input_shape=[8, 8, 3], after="stem")(
            layers.ReLU()(layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(padded))
        ),
    )
    found = reskeras.conform(whole)
    assert found.exact
    assert found.spec.stages[0].units == 1


def test_operators_are_additions():
    images = keras.Input((8, 8, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(images)))
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", use_bias=False)(x))
    x = keras.ops.relu(x * 0.5 + y)
    model = keras.Model(images, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    found = reskeras.conform(model)
    assert found.exact
    [skip] = {stage.skip for stage in reskeras.resolve(found.spec).stages}
    assert (skip.kind, skip.shortcut, skip.residual) == ("scale", 0.5, 1.0)


def test_hdf5_says_the_same_as_keras(tmp_path):
    for name, model in (("a", tutorial()), ("b", reskeras.build(family="cifar", depth=8, skip="shortcut_gate"))):
        for suffix in ("keras", "h5"):
            model.save(tmp_path / f"{name}.{suffix}")
        assert reskeras.conform(tmp_path / f"{name}.h5") == reskeras.conform(tmp_path / f"{name}.keras")
    assert reskeras.conform(tmp_path / "b.h5").deviations[0].field == "stages.0..2.skip.kind"


def test_the_form_of_keras_2_is_read():
    config = config_of("cifar-resnet-20")
    for layer in config["layers"]:
        layer.pop("module"), layer.pop("build_config", None)
        layer["class_name"] = layer.pop("registered_name") or layer["class_name"]  # where Keras 2 has it
        for index, node in enumerate(layer["inbound_nodes"]):
            tensors = node["args"][0] if isinstance(node["args"][0], list) else node["args"]
            layer["inbound_nodes"][index] = [[*tensor["config"]["keras_history"], {}] for tensor in tensors]
    found = reskeras.conform(
        described({**config, "input_layers": [config["input_layers"]], "output_layers": [config["output_layers"]]})
    )
    assert (found.name, found.deviations, found.exact) == ("cifar-resnet-20", (), True)


def test_a_run_folder_is_its_model(trained):
    assert reskeras.plan(reskeras.conform(trained.path).spec) == reskeras.plan(trained.path)


def test_the_order_of_layers_in_a_file_plays_no_part(tmp_path):
    config = config_of("cifar-resnet-20")
    config["layers"].reverse()
    assert reskeras.conform(archive(tmp_path / "model.keras", renamed(config))).name == "cifar-resnet-20"


def test_a_class_of_another_package_is_not_taken_for_keras():
    config = config_of("cifar-resnet-20")
    add = next(layer for layer in config["layers"] if layer["class_name"] == "Add")
    add |= {"module": "evil", "registered_name": "evil>Add"}
    assert "evil>Add of 2 tensors" in reskeras.conform(described(config)).why


def test_shared_weights_and_shared_branches_are_no_units():
    images = keras.Input((8, 8, 3))
    shared, x = layers.Conv2D(3, 3, padding="same"), images
    twice = keras.Model(images, layers.add([shared(shared(x)), x]))
    assert "2 times with the same weights" in reskeras.conform(twice).why
    inner = layers.ReLU()(layers.Conv2D(3, 3, padding="same")(images))
    crossed = keras.Model(images, layers.add([images, layers.ReLU()(inner), layers.Activation("sigmoid")(inner)]))
    assert "not a sequence of units" in reskeras.conform(crossed).why


def test_a_perceptron_is_no_residual_network():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)])
    assert "no convolution" in reskeras.conform(model).why


# hostile and broken files


def refused(path, status):
    with pytest.raises(ReskerasError) as refusal:
        reskeras.conform(path)
    assert refusal.value.status == status
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_code_in_a_lambda_does_not_run(tmp_path):
    import base64
    import marshal

    mark = tmp_path / "ran"
    code = base64.b64encode(marshal.dumps(compile(f"open({str(mark)!r}, 'w')", "x", "exec"))).decode()
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, layers.Activation("relu")(layers.Conv2D(4, 3)(images)))
    config = json.loads(json.dumps(model.get_config()))
    config["layers"][2] |= {
        "class_name": "Lambda",
        "config": {
            "name": config["layers"][2]["name"],
            "function": {"class_name": "__lambda__", "config": {"code": code}},
        },
    }
    path = archive(tmp_path / "model.keras", config)
    assert reskeras.conform(path).spec is None
    assert not mark.exists()


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    from reskeras.identification import archive as reading

    monkeypatch.setattr(reading, "LARGEST_CONFIG", 1 << 20)
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", b" " * (8 << 20))
    assert "more than 1 MiB" in refused(path, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "nonsense",
        '{"class_name": "Functional", "config": 3}',
        "[" * 100_000,
        '{"class_name": "Functional", "config": {"layers": [{}], "input_layers": [["a", 0, 0]], "output_layers": []}}',
        '{"class_name": "Functional", "config": {"layers": [3], "input_layers": 4}}',
        '{"class_name": "Sequential", "config": {"layers": []}}',
    ],
)
def test_nonsense_is_told_in_a_line(tmp_path, text):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", text)
    refused(path, 1)


def test_a_damaged_file_is_told_in_a_line(tmp_path):
    whole = archive(tmp_path / "whole.keras", config_of("cifar-resnet-20")).read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "cut.keras").write_bytes(whole[:length])
        (tmp_path / "cut.h5").write_bytes(whole[:length])
        refused(tmp_path / "cut.keras", 1)
        refused(tmp_path / "cut.h5", 1)


@pytest.mark.slow
def test_every_broken_number_is_an_answer_or_a_line():
    rng = np.random.default_rng(0)
    whole = json.dumps(config_of(family="cifar", stages=[1, 1], input_shape=[8, 8, 3]))
    for _ in range(300):
        config = json.loads(whole)
        layer = config["layers"][rng.integers(len(config["layers"]))]
        where = layer["config"] if rng.integers(2) else layer
        key = list(where)[rng.integers(len(where))]
        where[key] = [None, -1, "x\n\x1b[31m", [], {}, 10**30, 0, [1, 2, 3], float("nan")][rng.integers(9)]
        try:
            why = reskeras.conform(described(config)).why
        except ReskerasError as error:
            why = str(error)
        assert why.isprintable()


def test_folders_weights_and_subclassed_models_are_refused_with_a_reason(tmp_path):
    import h5py

    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    assert "SavedModel" in refused(tmp_path / "saved", 2)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file["a"] = [1.0]
    assert "weights but no model" in refused(tmp_path / "weights.h5", 2)
    assert "file not found" in refused(tmp_path / "nothing.keras", 2)
    (tmp_path / "model.onnx").write_bytes(b"")
    assert "neither" in refused(tmp_path / "model.onnx", 2)

    class Own(keras.Model):
        pass

    assert "subclassed" in refused(Own(), 2)
    refused(object(), 2)


# the command


def test_the_command_tells_and_writes(tmp_path):
    path = archive(tmp_path / "model.keras", renamed(config_of("cifar-preact-110", bn={"momentum": 0.99})))
    told = CliRunner().invoke(commands, ["conform", str(path), "--write", str(tmp_path / "spec.yaml")])
    assert told.exit_code == 0, told.output
    assert "cifar-preact-110  v2 tables 2 to 4" in told.output
    assert "bn.momentum  0.9    0.99" in told.output
    assert reskeras.plan(tmp_path / "spec.yaml") == reskeras.plan("cifar-preact-110", bn={"momentum": 0.99})
    data = json.loads(CliRunner().invoke(commands, ["conform", str(path), "--json"]).output)
    assert (data["exact"], data["paper"], data["spec"]["depth"]) == (True, "cifar-preact-110", 110)


def test_the_command_waits_for_no_tensorflow(tmp_path):
    path = archive(tmp_path / "model.keras", config_of("cifar-resnet-20"))
    answer = subprocess.run(
        [sys.executable, "-c", PROBE, "conform", str(path)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "LOADED []"


def test_the_command_refuses_to_write_what_is_none(tmp_path):
    tutorial(activation="swish").save(tmp_path / "model.keras")
    words = ["conform", str(tmp_path / "model.keras"), "--write", str(tmp_path / "no.yaml")]
    told = CliRunner().invoke(commands, words)
    assert told.exit_code == 2
    assert "obstacles: stem without relu, with silu" in told.output
    assert not (tmp_path / "no.yaml").exists()
