"""LiteRT kinds: types, sizes, agreement, what is kept in float, and networks that have no builtin form."""

import json

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from click.testing import CliRunner

import reskeras
from reskeras.export.artefacts import lite_kind
from reskeras.export.inference import Inference
from reskeras.export.lite import LITE_KINDS, write_lite_model
from reskeras.export.noise import layers_of
from reskeras_cli.main import commands

KINDS = ["tflite", *(f"tflite-{kind}" for kind in LITE_KINDS if kind != "float32")]


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    """A run with every kind of `.tflite`, and its proofs by kind."""
    import shutil

    run = reskeras.Run(shutil.copytree(trained.path, tmp_path_factory.mktemp("lite") / "run"))
    return run, {proof.kind: proof for proof in run.export(*KINDS)}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_the_model_within_its_tolerance(made, kind):
    proof = made[1][kind]
    assert proof.holds
    assert proof.images == 359
    assert abs(proof.accuracy - proof.keras_accuracy) < 0.03
    assert [timing.batch for timing in proof.timings] == [1, 32]
    assert all(0 < timing.p50_ms <= timing.p99_ms for timing in proof.timings)


@pytest.mark.parametrize("kind", KINDS)
def test_types_of_weights_and_of_what_goes_in_and_out(made, kind):
    interpreter = Interpreter(made[1][kind].path)
    details = interpreter.get_signature_runner("serving_default").get_input_details()["images"]
    how = LITE_KINDS[lite_kind(kind)]
    assert details["dtype"] == (np.int8 if how.io == "int8" else np.float32)
    kept = {tensor["dtype"] for tensor in interpreter.get_tensor_details() if len(tensor["shape"]) == 4
            and tensor["shape"][0] > 1}
    assert {"float32": np.float32, "float16": np.float16, "int8": np.int8}[how.weights] in kept


def test_quantised_files_are_smaller(made):
    sizes = {kind: proof.bytes for kind, proof in made[1].items()}
    assert sizes["tflite-float16"] < 0.7 * sizes["tflite"]
    assert sizes["tflite-int8"] < 0.6 * sizes["tflite"]


def test_what_a_program_needs_stands_beside_the_file(made):
    run, proofs = made
    for kind in KINDS:
        facts = json.loads((run.folder.export_folder / proofs[kind].path).with_suffix(".json").read_text())
        assert facts["classes"] == run.folder.classes()
        assert facts["input"]["shape"] == ["batch", 16, 16, 1]
        assert facts["input"]["type"] == LITE_KINDS[lite_kind(kind)].io
        assert "subtract" in facts["preparation"]


def test_noise_is_ranked_and_layers_can_stay_in_float(made):
    run, proofs = made
    layers = run.explain("tflite-int8")
    assert [each.decibels for each in layers] == sorted(each.decibels for each in layers)
    assert {"stage1_unit1_conv2", "logits"} <= {each.layer for each in layers}
    assert all(each.decibels > 0 for each in layers)
    assert {each.operation for each in layers if each.decibels > 100} <= {"PAD", "MAX_POOL_2D"}  # which add none
    kept = [each.layer for each in layers[:2]]
    [proof] = run.export("tflite-int8", keep_float=kept, timing=False)
    assert proof.holds
    assert proof.bytes > proofs["tflite-int8"].bytes
    with pytest.raises(reskeras.ReskerasError, match="keep-float: 'stage9' is not one of"):
        run.export("tflite-int8", keep_float=["stage9"], timing=False)
    with pytest.raises(reskeras.ReskerasError, match="explain, keep-float: float32 is not one of int8, int8-io"):
        run.export("tflite", keep_float=kept)


@pytest.mark.parametrize("tensor, layers", [
    ("inference_1/stem_relu_1/Relu;inference_1/stem_conv_1/BiasAdd;inference_1/stem_conv_1/convolution",
     ["stem_relu", "stem_conv"]),
    ("inference/stage1_unit1_conv1/convolution", ["stage1_unit1_conv1"]),
    ("inference_2/stage1_unit1_conv1_12/convolution", ["stage1_unit1_conv1"]), ("truediv;truediv/y1", []),
])
def test_layers_are_found_in_names_of_tensors(tensor, layers):
    assert layers_of(tensor, {"stem_relu", "stem_conv", "stage1_unit1_conv1", "stage1_unit1"}) == layers


def test_an_operation_without_a_builtin_is_told_with_its_layer(trained, tmp_path):
    run = trained
    inference = Inference(reskeras.plan(run.path), run.model(), run.preprocessing(), run.folder.classes(), "float32",
                          guarded=False)
    network = inference.network

    def strange(images):
        with tf.name_scope("inference_1/stage9_unit1_strange_1"):
            return {name: value + 0.5 * tf.math.ndtri(tf.sigmoid(value)) for name, value in network(images).items()}

    inference.network = strange
    with pytest.raises(reskeras.ReskerasError, match=r"tflite: layer stage9_unit1_strange needs tf\.Ndtri"):
        write_lite_model(inference, tmp_path / "strange.tflite")
    assert not list(tmp_path.iterdir())


def test_fewer_images_than_asked_are_all_taken_and_none_is_an_error(copied):
    [proof] = copied.export("tflite-int8", representative=10**6, timing=False)
    assert proof.holds
    with pytest.raises(reskeras.ReskerasError, match="representative: 0: should be at least 1"):
        copied.export("tflite-int8", representative=0)


def test_tolerances_can_be_set_by_kind(copied):
    with pytest.raises(reskeras.ReskerasError, match=r"a difference of .*, more than 1e-12"):
        copied.export("tflite", tolerances={"tflite": 1e-12}, timing=False)
    with pytest.raises(reskeras.ReskerasError, match="'onnx' is not one of"):
        copied.export("tflite", tolerances={"onnx": 1.0})


def test_the_report_shows_the_proofs_again(made):
    run, proofs = made
    shown = CliRunner().invoke(commands, ["report", str(run.path)])
    assert shown.exit_code == 0, shown.output
    for kind in KINDS:
        assert kind in shown.stdout
    assert "1,438 training" in shown.stdout
    told = json.loads(CliRunner().invoke(commands, ["report", str(run.path), "--json"]).stdout)
    assert {each["kind"] for each in told["exports"]} == set(KINDS)
    assert told["exports"][0]["difference"] == proofs[told["exports"][0]["kind"]].difference


def test_a_broken_report_is_told(copied):
    copied.folder.export_folder.mkdir()
    (copied.folder.export_folder / "report.json").write_text('{"a": {"kind": 1}}')
    shown = CliRunner().invoke(commands, ["report", str(copied.path)])
    assert shown.exit_code == 1
    assert "report.json is broken" in shown.stderr
