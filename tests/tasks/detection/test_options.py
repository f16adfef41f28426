"""Looking again, at several scales and with context (v1 appendix B)."""

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.tasks.detection import detector_inference as at_work
from reskeras.tasks.detection.options import Options
from tests.tasks.detection.shapes import DETECTOR, LEARNING


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(Options(refine=True), marks=pytest.mark.slow),  # the last is both
        pytest.param(Options(scales=(0.75, 1.0, 1.5), canonical=24.0), marks=pytest.mark.slow),
        Options(refine=True, scales=(1.0, 1.5), canonical=16.0),
    ],
)
def test_options_find_what_a_single_look_finds(detector_run, options):
    found = detector_run.evaluate(options=options)
    assert found.voc.map_area > 0.75
    assert found.views == options.describe()


def test_of_each_region_two_neighbouring_scales_are_taken_and_the_larger_feature(detector_run):
    factors, canonical = (0.5, 1.0, 2.0), 16.0
    detector, source = detector_run.detector(Options(scales=factors, canonical=canonical)), detector_run.source()
    files = tf.stack([source.test.read(tf.constant(index, tf.int64)) for index in range(2)])
    (first, *levels), _ = detector.placed(files, 0)
    networks = detector.networks
    features = [networks.features(detector._normalised(each)) for each in levels]
    sides = np.float32([4, 10, 15, 30, 40])
    regions = np.stack([np.float32([[2, 2, 2 + side, 2 + side] for side in sides])] * 2)
    pooled = detector.seen([first, *levels])._maxout(tf.constant(regions))
    each = [
        networks.pooled(level, tf.constant(regions * factor), first.window).numpy()
        for factor, level in zip(factors, features, strict=True)
    ]
    for row, side in enumerate(np.tile(sides, 2)):
        off = [abs(np.log(side * factor / canonical)) for factor in factors]
        nearest = np.argsort(off)[:2]
        assert abs(nearest[0] - nearest[1]) == 1
        assert np.allclose(pooled[row], np.maximum(each[nearest[0]][row], each[nearest[1]][row]), atol=1e-4), side


def test_refining_looks_again_at_the_likeliest_boxes_and_takes_both_answers(detector_run, monkeypatch):
    asked = []
    select = at_work.selected

    def watched(boxes, scores, spec, overlap, votes):
        asked.append((boxes.shape[1], overlap, votes))
        return select(boxes, scores, spec, overlap, votes)

    monkeypatch.setattr(at_work, "selected", watched)
    source = detector_run.source()
    files = tf.stack([source.test.read(tf.constant(0, tf.int64))])
    detector_run.detector().found(files)
    detector_run.detector(Options(refine=True)).found(files)
    assert asked == [(32, None, None), (64, 0.3, 0.5)]


@pytest.mark.slow
def test_context_is_trained_and_looked_at(tmp_path, shapes):
    spec = reskeras.detector(reskeras.DetectorSpec.model_validate(DETECTOR), settings=("regions.context=true",))
    run = reskeras.train_detector(spec, f"voc:{shapes}", out=tmp_path / "run", **LEARNING)
    assert run.evaluate().voc.map_area > 0.8
    assert run.evaluate(options=Options(scales=(1.0, 1.5), canonical=16.0)).voc.map_area > 0.6


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scales": (1.0,)}, "scales: 1: should be two or more"),
        ({"scales": (2.0, 1.0)}, "increasing"),
        ({"scales": (0.01, 1.0)}, "between 0.1 and 8"),
        ({"canonical": 0.0}, "canonical: 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(ReskerasError, match=message):
        Options(**fields)


def test_proposals_beyond_those_looked_at_change_no_detection(detector_run):
    detector, source = detector_run.detector(), detector_run.source()
    files = tf.stack([source.test.read(tf.constant(0, tf.int64))])
    few, many = detector.found(files), detector.found(files, 100)
    assert few["proposals"].shape[1] == 32
    assert many["proposals"].shape[1] == 100
    assert np.allclose(few["proposals"], many["proposals"][:, :32])
    assert np.allclose(few["boxes"], many["boxes"])
