"""Where objects are in image files: by whom the class is said, how files are read, what is written and refused."""

import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from reskeras.errors import ReskerasError
from reskeras.report.styles import BRIGHT
from reskeras.tasks.detection.detections_folder import Places
from reskeras.tasks.localisation.stages import chosen
from reskeras.tasks.localisation.views import LocaliserViews
from tests.cli.running import invoke, printed, refused

NAMES = ["disc", "square"]


@pytest.fixture(scope="module")
def located(run):
    """The best box of each class in each test image, as an evaluation has them."""
    found = run.evaluate().located
    return found.scores[:, :, 0], found.boxes[:, :, 0]


def check(image, labels, scores, boxes, within=1e-3):
    """The image's answer has these classes in this order, with scores (C,) and boxes (C, 4)."""
    assert [each.name for each in image.detections] == [NAMES[label] for label in labels]
    for each, label in zip(image.detections, labels, strict=True):
        assert each.label == label and each.score == pytest.approx(scores[label], abs=1e-5)
        np.testing.assert_allclose(each.box, boxes[label], atol=within)


def test_without_a_classifier_the_likeliest_box_says_the_class(run, files, located):
    scores, boxes = located
    for place, image in enumerate(run.predict(files)):
        assert (image.path, image.size) == (str(files[place]), (48, 64))
        check(image, [int(scores[place].argmax())], scores[place], boxes[place])
        assert image.detections[0].probability is None
    for place, image in enumerate(run.predict(files, top=9)):
        check(image, np.argsort(-scores[place]), scores[place], boxes[place])


def test_a_classifier_says_the_classes(run, classifier, files, located):
    scores, boxes = located
    told = classifier.predict(files, top=2)
    for place, image in enumerate(run.predict(files, 2, classifier=classifier)):
        first = [NAMES.index(name) for name, _ in told[place].top]
        check(image, first, scores[place], boxes[place])
        for each, (_, probability) in zip(image.detections, told[place].top, strict=True):
            assert each.probability == pytest.approx(probability, abs=1e-5)
    assert [len(image.detections) for image in run.predict(files, classifier=classifier.path)] == [1] * len(files)


def test_named_classes_are_said_where_they_are(run, files, located):
    scores, boxes = located
    for place, image in enumerate(run.predict(files[:3], classes="square")):
        check(image, [1], scores[place], boxes[place])
    for place, image in enumerate(run.predict(files[:3], classes=["square", "disc"])):
        check(image, np.argsort(-scores[place]), scores[place], boxes[place])


def test_views_ensembles_and_refiners_are_those_of_an_evaluation(run, refined, files):
    source = run.source().test
    views = LocaliserViews((40, 56))
    dense = run.localiser(views, run).look(source)
    for place, image in enumerate(run.predict(files, 2, views, others=run)):
        order = np.argsort(-dense.scores[place, :, 0])
        check(image, order, dense.scores[place, :, 0], dense.boxes[place, :, 0])
    judged = run._stages(LocaliserViews(), (), refined).located(source, chosen(np.tile([0, 1], (8, 1)), 2))
    for place, image in enumerate(run.predict(files, 2, refiner=refined)):
        order = np.argsort(-judged.scores[place, :, 0])
        check(image, order, judged.scores[place, :, 0], judged.boxes[place, :, 0])


def test_a_turned_image_has_its_box_where_it_is_seen(run, files, located, tmp_path):
    upright = Image.open(files[0]).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert Image.open(tmp_path / "turned.png").size == (48, 64)  # width, height as stored
    [found] = run.predict(tmp_path / "turned.png", 2)
    scores, boxes = located
    check(found, np.argsort(-scores[0]), scores[0], boxes[0])
    assert found.size == (48, 64)


def test_boxes_are_drawn_and_written(run, files, tmp_path):
    places = Places(
        out=tmp_path / "out", coco=tmp_path / "found.json", yolo=tmp_path / "yolo", crops=tmp_path / "crops"
    )
    found = run.predict(files[:2], places=places)
    for path, image in zip(files, found, strict=False):
        [place] = image.detections
        before = np.asarray(Image.open(path).convert("RGB")).astype(int)
        drawn = np.asarray(Image.open(tmp_path / "out" / f"{path.stem}-detections.png")).astype(int)
        assert drawn.shape == before.shape
        colour = [int(BRIGHT[place.label][at : at + 2], 16) for at in (1, 3, 5)]
        rows, columns = np.nonzero((drawn == colour).all(axis=-1))
        edges = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        np.testing.assert_allclose(edges, place.box, atol=1.5)
        top, left, bottom, right = edges
        inner = slice(top + 4, bottom - 4), slice(left + 4, right - 4)
        assert (drawn != before).any() and (drawn[inner] == before[inner]).mean() > 0.5
    rows = json.loads((tmp_path / "found.json").read_text())
    assert [row["category_name"] for row in rows] == [image.detections[0].name for image in found]
    assert (
        len(list((tmp_path / "crops").rglob("*.png"))) == 2 and (tmp_path / "yolo" / f"{files[1].stem}.txt").is_file()
    )


def test_the_command_tells_what_python_tells(run, refined, classifier, folder, files, tmp_path):
    told = json.loads(printed("localise", "predict", run.path, folder / "JPEGImages", "--top", 2, "--json"))
    assert [each["path"] for each in told] == sorted(str(path) for path in (folder / "JPEGImages").iterdir())
    by_path = {each["path"]: each for each in told}
    for image in run.predict(files, 2):
        assert by_path[image.path] == json.loads(json.dumps(image.as_dict()))
    words = files[0], files[1], "--classifier", classifier.path, "--refiner", refined.path, "--csv", tmp_path / "f.csv"
    shown = invoke("localise", "predict", run.path, *words, "--out", tmp_path / "out")
    assert shown.exit_code == 0, shown.output
    assert "probability  box score" in shown.stdout and "likeliest box" not in shown.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "f.csv").read_text())))
    expected = run.predict(files[:2], refiner=refined, classifier=classifier)
    assert [row["class"] for row in rows] == [image.detections[0].name for image in expected]
    assert float(rows[0]["probability"]) == pytest.approx(expected[0].detections[0].probability, abs=1e-6)
    assert float(rows[1]["left"]) == pytest.approx(expected[1].detections[0].box[1], abs=0.01)
    alone = invoke("localise", "predict", run.path, f"{folder}/JPEGImages/image-2?.png")
    assert "note: without --classifier or --classes, the class is that of the likeliest box" in alone.stderr
    assert alone.stdout.count("image-2") == 10


def test_a_broken_file_is_told_and_the_others_are_done(run, files, tmp_path):
    (tmp_path / "text.png").write_text("no image at all")
    told = invoke("localise", "predict", run.path, tmp_path / "text.png", files[0], "--out", tmp_path / "out", "--json")
    assert told.exit_code == 1
    assert [("error" in each) for each in json.loads(told.stdout)] == [True, False]
    assert "image: 1 of 2 images could not be read" in told.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2
    with pytest.raises(ReskerasError, match=r"text\.png"):
        run.predict([files[0], tmp_path / "text.png"], places=Places(out=tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    only = invoke("localise", "predict", run.path, tmp_path / "text.png", "--json")
    assert only.exit_code == 1 and [*json.loads(only.stdout)[0]] == ["path", "error"] and "note:" not in only.stderr


@pytest.mark.parametrize("task", ["localise", "detect"])
def test_nothing_is_written_where_no_file_can_be_read(task, request, tmp_path):
    path = request.getfixturevalue("run").path if task == "localise" else request.getfixturevalue("trained_detector")
    (tmp_path / "text.png").write_text("no image at all")
    places = {flag: tmp_path / "into" / flag for flag in ("--out", "--coco", "--yolo", "--save-crops", "--csv")}
    told = invoke(
        task, "predict", path if task == "localise" else path / "tiny", tmp_path / "text.png", *sum(places.items(), ())
    )
    assert told.exit_code == 1 and "image: 1 of 1 image could not be read" in told.stderr
    assert told.stdout == "" and [each.name for each in tmp_path.iterdir()] == ["text.png"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--classes", "disk"), "classes: 'disk' is not one of disc, square; did you mean disc?"),
        (
            ("--classes", "disc", "--classifier", "{classifier}"),
            "classes: the classifier decides the classes of an image",
        ),
        (("--classifier", "{trained}"), "has different classes from"),
        (("--classes", "disc", "--top", "1"), "leave out top or classes"),
        (("--refiner", "{run}"), "refiner: {run} is a localiser, not a refiner"),
        (("--with", "{trained}"), "with: {trained} is a classifier, not a localiser"),
        (("--classifier", "{run}"), "classifier: {run} is a localiser, not a classifier"),
        (("--dense", "64,56"), "dense: 64,56: should be increasing"),
        (("--out", "{folder}"), "out: {folder} already exists; name a new folder"),
        (("--annotations", "x.json"), "annotations: the ids are for --coco FILE"),
    ],
)
def test_wrong_requests_are_told_in_a_line_and_leave_nothing(
    run, classifier, trained, folder, files, tmp_path, monkeypatch, words, why
):
    monkeypatch.chdir(tmp_path)
    known = {"run": run.path, "classifier": classifier.path, "trained": trained.path, "folder": folder}
    words = [word.format(**known) for word in words]
    assert why.format(**known) in refused("localise", "predict", run.path, files[0], *words)
    assert list(tmp_path.iterdir()) == []


def test_a_served_model_has_its_own_settings():
    for words in (("--classes", "x"), ("--refiner", "x"), ("--dense", "64"), ("--out", "x")):
        told = invoke("localise", "predict", "--url", "http://localhost:1/v1/models/x", "x.png", *words)
        assert told.exit_code == 2 and "--url" in told.stderr
