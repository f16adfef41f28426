"""The folder of a suite's results is read back whole, moved and without its runs; results of earlier versions too."""

import csv
import json
import re
import shutil

import pytest
from click.testing import CliRunner

import reskeras
from reskeras.experiments.page import page_of_suite
from reskeras.experiments.pictures import dots_of
from reskeras.experiments.results import RowResult, SuiteResult
from reskeras.experiments.results_folder import _table as table_of
from reskeras.experiments.results_folder import read_result
from reskeras_cli.main import commands


def ask(*words):
    return CliRunner().invoke(commands, [*map(str, words)])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    place = tmp_path_factory.mktemp("results")
    suite = place / "mine.yaml"
    suite.write_text(
        "title: t\nsource: s\nexpects: e\nprotocol: cifar\nmeasures: [test_error, training_error, response]\nrows:\n"
        "  - {row: plain 8, network: {family: cifar, stages: [1], shortcut: none}, published: {test_error: 8.75}}\n"
        "  - {row: -resnet, network: {family: cifar, stages: [1]}}\n"
        "findings: [{less: -resnet, more: plain 8, by: response, says: Residual nets respond less.}]\n"
    )
    result = reskeras.reproduce(suite, "smoke", seeds=2, out=place / "out")
    assert not result.failed
    return place / "out", result


def test_it_is_read_back_as_it_was_also_where_it_was_moved_and_its_runs_are_gone(written, tmp_path):
    place, result = written
    assert read_result(place / "mine" / "smoke") == result
    shutil.copytree(place / "mine" / "smoke", tmp_path / "kept")
    moved = read_result(tmp_path / "kept")
    assert [row.figures for row in moved.rows] == [row.figures for row in result.rows]
    assert [row.records for row in moved.rows] == [row.records for row in result.rows]
    assert moved.findings() == result.findings()
    assert page_of_suite(moved) == page_of_suite(result)


def test_the_tables_of_runs_and_epochs_are_those_of_the_runs(written):
    place, result = written
    with open(place / "mine" / "smoke" / "runs.csv", newline="") as file:
        runs = list(csv.DictReader(file))
    assert [(row["row"], row["seed"]) for row in runs] == [
        (name, seed) for name in ("plain 8", "'-resnet") for seed in "01"
    ]
    for row, made in zip(runs, (path for each in result.rows for path in each.runs.values()), strict=True):
        run = reskeras.Run(made)
        assert float(row["test error"]) == 1 - run.evaluate().top1
        assert row["schedule"] == "1 epoch, steps at 0.1, batch 20"
        assert row["revision"] == run.folder.provenance()["git_revision"]
        assert row["precision"] == "float32" and "core" in row["hardware"] and "digits" in row["data"]
    with open(place / "mine" / "smoke" / "epochs.csv", newline="") as file:
        epochs = list(csv.DictReader(file))
    assert len(epochs) == 4
    assert float(epochs[0]["val_accuracy"]) == reskeras.Run(result.rows[0].runs[0]).folder.metrics()[0]["val_accuracy"]


def test_its_report_prints_the_table_and_the_verdicts_and_writes_the_page(written, tmp_path):
    place, _ = written
    shutil.copytree(place / "mine" / "smoke", tmp_path / "kept")
    (tmp_path / "kept" / "report.html").unlink()
    shown = ask("report", tmp_path / "kept")
    assert shown.exit_code == 0, shown.output
    assert "8.75%" in shown.stdout and "Residual nets respond less." in shown.stdout
    page = (tmp_path / "kept" / "report.html").read_text()
    assert page.index("Residual nets respond less.") < page.index("8.75%")  # the finding first
    told = json.loads(ask("report", tmp_path / "kept", "--json").stdout)
    assert told["findings"][0]["says"] == "Residual nets respond less."


def test_results_of_earlier_versions_take_their_records_from_the_runs(written, tmp_path):
    place, result = written
    shutil.copytree(place / "mine" / "smoke", tmp_path / "old")
    path = tmp_path / "old" / "results.json"
    data = json.loads(path.read_text())
    for row, known in zip(data["rows"], result.rows, strict=True):
        row.pop("records")
        row.pop("right")
        row["runs"] = {str(seed): str(run) for seed, run in known.runs.items()}
    path.write_text(json.dumps(data))
    read = read_result(tmp_path / "old")
    assert [row.records for row in read.rows] == [row.records for row in result.rows]
    assert [row.figures for row in read.rows] == [row.figures for row in result.rows]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("seconds", "minutes"),
        lambda text: re.sub(r",1,", ",-1e23,", text, count=1),
        lambda text: text.replace("\n-resnet,0,1,", "\n-resnet,0,inf,").replace(",0,1,", ",0,nan,"),
    ],
)
def test_broken_tables_of_epochs_are_told_in_a_line(written, tmp_path, change):
    place, _ = written
    shutil.copytree(place / "mine" / "smoke", tmp_path / "broken")
    path = tmp_path / "broken" / "epochs.csv"
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    shown = ask("report", tmp_path / "broken")
    assert shown.exit_code == 1, shown.output
    assert "results.json is broken" in shown.stderr and "Traceback" not in shown.output


def test_a_table_has_shares_throughout_and_no_deviation_of_a_single_run(written):
    place, result = written
    with open(place / "mine" / "smoke" / "results.csv", newline="") as file:
        [line, *_] = csv.DictReader(file)
    assert float(line["published"]) == 0.0875
    assert float(line["deviation"]) == result.rows[0].statistics("test_error").deviation
    single = RowResult("plain 8", {}, figures={0: {"test_error": 0.5}})
    [_, [*_, deviation, count, _]] = table_of(SuiteResult("mine", result.suite, "smoke", [single]))
    assert (deviation, count) == ("", 1)


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda data: data["rows"][0].pop("figures"), "figures"),
        (lambda data: data["rows"][0]["right"]["0"]["test"].update(images="many"), "images"),
        (lambda data: data["rows"][0]["records"]["0"].pop("facts"), "facts"),
        (lambda data: data.pop("spec"), "spec"),
        (lambda data: data.update(rows=[]), ""),
        (lambda data: data["rows"][0]["figures"]["0"].update(test_error=None), "number"),
        (lambda data: data["rows"][0]["figures"]["0"].update(test_error=float("nan")), "test_error: nan"),
        (lambda data: data["rows"][0]["figures"]["0"].update(test_error=-3), "test_error: -3"),
        (lambda data: data["rows"][0]["figures"]["0"].update(response=1e300), "response: 1e+300"),
        (lambda data: data["rows"][0]["right"]["0"]["test"].update(bits="AA"), "bits"),
        (lambda data: data["rows"][0]["right"]["0"]["test"].update(images=10**12), "images"),
        (lambda data: data["rows"][0]["records"]["0"]["recipe"].update(epochs="x"), "epochs"),
        (lambda data: data.update(scale="huge"), "huge"),
    ],
)
def test_broken_results_are_told_in_a_line(written, tmp_path, break_it, why):
    place, _ = written
    shutil.copytree(place / "mine" / "smoke", tmp_path / "broken")
    path = tmp_path / "broken" / "results.json"
    data = json.loads(path.read_text())
    break_it(data)
    path.write_text(json.dumps(data))
    shown = ask("report", tmp_path / "broken")
    assert shown.exit_code == 1
    assert "results.json is broken" in shown.stderr and why in shown.stderr
    assert "Traceback" not in shown.output


def test_what_is_compared_is_drawn_row_by_row(written):
    place, result = written
    [test, training] = dots_of(result)
    assert (test.title, training.title) == ("test error", "training error")  # a response is no share
    assert test.published == {"plain 8": 8.75} and not training.published
    for row in result.rows:
        assert test.values[row.row] == [100 * figures["test_error"] for figures in row.figures.values()]
    assert {path.name for path in (place / "mine" / "smoke").glob("rows.*")} == {"rows.png", "rows.svg"}
    assert page_of_suite(result).sections[2].title == "Row by row"
