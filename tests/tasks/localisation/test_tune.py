"""Searches over localisers: their own figure, their own fields, and a best one that `localise train` takes."""

import json

import pytest
import yaml

import reskeras
from reskeras.errors import ReskerasError
from reskeras.tuning.search import open_search
from tests.cli.running import printed, refused
from tests.tasks.localisation.shapes import REFINER, REFINING, SHORT, SPEC

OVER = {"parameters": {"network.sample": [16, 64], "recipe.learning_rate": {"low": 0.02, "high": 0.1}}}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A localiser, a recipe and a space as files."""
    folder = tmp_path_factory.mktemp("files")
    recipe = {name: value for name, value in SHORT.items() if name != "checkpoint_steps"}
    for name, content in (("localiser", SPEC), ("recipe", {**recipe, "epochs": 1, "holdout": 0.25}), ("space", OVER)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder


def test_a_search_finds_the_localiser_with_the_most_right_boxes(data, files, tmp_path):
    out = tmp_path / "search"
    words = "--space", files / "space.yaml", "--recipe", files / "recipe.yaml", "--data", data, "--out", out
    shown = printed("localise", "tune", files / "localiser.yaml", *words, "--trials", 1, "--tuner", "random")
    assert "val_localised:max" in shown and f"reskeras localise train {out / 'best.yaml'}" in shown
    [outcome] = (found := open_search(out)).ranked()
    run = reskeras.Run(out / "search" / f"trial_{outcome.trial}" / "execution-0")
    assert (run.task, found.task().name) == ("localisation", "localisation")
    assert outcome.score == run.folder.metrics()[0]["val_localised"]
    assert run.plan.spec.sample == outcome.values["network.sample"]
    assert outcome.figures["parameters"] == run.plan.complexity().total.parameters
    best = yaml.safe_load(found.best_file.read_text())
    assert best["network"]["classes"] == 2 and best["network"]["sample"] == run.plan.spec.sample
    spec, recipe = found.candidate(outcome)
    assert spec.trunk == reskeras.LocaliserSpec.model_validate(SPEC).trunk and recipe.holdout == 0.25
    assert json.loads(printed("localise", "tune", "--show", out, "--json")) == found.as_dict()


@pytest.mark.slow
def test_a_search_with_a_teacher_finds_a_refiner_of_its_boxes(data, run, tmp_path):
    recipe = {name: value for name, value in REFINING.items() if name != "checkpoint_steps"}
    over = {"parameters": {"network.regions": [4, 8]}}
    for name, content in (("refiner", REFINER), ("recipe", {**recipe, "epochs": 1, "holdout": 0.25}), ("space", over)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    words = [tmp_path / "refiner.yaml", "--space", tmp_path / "space.yaml", "--recipe", tmp_path / "recipe.yaml"]
    words += ["--data", data, "--trials", 1, "--tuner", "random"]
    out = tmp_path / "search"
    shown = printed("localise", "tune", *words, "--teacher", run.path, "--out", out)
    assert "val_localised:max" in shown and f"reskeras localise refine {out / 'best.yaml'}" in shown
    [outcome] = (found := open_search(out)).ranked()
    trial = reskeras.Run(out / "search" / f"trial_{outcome.trial}" / "execution-0")
    assert (trial.task, found.task().name) == ("refinement", "refinement")
    assert trial.plan.spec.regions == outcome.values["network.regions"]
    _, best = found.candidate(outcome)
    assert best.teacher == str(run.path) and best.holdout == 0.25  # so that refine needs no other flag
    assert "is a refiner; name a network for the trunk instead" in refused("localise", "tune", *words)
    assert "teacher: " in refused("localise", "tune", *words, "--teacher", tmp_path / "none")


@pytest.mark.slow
def test_the_best_trained_again_gives_the_same_curve(data, files, tmp_path):
    found = reskeras.tune(
        OVER, files / "localiser.yaml", data, files / "recipe.yaml", task="localisation", trials=1, out=tmp_path / "s"
    )
    again = reskeras.train(found.best_file, data, found.best_file, task="localisation", out=tmp_path / "again")
    trial = reskeras.Run(found.path / "search" / "trial_0" / "execution-0")
    for ours, theirs in zip(again.folder.metrics(), trial.folder.metrics(), strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_what_is_not_measured_of_a_localiser_is_refused(data, files):
    words = files / "localiser.yaml", "--space", files / "space.yaml", "--data", data
    assert "objective of a localiser: 'val_accuracy' is not one of val_localised, val_loss, loss" in refused(
        "localise", "tune", *words, "--objective", "val_accuracy"
    )
    told = "only classifiers are timed, not a localiser; use multiply_adds"
    assert f"objective: latency_ms: {told}" in refused("localise", "tune", *words, "--objective", "latency_ms")
    assert f"max_latency_ms: {told}" in refused("localise", "tune", *words, "--max-latency-ms", 5)
    assert "data: not set; use --data" in refused("localise", "tune", *words[:3])
    with pytest.raises(ReskerasError, match=r"space: network\.depth: 8 is never valid"):
        reskeras.tune({"parameters": {"network.depth": [8]}}, files / "localiser.yaml", data, task="localisation")


def test_a_trunk_stays_of_its_family(data):
    over = {"parameters": {"network.trunk.depth": [18, 34], "network.sample": [8, 16]}}
    model = reskeras.HyperModel(over, "resnet-50", data, task="localisation", by="localiser")
    assert model.candidates.of({"network.trunk.depth": 18, "network.sample": 8}).spec.trunk.family == "imagenet"
    costs = [model.candidates.of({"network.trunk.depth": depth}).cost.parameters for depth in (18, 34)]
    assert costs[0] < costs[1]
