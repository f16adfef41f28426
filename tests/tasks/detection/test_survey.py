"""What a source of annotated images holds, in figures: counts by hand, and anchors by comparing with all of them."""

import numpy as np
import pytest

from reskeras.data.source import Source
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.request import detector
from reskeras.tasks.detection.anchors import anchor_fields, anchor_grid
from reskeras.tasks.detection.average_precision import measured_overlaps
from reskeras.tasks.detection.object_statistics import best_overlaps, canvas_boxes, survey_anchors, survey_objects
from tests.tasks.detection.scenes import SIDE, annotated, drawn


def plan(*settings, backbone="resnet-18", shape=(96, 128, 3)):
    return lower_detector(detector(backbone, input_shape=list(shape), settings=settings))


@pytest.fixture
def source():
    train = annotated(
        [
            [(0, 0, 100, 100, 0), (0, 0, 20, 20, 1), (0, 0, 10, 10, 1, "difficult")],
            [],
            [(100, 100, 150, 150, 0), (0, 0, 9, 9, 0, "crowd")],
        ]
    )
    test = annotated([[(0, 0, 50, 50, 0), (50, 50, 90, 90, 0)]])
    return Source("voc:x", "x", ("cat", "dog"), 3, train, test, divided="the list test.txt", notes=("a note",))


def test_images_and_objects_are_counted_by_class(source):
    found = survey_objects(source, plan())
    assert (found.images, found.background, found.ignored, found.most) == ((3, 1), (1, 0), (2, 0), 3)
    cat, dog = found.classes["cat"], found.classes["dog"]
    assert (cat.train_images, cat.train, cat.test_images, cat.test) == (2, 2, 1, 2)
    assert (dog.train_images, dog.train, dog.test_images, dog.test) == (1, 1, 0, 0)
    assert (found.every.train_images, found.every.train, found.every.test) == (2, 3, 2)
    assert found.sizes.median == (SIDE, SIDE)
    assert found.notes == ("a note",)
    assert any("fewer than 10 training objects of 2 classes: cat, dog" in each for each in found.warnings)
    assert any("no test object of 1 class: dog" in each for each in found.warnings)


def test_sides_are_those_on_the_canvas(source):
    anchors = survey_objects(source, plan()).anchors
    # an image of 200x200 is scaled by 96/200; sides 100, 20 and 50
    assert anchors.canvas == (96, 128)
    assert anchors.every.sides[1] == pytest.approx(50 * 0.48)
    assert anchors.classes["dog"].sides == pytest.approx((9.6, 9.6, 9.6))
    assert anchors.every.objects == 3


def test_what_no_anchor_covers_is_told(source):
    found = survey_objects(source, plan("anchors.sizes=[48]", "anchors.ratios=[1]"))
    assert found.anchors.classes["dog"].shares == (0.0, 0.0)
    assert any("an IoU of 0.5 or more, in 2 classes: cat (50%), dog (0%)" in each for each in found.warnings)


@pytest.mark.parametrize(
    "settings", [(), ("anchors.sizes=[8, 30]", "anchors.ratios=[0.3, 1, 4]", "geometry=torchvision"), ("neck=fpn",)]
)
@pytest.mark.parametrize("shape", [(96, 128, 3), (200, 200, 3), (61, 173, 3)])
def test_the_best_anchor_is_that_of_the_whole_grid(settings, shape):
    chosen = plan(*settings, shape=shape)
    objects, _ = drawn(np.random.default_rng(3), classes=3, images=30)
    boxes, labels, _ = canvas_boxes(objects, chosen)
    assert len(boxes) == len(labels) == int((~objects.ignored).sum()) > 50
    assert boxes[:, 2:].max(axis=0)[0] <= shape[0] and boxes[:, 3].max() <= shape[1]
    grid = np.concatenate([anchor_grid(*level.shape[:2], **anchor_fields(chosen, level)) for level in chosen.levels()])
    np.testing.assert_allclose(best_overlaps(boxes, chosen), measured_overlaps(boxes, grid).max(axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("detections.most=3",), None),
        (
            ("detections.most=2",),
            "1 image holds more objects (up to 3) than the detector finds in one (2); set detections.most=3",
        ),
        (
            ("detections.most=1", "proposals.testing=1"),
            "3 images hold more objects (up to 3) than the detector finds in one (1); set detections.most=3 and "
            "proposals.testing=6",
        ),
    ],
)
def test_images_with_more_objects_than_are_found_are_told(settings, told):
    train = annotated([[(0, 0, 9, 9, 0), (9, 9, 20, 20, 1), (20, 20, 40, 40, 1)], [], [(1, 1, 9, 9, 0)] * 2])
    test = annotated([[(0, 0, 50, 50, 0), (50, 50, 90, 90, 0), (1, 1, 2, 2, 1, "difficult")]])
    found = survey_objects(Source("voc:x", "x", ("cat", "dog"), 3, train, test), plan(*settings))
    assert [each for each in found.warnings if "more objects" in each] == ([told] if told else [])


def test_without_objects_there_are_zeros():
    found = survey_anchors(annotated([[], []]), ("cat",), plan())
    assert found.every.objects == 0
    assert found.every.shares == found.classes["cat"].shares == (0.0, 0.0)
    assert found.as_dict()["classes"][0]["name"] == "cat"
