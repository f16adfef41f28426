"""COCO's figures against pycocotools on JSON written by hand, and against loops of the same rules."""

import contextlib
import io
import json
import sys

import numpy as np
import pytest

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.average_precision import voc_precision
from reskeras.tasks.detection.coco_precision import FIGURES, RECALLS, coco_objects, coco_precision, coco_results
from tests.tasks.detection.scenes import annotated, detected, drawn

pytest.importorskip("pycocotools")
NAMES = ("a", "b", "c", "d")
BY_HAND = {
    "images": [{"id": 7, "height": 200, "width": 200}, {"id": 9, "height": 200, "width": 200}],
    "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 20], "area": 600, "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 1, "bbox": [100, 50, 90, 100], "area": 9000, "iscrowd": 1},
        {"id": 3, "image_id": 7, "category_id": 2, "bbox": [0, 0, 50, 50], "area": 2500, "iscrowd": 0},
        {"id": 4, "image_id": 9, "category_id": 1, "bbox": [5, 5, 190, 150], "area": 28500, "iscrowd": 0},
        {"id": 5, "image_id": 9, "category_id": 2, "bbox": [60, 60, 20, 20], "area": 400, "iscrowd": 0},
    ],
}
SAME = annotated(
    [
        [(20, 10, 40, 40, 0), (50, 100, 150, 190, 0, "crowd"), (0, 0, 50, 50, 1)],
        [(5, 5, 155, 195, 0), (60, 60, 80, 80, 1)],
    ],
    ids=(7, 9),
)
RESULTS = [
    {"image_id": 7, "category_id": 1, "bbox": [11, 20, 30, 21], "score": 0.75},
    {"image_id": 7, "category_id": 1, "bbox": [12, 22, 30, 20], "score": 0.5},
    {"image_id": 7, "category_id": 1, "bbox": [110, 60, 30, 30], "score": 0.875},
    {"image_id": 7, "category_id": 1, "bbox": [140, 90, 30, 30], "score": 0.8125},
    {"image_id": 7, "category_id": 2, "bbox": [0, 0, 50, 40], "score": 0.25},
    {"image_id": 9, "category_id": 1, "bbox": [0, 0, 190, 150], "score": 0.625},
    {"image_id": 9, "category_id": 2, "bbox": [100, 100, 20, 20], "score": 0.375},
]
FOUND = detected(
    [
        (0, 0, 0.75, 20, 11, 41, 41),
        (0, 0, 0.5, 22, 12, 42, 42),
        (0, 0, 0.875, 60, 110, 90, 140),
        (0, 0, 0.8125, 90, 140, 120, 170),
        (0, 1, 0.25, 0, 0, 40, 50),
        (1, 0, 0.625, 0, 0, 150, 190),
        (1, 1, 0.375, 100, 100, 120, 120),
    ]
)


def judged(folder, truth, results):
    """pycocotools' COCOeval over two files of JSON."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    for name, content in (("truth.json", truth), ("results.json", results)):
        (folder / name).write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "truth.json"))
        judge = COCOeval(coco, coco.loadRes(str(folder / "results.json")), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge


def in_order(result):
    """The twelve figures in pycocotools' order and with its -1."""
    values = [getattr(result, name) for name in FIGURES] + [result.recalls[name] for name in RECALLS]
    return [-1 if value is None else value for value in values]


def fifty(detections, objects, label):
    """COCO's average precision of one class at overlap 0.5: 101 points, loops, boxes as they are.

    None without objects. Rows of equal score go by image, then by their order.
    """
    rows, wanted = [], 0
    for image in range(objects.count):
        boxes, labels, ignored = objects.rows(image)
        truth = [
            (box.astype(float), bool(hard))
            for box, own, hard in zip(boxes, labels, ignored, strict=True)
            if own == label
        ]
        truth.sort(key=lambda row: row[1])
        wanted += sum(not hard for _, hard in truth)
        taken = set()
        here = [
            k for k in range(len(detections.labels)) if detections.image[k] == image and detections.labels[k] == label
        ]
        for k in sorted(here, key=lambda k: -detections.scores[k])[:100]:
            box, match, most = detections.boxes[k].astype(float), None, 0.5
            for place, (other, hard) in enumerate(truth):
                if place in taken or (match is not None and hard and not truth[match][1]):
                    continue
                high, wide = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
                shared, own = max(high, 0) * max(wide, 0), (box[2] - box[0]) * (box[3] - box[1])
                union = own if hard else own + (other[2] - other[0]) * (other[3] - other[1]) - shared
                if shared / union >= most:
                    match, most = place, shared / union
            if match is None:
                rows.append((-detections.scores[k], False))
            elif not truth[match][1]:
                taken.add(match)
                rows.append((-detections.scores[k], True))
    if not wanted:
        return None
    true = np.cumsum([hit for _, hit in sorted(rows, key=lambda row: row[0])])
    precision = [hits / place for place, hits in enumerate(true, 1)]
    total = 0.0
    for point in np.linspace(0, 1, 101):
        total += max((p for p, hits in zip(precision, true, strict=True) if hits / wanted >= point), default=0.0)
    return total / 101


def test_the_figures_are_those_of_pycocotools_on_json_written_by_hand(tmp_path):
    judge = judged(tmp_path, BY_HAND, RESULTS)
    result = coco_precision(FOUND, SAME, ("a", "b"))
    assert in_order(result) == pytest.approx(judge.stats.tolist(), abs=1e-12)
    assert 0 < result.map < result.map50 < 1
    assert result.medium is not None and result.large is not None


def test_our_json_is_what_one_writes_by_hand():
    ours = json.loads(json.dumps(coco_objects(SAME, ("a", "b"))))
    assert {name: ours[name] for name in BY_HAND} == BY_HAND
    assert json.loads(json.dumps(coco_results(FOUND, SAME, ("a", "b")))) == RESULTS


@pytest.mark.parametrize("seed", range(6))
def test_random_detections_survive_the_way_through_files(seed, tmp_path):
    objects, detections = drawn(np.random.default_rng(seed), len(NAMES), whole=False, ignored="crowd")
    results = coco_results(detections, objects, NAMES)
    judge = judged(tmp_path, coco_objects(objects, NAMES), results)
    assert in_order(coco_precision(detections, objects, NAMES)) == judge.stats.tolist()
    back = [judge.cocoDt.anns[number] for number in sorted(judge.cocoDt.anns)]
    boxes = [
        [row["bbox"][1], row["bbox"][0], row["bbox"][1] + row["bbox"][3], row["bbox"][0] + row["bbox"][2]]
        for row in back
    ]
    np.testing.assert_allclose(boxes, detections.boxes, rtol=1e-12)
    assert [row["score"] for row in back] == detections.scores.tolist()
    assert [row["category_id"] - 1 for row in back] == detections.labels.tolist()
    assert [objects.ids.index(row["image_id"]) for row in back] == detections.image.tolist()


@pytest.mark.parametrize("ignored", ["", "crowd", "difficult"])
@pytest.mark.parametrize("seed", range(4))
def test_the_figure_at_one_half_is_that_of_loops(seed, ignored):
    objects, detections = drawn(np.random.default_rng(seed), len(NAMES), whole=seed % 2 == 0, ignored=ignored)
    expected = [fifty(detections, objects, label) for label in range(len(NAMES))]
    result = coco_precision(detections, objects, NAMES)
    assert result.map50 == pytest.approx(np.mean([value for value in expected if value is not None]), abs=1e-6)
    for each, value in zip(result.by_class, expected, strict=True):
        assert each.map50 == (None if value is None else pytest.approx(value, abs=1e-6))
    assert expected[-1] is None and expected[0] == 0 and 0 < result.map50 < 1


@pytest.mark.parametrize("seed", range(6))
def test_voc_and_coco_call_the_same_detections_true_where_objects_lie_apart(seed, tmp_path):
    objects, detections = drawn(np.random.default_rng(seed), len(NAMES), images=20, apart=True, ignored="", ties=False)
    judge = judged(tmp_path, coco_objects(objects, NAMES), coco_results(detections, objects, NAMES))
    for label, each in enumerate(voc_precision(detections, objects, NAMES).classes):
        rows = [
            row
            for row in judge.evalImgs
            if row and row["category_id"] == label + 1 and row["aRng"] == judge.params.areaRng[0]
        ]
        pairs = sorted(
            (-score, bool(match))
            for row in rows
            for score, match in zip(row["dtScores"], row["dtMatches"][0], strict=True)
        )
        hits = np.rint(each.precision * np.arange(1, len(each.precision) + 1)).astype(int)
        assert np.diff(hits, prepend=0).astype(bool).tolist() == [match for _, match in pairs]


def test_voc_and_coco_differ_where_the_best_object_is_taken_and_another_overlaps_enough():
    objects = annotated([[(0, 0, 100, 100, 0), (0, 0, 100, 130, 0)]])
    found = detected([(0, 0, 0.9, 0, 0, 100, 100), (0, 0, 0.8, 0, 0, 100, 105)])
    assert voc_precision(found, objects, ("a",)).classes[0].precision.tolist() == [1, 0.5]
    assert coco_precision(found, objects, ("a",)).map50 == pytest.approx(1)


@pytest.mark.parametrize("kind", ["crowd", "difficult"])
def test_any_number_of_detections_inside_an_ignored_object_are_no_mistakes(kind):
    objects = annotated([[(0, 0, 100, 100, 0, kind), (150, 150, 170, 170, 0)]])
    inside = [(0, 0, 0.9 - k / 100, 10 * k, 10, 10 * k + 20, 40) for k in range(5)]
    right = (0, 0, 0.5, 150, 150, 170, 170)
    assert coco_precision(detected([*inside, right]), objects, ("a",)).map == pytest.approx(1)
    outside = (0, 0, 0.6, 150, 0, 170, 20)
    assert coco_precision(detected([*inside, outside, right]), objects, ("a",)).map == pytest.approx(0.5)


def test_images_may_be_named_by_their_files():
    numbered = coco_precision(FOUND, SAME, ("a", "b"))
    images = [
        [(20, 10, 40, 40, 0), (50, 100, 150, 190, 0, "crowd"), (0, 0, 50, 50, 1)],
        [(5, 5, 155, 195, 0), (60, 60, 80, 80, 1)],
    ]
    assert coco_precision(FOUND, annotated(images, ids=("2007_000027", "2008_000008")), ("a", "b")) == numbered


def test_nothing_found_is_zero_and_nothing_to_find_is_none():
    none = annotated([[], []])
    for objects, expected in ((SAME, 0.0), (none, None)):
        result = coco_precision(detected([]), objects, ("a", "b"))
        assert (result.map, result.map50, result.recalls["100"]) == (expected,) * 3
    result = coco_precision(detected([(0, 0, 0.5, 0, 0, 10, 10)]), none, ("a", "b"))
    assert result.map is None and result.by_class[0].map is None
    assert json.loads(json.dumps(result.as_dict(), allow_nan=False))["classes"]["b"]["objects"] == 0


def test_detections_that_are_no_numbers_are_left_out():
    rows = [(0, 0, np.nan, 20, 10, 40, 40), (0, 0, 0.9, np.nan, 10, 40, 40), (0, 0, 0.9, 0, 0, np.inf, 40)]
    assert coco_results(detected(rows), SAME, ("a", "b")) == []
    assert coco_precision(detected(rows), SAME, ("a", "b")).map == 0


def test_pycocotools_says_nothing(capfd):
    coco_precision(FOUND, SAME, ("a", "b"))
    assert capfd.readouterr() == ("", "")


def test_without_pycocotools_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(ReskerasError, match=r"pip install 'reskeras\[detect\]'"):
        coco_precision(FOUND, SAME, ("a", "b"))


@pytest.mark.parametrize("ids", [(1, 1), (1, "1"), ("a", 2)])
def test_images_are_told_apart_whatever_their_ids(ids):
    """Two splits of a set may count alike, and a JSON may have numbers and texts."""
    objects = annotated([[(0, 0, 50, 50, 0)], [(100, 100, 160, 160, 0)]], ids=ids)
    right = detected([(0, 0, 0.9, 0, 0, 50, 50), (1, 0, 0.8, 100, 100, 160, 160)])
    assert coco_precision(right, objects, ("a",)).map == pytest.approx(1)
    exchanged = detected([(1, 0, 0.9, 0, 0, 50, 50), (0, 0, 0.8, 100, 100, 160, 160)])
    assert coco_precision(exchanged, objects, ("a",)).map == 0


SIZES = {"small": (0, 0, 20, 30), "medium": (40, 40, 90, 90), "large": (100, 100, 220, 230)}


@pytest.mark.parametrize("size", SIZES)
def test_figures_by_size_are_of_the_objects_of_that_size(size):
    objects = annotated([[(*box, 0) for box in SIZES.values()]])
    found = coco_precision(detected([(0, 0, 0.9, *SIZES[size])]), objects, ("a",))
    expected = {name: float(name == size) for name in SIZES}
    assert {name: getattr(found, name) for name in SIZES} == pytest.approx(expected)
    assert {name: found.recalls[name] for name in SIZES} == expected


def test_recalls_are_with_so_many_detections_of_an_image():
    boxes = [(0, 20 * place, 15, 20 * place + 15) for place in range(20)]
    rows = [(0, 0, 0.9 - place / 100, *box) for place, box in enumerate(boxes)]
    found = coco_precision(detected(rows), annotated([[(*box, 0) for box in boxes]]), ("a",))
    assert [found.recalls[most] for most in ("1", "10", "100")] == pytest.approx([0.05, 0.5, 1.0])
