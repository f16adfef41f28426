"""A trained detector whose spec asks for another suppression: in Keras, exported, and in its evaluation."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.export.server_files import DETECTOR_BATCHES
from reskeras.export.serving import write_saved_model
from reskeras.graph.weights import read
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.overrides import laid_over
from reskeras.tasks.detection.detection_evaluation import evaluate_detector
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.served import SavedFinder
from reskeras.tasks.detection.served_detector import ServedDetector
from tests.tasks.detection.test_suppression import soft_loops

KIND = {"detections.suppression": "gaussian", "detections.sigma": 0.4, "detections.class_agnostic": True}


@pytest.fixture(scope="module")
def parts(detector_run):
    """Weights, preprocessing, and a function from fields of its spec to its plan."""
    spec, weights = detector_run.folder.spec(), read(detector_run.model())
    return weights, detector_run.preprocessing(), lambda **fields: lower_detector(laid_over(spec, fields))


@pytest.fixture(scope="module")
def files(shapes):
    return tf.constant([path.read_bytes() for path in sorted((shapes / "JPEGImages").iterdir())[-4:]])


def told(found, image):
    rows = slice(0, int(found["count"][image]))
    return [np.asarray(found[name])[image, rows] for name in ("labels", "scores", "boxes")]


def test_keras_suppresses_as_the_papers_loop_does_what_there_is_without(parts, files):
    """Nothing is suppressed at an overlap of almost 1, so that all boxes of all classes are told."""
    weights, preprocessing, plan = parts
    free = plan(**{"detections.overlap": 0.999, "detections.most": 1000, "detections.score": 0.01})
    every = tf.function(Detector(free, weights, preprocessing).found)(files)
    soft = plan(**KIND, **{"detections.score": 0.01, "detections.most": 50})
    found = tf.function(Detector(soft, weights, preprocessing).found)(files)
    for image in range(4):
        labels, scores, boxes = told(every, image)
        kept = soft_loops(boxes, scores, 50, 0.01, lambda near: np.exp(-(near**2) / 0.4))
        own_labels, own_scores, own_boxes = told(found, image)
        assert len(own_labels) == len(kept) > 5
        assert own_labels.tolist() == labels[[index for index, _ in kept]].tolist()
        np.testing.assert_allclose(own_scores, [score for _, score in kept], rtol=1e-3)
        np.testing.assert_allclose(own_boxes, boxes[[index for index, _ in kept]], atol=1e-3)


@pytest.mark.slow
def test_an_export_suppresses_as_keras_does(parts, files, detector_run, tmp_path):
    weights, preprocessing, plan = parts
    classes = detector_run.folder.classes()
    served = ServedDetector(plan(**KIND), weights, preprocessing, classes)
    saved = SavedFinder(write_saved_model(served, tmp_path, "soft", DETECTOR_BATCHES), classes)(files)
    found = tf.function(Detector(plan(**KIND), weights, preprocessing).found)(files)
    hard = tf.function(Detector(plan(), weights, preprocessing).found)(files)
    for image in range(4):
        for one, other in zip(told(saved, image), told(found, image), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-3)
    assert np.asarray(found["count"]).sum() != np.asarray(hard["count"]).sum()


def test_precision_is_measured_at_its_own_overlap(parts, detector_run):
    weights, preprocessing, plan = parts
    source = detector_run.source()
    detector = Detector(plan(**{"detections.overlap": 0.9}), weights, preprocessing)
    loose = evaluate_detector(detector, source.test, source.classes, source.label)
    usual = detector_run.evaluate()
    assert loose.voc.overlap == loose.mistakes.overlap == loose.confusion.overlap == 0.5
    assert len(loose.detections.scores) > len(usual.detections.scores)
    duplicates = [
        next(each.count for each in found.mistakes.table if each.name == "duplicate") for found in (loose, usual)
    ]
    assert duplicates[0] > duplicates[1]  # as many boxes of one object are left
