"""Intervals: Wilson's as SciPy computes it, the bootstrap as SciPy's and by its coverage; resampled images."""

import numpy as np
import pytest
from scipy import stats

from reskeras.evaluation.intervals import WORK, bootstrap, paired, wilson
from reskeras.evaluation.multilabel import LabelEvaluation, mean_average_precision
from reskeras.tasks.detection.average_precision import Detections, voc_precision
from reskeras.tasks.detection.card import map_interval
from reskeras.tasks.multilabel.card import label_results


@pytest.mark.parametrize("hits,of", [(0, 1), (1, 1), (0, 30), (3, 30), (30, 30), (9944, 10000), (1, 1_000_000)])
def test_wilson_is_scipys(hits, of):
    known = stats.binomtest(hits, of).proportion_ci(0.95, method="wilson")
    assert wilson(hits, of) == pytest.approx((known.low, known.high), rel=1e-12, abs=1e-12)


def test_of_no_images_there_is_no_interval():
    assert wilson(0, 0) is None
    assert bootstrap(lambda counts: 1.0, 1, 1) is None
    assert bootstrap(lambda counts: 1.0, 100, WORK) is None  # would take too long
    assert bootstrap(lambda counts: float("nan"), 100, 1) is None


def test_the_bootstrap_of_a_mean_is_scipys():
    values = np.random.default_rng(1).gamma(2.0, size=200)
    found = bootstrap(lambda counts: counts @ values / len(values), 200, 200)
    known = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=2).confidence_interval
    width = known.high - known.low
    assert found == pytest.approx((known.low, known.high), abs=0.15 * width)
    assert found == bootstrap(lambda counts: counts @ values / len(values), 200, 200)


def test_the_bootstrap_covers_in_about_95_of_100():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        values = rng.normal(size=80)
        low, high = bootstrap(lambda counts, values=values: counts @ values / len(values), 80, 80)
        covered += low <= 0 <= high
    assert 0.89 <= covered / 200 <= 0.99


def labelled(images=60, classes=3):
    rng = np.random.default_rng(5)
    labels = (rng.random((images, classes)) < 0.4).astype(np.uint8)
    scores = np.clip(labels * 0.4 + rng.random((images, classes)) * 0.6, 0, 1)
    names = tuple("abc"[:classes])
    return LabelEvaluation("d", "test", images, 0.5, classes=names, labels=labels, probabilities=scores)


def test_figures_of_labels_are_those_of_images_repeated(monkeypatch):
    found, asked = labelled(), []
    monkeypatch.setattr(
        "reskeras.tasks.multilabel.card.bootstrap", lambda figure, images, work: asked.append(figure) or (0.0, 1.0)
    )
    told = label_results(found)
    counts = np.random.default_rng(7).multinomial(60, np.full(60, 1 / 60))
    rows = np.repeat(np.arange(60), counts)
    again = LabelEvaluation(
        "d", "test", 60, 0.5, classes=found.classes, labels=found.labels[rows], probabilities=found.probabilities[rows]
    )
    expected = (mean_average_precision(again.labels, again.probabilities), again.micro_f1, again.macro_f1)
    assert [figure(counts) for figure in asked] == pytest.approx(expected)
    once = np.ones(60, np.int64)
    assert [figure(once) for figure in asked] == pytest.approx([each.value for each in told.figures[:3]])


class Boxes:
    """What average precision reads of Objects."""

    def __init__(self, each):
        self.count = len(each)
        self.starts = np.cumsum([0, *(len(labels) for labels, _ in each)])
        self.labels = np.concatenate([labels for labels, _ in each]).astype(np.int32)
        self.boxes = np.concatenate([boxes for _, boxes in each]).astype(np.float32)
        self.ignored = np.zeros(len(self.labels), bool)


def scenes(images=30, seed=3):
    """For each image labels and boxes of objects, and of detections with scores."""
    rng, every = np.random.default_rng(seed), []
    for _ in range(images):
        count = rng.integers(1, 4)
        corners = rng.random((count, 2)) * 40 + np.arange(count)[:, None] * 60
        boxes = np.hstack([corners, corners + 30])
        labels = rng.integers(0, 2, count)
        moved = boxes + rng.normal(0, 6, boxes.shape)
        guessed = np.where(rng.random(count) < 0.8, labels, 1 - labels)
        every.append((labels, boxes, guessed, moved, rng.random(count).astype(np.float32)))
    return every


def precision_of(every):
    objects = Boxes([(labels, boxes) for labels, boxes, *_ in every])
    image = np.concatenate([np.full(len(each[2]), place) for place, each in enumerate(every)]).astype(np.int32)
    guessed, moved, scores = (np.concatenate([each[at] for each in every]) for at in (2, 3, 4))
    found = Detections(image, guessed.astype(np.int32), scores, moved.astype(np.float32))
    return voc_precision(found, objects, ("a", "b")), objects


def test_map_of_resampled_images_is_that_of_images_repeated(monkeypatch):
    every = scenes()
    found, objects = precision_of(every)
    asked = []
    monkeypatch.setattr("reskeras.tasks.detection.card.bootstrap", lambda figure, *_: asked.append(figure))
    map_interval(found, objects)
    [figure] = asked
    assert figure(np.ones(30, np.int64)) == pytest.approx(found.map_area)
    for seed in range(5):
        counts = np.random.default_rng(seed).multinomial(30, np.full(30, 1 / 30))
        again, _ = precision_of([every[place] for place in np.repeat(np.arange(30), counts)])
        assert figure(counts) == pytest.approx(again.map_area, abs=1e-9)


def test_the_interval_of_map_holds_it():
    found, objects = precision_of(scenes(80))
    low, high = map_interval(found, objects)
    assert low < found.map_area < high and 0.02 < high - low < 0.5


def test_of_many_images_the_paired_interval_is_that_of_the_mean_difference():
    rng = np.random.default_rng(0)
    one, other = rng.random((2, 20_000)) < [[0.8], [0.79]]
    difference = one.astype(int) - other
    expected = stats.norm.interval(0.95, difference.mean(), stats.sem(difference))
    assert paired((difference > 0).sum(), (difference < 0).sum(), 20_000) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("gains", "losses"), [(0.03, 0.02), (0.002, 0.002), (0.3, 0.25)])
def test_the_paired_interval_holds_the_true_difference_as_often_as_it_says(gains, losses):
    rng = np.random.default_rng(1)
    drawn = rng.multinomial(200, [gains, losses, 1 - gains - losses], 2_000)
    intervals = [paired(gained, lost, 200) for gained, lost, _ in drawn]
    held = np.mean([low <= gains - losses <= high for low, high in intervals])
    assert 0.93 <= held <= 1


def test_a_paired_interval_turns_round_with_its_shares_and_is_never_empty():
    low, high = paired(7, 3, 100)
    assert paired(3, 7, 100) == pytest.approx((-high, -low))
    assert paired(0, 0, 50)[0] < 0 < paired(0, 0, 50)[1] and paired(0, 0, 0) is None
    assert paired(2, 0, 2)[1] == 1 and paired(0, 2, 2)[0] == -1
