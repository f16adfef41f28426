"""`reskeras predict` over what people have: folders, patterns, standard input, and broken files among them."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.running import invoke, refused


@pytest.fixture
def photos(tmp_path):
    for name in ("b", "sub/a", "sub/c"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 90, np.uint8)).save(tmp_path / "photos" / f"{name}.png")
    return tmp_path / "photos"


def run(*arguments, stdin=None):
    return invoke("predict", *arguments, stdin=stdin)


def test_a_folder_is_predicted_file_by_file_and_written_as_csv(trained, photos, tmp_path):
    result = run(trained.path, photos, "--csv", tmp_path / "out.csv", "--top", 2)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["image"] for row in rows[::2]] == [str(photos / name) for name in ("b.png", "sub/a.png", "sub/c.png")]
    assert [row["rank"] for row in rows] == ["1", "2"] * 3
    [expected] = trained.predict(photos / "b.png", top=2)
    assert [(row["class"], float(row["probability"])) for row in rows[:2]] == [
        (name, pytest.approx(share, abs=1e-6)) for name, share in expected.top
    ]


def test_a_pattern_that_no_shell_expanded_is_understood(trained, photos):
    found = json.loads(run(trained.path, photos / "sub" / "*.png", "--json").stdout)
    assert [each["path"] for each in found] == [str(photos / "sub" / "a.png"), str(photos / "sub" / "c.png")]


def test_standard_input_is_an_image(trained, photos):
    found = json.loads(run(trained.path, "-", "--json", stdin=(photos / "b.png").read_bytes()).stdout)
    assert [each["path"] for each in found] == ["-"]
    broken = run(trained.path, "-", stdin=b"no image")
    assert broken.exit_code == 1
    assert "image: - is" in broken.stderr


def test_broken_files_are_told_and_the_others_predicted(trained, photos, tmp_path):
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = run(trained.path, photos, "--json", "--csv", tmp_path / "out.csv")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert [Path(each["path"]).name for each in told] == ["b.png", "broken.png", "a.png", "c.png"]
    assert [set(each) for each in told] == [{"path", "top"}, {"path", "error"}, {"path", "top"}, {"path", "top"}]
    assert "broken.png is" in told[1]["error"]
    assert "broken.png" in result.stderr and "1 of 4 images could not be read" in result.stderr
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 1 + 3 * 5


def test_each_broken_file_has_its_own_entry_beside_standard_input(trained, photos):
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    result = run(trained.path, "-", photos / "broken.png", photos / "b.png", "--json", stdin=b"no image")
    told = json.loads(result.stdout)
    assert [each["path"] for each in told] == ["-", str(photos / "broken.png"), str(photos / "b.png")]
    assert [set(each) for each in told] == [{"path", "error"}, {"path", "error"}, {"path", "top"}]
    assert "image: - is" in told[0]["error"] and "broken.png is" in told[1]["error"]
    assert "2 of 3 images could not be read" in result.stderr


def test_a_name_that_is_no_file_is_refused_before_anything(trained, photos):
    result = run(trained.path, photos / "b.png", photos / "absent.png")
    assert result.exit_code == 2
    assert "absent.png" in result.stderr and not result.stdout


def test_names_that_a_spreadsheet_would_run_are_made_safe(trained, photos, tmp_path, monkeypatch):
    shutil.copy(photos / "b.png", tmp_path / "=1+1.png")
    monkeypatch.chdir(tmp_path)
    assert run(trained.path, "=1+1.png", "--csv", "out.csv").exit_code == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("'=1+1.png")


def test_csv_on_standard_output_stands_there_alone(trained, photos):
    command = [sys.executable, "-m", "reskeras", "predict", str(trained.path), str(photos), "--csv", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=photos)
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert len(rows) == 3 * 5
    assert set(rows[0]) == {"image", "rank", "class", "probability"}
    assert not (photos / "-").exists()


@pytest.mark.parametrize("words", [["predict", "run", ""], ["show", ""], ["evaluate", "run", "--scales", ""]])
def test_an_empty_argument_is_refused_and_is_no_working_directory(words):
    assert "an argument is empty" in refused(*words)
