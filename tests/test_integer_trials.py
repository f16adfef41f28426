"""The table of what integers cost: which trials there are, and differences on the same images."""

import argparse
import json
from dataclasses import asdict

import numpy as np
import pytest
import scipy.stats

from benchmarks import integer_trials
from benchmarks.integer_trials import BEFORE, FLOAT, SEEDS, Trial, difference_told, finished, table, trials
from reskeras.experiments.right_images import RightImages

IMAGES = 400


def line(trial, right, size=100):
    kept = asdict(RightImages.of(right, np.zeros(len(right), np.int32)))
    return {**trial._asdict(), "accuracy": float(right.mean()), "bytes": size, "right": kept}


def test_each_classifier_has_its_trials_and_those_as_they_are_come_first(trained, trained_detector, tmp_path):
    (tmp_path / "net").symlink_to(trained.path)
    (tmp_path / "detector").symlink_to(trained_detector / "tiny")
    asked = argparse.Namespace(runs=tmp_path, run=None, way=None, seed=None)
    found = list(trials(asked))
    assert {trial.run for trial in found} == {"net"} and len(found) == len(set(found)) == 12
    assert [trial.seed for trial in found] == sorted(trial.seed for trial in found)
    assert list(trials(argparse.Namespace(**vars(asked) | {"way": "int8", "seed": 2}))) == [Trial("net", "int8", 2)]


def test_the_table_is_of_the_same_images_over_all_seeds(tmp_path):
    rng = np.random.default_rng(0)
    before = rng.random(IMAGES) < 0.8
    after = [rng.random(IMAGES) < 0.7 for _ in SEEDS]
    lines = [line(Trial("net", FLOAT, BEFORE), before, 400)]
    lines += [line(Trial("net", "int8-w4", seed), each) for seed, each in zip(SEEDS, after, strict=True)]
    (tmp_path / integer_trials.TRIALS_FILE).write_text("".join(json.dumps(each) + "\n" for each in lines))
    first, second = table(finished(tmp_path))
    assert first == ["net", FLOAT, "before", "1", f"{100 * before.mean():.2f}", "", "400"]
    accuracies = [100 * each.mean() for each in after]
    assert second[4] == f"{np.mean(accuracies):.2f} ± {np.std(accuracies, ddof=1):.2f}" and second[3] == "3"
    mean = float(second[5].split()[0])
    assert mean == pytest.approx(np.mean(accuracies) - 100 * before.mean(), abs=0.005)


def test_the_interval_of_a_difference_is_that_of_the_mean_over_images():
    rng = np.random.default_rng(1)
    one, other = (rng.random(IMAGES) < share for share in (0.6, 0.7))
    each = 100 * (one.astype(float) - other)
    low, high = scipy.stats.norm.interval(0.95, each.mean(), scipy.stats.sem(each))
    assert difference_told([one], other) == f"{each.mean():+.2f} ({low:+.2f} to {high:+.2f})"
