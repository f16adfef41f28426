"""Epochs of a detector are judged by mAP: what is logged, what is picked, and what is told."""

import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.tasks.detection import epoch_precision, job
from reskeras.tasks.detection.coco_precision import coco_precision
from reskeras.tasks.detection.feed import DetectionFeed
from reskeras.training.callbacks import Patience
from reskeras.training.strategy import open_replicas
from tests.tasks.detection.shapes import DETECTOR, LEARNING

SPEC = reskeras.DetectorSpec.model_validate(DETECTOR)
MAP = "val_average_precision"


@pytest.fixture(scope="module")
def held(shapes, tmp_path_factory):
    """A run with held-out images and averaged weights, and what was told."""
    told = []
    fields = {**LEARNING, "epochs": 6, "holdout": 0.3, "ema": 0.9}
    out = tmp_path_factory.mktemp("held") / "run"
    return reskeras.train_detector(SPEC, f"voc:{shapes}", out=out, tell=told.append, **fields), told


def held_out(run):
    """The images that the run held out."""
    source = run.source(None, None)
    return DetectionFeed(run.folder.recipe(), source, run.preprocessing(), open_replicas("one")).watched, source.classes


def test_the_picked_epoch_has_the_highest_map_of_the_held_out_images(held):
    run, _ = held
    rows = run.folder.metrics()
    best = max(rows, key=lambda row: (row[MAP], -row["val_loss"]))
    assert run.folder.provenance()["best_epoch"] == best["epoch"]
    assert best[MAP] > 0.02 and best[f"{MAP}_50"] >= best[MAP]
    # and it is that of the model that was saved
    images, classes = held_out(run)
    found = coco_precision(run.detector().look(images)[0], images, classes)
    assert best[MAP] == pytest.approx(found.map, abs=1e-6)
    assert best[f"{MAP}_50"] == pytest.approx(found.map50, abs=1e-6)


def test_without_held_out_images_the_last_epoch_counts_and_its_map_is_shown(detector_run, trained_detector):
    rows = detector_run.folder.metrics()
    assert detector_run.folder.provenance()["best_epoch"] == len(rows)
    assert rows[-1][MAP] == pytest.approx(detector_run.evaluate().coco.map, abs=1e-6)
    assert f"test mAP {rows[-1][MAP]:.2%}  test AP50 " in (trained_detector / "stderr").read_text()


def test_of_many_images_a_part_is_judged_and_told(monkeypatch, detector_run):
    monkeypatch.setattr(epoch_precision, "MOST", 4)
    images = detector_run.source(None, None).test
    judge = epoch_precision.EpochPrecision(
        detector_run.plan, detector_run.preprocessing(), ("disc", "square"), images, "test"
    )
    assert judge.told == "mAP after each epoch: on 4 of the 6 test images"
    assert judge.split.ids == tuple(images.ids[index] for index in (0, 2, 3, 5))


def test_without_pycocotools_nothing_can_be_held_out(monkeypatch, shapes, tmp_path):
    monkeypatch.setattr(job, "has_pycocotools", lambda: False)
    with pytest.raises(
        ReskerasError, match=r"^holdout: the best epoch is picked by COCO's mAP, which needs pycocotools; pip"
    ):
        reskeras.train_detector(SPEC, f"voc:{shapes}", out=tmp_path / "run", **{**LEARNING, "holdout": 0.3})
    assert not (tmp_path / "run").exists()


def test_patience_and_plateaus_go_by_map():
    better, worse = {MAP: 0.5, "val_loss": 9.0}, {MAP: 0.4, "val_loss": 1.0}
    assert job.PRECISION.score(better) > job.PRECISION.score(worse)
    assert job.PRECISION.watched_error(better) < job.PRECISION.watched_error(worse)
    patience = Patience(2, job.PRECISION)
    patience.set_model(type("Model", (), {"stop_training": False})())
    for epoch, logs in enumerate([worse, better, worse, worse]):
        patience.on_epoch_end(epoch, logs)
    assert patience.over and patience.best == (0.5, -9.0)
