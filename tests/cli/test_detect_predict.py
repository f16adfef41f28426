"""`reskeras detect predict` on images and videos: what it prints and writes for people and programs, and refuses."""

import csv
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.cli.running import invoke, printed, refused
from tests.data.clips import clip

pytest.importorskip("av")


@pytest.fixture(scope="module")
def run(trained_detector):
    return trained_detector / "tiny"


@pytest.fixture(scope="module")
def folder(detector_files, tmp_path_factory):
    """Two images, a video of four more, and a file that is neither, below a folder."""
    root = tmp_path_factory.mktemp("mixed")
    files = sorted((detector_files / "shapes" / "JPEGImages").iterdir())[-6:]
    for file in files[:2]:
        shutil.copy(file, root)
    (root / "deeper").mkdir()
    clip(root / "deeper" / "film.mov", "png", [np.asarray(Image.open(file)) for file in files[2:]], 2, pixels="rgb24")
    (root / "notes.txt").write_text("no image")
    return root


def test_a_folder_of_images_and_videos(run, folder, tmp_path):
    told = invoke("detect", "predict", run, folder, "--out", tmp_path / "out", "--csv", tmp_path / "found.csv")
    assert told.exit_code == 0, told.output
    assert "skipped 1 file of" in told.stderr and "other than images or videos" in told.stderr
    assert f"{folder / 'deeper' / 'film.mov'}  4 frames of 48x64 pixels, 2.0 s, 2 per second" in told.stdout
    assert told.stdout.splitlines()[-2:] == [f"written    {tmp_path / 'out'}", f"written    {tmp_path / 'found.csv'}"]
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "film-detections.mp4" in names and len(names) == 4
    found = json.loads(printed("detect", "predict", run, folder, "--json"))
    assert [each.get("frame") for each in found] == [0, 1, 2, 3, None, None]
    assert [each["time"] for each in found[:4]] == [0, 0.5, 1, 1.5]
    assert all(each["size"] == [48, 64] for each in found)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "found.csv").read_text())))
    assert list(rows[0])[-2:] == ["frame", "seconds"]
    assert sum(row["class"] != "" for row in rows) == sum(len(each["detections"]) for each in found)
    assert {row["frame"] for row in rows if row["image"].endswith("film.mov")} == {"0", "1", "2", "3"}
    assert {row["seconds"] for row in rows if row["frame"] == "3"} == {"1.500"}


def test_images_alone_have_the_csv_and_the_json_that_they_had(run, folder, tmp_path):
    image = next(folder.glob("*.png"))
    printed("detect", "predict", run, image, "--csv", tmp_path / "found.csv")
    assert (tmp_path / "found.csv").read_text().splitlines()[0] == "image,class,score,top,left,bottom,right"
    text = printed("detect", "predict", run, image, "--json")
    assert list(json.loads(text)[0]) == ["path", "size", "detections"]
    assert text == json.dumps(json.loads(text), indent=2) + "\n"


def test_classes_are_named_with_commas(run, folder):
    for names, expected in (("disc", {"disc"}), ("square, disc", {"disc", "square"})):
        found = json.loads(printed("detect", "predict", run, folder, "--classes", names, "--json"))
        assert {one["name"] for each in found for one in each["detections"]} == expected


def test_everything_that_can_be_written_is_named(run, folder, tmp_path):
    image = next(folder.glob("*.png"))
    ids = {"images": [{"id": 77, "file_name": image.name}], "annotations": []}
    ids["categories"] = [{"id": 5, "name": "square"}, {"id": 3, "name": "disc"}]
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    flags = {"--coco": "found.json", "--yolo": "yolo", "--save-crops": "crops"}
    words = [part for flag, name in flags.items() for part in (flag, tmp_path / name)]
    shown = printed(
        "detect", "predict", run, image, *words, "--annotations", tmp_path / "ids.json", "--tile", 40, "--score", 0.3
    )
    assert [line for line in shown.splitlines() if line.startswith("written")] == [
        f"written    {tmp_path / name}" for name in flags.values()
    ]
    rows = json.loads((tmp_path / "found.json").read_text())
    assert rows and {row["image_id"] for row in rows} == {77}
    assert all(row["category_id"] == {"square": 5, "disc": 3}[row["category_name"]] for row in rows)
    assert len(list((tmp_path / "crops").rglob("*.png"))) == len(rows)


def test_a_broken_video_is_told_and_the_others_are_done(run, folder, tmp_path):
    (tmp_path / "text.mp4").write_text("no video at all\n")
    image = next(folder.glob("*.png"))
    told = invoke("detect", "predict", run, tmp_path / "text.mp4", image, "--out", tmp_path / "out", "--json")
    assert told.exit_code == 1
    assert [("error" in each) for each in json.loads(told.stdout)] == [True, False]
    lines = told.stderr.strip().splitlines()[-2:]
    assert lines[0].startswith(f"reskeras: video: {tmp_path / 'text.mp4'} is not a video, or is broken")
    assert lines[1] == "reskeras: image: 1 of 2 files could not be read"
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none/*.mp4"], "image: no file matches none/*.mp4"),
        (["none.mp4"], "image: file not found: none.mp4"),
        (["{folder}", "--tile", 5], "tile: 5: should be 32 to 8,192 pixels"),
        (["{folder}", "--tile-overlap", 5], "--tile-overlap needs --tile PIXELS"),
        (["{folder}", "--classes", "disk"], "classes: 'disk' is not one of disc, square; did you mean disc?"),
        (["{folder}", "--yolo", "{folder}"], "yolo: {folder} already exists; name a new folder"),
        (
            ["{folder}/*.png", "--coco", "f.json", "--annotations", "none.json"],
            "annotations: file not found: none.json",
        ),
        (["{folder}", "--annotations", "none.json"], "annotations: the ids are for --coco FILE, which is not given"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line_and_leaves_nothing(run, folder, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    words = [str(word).format(folder=folder) for word in words]
    assert told.format(folder=folder) in refused("detect", "predict", run, *words)
    assert list(tmp_path.iterdir()) == []


def test_a_served_model_has_its_own_settings():
    for flag in ("--yolo", "--coco", "--save-crops", "--classes"):
        assert "leave out" in refused(
            "detect", "predict", "--url", "http://localhost:1/v1/models/x", "x.png", flag, "x"
        )
