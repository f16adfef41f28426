"""LiteRT kinds: types, sizes, agreement, what is kept in float, and networks that have no builtin form."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from click.testing import CliRunner

import reskeras
from reskeras.data.pipeline import evaluation_images
from reskeras.data.preprocessing import Preprocessing
from reskeras.export import aside, runtimes
from reskeras.export.inference import Inference
from reskeras.export.lite import LITE_KINDS, lite_kind, write_lite_model
from reskeras_cli.main import commands

KINDS = ["tflite", *(f"tflite-{kind}" for kind in LITE_KINDS if kind != "float32")]


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    """A run with every kind of `.tflite`, and its proofs by kind."""
    import shutil

    run = reskeras.Run(shutil.copytree(trained.path, tmp_path_factory.mktemp("lite") / "run"))
    # four bits are too few for a network of a handful of channels that was trained for seconds
    return run, {proof.kind: proof for proof in run.export(*KINDS, tolerances={"tflite-int8-w4": 0.5})}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_the_model_within_its_tolerance(made, kind):
    proof = made[1][kind]
    assert proof.holds
    assert proof.images == 359
    assert abs(proof.accuracy - proof.keras_accuracy) < (0.4 if kind == "tflite-int8-w4" else 0.03)
    assert [timing.batch for timing in proof.speed.timings] == [1, 32]
    assert all(0 < timing.p50_ms <= timing.p99_ms for timing in proof.speed.timings)


@pytest.mark.parametrize("kind", KINDS)
def test_types_of_weights_and_of_what_goes_in_and_out(made, kind):
    interpreter = Interpreter(made[1][kind].path)
    details = interpreter.get_signature_runner("serving_default").get_input_details()["images"]
    how = LITE_KINDS[lite_kind(kind)]
    assert details["dtype"] == (np.int8 if how.io == "int8" else np.float32)
    kept = {
        tensor["dtype"]
        for tensor in interpreter.get_tensor_details()
        if len(tensor["shape"]) == 4 and tensor["shape"][0] > 1
    }
    stored = {"float32": np.float32, "float16": np.float16, "int8": np.int8, "int4": np.int8}  # unpacked when opened
    assert stored[how.weights] in kept


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
        # to normalise is said once, of what is inside
        assert "subtract" in facts["inside"][0]
        assert "Do not normalise" in facts["use"]
        assert facts["use"].startswith("rotate the image as its EXIF tag says; ")
        assert not {"mean", "std", "preparation"} & facts.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_of_inputs_and_outputs_is_what_an_interpreter_says(made, kind):
    proofs = made[1]
    facts = json.loads(Path(proofs[kind].path).with_suffix(".json").read_text())
    interpreter = Interpreter(proofs[kind].path)
    runner = interpreter.get_signature_runner(facts["signature"])
    by_name = {"input": runner.get_input_details(), "outputs": runner.get_output_details()}
    for of, ordered, said in (
        ("input", interpreter.get_input_details(), [facts["input"]]),
        ("outputs", interpreter.get_output_details(), facts["outputs"]),
    ):
        assert [by_name[of][each["name"]]["index"] for each in said] == [each["index"] for each in ordered]
        for each, detail in zip(said, ordered, strict=True):
            assert np.dtype(each["type"]) == detail["dtype"]
            assert each["shape"][1:] == list(detail["shape"][1:])
            scale, zero_point = detail["quantization"]
            quantised = each["quantisation"] or {"scale": 0.0, "zero_point": 0}
            assert (quantised["scale"], quantised["zero_point"]) == (pytest.approx(scale), zero_point)
    assert [each["index"] for each in facts["outputs"]] == [0, 1]
    assert {each["name"] for each in facts["outputs"]} == {"logits", "probabilities"}


def test_a_program_that_does_what_is_said_gets_the_models_answers(made):
    """Pixels as an integer file wants them, and its answers as numbers, by the JSON alone."""
    run, proofs = made
    images, _ = evaluation_images(run.source().test, run.preprocessing(), 24)
    facts = json.loads(Path(proofs["tflite-int8-io"].path).with_suffix(".json").read_text())
    how, told = facts["input"]["quantisation"], {each["name"]: each["quantisation"] for each in facts["outputs"]}
    pixels = np.clip(np.round(images / how["scale"]) + how["zero_point"], -128, 127).astype(np.int8)
    answer = Interpreter(proofs["tflite-int8-io"].path).get_signature_runner(facts["signature"])(images=pixels)
    logits = (answer["logits"].astype(np.float32) - told["logits"]["zero_point"]) * told["logits"]["scale"]
    expected = run.model().predict(run.preprocessing().normalise(images), verbose=0)
    assert np.mean(logits.argmax(axis=1) == expected.argmax(axis=1)) > 0.9
    shares = (answer["probabilities"] - np.float32(told["probabilities"]["zero_point"])) * told["probabilities"][
        "scale"
    ]
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=0.03)


@pytest.mark.slow
def test_noise_is_ranked_and_layers_can_stay_in_float(made):
    run, proofs = made
    layers = run.explain("tflite-int8")
    assert [each.decibels for each in layers] == sorted(each.decibels for each in layers)
    assert {"stage1_unit1_conv2", "logits"} <= {each.layer for each in layers}
    assert all(each.decibels > 0 for each in layers)
    assert all(each.step > 0 for each in layers)
    kept = [each.layer for each in layers[:2]]
    [proof] = run.export("tflite-int8", keep_float=kept, timing=False)
    assert proof.holds
    assert proof.bytes > proofs["tflite-int8"].bytes
    with pytest.raises(reskeras.ReskerasError, match="keep-float: 'stage9' is not one of"):
        run.export("tflite-int8", keep_float=["stage9"], timing=False)
    with pytest.raises(reskeras.ReskerasError, match="keep-float: tflite is not one of tflite-int8, tflite-int8-io"):
        run.export("tflite", keep_float=kept)


def test_an_operation_without_a_builtin_is_told_with_its_layer(trained, tmp_path):
    run = trained
    inference = Inference(
        reskeras.plan(run.path), run.model(), run.preprocessing(), run.folder.classes(), "float32", guarded=False
    )
    network = inference.network

    def strange(images):
        with tf.name_scope("inference_1/stage9_unit1_strange_1"):
            return {name: value + 0.5 * tf.math.ndtri(tf.sigmoid(value)) for name, value in network(images).items()}

    inference.network = strange
    with pytest.raises(reskeras.ReskerasError, match=r"tflite: layer stage9_unit1_strange needs tf\.Ndtri"):
        write_lite_model(inference, tmp_path / "strange.tflite")
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_converted_is_rejected_and_other_kinds_go_on(copied, monkeypatch):
    network = Inference.__call__

    def strange(self, images):
        logits = network(self, images)["logits"] + 1e-9 * tf.math.ndtri(tf.zeros([]) + 0.5)
        logits += 1e-9 * tf.math.ndtri(tf.sigmoid(logits))
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    monkeypatch.setattr(Inference, "__call__", strange)
    with pytest.raises(reskeras.ReskerasError, match=r"-tflite cannot be made: .* needs tf\.Ndtri, which is not"):
        copied.export("tflite", "serving", timing=False)
    assert {proof.kind: proof.holds for proof in copied.proofs()} == {"tflite": False, "serving": True}


def test_fewer_images_than_asked_are_all_taken_and_none_is_an_error(copied):
    [proof] = copied.export("tflite-int8", representative=10**6, timing=False)
    assert proof.holds
    with pytest.raises(reskeras.ReskerasError, match="representative: 0: should be at least 1"):
        copied.export("tflite-int8", representative=0)


def test_tolerances_can_be_set_by_kind(copied):
    with pytest.raises(reskeras.ReskerasError, match=r"a difference of .*, more than 1e-12"):
        copied.export("tflite", tolerances={"tflite": 1e-12}, timing=False)
    with pytest.raises(reskeras.ReskerasError, match="'coreml' is not one of"):
        copied.export("tflite", tolerances={"coreml": 1.0})
    with pytest.raises(reskeras.ReskerasError, match="tolerance: 'serving' is not one of tflite"):
        copied.export("tflite", tolerances={"serving": 1.0})
    for number in (float("nan"), float("inf"), -0.1):
        with pytest.raises(reskeras.ReskerasError, match=f"tolerance: tflite: {number} should be finite"):
            copied.export("tflite", tolerances={"tflite": number})


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


@pytest.mark.parametrize(
    "fields",
    [
        {"family": "cifar", "stages": [2, 1], "input_shape": [16, 16, 3], "skip": "scale", "classes": 4},
        pytest.param({"name": "inception-resnet-v2", "input_shape": [96, 96, 3], "classes": 4}, marks=pytest.mark.slow),
    ],
    ids=["scale", "inception-resnet"],
)
def test_scaled_sums_convert_to_16_bits(fields, tmp_path):
    fields = dict(fields)
    spec = reskeras.network(fields.pop("name"), **fields) if "name" in fields else reskeras.network(**fields)
    model, size = reskeras.build(spec, seed=1), spec.input_shape
    preprocessing = Preprocessing(
        *size, "scale", np.full(size[-1], 127.5, np.float32), np.full(size[-1], 127.5, np.float32)
    )
    inference = Inference(reskeras.plan(spec), model, preprocessing, "abcd", "float32", guarded=False)
    images = np.random.default_rng(0).integers(0, 255, (8, *size), np.uint8)
    written = write_lite_model(inference, tmp_path / "net.tflite", "int16x8", images)
    kinds = {each["op_name"] for each in Interpreter(str(written))._get_ops_details()}
    assert "ADD_N" not in kinds
    assert "ADD" in kinds
    found, expected = (
        runtimes.LiteModel(written)(images=images)["logits"],
        inference(images.astype(np.float32))["logits"].numpy(),
    )
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


CRASH = "import os\nos.abort()\n"
REFUSE = "import sys\nsys.exit('kernel 7 does not fit')\n"


@pytest.mark.parametrize(
    "program, said",
    [
        (CRASH, "crashes the process that runs LiteRT (SIGABRT)"),
        (REFUSE, "is rejected by LiteRT: kernel 7 does not fit"),
    ],
)
def test_a_file_that_kills_its_interpreter_is_rejected_in_a_line(copied, tmp_path, monkeypatch, program, said):
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(runtimes, "__file__", str(tmp_path / "program.py"))
    shown = CliRunner().invoke(commands, ["export", str(copied.path), "--to", "tflite", "--no-timing"])
    assert shown.exit_code == 1
    assert said in shown.stderr
    assert "Traceback" not in shown.output
    [proof] = copied.proofs()
    assert (proof.holds, proof.agreement, proof.accuracy) == (False, 0, 0)
    folder = copied.folder.export_folder
    assert [path.name for path in (folder / "rejected").iterdir()] == [f"{copied.name}-tflite"]
    assert not list(folder.glob("*.tflite"))
    report = (folder / "report.json").read_text()
    assert "Infinity" not in report
    assert "NaN" not in report


def test_a_file_that_is_none_is_refused_in_a_process_of_its_own(tmp_path):
    (tmp_path / "net.tflite").write_bytes(b"TFL3" * 100)
    with pytest.raises(aside.Crash, match=r"is rejected by LiteRT: |crashes the process"):
        aside.answers_aside(tmp_path / "net.tflite", {"images": np.zeros((1, 8, 8, 3), np.uint8)})


def test_the_process_that_runs_a_file_needs_no_tensorflow(made, tmp_path, monkeypatch):
    run, proofs = made
    (tmp_path / "tensorflow.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = Path(proofs["tflite-int8"].path)
    images, _ = evaluation_images(run.source().test, run.preprocessing(), 8)
    found = aside.answers_aside(path, {"images": images}).values["logits"]
    np.testing.assert_array_equal(found, runtimes.LiteModel(path)(images=images)["logits"])
