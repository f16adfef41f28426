"""What the proof of an exported detector is made of: files, answers, partners, and batch norm folded part by part."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.errors import ReskerasError
from reskeras.graph.fold import folded_parts
from reskeras.graph.weights import read, write
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.tasks.detection.detection_proof import answers, compared, files_of, prove_boxes
from reskeras.tasks.detection.export import DetectorExporter
from reskeras.tasks.detection.model import Networks
from tests.tasks.detection.scenes import annotated, detected
from tests.tasks.detection.shapes import DETECTOR

ROW = (0, 0, 0.9, 20, 20, 60, 120)


def test_what_is_no_jpeg_or_png_is_proven_by_a_png_of_the_same_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    bitmap, photo = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(bitmap, "BMP")
    Image.fromarray(pixels).save(photo, "JPEG")
    files = tf.constant([bitmap.getvalue(), photo.getvalue()])
    made, kept = files_of(replace(annotated([[], []]), read=lambda index: files[index]))
    assert made.startswith(b"\x89PNG")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(made))), pixels)
    assert kept == photo.getvalue()


def test_a_file_that_broke_meanwhile_is_a_failure():
    broken = replace(annotated([[]]), read=lambda index: tf.constant(b"text"))
    with pytest.raises(ReskerasError, match="could not be read: image 1 of test: Unknown image file") as caught:
        list(files_of(broken))
    assert caught.value.status == 1


@pytest.mark.parametrize(
    "found, difference, agreement",
    [
        ([ROW], 0, 1),
        ([(0, 0, 0.88, 20, 20, 60, 120)], 0.02, 1),
        ([(0, 0, 0.9, 20, 20.4, 60, 120)], 0.4 / 200, 1),
        ([(0, 0, 0.9, 20, 20.6, 60, 120)], np.inf, 0),
        ([(0, 1, 0.9, 20, 20, 60, 120)], np.inf, 0),
        ([(1, 0, 0.9, 20, 20, 60, 120)], np.inf, 0),
        ([], np.inf, 0),
        ([ROW, (0, 1, 0.5, 0, 0, 9, 9)], 0, 2 / 3),
        ([ROW, (0, 0, 0.9, 20, 20.1, 60, 120)], 0, 2 / 3),
        ([(0, 0, np.nan, 20, 20, 60, 120)], np.inf, 1),
        ([ROW, (1, 0, 0.5, np.inf, 0, 9, 9)], np.inf, 2 / 3),
    ],
    ids=["same", "score", "corner", "far", "class", "image", "nothing", "more", "two for one", "nan", "infinite"],
)
def test_partners_are_each_others_nearest_of_the_same_class(found, difference, agreement):
    measured = compared(detected(found), detected([ROW]), np.full((2, 2), 200))
    assert measured == pytest.approx((difference, agreement), abs=1e-6)


def test_a_detector_that_finds_nothing_proves_nothing(monkeypatch):
    monkeypatch.setattr(DetectorExporter, "seen", lambda self, images: detected([]))
    fields = {"plan": None, "weights": {}, "preprocessing": None}
    exporter = DetectorExporter(Path("x"), "x", ["cat"], annotated([[(0, 0, 9, 9, 0)]]), **fields)
    with pytest.raises(ReskerasError, match="finds nothing in 1 test images") as caught:
        exporter.proof("serving", Path("x"), detected([]))
    assert caught.value.status == 1


def test_too_few_partners_are_an_objection_of_their_own():
    scene = annotated([[(0, 0, 9, 9, 0)]])
    found = detected([ROW, (0, 0, 0.5, 0, 0, 9, 9)])
    proof = prove_boxes("serving", "x", 1, found, detected([ROW]), scene, (1.0, 1.0))
    assert not proof.holds
    assert proof.objection == "x has an agreement of 66.67%, less than 99%"


def test_answers_come_in_the_order_of_the_files():
    def find(files):
        sizes = [int(data) for data in files.numpy()]
        return {
            "count": np.array(sizes),
            "labels": np.zeros((len(sizes), 3), int),
            "scores": np.tile(np.float32([[0.5]]), (len(sizes), 3)),
            "boxes": np.ones((len(sizes), 3, 4)),
        }

    found = answers(find, [b"2", b"0", b"3", b"1", b"0"], batch=2)
    assert found.image.tolist() == [0, 0, 2, 2, 2, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": {**DETECTOR["backbone"], "order": "full_preact"}},
        {"regions": {**DETECTOR["regions"], "context": True}},
    ],
)
def test_folding_each_part_leaves_the_detector_the_same(changes):
    plan = lower_detector(DetectorSpec.model_validate({**DETECTOR, **changes, "classes": 2}))
    generator, given = np.random.default_rng(0), Networks(plan)
    weights = {}
    for part in given.parts.values():
        for name, value in read(part).items():
            scale = generator.uniform(0.5, 1.5, value.shape) if name.endswith(("gamma", "variance")) else None
            shift = generator.normal(0, 0.2, value.shape)
            weights[name] = np.float32(value + shift * 0.2 if scale is None else scale)
        write(part, {name: weights[name] for name in read(part)})
    folded_plan, left = folded_parts(plan, weights)
    folded = Networks(folded_plan)
    for part in folded.parts.values():
        write(part, {name: left[name] for name in read(part)})
    assert sum(len(part.layers) for part in folded.parts.values()) < sum(
        len(part.layers) for part in given.parts.values()
    )
    image = tf.constant(generator.normal(0, 1, (2, *plan.input_shape)), tf.float32)
    boxes = tf.constant(np.float32([[[2, 2, 20, 30], [10, 5, 44, 60]]] * 2))
    window = tf.constant(np.float32([[0, 0, *plan.input_shape[:2]]] * 2))
    for mine, theirs in zip(
        everything(folded, image, boxes, window), everything(given, image, boxes, window), strict=True
    ):
        assert np.ptp(theirs) > 0.01
        assert np.abs(mine - theirs).max() < 1e-4 * np.abs(theirs).max()


def everything(networks, image, boxes, window):
    features = networks.features(image)
    told = networks.told(networks.pooled(features, boxes, window), boxes)
    objectness, deltas = networks.anchors(features)
    return [each.numpy() for each in (*features, *objectness, *deltas, *told)]
