"""Exports stand outside Keras: raw pixels in, the model's own answers out, and a proof that can fail."""

import json
import shutil
import tempfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from click.testing import CliRunner

from reskeras.data.pipeline import evaluation_images
from reskeras.errors import ReskerasError
from reskeras.export.proof import prove
from reskeras.export.proofs_file import read_proofs, write_proofs
from reskeras_cli.main import commands
from tests.export.spoiling import spoil_a_folded_weight
from tests.mounts import fill, mounted


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    import reskeras

    run = reskeras.Run(shutil.copytree(trained.path, tmp_path_factory.mktemp("export") / "run"))
    return run, {proof.kind: proof for proof in run.export()}


@pytest.fixture(scope="module")
def pixels(trained):
    images, _ = evaluation_images(trained.source().test, trained.preprocessing(), 24)
    return images.astype(np.float32)


@pytest.fixture(scope="module")
def expected(trained, pixels):
    normalised = (pixels - trained.preprocessing().mean) / trained.preprocessing().std
    logits = trained.model().predict(normalised, verbose=0)
    assert np.isfinite(logits).all()
    assert np.ptp(logits, axis=0).max() > 0.1
    return logits


def closeness(values, reference):
    return np.abs(values - reference).max() / np.abs(reference).max()


@pytest.mark.parametrize("batch", [1, 24])
def test_the_saved_model_takes_raw_pixels_in_any_batch(exported, pixels, expected, batch):
    served = tf.saved_model.load(exported[1]["serving"].path).signatures["serving_default"]
    answer = served(images=tf.constant(pixels[:batch].astype(np.uint8)))
    assert closeness(answer["logits"].numpy(), expected[:batch]) < 1e-5
    np.testing.assert_allclose(answer["probabilities"].numpy().sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 24])
def test_the_lite_model_takes_raw_pixels_in_any_batch(exported, pixels, expected, batch):
    runner = Interpreter(exported[1]["tflite"].path).get_signature_runner("serving_default")
    assert closeness(runner(images=pixels[:batch])["logits"], expected[:batch]) < 1e-5


def test_versions_go_up_and_nothing_half_written_is_visible(exported):
    run, _ = exported
    [proof] = run.export("serving")
    model = run.folder.export_folder / run.name
    assert proof.path == str(model / "2")
    assert sorted(path.name for path in model.iterdir()) == ["1", "2"]


@pytest.mark.slow
def test_a_run_that_is_moved_knows_its_exports_and_one_kind_named_twice_is_made_once(copied, tmp_path):
    import reskeras

    first = copied.export("tflite", "tflite", timing=False)
    assert len(first) == 1
    copied.path.rename(tmp_path / "moved")
    moved = reskeras.Run(tmp_path / "moved")
    assert [proof.path for proof in moved.proofs()] == [first[0].path.replace(str(copied.path), str(moved.path))]
    [again] = moved.export("tflite", timing=False)
    assert [proof.path for proof in moved.proofs()] == [again.path]


def test_the_report_holds_every_proof(exported):
    run, proofs = exported
    report = json.loads((run.folder.export_folder / "report.json").read_text())
    assert report[proofs["tflite"].path]["difference"] == proofs["tflite"].difference
    assert all(row["holds"] for row in report.values())


@pytest.mark.parametrize("kind", ["serving", "tflite"])
def test_one_changed_weight_is_rejected_and_kept_aside(copied, monkeypatch, kind):
    spoil_a_folded_weight(monkeypatch)
    with pytest.raises(ReskerasError, match="rejected, not equivalent to the model") as caught:
        copied.export(kind, timing=False)
    assert caught.value.status == 1
    [proof] = copied.proofs()
    assert proof.difference > proof.tolerance > 10 * proof.keras_noise
    assert f"Keras' own outputs differ by {proof.keras_noise:.2g}" in str(caught.value)
    assert not list(copied.folder.export_folder.glob("*.tflite"))
    assert not list(copied.folder.export_folder.glob("*/[0-9]"))
    assert [path.name for path in (copied.folder.export_folder / "rejected").iterdir()] == [f"{copied.name}-{kind}"]


@pytest.mark.sample(1)
@pytest.mark.parametrize("kind", ["serving", "tflite", "tflite-int8"])
def test_changed_preprocessing_is_rejected(copied, monkeypatch, kind):
    from reskeras.export.inference import Inference

    def without_normalising(self, images):
        logits = self.network(tf.cast(images, tf.float32) / 255)["logits"]
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    monkeypatch.setattr(Inference, "__call__", without_normalising)
    with pytest.raises(ReskerasError, match="rejected"):
        copied.export(kind, timing=False)


@pytest.mark.parametrize("logits", [np.full((4, 3), np.nan), np.ones((4, 3)), np.full((4, 3), np.inf)])
def test_outputs_that_are_not_finite_or_constant_prove_nothing(logits, tmp_path):
    reference = np.arange(12.0).reshape(4, 3)
    proof = prove("serving", "x", 1, logits, reference, np.zeros(4, int))
    write_proofs(tmp_path, [proof])
    assert "Infinity" not in (tmp_path / "report.json").read_text()  # which is no JSON
    assert read_proofs(tmp_path) == [proof]
    assert not prove("serving", "x", 1, logits, reference, np.zeros(4, int)).holds
    assert not prove("serving", "x", 1, logits, logits, np.zeros(4, int)).holds


def test_a_proof_tells_agreement_and_the_accuracies_of_both_apart():
    labels, reference, logits = np.array([0, 0, 1, 1]), np.eye(2)[[0, 0, 1, 0]], np.eye(2)[[1, 0, 0, 0]]
    found = prove("serving", "x", 1, logits, reference, labels)
    assert (found.images, found.agreement, found.keras_accuracy, found.accuracy) == (4, 0.5, 0.75, 0.25)
    assert not found.holds
    logits[1] = np.nan  # which NumPy's argmax takes for the first
    assert prove("serving", "x", 1, logits, reference, labels).agreement == 0.25


def test_a_proof_holds_up_to_its_bounds():
    logits = np.eye(2)[[0, 0, 1, 1]]
    proof = replace(prove("serving", "x", 1, logits, logits, np.zeros(4, int)), tolerance=0.25, least_agreement=0.75)
    for fields, holds in (
        ({}, True),
        ({"difference": 0.25, "agreement": 0.75}, True),
        ({"difference": 0.26}, False),
        ({"agreement": 0.74}, False),
        ({"difference": 9.0, "measure": "disagreement"}, True),
        ({"agreement": 0.76, "tolerance": 0.2, "measure": "disagreement"}, False),
        ({"difference": np.inf, "measure": "disagreement"}, False),
    ):
        assert replace(proof, **fields).holds is holds, fields


def test_an_unknown_kind_is_refused_by_name(trained):
    with pytest.raises(ReskerasError, match="'coreml' is not one of serving, tflite, tflite-float16"):
        trained.export("coreml")


def test_a_built_run_is_not_exported(tmp_path):
    import reskeras
    from reskeras.api import build_run
    from tests.conftest import TINY

    path = build_run(reskeras.network(**TINY), tmp_path / "built")
    with pytest.raises(ReskerasError, match="it was built, not trained") as caught:
        reskeras.Run(path).export()
    assert caught.value.status == 2
    assert isinstance(reskeras.load(path), keras.Model)


@pytest.mark.parametrize("kind", ["serving", "tflite"])
def test_a_full_disk_ends_in_a_line_and_leaves_nothing_behind(trained, tmp_path, kind):
    import reskeras

    with mounted(tmp_path / "disk", "size=8m") as disk:
        run = reskeras.Run(shutil.copytree(trained.path, disk / "run"))
        fill(disk)
        before = set(tmp_path.rglob("*"))
        shown = CliRunner().invoke(commands, ["export", str(run.path), "--to", kind, "--no-timing"])
        assert shown.exit_code == 1
        assert "there is no space left" in shown.stderr
        assert len(shown.stderr.strip().splitlines()) == 1
        assert {each.name for each in set(tmp_path.rglob("*")) - before} <= {"export"}


def test_a_full_folder_for_temporary_files_leaves_nothing_behind(copied, tmp_path, monkeypatch):
    with mounted(tmp_path / "disk", "size=1m") as disk:
        monkeypatch.setenv("TMPDIR", str(disk))
        monkeypatch.setattr(tempfile, "tempdir", None)
        fill(disk)
        shown = CliRunner().invoke(commands, ["export", str(copied.path), "--to", "tflite", "--no-timing"])
        assert shown.exit_code == 0, shown.output  # another folder is found
        assert [each.name for each in disk.iterdir()] == ["ballast"]
    assert not [each for each in copied.path.rglob("*") if each.name.startswith(".")]
