"""Another kind of artefact is a function and a row: it is written, proven, published or rejected like all others."""

import json
import shutil

import numpy as np
import pytest

import reskeras
from reskeras.artefacts import ARTEFACTS, Artefact
from reskeras.export.exporter import Written
from reskeras.export.lite import LITE_KINDS
from reskeras.porting.back import KINDS
from tests.cli.running import printed, refused

HERE = __name__


def write_arrays(exporter, kind, place):
    """The weights as an .npz, asked through a network that got them from there; `kind` can spoil them."""
    from reskeras.evaluation.views import forward
    from reskeras.graph.compile import compile_plan
    from reskeras.graph.weights import read, write
    from reskeras.tasks.classification.export import in_chunks

    path = place / f"{exporter.name}-{kind}.npz"
    weights = read(exporter.model)
    if kind == "spoiled":
        weights["logits/kernel"] = weights["logits/kernel"] * 1.01
    np.savez(path, **weights)
    again = compile_plan(exporter.spec.lower(), "again")
    write(again, dict(np.load(path)))
    run = forward(again)
    logits = in_chunks(lambda images: run(exporter.preprocessing.normalise(images)).numpy(), exporter.sample[0])
    return Written(path, exporter.proof(kind, path, logits), lambda: path.rename(exporter.folder / path.name))


@pytest.fixture
def kinds(monkeypatch):
    """Two more rows."""
    import sys

    monkeypatch.setitem(sys.modules, "an_export", sys.modules[HERE])
    rows = [Artefact(kind, "classification", "an_export:write_arrays") for kind in ("arrays", "spoiled")]
    monkeypatch.setattr("reskeras.artefacts.ARTEFACTS", [*ARTEFACTS, *rows])


def test_a_kind_is_a_function_and_a_row(trained, kinds, tmp_path):
    run = reskeras.Run(shutil.copytree(trained.path, tmp_path / "run"))
    assert "arrays" in printed("export", run.path, "--to", "arrays")
    [proof] = json.loads(printed("export", run.path, "--to", "arrays", "--json"))
    assert proof["holds"] and proof["difference"] < 1e-6 and proof["path"].endswith("-arrays.npz")
    assert "-spoiled has a difference of" in refused("export", run.path, "--to", "spoiled", status=1)
    assert {each.kind: each.holds for each in run.proofs()} == {"arrays": True, "spoiled": False}
    assert "'array' is not one of serving, tflite" in refused("export", run.path, "--to", "array")


def test_the_table_knows_every_kind_that_can_be_written():
    own = {each.kind for each in ARTEFACTS if each.task == "classification"}
    assert own == {
        "serving",
        "tflite",
        "onnx",
        "openvino",
        "onnx-int8",
        "openvino-int8",
        *KINDS,
        *(f"tflite-{kind}" for kind in LITE_KINDS if kind != "float32"),
    }
    assert all(callable(each.write) for each in ARTEFACTS)
