"""Detectors used on image files: what is found, what is refused, what is written."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.coco_precision import coco_objects, coco_precision
from reskeras.tasks.detection.coco_predictions import coco_predictions
from reskeras.tasks.detection.detections import Detection, ImageDetections
from reskeras.tasks.detection.finder import Finder
from reskeras.tasks.detection.objects import Objects
from tests.tasks.detection.folders import picture

KINDS = {"png": {}, "bmp": {}, "webp": {"lossless": True}, "jpg": {"quality": 95}, "gif": {}}


@pytest.fixture(scope="module")
def files(shapes):
    """Six image files of squares and discs."""
    return sorted((shapes / "JPEGImages").iterdir())[-6:]


@pytest.fixture(scope="module")
def found(detector_run, files):
    return detector_run.predict(files)


def same(one, other, within=1e-3):
    assert [(each.name, each.label) for each in one.detections] == [
        (each.name, each.label) for each in other.detections
    ]
    for mine, theirs in zip(one.detections, other.detections, strict=True):
        np.testing.assert_allclose(mine.box, theirs.box, atol=within)
        assert mine.score == pytest.approx(theirs.score, abs=within)


def holds_what_is_sure(one, other, times=1):
    """What is surely in `other` is found in `one` too, `times` as large; of what is not sure a little decides."""
    sure = other.above(0.6).detections
    assert sure
    for theirs in sure:
        near = [
            np.abs(np.array(mine.box) / times - theirs.box).max()
            for mine in one.above(0.3).detections
            if mine.name == theirs.name
        ]
        assert min(near, default=np.inf) < 3, theirs


def test_files_have_what_an_evaluation_finds_in_them(detector_run, found, files):
    source: Source[Objects] = detector_run.source()
    evaluation = detector_run.evaluate()
    assert [Path(each.path).stem for each in found] == list(source.test.ids)
    assert [each.size for each in found] == [tuple(size) for size in source.test.sizes.tolist()]
    assert [each.path for each in found] == list(map(str, files))
    for image, each in enumerate(found):
        rows = np.flatnonzero(evaluation.detections.image == image)
        rows = rows[np.argsort(-evaluation.detections.scores[rows], kind="stable")]
        told = [
            Detection(
                source.classes[evaluation.detections.labels[row]],
                float(evaluation.detections.scores[row]),
                tuple(map(float, evaluation.detections.boxes[row])),
                int(evaluation.detections.labels[row]),
            )
            for row in rows
        ]
        same(each, ImageDetections(each.path, each.size, tuple(told)))
    assert sum(len(each.detections) for each in found) > 6


def test_the_surest_come_first(found):
    for each in found:
        scores = [one.score for one in each.detections]
        assert scores == sorted(scores, reverse=True)


def test_an_image_has_the_same_alone_and_among_others(detector_run, files, found):
    detector, classes = detector_run.detector(), detector_run.folder.classes()
    for path, each in zip(files[:2], found, strict=False):
        same(Finder(detector, classes).in_files([path])[0], each)
    assert Finder(detector, classes).in_files([]) == []


@pytest.mark.sample(3)
@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_image_file_will_do(detector_run, files, found, tmp_path, kind):
    path = tmp_path / f"image.{kind}"
    Image.open(files[0]).save(path, **KINDS[kind])
    one = detector_run.predict([path])[0]
    assert one.size == found[0].size
    if kind in ("png", "bmp", "webp"):  # without loss
        same(one, found[0])
    holds_what_is_sure(one, found[0])


def test_a_grey_image_is_taken_for_one_of_equal_colours(detector_run, files, tmp_path):
    grey = Image.open(files[0]).convert("L")
    grey.save(tmp_path / "grey.png")
    grey.convert("RGB").save(tmp_path / "colour.png")
    same(*detector_run.predict([tmp_path / "grey.png", tmp_path / "colour.png"]))


def test_boxes_are_in_pixels_of_the_image_as_stored(detector_run, files, found, tmp_path):
    """Twice as large and with a margin at the right, where the canvas has room."""
    image = Image.open(files[0])
    large = image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC)
    large.save(tmp_path / "large.png")
    one = detector_run.predict([tmp_path / "large.png"])[0]
    assert one.size == (2 * image.height, 2 * image.width)
    holds_what_is_sure(one, found[0], times=2)


def test_a_score_says_what_is_told(detector_run, files, found):
    for score in (0.0, 0.3, 0.9):
        told = detector_run.predict(files[:2], score=score)
        for one, each in zip(told, found, strict=False):
            assert all(detection.score >= score for detection in one.detections)
            if score > 0.05:
                same(one, each.above(score))
            else:
                same(one.above(0.05), each)
                assert len(one.detections) > len(each.detections)


@pytest.mark.parametrize("score", [-0.1, 1.0, float("nan")])
def test_a_score_that_is_none_is_refused(detector_run, files, score):
    with pytest.raises(ReskerasError, match=r"^score: "):
        detector_run.predict(files[:1], score=score)


def test_a_missing_or_broken_file_is_refused_by_name_before_anything_is_written(detector_run, files, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(files[0].read_bytes()[:300])
    for path, status in ((tmp_path / "nowhere.png", 2), (broken, 1), (tmp_path, 2)):
        with pytest.raises(ReskerasError) as refused:
            detector_run.predict([*files, path], out=tmp_path / "out")
        assert str(path) in str(refused.value)
        assert refused.value.status == status
        assert sorted(tmp_path.iterdir()) == [broken]


def test_a_folder_that_is_there_is_refused_first(detector_run, tmp_path):
    with pytest.raises(ReskerasError, match="already exists") as refused:
        detector_run.predict([tmp_path / "nowhere.png"], out=tmp_path)
    assert refused.value.status == 2


def test_a_folder_has_every_image_with_boxes_and_all_detections(detector_run, files, found, tmp_path):
    out = tmp_path / "new" / "found"
    detector_run.predict(files, out=out)
    names = [f"{path.stem}-detections.png" for path in files]
    assert sorted(path.name for path in out.iterdir()) == ["detections.json", *names]
    assert json.loads((out / "detections.json").read_text()) == list(
        coco_predictions(detector_run.predict(files), detector_run.folder.classes())
    )
    for path, name, each in zip(files, names, found, strict=True):
        before, after = (np.asarray(Image.open(file).convert("RGB")) for file in (path, out / name))
        assert after.shape == before.shape
        assert (after != before).any() == bool(each.above(0.5).detections)


def test_files_of_one_name_do_not_overwrite_each_other(detector_run, files, tmp_path):
    other = tmp_path / "other" / f"{files[0].stem.upper()}.png"
    other.parent.mkdir()
    shutil.copy(files[1], other)
    out = tmp_path / "out"
    detector_run.predict([files[0], other, files[0]], out=out, score=0.0)
    assert len(list(out.glob("*-detections.png"))) == 3
    assert (out / f"{files[0].stem}-3-detections.png").is_file()


def test_what_cannot_be_written_leaves_nothing(detector_run, files, tmp_path, monkeypatch):
    from reskeras.tasks.detection import detections_folder as module

    calls = []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(module, "draw_boxes", full)
    with pytest.raises(ReskerasError, match="there is no space left") as failed:
        detector_run.predict(files, out=tmp_path / "out")
    assert failed.value.status == 1
    assert list(tmp_path.iterdir()) == []


def test_pycocotools_loads_what_is_written_and_measures_the_same(detector_run, files, found):
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    from pycocotools.coco import COCO

    source = detector_run.source()
    truth = COCO()
    truth.dataset = coco_objects(source.test, source.classes)
    truth.createIndex()
    results = json.loads(json.dumps(list(coco_predictions(found, source.classes))))
    judge = cocoeval.COCOeval(truth, truth.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    evaluation = detector_run.evaluate()
    assert judge.stats[0] == pytest.approx(evaluation.coco.map, abs=1e-6)
    assert judge.stats[0] > 0.3
    assert evaluation.coco == coco_precision(evaluation.detections, source.test, source.classes)


def one_in(*paths):
    return [ImageDetections(path, (10, 20), (Detection("dog", 0.5, (1.0, 2.0, 5.0, 12.0), 1),)) for path in paths]


def test_the_form_is_cocos_with_names_beside_the_numbers():
    assert list(coco_predictions(one_in("some/where/cat.jpg"), ("cat", "dog"))) == [
        {
            "image_id": "cat",
            "file_name": "cat.jpg",
            "category_id": 2,
            "category_name": "dog",
            "bbox": [2.0, 1.0, 10.0, 4.0],
            "score": 0.5,
        }
    ]


@pytest.mark.parametrize(
    ("paths", "ids"),
    [
        (("000000000139.jpg", "a.png"), [139, "a"]),
        (("a/x.png", "b/x.png"), [0, 1]),
        (("7.png", "07.jpg"), [0, 1]),
        (("²5.png",), ["²5"]),
    ],
)
def test_images_are_told_apart(paths, ids):
    assert [row["image_id"] for row in coco_predictions(one_in(*paths), ("cat", "dog"))] == ids


def test_a_diverged_detector_tells_nothing_that_is_no_number(tmp_path):
    path = tmp_path / "image.png"
    picture(path)

    def nonsense(files, canvas):
        return {
            "count": tf.constant([3, 0, 0, 0]),
            "labels": tf.zeros([4, 3], tf.int32),
            "scores": tf.constant([[float("nan"), 0.5, 0.9]] + [[0.0] * 3] * 3),
            "boxes": tf.constant([[[0.0, 0, 1, 1], [0, 0, 2, 2], [0, float("inf"), 1, 1]]] + [[[0.0] * 4] * 3] * 3),
        }

    detector = SimpleNamespace(found=nonsense, batch=4, by_canvas=lambda sizes: {(0,): np.arange(len(sizes))})
    found = Finder(detector, ["cat"]).in_files([path])
    assert [each.box for each in found[0].detections] == [(0.0, 0.0, 2.0, 2.0)]
    json.dumps(found[0].as_dict(), allow_nan=False)


def test_a_lowest_score_is_enough_itself():
    told = tuple(Detection("a", score, (0.0, 0.0, 1.0, 1.0), 0) for score in (0.9, 0.5, 0.4))
    every = ImageDetections("a.png", (9, 9), told)
    assert [each.score for each in every.above(0.5).detections] == [0.9, 0.5]
    assert every.above(0.0) == every
    assert every.above(0.95).detections == ()


def test_detections_are_arrays_too(found):
    for each in found:
        left, top, right, bottom = each.xyxy.T
        np.testing.assert_array_equal(np.stack([top, left, bottom, right], 1), [one.box for one in each.detections])
        assert (each.scores == np.float32([one.score for one in each.detections])).all()
        assert each.names.tolist() == [one.name for one in each.detections]
    nothing = found[0].above(1.1)
    assert nothing.xyxy.shape == (0, 4)
    assert nothing.scores.shape == nothing.labels.shape == nothing.names.shape == (0,)


@pytest.mark.peers
def test_supervision_takes_them_as_their_docstring_says():
    import supervision

    boxes = ((1.0, 2.0, 5.0, 12.0), (0.5, 0.0, 9.0, 3.0))
    found = ImageDetections(
        "a.png", (10, 20), (Detection("dog", 0.9, boxes[0], 1), Detection("cat", 0.25, boxes[1], 0))
    )
    for each in (found, found.above(1.0)):
        taken = supervision.Detections(
            each.xyxy, confidence=each.scores, class_id=each.labels, data={"class_name": each.names}
        )
        assert len(taken) == len(each.detections)
    taken = supervision.Detections(found.xyxy, confidence=found.scores, class_id=found.labels)
    np.testing.assert_array_equal(taken.area, [10 * 4, 3 * 8.5])  # widths times heights
    drawn = supervision.BoxAnnotator(thickness=1, color=supervision.Color.WHITE).annotate(
        np.zeros((10, 20, 3), np.uint8), taken[taken.class_id == 1]
    )
    rows, columns, _ = drawn.nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 5, 2, 12)
