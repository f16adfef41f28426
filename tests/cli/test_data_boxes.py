"""`reskeras data` on annotated images: what is printed, drawn, converted and refused, as a person types it."""

import csv
import json

import pytest
from PIL import Image

from tests.cli.running import printed, refused
from tests.tasks.detection.test_yolo import roboflow


@pytest.fixture
def export(tmp_path, monkeypatch):
    """An export of Roboflow's called pets, in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pets"
    folder.mkdir()
    roboflow(folder)
    return folder


def test_a_survey_says_what_was_understood_and_left_out_and_draws_it(export):
    with open(export / "train" / "labels" / "a_jpg.rf.0a1b.txt", "a") as file:
        file.write("0 0.1 0.2 0.3 0.3 0.4 0.1\n")
    (export / "train" / "images" / "torn.png").write_bytes(b"")
    lines = printed("data", "pets", "--sheet", "sheet.png").splitlines()
    assert lines[1].split() == ["format", "YOLO", "yolo:pets"]
    assert any(line.split()[:2] == ["training", "3"] for line in lines)
    assert any(line.split()[:2] == ["objects", "4"] for line in lines)
    assert "note: 1 annotated image is missing or cannot be read and is skipped: train/images/torn.png" in lines
    with Image.open("sheet.png") as sheet:
        assert sheet.format == "PNG"
    found = json.loads(printed("data", "survey", "yolo:pets", "--json", "--places", "places.csv"))
    with open("places.csv", newline="") as file:
        places = {(row["what"], row["where"]): row["times"] for row in csv.DictReader(file)}
    assert places["annotated image is missing or cannot be read and is skipped", "train/images/torn.png"] == "1"
    outlined = [where for what, where in places if what.startswith("object has the box around its segmentation")]
    assert len(outlined) == 1 and "a_jpg.rf.0a1b" in outlined[0]
    assert (found["format"], found["name"], found["images"]) == ("YOLO", "yolo:pets", [3, 1])


@pytest.mark.parametrize("flags", [("--places", "places.csv"), ("--shorter", "600")])
def test_what_is_not_there_is_told_before_flags_of_annotated_images(export, flags):
    for name in ("missing", "folder:missing"):
        told = refused("data", name, *flags)
        assert told == refused("data", name) and "has no annotated objects" not in told
    assert "digits has no annotated objects" in refused("data", "digits", *flags)


def test_a_conversion_says_what_was_written_and_what_was_not(export):
    lines = printed("data", "convert", "pets", "coco:out").splitlines()
    assert lines[0].split() == ["written", "coco:out"]
    assert [line.split()[:2] for line in lines[1:5]] == [["train", "2"], ["val", "1"], ["test", "1"], ["objects", "4"]]
    assert lines[-1] == "train on it with  --data coco:out"
    found = json.loads(printed("data", "convert", "coco:out", "voc:again", "--json"))
    assert found["images"] == {"train": 2, "val": 1, "test": 1}
    assert found["classes"] == ["cat", "dog"]
    assert "exists; remove it" in refused("data", "convert", "pets", "coco:out")
    assert "is not one of voc:DIR, coco:DIR, yolo:DIR" in refused("data", "convert", "pets", "out2")


def test_a_line_that_breaks_a_rule_is_two_lines_at_most_and_nothing_is_written(export):
    file = export / "valid" / "labels" / "c_jpg.rf.0a1b.txt"
    file.write_text("1 0.5 0.5 0.2 0.2\n1.0 0.5 0.5 0.2 0.2\n")
    words = "pets/valid/labels/c_jpg.rf.0a1b.txt, line 2: class '1.0' should be a whole number, counted from 0"
    assert words in refused("data", "pets")
    assert words in refused("data", "convert", "pets", "coco:out")
    assert words in refused(
        "detect", "train", "resnet-18", "--input-shape", "40x60x3", "--data", "pets", "--out", "run"
    )
    assert sorted(each.name for each in export.parent.iterdir()) == ["pets"]
