"""The set and the tables that detectors' defaults are decided by."""

import argparse
import json
import sys
import types

import numpy as np
import pytest
from scipy import stats

from benchmarks import detection_trials
from benchmarks.detection_scenes import HEIGHT, OUTLINES, WIDTH, Piece, annotated, scene
from benchmarks.detection_trials import FIGURES, Trial, interval, results, tables, trials

FINE = 8  # points along a pixel
GRID = np.stack(
    np.meshgrid((np.arange(HEIGHT * FINE) + 0.5) / FINE, (np.arange(WIDTH * FINE) + 0.5) / FINE, indexing="ij"), axis=-1
)


def photos():
    generator = np.random.default_rng(0)
    return {name: generator.integers(0, 256, (3, 32, 32, 3), np.uint8) for name in (*OUTLINES, "cat")}


def piece(label, centre, size):
    return Piece(label, photos()[label][0], np.array(centre, float), np.array(size, float), 0.2)


def seen(pieces):
    """Extents and covered shares of pieces by points in a fine grid; None where none is seen."""
    masks = [each.depth(GRID) > 0 for each in pieces]
    for place, mask in enumerate(masks):
        left = mask & ~np.any([np.zeros_like(mask), *masks[place + 1 :]], axis=0)
        rows, columns = np.flatnonzero(left.any(axis=1)), np.flatnonzero(left.any(axis=0))
        box = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1] if len(rows) else [0] * 4
        yield np.array(box) / FINE, 1 - left.sum() / mask.sum()


@pytest.mark.parametrize("label", OUTLINES)
def test_a_piece_extends_over_its_box_where_it_is_half_opaque(label):
    one = piece(label, (71.3, 90.8), (52.7, 81.2))
    [(name, box, crowd)] = annotated([one])
    expected = [71.3 - 26.35, 90.8 - 40.6, 71.3 + 26.35, 90.8 + 40.6]
    assert name == label and not crowd
    np.testing.assert_allclose(box, expected, atol=1e-6)
    shown = dict(zip("tlbr", next(seen([one]))[0], strict=True))
    np.testing.assert_allclose(list(shown.values()), expected, atol=1 / FINE)
    alpha = one.painted(np.full((HEIGHT, WIDTH, 3), 1e6))[..., 0] / 1e6  # what is left of what is behind it
    half = alpha < 0.5
    rows, columns = np.flatnonzero(half.any(axis=1)), np.flatnonzero(half.any(axis=0))
    np.testing.assert_allclose([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], expected, atol=1)


@pytest.mark.parametrize("seed", range(4))
def test_boxes_are_of_what_is_seen_of_pieces_that_cover_each_other_and_leave_the_image(seed):
    _, pieces = scene(photos(), np.random.default_rng([3, seed]))
    pieces += [
        piece("frog", (4, 100), (40, 30)),
        piece("ship", (20, 188), (50, 28)),
        piece("horse", (24, 104), (20, 30)),
    ]
    found, place = annotated(pieces), 0
    for (box, share), own in zip(seen(pieces), pieces, strict=True):
        if abs(share - 0.9) < 0.02 or abs(share - 0.5) < 0.02:
            pytest.skip("too close to tell")
        if share > 0.9:
            continue
        name, told, crowd = found[place]
        place += 1
        assert name == own.label and crowd == (share > 0.5)
        if not crowd:
            np.testing.assert_allclose(told, box, atol=2 / FINE)
    assert place == len(found) > 2


def test_scenes_are_the_same_again():
    (one, _), (again, _) = (scene(photos(), np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(one, again) and one.shape == (HEIGHT, WIDTH, 3)


def test_an_interval_is_that_of_a_paired_t_test():
    one, other = np.array([61.0, 64.5, 60.2]), np.array([58.3, 63.0, 59.9])
    told = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert interval(list(one - other)) == f"{(one - other).mean():+.2f} +- {(told.high - told.low) / 2:.2f}"


WANTED = argparse.Namespace(set="scenes", geometry=None, beta=None, seed=None, epochs=3)


def finished(root, trial, metrics, tests):
    """The files of a trial: (held-out loss, held-out mAP) and the test's AP, by epoch."""
    trial.folder(root).mkdir(parents=True)
    lines = [
        {"epoch": epoch, "val_loss": loss, "val_average_precision": ap} for epoch, (loss, ap) in enumerate(metrics, 1)
    ]
    (trial.folder(root) / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    tested = [{"epoch": epoch, **dict.fromkeys(FIGURES, ap)} for epoch, ap in tests]
    trial.tests(root).write_text("".join(json.dumps(line) + "\n" for line in tested))


def test_an_epoch_is_chosen_by_held_out_images_and_judged_by_test_images(tmp_path, capsys):
    for seed, more in ((0, 0.0), (1, 0.02)):
        arms = {"exact": 0.10, "cell": 0.05}
        for geometry, gain in arms.items():
            # the first line of epoch 2 was written by a process that was stopped before its checkpoint
            tests = [(1, 0.30 + more), (2, 0.9), (2, 0.4 + gain), (3, 0.45)]
            metrics = [(1.0, 0.2), (1.2, 0.5), (1.1, 0.4)]
            finished(tmp_path, Trial("scenes", geometry, "1/9", seed), metrics, tests)
    finished(tmp_path, Trial("scenes", "torchvision", "1/9", 0), [(1.0, 0.2)], [(1, 0.3)])  # not finished
    found = results(tmp_path, WANTED)
    assert {trial.geometry for trial, _ in found} == {"exact", "cell"}
    told = {pick: figures["map"] for (trial, pick), figures in found.items() if trial[1:] == ("exact", "1/9", 1)}
    assert told == pytest.approx({"loss": 32.0, "mAP": 50.0, "last": 45.0})
    tables(found)
    printed = capsys.readouterr().out
    assert "31.0 +- 1.4" in printed and "+5.00 +- 0.00" in printed and "exact - cell" in printed


def test_trials_of_all_arms_come_before_the_next_seed():
    every = list(trials(argparse.Namespace()))
    assert len(every) == len(set(every)) == 2 * 3 * 2 * 3
    assert [trial.seed for trial in every] == sorted(trial.seed for trial in every)
    assert len({trial.folder(detection_trials.Path("x")) for trial in every}) == len(every)


@pytest.mark.slow
def test_a_trial_trains_tests_every_epoch_and_is_not_done_twice(tmp_path, monkeypatch, capsys):
    import reskeras
    from benchmarks import detection_scenes

    own = types.SimpleNamespace(train="train", test="test", classes=())
    monkeypatch.setattr("reskeras.data.registry.open_source", lambda *_: own)
    monkeypatch.setattr(detection_scenes, "photos_of", lambda *_: photos())
    monkeypatch.setattr(detection_scenes, "IMAGES", {"train": 24, "test": 6})
    words = ["--set", "scenes", "--geometry", "exact", "--beta", "1", "--seed", "0", "--epochs", "2"]
    for do in (["scenes", str(tmp_path), "--photos", "none"], ["run", str(tmp_path), *words]):
        monkeypatch.setattr(sys, "argv", ["detection_trials", *do])
        detection_trials.main()
    trial = Trial("scenes", "exact", "1", 0)
    lines = trial.epochs(tmp_path)
    assert [line["epoch"] for line in lines] == [1, 2]
    assert all({"val_loss", "val_average_precision", *FIGURES} <= line.keys() for line in lines)
    best = max(lines, key=lambda line: (line["val_average_precision"], -line["val_loss"]))
    judged = reskeras.DetectorRun(trial.folder(tmp_path)).evaluate().coco  # the weights that training keeps
    assert judged.map == pytest.approx(best["map"], abs=1e-9)
    monkeypatch.setattr(reskeras, "train_detector", lambda *_, **__: pytest.fail("is trained again"))
    detection_trials.main()
