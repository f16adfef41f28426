"""ONNX and OpenVINO artefacts stand outside Keras: raw pixels in, the model's answers out, a proof that can fail; and
what happens where a converter or a runtime does not come back."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import reskeras
from reskeras.data.pipeline import evaluation_images
from reskeras.export import aside, converters
from reskeras.export.aside import Crash, answers_aside, run_aside
from reskeras.export.inference import Inference
from reskeras.export.runtimes import open_model
from tests.cli.running import invoke, printed, refused
from tests.export.spoiling import spoil_a_folded_weight

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
openvino = pytest.importorskip("openvino")
pytest.importorskip("tf2onnx")

NEW = ("onnx", "openvino")


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
    """(a copy of the run with both kinds, their proofs by kind)."""
    run = reskeras.Run(shutil.copytree(trained.path, tmp_path_factory.mktemp("runtimes") / "run"))
    return run, {proof.kind: proof for proof in run.export(*NEW)}


@pytest.fixture(scope="module")
def images(trained):
    return evaluation_images(trained.source().test, trained.preprocessing(), 24)[0]


@pytest.fixture(scope="module")
def expected(trained, images):
    return trained.model().predict((images - trained.preprocessing().mean) / trained.preprocessing().std, verbose=0)


def close(values, reference):
    return np.abs(values - reference).max() / np.abs(reference).max()


def test_onnxruntime_gets_the_logits_of_keras_in_any_batch(made, images, expected):
    session = onnxruntime.InferenceSession(made[1]["onnx"].path)
    [pixels] = session.get_inputs()
    assert (pixels.name, pixels.shape, pixels.type) == ("images", ["batch", 16, 16, 1], "tensor(uint8)")
    assert [(each.name, each.shape) for each in session.get_outputs()] == [
        ("logits", ["batch", 10]),
        ("probabilities", ["batch", 10]),
    ]
    for count in (1, 24):
        logits, probabilities = session.run(None, {"images": images[:count]})
        assert close(logits, expected[:count]) < 1e-5
        np.testing.assert_allclose(probabilities, tf.nn.softmax(expected[:count]), atol=1e-5)


def test_openvino_gets_the_logits_of_keras(made, images, expected):
    folder = Path(made[1]["openvino"].path)
    assert sorted(path.suffix for path in folder.iterdir()) == [".bin", ".json", ".xml"]
    [file] = folder.glob("*.xml")
    compiled = openvino.Core().compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert close(compiled({"images": images})["logits"], expected) < 1e-5


@pytest.mark.parametrize("kind", NEW)
def test_the_proof_holds_and_its_figures_are_stored(made, kind):
    run, proofs = made
    proof = proofs[kind]
    assert proof.holds and proof.images == 359 and proof.difference < 1e-5 and proof.agreement == 1
    assert [timing.batch for timing in proof.speed.timings] == [1, 32]
    report = json.loads((run.folder.export_folder / "report.json").read_text())
    assert report[proof.path]["holds"] and report[proof.path]["model"] == run.folder.digest()


def test_openvino_is_also_proven_in_what_the_processor_chooses(made):
    run, proofs = made
    [trial] = proofs["openvino"].trials
    chosen = (
        openvino.Core()
        .compile_model(next(Path(proofs["openvino"].path).glob("*.xml")), "CPU")
        .get_property("INFERENCE_PRECISION_HINT")
    )
    assert trial.precision == chosen.get_type_name() and trial.bound and trial.holds
    assert f"openvino  {trial.precision}" in printed("report", run.path)


@pytest.mark.parametrize("kind", NEW)
def test_what_a_program_needs_is_in_the_file_and_beside_it(made, kind):
    run, proofs = made
    path = Path(proofs[kind].path)
    said = json.loads(
        (path.with_name(f"{path.name}.json") if path.is_file() else next(path.glob("*.json"))).read_text()
    )
    assert said["classes"] == run.folder.classes() and said["kind"] == kind
    assert said["input"]["shape"] == ["batch", 16, 16, 1] and said["input"]["type"] == "uint8"
    assert [each["name"] for each in said["outputs"]] == ["logits", "probabilities"]
    assert "Do not normalise" in said["use"] and "subtract" in said["inside"][0]
    if kind == "onnx":
        model = onnx.load(path)
        assert {each.domain: each.version for each in model.opset_import}[""] == 17
        told = {each.key: each.value for each in model.metadata_props}
    else:
        rows = openvino.Core().read_model(next(path.glob("*.xml"))).get_rt_info()["reskeras"]
        told = {name: value.astype(str) for name, value in rows.items()}
    assert json.loads(told["classes"]) == said["classes"] and told["use"] == said["use"]
    assert json.loads(told["outputs"]) == said["outputs"]


@pytest.mark.slow
def test_pixels_can_be_float32(copied, images, expected):
    copied.export("onnx", pixels="float32", timing=False)
    session = onnxruntime.InferenceSession(next(copied.folder.export_folder.glob("*.onnx")))
    assert session.get_inputs()[0].type == "tensor(float)"
    assert close(session.run(["logits"], {"images": images.astype(np.float32)})[0], expected) < 1e-5


def without_normalising(self, images):
    logits = self.network(tf.cast(images, tf.float32) / 255)["logits"]
    return {"logits": logits, "probabilities": tf.nn.softmax(logits)}


def swapped(self, images):
    logits = self.network(self.preprocessing.normalise(images))["logits"]
    return {"logits": tf.nn.softmax(logits), "probabilities": logits}


@pytest.mark.sample(1)
@pytest.mark.parametrize("call", [None, without_normalising, swapped], ids=["weight", "normalisation", "outputs"])
def test_what_is_not_the_model_is_rejected(copied, monkeypatch, call):
    if call:
        monkeypatch.setattr(Inference, "__call__", call)
    else:
        spoil_a_folded_weight(monkeypatch)
    with pytest.raises(reskeras.ReskerasError, match="rejected, not equivalent to the model") as caught:
        copied.export(*NEW, timing=False)
    assert caught.value.status == 1
    assert {proof.kind: proof.holds for proof in copied.proofs()} == dict.fromkeys(NEW, False)
    folder = copied.folder.export_folder
    assert sorted(path.name for path in (folder / "rejected").iterdir()) == [f"{copied.name}-{kind}" for kind in NEW]
    assert not list(folder.glob("*.onnx*")) and not list(folder.glob("*-openvino"))


PROGRAMS = {
    "import os\nos.abort()\n": "crashes the process that runs tf2onnx (SIGABRT)",
    "import sys\nsys.exit('no such operation')\n": "is rejected by tf2onnx: no such operation",
    "import time\ntime.sleep(60)\n": "keeps tf2onnx busy for more than 1 seconds",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_converter_that_does_not_come_back_is_told_and_other_kinds_go_on(copied, tmp_path, monkeypatch, program):
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(converters, "__file__", str(tmp_path / "program.py"))
    monkeypatch.setattr("reskeras.export.portable.CONVERTED_WITHIN", 1.0)
    said = refused("export", copied.path, "--to", "onnx", "--to", "tflite", "--no-timing", status=1)
    assert PROGRAMS[program] in said and "Traceback" not in said
    folder = copied.folder.export_folder
    assert {proof.kind: proof.holds for proof in copied.proofs()} == {"onnx": False, "tflite": True}
    assert [path.name for path in (folder / "rejected").iterdir()] == [f"{copied.name}-onnx"]
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_runtime_that_does_not_come_back_is_told(copied, tmp_path, monkeypatch):
    (tmp_path / "program.py").write_text("import os\nos.abort()\n")
    monkeypatch.setattr(aside.runtimes, "__file__", str(tmp_path / "program.py"))
    assert "crashes the process that runs ONNX Runtime (SIGABRT)" in refused(
        "export", copied.path, "--to", "onnx", "--no-timing", status=1
    )
    with pytest.raises(Crash, match=r"keeps it busy for more than 0\.1 seconds"):
        (tmp_path / "program.py").write_text("import time\ntime.sleep(60)\n")
        run_aside(str(tmp_path / "program.py"), [], "it", 0.1)


@pytest.mark.parametrize("missing", ["tf2onnx", "openvino"])
def test_a_missing_package_is_told_with_what_installs_it(copied, monkeypatch, missing):
    monkeypatch.setattr("reskeras.artefacts.find_spec", lambda name: None if name == missing else find_spec(name))
    said = refused("export", copied.path, "--to", "openvino")
    assert f"to: openvino needs {missing}; pip install 'reskeras[openvino]'" in said
    assert not copied.folder.export_folder.exists()


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", ["tflite", *NEW, "tflite-int8"])
def test_a_fixed_batch_is_all_that_a_file_takes(copied, images, expected, kind):
    [proof] = copied.export(kind, batch=7)
    assert proof.holds and proof.batch == 7 and [timing.batch for timing in proof.speed.timings] == [7]
    path = Path(proof.path)
    path = next(path.glob("*.xml")) if path.is_dir() else path
    model = open_model(path)
    assert model.batch == 7
    found = answers_aside(path, {"images": images}, "f32" if kind == "openvino" else "").values["logits"]  # 24 images
    if kind != "tflite-int8":
        assert close(found, expected) < 1e-5
    with pytest.raises(ValueError, match="the file takes 7 images at a time, not 3"):
        model(images=images[:3])
    facts = next(copied.folder.export_folder.rglob("*.json" if kind != "onnx" else "*.onnx.json"))
    if facts.name != "report.json":
        assert json.loads(facts.read_text())["input"]["shape"][0] == 7


def test_a_fixed_batch_is_in_the_file_itself(copied):
    [proof] = copied.export("tflite", batch=1, timing=False)
    interpreter = Interpreter(proof.path)
    assert interpreter.get_input_details()[0]["shape_signature"].tolist() == [1, 16, 16, 1]


def test_batches_that_cannot_be_are_refused_in_two_lines(trained):
    assert "batch: 0 is out of range; use 1 to 1024, or free" in refused("export", trained.path, "--batch", "0")
    assert "'two' is neither a number of images nor free" in refused("export", trained.path, "--batch", "two")
    assert "batch: 4: serving cannot have a fixed batch; use free" in refused(
        "export", trained.path, "--to", "serving", "--batch", "4"
    )


def test_layers_kept_in_float_go_with_a_fixed_batch(copied):
    [proof] = copied.export("tflite-int8", keep_float=["logits"], batch=4, timing=False)
    assert proof.holds
    assert proof.batch == 4


def test_an_export_that_is_older_than_the_model_is_told(copied):
    copied.export("tflite", timing=False)
    assert not [proof for proof in copied.proofs() if proof.stale]
    copied.evaluate(recalibrate=64, save=True)
    [proof] = copied.proofs()
    assert proof.stale and proof.holds
    shown = invoke("report", copied.path)
    assert "agrees, with an older model" in shown.stdout
    [told] = json.loads(printed("report", copied.path, "--json"))["exports"]
    assert told["stale"]
    copied.export("onnx", timing=False)
    report = json.loads((copied.folder.export_folder / "report.json").read_text())
    assert {row["kind"]: row["stale"] for row in report.values()} == {"tflite": True, "onnx": False}
    card = (copied.folder.export_folder / "README.md").read_text()
    assert "agrees, with an older model" in card
    copied.export("tflite", timing=False)
    assert not [proof for proof in copied.proofs() if proof.stale]
