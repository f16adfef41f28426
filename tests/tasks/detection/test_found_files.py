"""Detectors used on videos and in tiles, and what is written of what they find: drawn, COCO, YOLO, crops."""

import gc
import json
import weakref
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data.video import Frame, open_video
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.coco_predictions import coco_predictions
from reskeras.tasks.detection.detections import Detection, ImageDetections, VideoDetections, each_image
from reskeras.tasks.detection.detections_folder import Places, write_yolo
from reskeras.tasks.detection.drawn_boxes import draw_boxes, found_marks
from reskeras.tasks.detection.finder import Finder
from reskeras.tasks.detection.options import Tiling
from tests.data.clips import clip

av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def files(shapes):
    """Six image files of squares and discs."""
    return sorted((shapes / "JPEGImages").iterdir())[-6:]


@pytest.fixture(scope="module")
def film(files, tmp_path_factory):
    """A video without loss whose frames are these images."""
    path = tmp_path_factory.mktemp("film") / "film.mov"
    return clip(path, "png", [np.asarray(Image.open(file).convert("RGB")) for file in files], pixels="rgb24", rate=5)


@pytest.fixture(scope="module")
def made(detector_run, files, film, tmp_path_factory):
    """What is found in two images and the video, and the folder that it was written to."""
    folder = tmp_path_factory.mktemp("made")
    places = Places(*(folder / name for name in ("out", "found.json")), yolo=folder / "yolo", crops=folder / "crops")
    steps = []
    found = detector_run.predict(
        [files[0], film, files[1]], places=places, progress=lambda done, of: steps.append((done, of))
    )
    assert steps == [(number, 6) for number in range(1, 7)]
    return found, folder


def same(one, other):
    assert [each.label for each in one] == [each.label for each in other]
    np.testing.assert_allclose([each.score for each in one], [each.score for each in other], atol=1e-4)
    np.testing.assert_allclose([each.box for each in one], [each.box for each in other], atol=1e-2)


def test_the_frames_of_a_video_are_found_in_as_images_are(detector_run, made, files, film):
    (first, video, last), _ = made
    alone = detector_run.predict(files)
    assert isinstance(video, VideoDetections)
    assert [each.path for each in (first, video, last)] == [str(files[0]), str(film), str(files[1])]
    assert (len(video), video.size, video.rate, video.duration) == (6, (48, 64), 5.0, pytest.approx(6 / 5))
    assert sum(len(frame.detections) for frame in video) > 6
    for number, (frame, image) in enumerate(zip(video, alone, strict=True)):
        assert (frame.frame, frame.time, frame.path) == (number, pytest.approx(number / 5), str(film))
        same(frame.detections, image.detections)
    same(first.detections, alone[0].detections)
    assert video[-1] == video[5] and [frame.frame for frame in video[1:3]] == [1, 2]
    with pytest.raises(IndexError):
        video[6]


def test_the_annotated_video_shows_the_boxes_for_as_long(made):
    (_, video, _), folder = made
    drawn = open_video(folder / "out" / "film-detections.mp4")
    assert (drawn.size, drawn.rate, drawn.length) == (video.size, 5, Fraction(6, 5))
    source = open_video(video.path)
    for before, after, found in zip(source.frames(), drawn.frames(), video, strict=True):
        assert before.time == after.time
        marks = found_marks(found.above(0.5).detections, video.classes)
        expected = np.asarray(draw_boxes(before.pixels, marks)).astype(int)
        assert np.abs(after.pixels - expected).mean() < 15  # of what a lossy video keeps
        if marks:
            changed = (expected != before.pixels).any(axis=-1)
            closer = np.abs(after.pixels - expected)[changed].mean() < np.abs(before.pixels - expected)[changed].mean()
            assert closer


def test_coco_takes_images_and_frames(made):
    coco = pytest.importorskip("pycocotools.coco")
    found, folder = made
    rows = json.loads((folder / "found.json").read_text())
    assert rows == json.loads((folder / "out" / "detections.json").read_text())
    names = {row["image_id"] for row in rows}
    assert {Path(found[0].path).stem, "film/000000"} <= names
    assert len(rows) == sum(len(image.detections) for image in each_image(found))
    truth = coco.COCO()
    truth.dataset = {
        "images": [{"id": name} for name in names],
        "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "square"}],
        "annotations": [],
        "info": {},
    }
    truth.createIndex()
    loaded = truth.loadRes(str(folder / "found.json"))
    assert len(loaded.anns) == len(rows)
    assert loaded.loadCats(2)[0]["name"] == "square"


def test_yolos_text_gives_the_boxes_back(made):
    found, folder = made
    assert (folder / "yolo" / "classes.txt").read_text().split() == ["disc", "square"]
    stems = [Path(found[0].path).stem, *(f"film/{number:06}" for number in range(6)), Path(found[2].path).stem]
    assert len(list((folder / "yolo").rglob("*.txt"))) == len(stems) + 1
    for stem, image in zip(stems, each_image(found), strict=True):
        lines = [line.split() for line in (folder / "yolo" / f"{stem}.txt").read_text().splitlines()]
        assert [int(line[0]) for line in lines] == image.labels.tolist()
        table = np.array([list(map(float, line[1:])) for line in lines]).reshape(-1, 5)
        height, width = image.size
        corners = np.concatenate([table[:, :2] - table[:, 2:4] / 2, table[:, :2] + table[:, 2:4] / 2], axis=1)
        np.testing.assert_allclose(corners * [width, height, width, height], image.xyxy.clip(0, width), atol=1e-3)
        np.testing.assert_allclose(table[:, 4], image.scores, atol=1e-6)


def test_a_crop_is_what_its_box_covers(made):
    found, folder = made
    expected = 0
    for image in each_image(found):
        frame = getattr(image, "frame", None)
        name = Path(image.path).stem if frame is None else f"film/{frame:06}"
        pixels = np.asarray(
            Image.open(image.path).convert("RGB")
            if frame is None
            else next(each.pixels for each in open_video(image.path).frames() if each.number == frame)
        )
        for number, each in enumerate(image.above(0.5).detections, 1):
            crop = np.asarray(Image.open(folder / "crops" / each.name / f"{name}-{number}.png"))
            top, left, bottom, right = each.box
            rows, columns = (int(np.floor(top)), int(np.ceil(bottom))), (int(np.floor(left)), int(np.ceil(right)))
            np.testing.assert_array_equal(crop, pixels[slice(*rows), slice(*columns)])
            expected += 1
    assert len(list((folder / "crops").rglob("*.png"))) == expected > 3


@pytest.mark.slow
def test_only_classes_that_are_asked_for_are_found(detector_run, files, made):
    every = detector_run.predict(files)
    for classes in ("disc", ["square"]):
        name = classes if isinstance(classes, str) else classes[0]
        for one, other in zip(detector_run.predict(files, classes=classes), every, strict=True):
            same(one.detections, [each for each in other.detections if each.name == name])
    with pytest.raises(ReskerasError, match=r"classes: 'discs' is not one of disc, square; did you mean disc\?"):
        detector_run.predict(files, classes=["discs"])


def test_small_objects_of_a_large_image_are_found_in_its_tiles(detector_run, files, tmp_path):
    """Six images side by side, each as large as a tile, so that in the whole one shapes are a third as large."""
    pixels = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    rows = [np.concatenate(pixels[:3], axis=1), np.concatenate(pixels[3:], axis=1)]
    Image.fromarray(np.concatenate(rows)).save(tmp_path / "large.png")
    wanted = [
        (each.name, np.array(each.box) + [48 * (place // 3), 64 * (place % 3)] * 2)
        for place, found in enumerate(detector_run.predict(files))
        for each in found.above(0.8).detections
    ]

    def matched(tiling):
        [found] = detector_run.predict(tmp_path / "large.png", tiling=tiling)
        sure = found.above(0.7).detections
        return [any(name == each.name and np.abs(box - each.box).max() < 4 for each in sure) for name, box in wanted]

    tiled, whole = matched(Tiling(64, 32)), matched(None)
    assert len(wanted) > 5
    assert sum(tiled) >= 0.8 * len(wanted)
    assert sum(tiled) > 2 * sum(whole)


def test_an_image_that_a_tile_holds_is_as_without_tiles(detector_run, files):
    for one, other in zip(
        detector_run.predict(files[:2], tiling=Tiling(64)), detector_run.predict(files[:2]), strict=True
    ):
        same(one.detections, other.detections)


@pytest.mark.slow
def test_a_video_in_tiles_is_its_frames_in_tiles(detector_run, files, film):
    [video] = detector_run.predict(film, tiling=Tiling(40))
    for frame, image in zip(video, detector_run.predict(files, tiling=Tiling(40)), strict=True):
        same(frame.detections, image.detections)


def test_of_a_long_video_few_frames_are_held():
    living, most = weakref.WeakSet(), []

    class Pixels(np.ndarray):
        __hash__ = object.__hash__  # so that a set can hold references to them

    def frames():
        for number in range(400):
            pixels = np.zeros((48, 64, 3), np.uint8).view(Pixels)
            living.add(pixels)
            most.append(len(living))
            yield Frame(number, Fraction(number, 25), pixels)

    def one_box(images, canvas):
        count = images.shape[0]
        box = tf.tile(tf.constant([[[1.0, 2, 9, 12]]]), [count, 1, 1])
        return {
            "count": tf.ones([count], tf.int32),
            "labels": tf.zeros([count, 1], tf.int32),
            "scores": tf.fill([count, 1], 0.9),
            "boxes": box,
        }

    detector = SimpleNamespace(found=one_box, batch=4, by_canvas=lambda sizes: {(0,): np.arange(len(sizes))})
    video = SimpleNamespace(path=Path("long.mp4"), size=(48, 64), rate=Fraction(25), count=0, frames=frames)
    gc.collect()
    found = Finder(detector, ["thing"]).in_frames(video, lambda frame, detections: None)
    assert len(found) == 400 and found[399].detections[0].box == (1.0, 2.0, 9.0, 12.0)
    assert max(most) <= 12
    assert found.found.boxes.nbytes + found.found.scores.nbytes == 400 * 20


def test_a_video_that_breaks_off_leaves_nothing_and_the_others_go_on(detector_run, files, tmp_path):
    noise = list(np.random.default_rng(0).integers(0, 255, (60, 96, 128, 3), np.uint8))
    broken = clip(tmp_path / "broken.avi", "mpeg4", noise)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    told = []
    places = Places(tmp_path / "out", tmp_path / "found.json", yolo=tmp_path / "yolo", crops=tmp_path / "crops")
    found = detector_run.predict(
        [broken, files[0]], score=0.0, places=places, broken=lambda path, error: told.append((path, str(error)))
    )
    assert [each.path for each in found] == [str(files[0])]
    assert told[0][0] == str(broken) and "is broken at frame" in told[0][1]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"{files[0].stem}-detections.png",
        "detections.json",
    }
    assert not list(tmp_path.rglob("broken*/*")) and len(list((tmp_path / "yolo").iterdir())) == 2
    with pytest.raises(ReskerasError, match="is broken at frame"):
        detector_run.predict([files[0], broken], out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_text_called_a_video_is_refused_before_anything_is_written(detector_run, files, tmp_path):
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(ReskerasError, match=r"text\.mp4 is not a video") as refused:
        detector_run.predict([files[0], tmp_path / "text.mp4"], out=tmp_path / "out")
    assert refused.value.status == 1
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


def test_places_that_are_taken_or_named_twice_are_refused(tmp_path):
    for field, name in (("out", "out"), ("yolo", "yolo"), ("crops", "save-crops")):
        with pytest.raises(ReskerasError, match=f"^{name}: .* already exists"):
            Places(**{field: tmp_path})
    with pytest.raises(ReskerasError, match=r"^save-crops: .* is also given for out"):
        Places(out=tmp_path / "new", crops=tmp_path / "new")
    with pytest.raises(ReskerasError, match=r"^annotations: the ids are for --coco FILE"):
        Places(annotations=tmp_path / "a.json")


def one_in(*paths):
    return [ImageDetections(path, (10, 20), (Detection("dog", 0.5, (1.0, 2.0, 5.0, 12.0), 1),)) for path in paths]


def annotations(path, images, categories=("dog", "cat")):
    data = {
        "images": [{"id": number, "file_name": name} for number, name in images],
        "categories": [{"id": 10 * number, "name": name} for number, name in enumerate(categories, 1)],
        "annotations": [],
    }
    path.write_text(json.dumps(data))
    return path


def test_ids_are_those_of_the_annotations(tmp_path):
    file = annotations(tmp_path / "a.json", [(7, "val/x.png"), (8, "train/x.png"), (9, "y.png")])
    places = Places(coco=tmp_path / "found.json", annotations=file)
    found = one_in("some/val/x.png", "train/x.png", "deep/down/y.png")
    with places.writing([each.path for each in found], ("cat", "dog"), ("dog",), None) as writing:
        writing.finish(found)
    rows = json.loads((tmp_path / "found.json").read_text())
    assert [(row["image_id"], row["category_id"]) for row in rows] == [(7, 10), (8, 10), (9, 10)]
    assert rows == list(coco_predictions(found, ("cat", "dog"), writing.ids))


@pytest.mark.parametrize(
    ("images", "paths", "wanted", "told"),
    [
        ([(1, "x.png")], ["y.png"], ("dog",), "has no image for y.png"),
        ([(1, "x.png"), (2, "./x.png")], ["x.png"], ("dog",), "has several images for x.png"),
        ([(1, "x.png")], ["x.png"], ("dog", "cow"), "has no category cow; it has dog, cat"),
    ],
)
def test_what_the_annotations_lack_is_said_before_anything_is_written(tmp_path, images, paths, wanted, told):
    places = Places(coco=tmp_path / "found.json", annotations=annotations(tmp_path / "a.json", images))
    with pytest.raises(ReskerasError, match=told):
        places.writing(paths, ("cat", "dog", "cow"), wanted, None)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_text_of_classes_does_not_take_the_name_of_an_images(tmp_path):
    places = Places(yolo=tmp_path / "yolo")
    found = one_in("a/classes.png", "b/x.png", "c/X.png")
    with places.writing([], ("cat", "dog"), ("dog",), None) as writing:
        for each in found:
            writing.image(each)
        writing.finish(found)
    names = {path.name for path in (tmp_path / "yolo").iterdir()}
    assert names == {"classes.txt", "classes-2.txt", "x.txt", "X-2.txt"}
    assert (tmp_path / "yolo" / "x.txt").read_text() == "1 0.350000 0.300000 0.500000 0.400000 0.500000\n"


def test_names_of_classes_that_no_folder_can_have_are_changed(tmp_path):
    names = ("a/b", "A:B", "..", "x\n")
    image = tmp_path / "image.png"
    Image.new("RGB", (20, 10)).save(image)
    found = ImageDetections(
        str(image),
        (10, 20),
        tuple(Detection(name, 0.9, (1.0, 2.0, 5.0, 12.0), label) for label, name in enumerate(names)),
    )
    with Places(crops=tmp_path / "crops").writing([], names, names, None) as writing:
        writing.image(found)
        writing.finish([found])
    assert sorted(path.parent.name for path in (tmp_path / "crops").rglob("*.png")) == ["A_B-2", "_", "a_b", r"x_n"]


def test_a_text_for_every_image_also_of_nothing(tmp_path):
    write_yolo([ImageDetections("x.png", (10, 20), ())], ["x"], ("cat",), tmp_path / "yolo")
    assert (tmp_path / "yolo" / "x.txt").read_text() == ""
