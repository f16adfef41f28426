"""Detectors as files for other runtimes: the pixels of a canvas in, the detector's own boxes out, and a proof."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.export.lite import write_lite_model
from reskeras.export.portable import write_onnx, write_openvino
from reskeras.export.runtimes import open_model
from reskeras.export.usage import Usage
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.detection_proof import compared, files_of
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.export import check_files
from reskeras.tasks.detection.model import detector_model
from reskeras.tasks.detection.served_detector import CanvasDetector
from tests.export.spoiling import spoil_a_folded_weight
from tests.tasks.detection.shapes import DETECTOR
from tests.tasks.detection.test_model import randomised
from tests.tasks.detection.test_pyramid import FPN

pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
pytest.importorskip("openvino")

KINDS = ("tflite", "onnx")


@pytest.fixture(scope="module")
def made(detector_run, tmp_path_factory):
    """(a copy of the trained detector, its proofs by kind)."""
    run = reskeras.DetectorRun(shutil.copytree(detector_run.path, tmp_path_factory.mktemp("files") / "run"))
    return run, {proof.kind: proof for proof in run.export(*KINDS)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_finds_what_the_keras_model_finds(made, kind):
    run, proofs = made
    assert proofs[kind].holds and proofs[kind].agreement == 1 and proofs[kind].difference < 1e-4
    assert [timing.batch for timing in proofs[kind].speed.timings] == [1, 4]
    split, detector = run.source().test, run.detector()
    ask = open_model(Path(proofs[kind].path))
    rows, expected = [], []
    for index, data in enumerate(files_of(split)):
        (placed,), _ = detector.placed(tf.constant([data]))
        found = ask(images=placed.pixels.numpy(), window=placed.window.numpy())
        boxes = placed.in_image(tf.constant(found["boxes"])).numpy()[0]
        rows.append(Detections.of({name: values[0] for name, values in found.items()} | {"boxes": boxes}, index))
        told = {name: values.numpy()[0] for name, values in detector.found(tf.constant([data])).items()}
        expected.append(Detections.of(told, index))
    difference, agreement = compared(Detections.joined(rows), Detections.joined(expected), split.sizes)
    assert difference < 1e-3 and agreement > 0.99 and len(Detections.joined(expected).image) >= split.count


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_program_needs_stands_beside_it(made, kind):
    run, proofs = made
    path = Path(proofs[kind].path)
    facts = json.loads((path.with_suffix(".json") if kind == "tflite" else Path(f"{path}.json")).read_text())
    height, width = run.plan.canvas
    assert facts["input"]["shape"] == ["batch", height, width, 3] and facts["input"]["name"] == "images"
    [window] = facts["other_inputs"]
    assert window["name"] == "window" and window["shape"] == ["batch", 4] and "0, 0, height, width" in window["what"]
    assert {each["name"] for each in facts["outputs"]} == {"boxes", "scores", "labels", "count"}
    assert f"scale to fit {height}x{width}" in facts["use"] and facts["classes"] == run.folder.classes()


def write(kind, module, path):
    usage = Usage("scale", 3, ["detector"], module.classes, "", {"window": "the part that shows the image"})
    if kind == "tflite":
        return write_lite_model(module, path / "n.tflite")
    file = path / ("n.onnx" if kind == "onnx" else "n.xml")
    (write_onnx if kind == "onnx" else write_openvino)(module, file, usage, "Detector")
    return file


@pytest.mark.sample(2)
@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("kind", ["onnx", "openvino", "tflite"])
@pytest.mark.parametrize("fields", [FPN, DETECTOR], ids=["pyramid", "one map"])
def test_networks_of_random_weights_answer_alike_in_every_runtime(fields, kind, batch, tmp_path):
    spec = {**fields, "classes": 3, "detections": {"score": 0.01}}
    plan = lower_detector(DetectorSpec.model_validate(spec))
    values = randomised(detector_model(plan, "d"))
    height, width = plan.canvas
    half = np.full(3, 127.5, np.float32)
    module = CanvasDetector(Detector(plan, values, Preprocessing(height, width, 3, "scale", half, half)), "abc", batch)
    images = np.random.default_rng(0).integers(0, 256, (2, height, width, 3)).astype(np.float32)
    window = np.array([[0, 0, height, width], [0, 0, height - 8, width]], np.float32)
    expected = {name: each.numpy() for name, each in module(tf.constant(images), tf.constant(window)).items()}
    assert expected["count"].min() > 0
    model = open_model(write(kind, module, tmp_path), "f32" if kind == "openvino" else "")
    assert model.batch == batch
    found = model(images=images, window=window)
    np.testing.assert_array_equal(found["count"], expected["count"])
    np.testing.assert_array_equal(found["labels"], expected["labels"])
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4)
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=0.05)


def test_in_openvino_float32_agrees_and_what_the_processor_chooses_decides(copied_detector):
    try:
        [proof] = copied_detector.export("openvino", timing=False)
    except ReskerasError as error:
        [proof] = copied_detector.proofs()
        [trial] = proof.trials
        assert trial.precision != "f32" and trial.agreement < 0.99
        assert f"an agreement of {trial.agreement:.2%} in {trial.precision}, less than 99%" in str(error)
    assert proof.difference < 1e-3 and proof.agreement > 0.99


def unwindowed(self, images, window):
    whole = tf.tile([[0.0, 0.0, *self._detector().plan.canvas]], [tf.shape(images)[0], 1])
    return CALL(self, images, whole + 0 * window)


def moved(self, images, window):
    return (found := CALL(self, images, window)) | {"boxes": found["boxes"] * 1.004}


CALL = CanvasDetector.__call__


@pytest.mark.sample(1)
@pytest.mark.parametrize("kind", ["onnx", "tflite"])
@pytest.mark.parametrize("call", [moved, unwindowed, None], ids=["boxes", "window", "weight"])
def test_what_is_not_the_detector_is_rejected(copied_detector, monkeypatch, kind, call):
    if call:
        monkeypatch.setattr(CanvasDetector, "__call__", call)
    else:
        spoil_a_folded_weight(monkeypatch)
    with pytest.raises(ReskerasError, match="rejected, not equivalent to the model"):
        copied_detector.export(kind, timing=False)
    [proof] = copied_detector.proofs()
    assert not proof.holds and "rejected" in proof.path


@pytest.mark.slow
def test_a_fixed_batch_of_a_detector(copied_detector):
    for proof in copied_detector.export("tflite", "onnx", batch=3):
        assert proof.holds and proof.batch == 3 and [timing.batch for timing in proof.speed.timings] == [3]
        assert open_model(Path(proof.path)).batch == 3


def test_a_detector_with_several_canvases_is_refused_by_name():
    spec = {"backbone": "resnet-18", "neck": "fpn", "resize": {"shorter": 64, "canvases": [[64, 112], [112, 64]]}}
    spec = reskeras.DetectorSpec.model_validate(spec)
    check_files(spec, ["serving"])
    with pytest.raises(ReskerasError, match="to: onnx has one canvas, and this detector has 2; use serving, or train"):
        check_files(spec, ["serving", "onnx"])
