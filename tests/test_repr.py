"""Results show themselves in one short line, however much is in them and whatever it is called."""

import numpy as np

import reskeras
from reskeras.data.source import Source
from reskeras.evaluation.accuracy import Evaluation
from reskeras.evaluation.prediction import Prediction
from reskeras.experiments.results import SuiteResult
from reskeras.experiments.suite import read_suite
from reskeras.export.proof import Proof
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.objects import Objects
from reskeras.tuning.search import Search
from tests.tasks.detection.scenes import drawn

MANY = 5000


def test_results_are_one_short_line(copied, tmp_path):
    objects, detections = drawn(np.random.default_rng(0), 3, images=200)
    classes = tuple(f"class \x1b {place}\n" for place in range(MANY))
    zeros = np.zeros(MANY, np.int64)
    shown = [
        copied,
        copied.evaluate(),
        copied.source(),
        copied.analyse(images=20, lesions=1),
        reskeras.plan("resnet-152"),
        Evaluation(
            "data", "test", MANY, 1.0, 0.5, None, classes=classes, labels=zeros, predicted=zeros, confidence=zeros
        ),
        Prediction("a.png", tuple((name, 0.5) for name in classes)),
        Search(tmp_path),
        objects,
        Source("voc:x", "x", classes, 3, objects, objects),
        SuiteResult("s", read_suite("v1-table-1"), "smoke", []),
        reskeras.conform(copied.model()),
        Proof("serving", "path", 1, 2, float("inf"), 1e-4, 0.5, 0.9, 0.9),
    ]
    assert isinstance(objects, Objects) and isinstance(detections, Detections)
    for each in shown:
        told = repr(each)
        name = type(each).__name__.removeprefix("Classifier")  # of a run: as reskeras.Run opens it
        assert told.startswith(name + "(") and told.isprintable(), told
        assert len(told) < 260, told


def test_the_figures_are_in_it(trained):
    found = trained.evaluate()
    assert f"top1={found.top1:.4g}" in repr(found) and "359 test images of digits" in repr(found)
    assert repr(reskeras.plan("resnet-50")) == "Plan(18 units, 50 weighted layers, input_shape=(224, 224, 3))"
    assert repr(trained) == f"Run({str(trained.path)!r})"
