"""`reskeras analyse` on trained and fresh networks: numbers as CSV, pictures, and what is refused."""

import csv
import json

import pytest
from click.testing import CliRunner
from PIL import Image

import reskeras
from reskeras.errors import ReskerasError
from reskeras_cli.main import commands

PLOTS = ("responses", "signal", "gradients", "lesions")


def ask(*words):
    return CliRunner().invoke(commands, ["analyse", *map(str, words)], catch_exceptions=False)


@pytest.fixture(scope="module")
def analysed(trained, tmp_path_factory):
    import shutil

    run = reskeras.Run(shutil.copytree(trained.path, tmp_path_factory.mktemp("analyse") / "run"))
    return run, run.analyse(images=60, lesions=3)


def test_what_is_kept_is_what_was_measured(analysed):
    run, found = analysed
    assert reskeras.read_analysis(run.folder.analysis_folder) == found
    assert found.images == 60
    assert found.accuracy == pytest.approx(run.evaluate().top1, abs=0.15)
    with open(run.folder.analysis_folder / "responses.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == [response.layer for response in found.responses]
    assert float(rows[0]["deviation"]) == found.responses[0].deviation


@pytest.mark.slow
def test_several_networks_are_drawn_over_each_other(analysed, tmp_path):
    run, _ = analysed
    done = ask(run.path, "cifar-plain-20", "--images", 20, "--lesions", 1, "--out", tmp_path / "both")
    assert done.exit_code == 0, done.output
    assert "cifar-plain-20" in done.output
    for name in PLOTS:
        with Image.open(tmp_path / "both" / f"{name}.png") as picture:
            assert len(picture.convert("RGB").getcolors(1_000_000)) > 20
        text = (tmp_path / "both" / f"{name}.svg").read_text()
        assert text.startswith("<?xml")
        assert "</svg>" in text
    fresh = reskeras.read_analysis(tmp_path / "both" / "cifar-plain-20")
    assert fresh.depth == fresh.layers == 20
    assert all(0.5 < response.deviation < 2 for response in fresh.responses)  # batch norm is calibrated


def test_json_has_every_number(analysed):
    run, _ = analysed
    [row] = json.loads(ask(run.path, "--images", 20, "--lesions", 0, "--json").stdout)
    assert row["images"] == 20
    assert row["lesions"] == []
    assert {"unit", "shortcut_share", "sum_error", "depth", "gradient"} <= row["units"][1].keys()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--images", "0"), "images: 0: should be at least 1"),
        (("--lesions", "-1"), "lesions: -1: should be at least 0"),
    ],
)
def test_wrong_numbers_are_refused(analysed, words, why):
    done = ask(analysed[0].path, *words)
    assert (done.exit_code, done.stderr) == (2, f"reskeras: {why}\n")


def test_a_network_that_is_not_there_is_refused():
    done = ask("cifar-plain-21")
    assert done.exit_code == 2
    assert "did you mean cifar-plain-" in done.stderr


def test_a_folder_without_analysis_or_a_broken_one_is_told(analysed, tmp_path):
    with pytest.raises(ReskerasError, match="create it with: reskeras analyse"):
        reskeras.read_analysis(tmp_path)
    import shutil

    broken = shutil.copytree(analysed[0].folder.analysis_folder, tmp_path / "broken")
    (broken / "units.csv").write_text("unit,depth\nstem,deep\n")
    with pytest.raises(ReskerasError, match="is broken") as caught:
        reskeras.read_analysis(broken)
    assert caught.value.status == 1
