"""`reskeras data`: figures, warnings and the sheet, as a user meets them."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from reskeras_cli.main import commands


def run(*arguments):
    return CliRunner().invoke(commands, ["data", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name, count in (("cat", 15), ("dog", 6)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for index in range(count):
            pixels = rng.integers(0, 255, (20 + index, 30, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{index}.png")
    (tmp_path / "images" / "dog" / "broken.png").write_bytes(b"no image")
    return tmp_path / "images"


def test_figures_notes_and_warnings_are_printed(folder):
    result = run(f"folder:{folder}")
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "training 17 images" in lines
    assert "test 4 a fixed sample of about 20% of each class" in lines
    assert "cat 12 3" in lines and "dog 5 1" in lines
    assert any(line.startswith("note: skipped 1 of 22 images, which cannot be read") for line in lines)
    assert "warning: fewer than 10 training images of 1 class: dog" in lines


def test_json_says_the_same(folder, tmp_path):
    result = run(f"folder:{folder}", "--json", "--sheet", tmp_path / "sheet.png")
    found = json.loads(result.stdout)
    assert found["classes"] == [{"name": "cat", "train": 12, "test": 3}, {"name": "dog", "train": 5, "test": 1}]
    assert (found["train"], found["test"], found["channels"]) == (17, 4, 3)
    assert found["sheet"] == str(tmp_path / "sheet.png")


@pytest.mark.parametrize("shape", ["24x40", "24x40x3", None])
def test_a_sheet_is_drawn_at_the_size_asked_for(folder, tmp_path, shape):
    result = run(f"folder:{folder}", "--sheet", tmp_path / "sheet.png", *(["--input-shape", shape] if shape else []))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"drawn  {tmp_path / 'sheet.png'}"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digit"], "did you mean digits"),
        (["digits", "--recipe", "quik"], "did you mean quick"),
        (["digits", "--sheet", "sheet.jpg"], "should end in .png"),
        (["digits", "--sheet", "nowhere/sheet.png"], "cannot be written: folder not found"),
        (["digits", "--input-shape", "large"], "'large': should be height and width"),
        (["digits", "--input-shape", "0x10"], "should have a height and width between 1 and 2048 pixels"),
        (["folder:nowhere"], "folder not found: nowhere"),
    ],
)
def test_wrong_requests_are_refused_in_a_line(arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_of_many_classes_the_largest_and_the_smallest_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for label in range(30):
        (tmp_path / "images" / f"class{label:02}").mkdir(parents=True)
        for index in range(2 + label % 3):
            pixels = np.full((8, 8, 3), (label, index, 7), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / f"class{label:02}" / f"{index}.png")
    output = run(f"folder:{tmp_path / 'images'}").output
    assert "... 6 more" in output
    assert sum(line.startswith("class") for line in output.splitlines()) == 24 + 2  # and the two headings
