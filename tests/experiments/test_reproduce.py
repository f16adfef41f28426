"""`reskeras reproduce`: rows are trained once, measured, set beside what was published; failures are told."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

import reskeras
from reskeras.experiments.suite import suite_names
from reskeras_cli.main import commands


def ask(*words):
    return CliRunner().invoke(commands, [*map(str, words)])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    place = tmp_path_factory.mktemp("reproduce")
    told = []
    result = reskeras.reproduce(
        "v1-figure-7", "smoke", rows=["plain-20", "resnet-20"], seeds=2, out=place, tell=told.append
    )
    return place, result, told


def test_rows_are_measured_for_every_seed(done):
    _, result, _ = done
    for row in result.rows:
        assert sorted(row.figures) == [0, 1]
        assert {"response", "removed_error"} == row.figures[0].keys()
        run = reskeras.Run(row.runs[0])
        inside = reskeras.read_analysis(run.folder.analysis_folder)
        mean = sum(each.deviation for each in inside.responses) / len(inside.responses)
        assert row.figures[0]["response"] == pytest.approx(mean)
        assert row.figures[0] != row.figures[1]


def test_the_result_is_written_with_its_differences(done):
    place, result, _ = done
    data = json.loads((place / "v1-figure-7" / "smoke" / "results.json").read_text())
    assert data["rows"][0]["differences"] == result.rows[0].differences
    assert "digits instead of cifar10" in result.rows[0].differences
    with open(place / "v1-figure-7" / "smoke" / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[0]["median"]) == result.row("plain-20").statistics("response").median
    assert {row["runs"] for row in rows} == {"2"}


def test_what_is_done_is_not_done_again(done):
    place, result, told = done
    assert sum(note.startswith("preprocessing") for note in told) == 4
    again = []
    same = reskeras.reproduce(
        "v1-figure-7", "smoke", rows=["plain-20", "resnet-20"], seeds=2, out=place, tell=again.append
    )
    assert not any(note.startswith("preprocessing") for note in again)
    assert [row.figures for row in same.rows] == [row.figures for row in result.rows]


def test_another_suite_takes_the_same_runs_and_the_table_shows_both_numbers(done):
    place, _, _ = done
    shown = ask("reproduce", "v1-table-6", "--scale", "smoke", "--rows", "resnet-20", "--out", place)
    assert shown.exit_code == 0, shown.output
    assert "preprocessing" not in shown.stderr
    assert "1 already done" in shown.stdout
    assert "test error, paper" in shown.stdout
    assert "8.75 %" in shown.stdout
    assert "Differences from the paper: digits instead of cifar10" in shown.stdout


def test_a_failed_row_does_not_stop_the_others(done, monkeypatch, tmp_path):
    from reskeras.experiments import reproduce as module

    measured = module.figures_of

    def failing(row, *rest):
        if row.name == "plain-20":
            raise reskeras.ReskerasError("the loss is not finite at step 3")
        return measured(row, *rest)

    monkeypatch.setattr(module, "figures_of", failing)
    shown = ask("reproduce", "v1-figure-7", "--scale", "smoke", "--rows", "plain-20,resnet-20", "--out", done[0])
    assert shown.exit_code == 1
    assert "failed: plain-20: the loss is not finite at step 3" in shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    [plain, residual] = [line for line in lines if line and line[0] in ("plain-20", "resnet-20")]
    assert plain[1:] == ["failed", "failed"]
    assert float(residual[1]) > 0


def test_a_dry_run_says_what_it_costs_and_does_nothing(tmp_path):
    shown = ask("reproduce", "v1-figure-6", "--scale", "smoke", "--out", tmp_path / "none", "--dry-run")
    assert shown.exit_code == 0
    assert "Plain nets get worse with depth" in shown.stdout
    assert "time unknown until a run has finished" in shown.stdout
    assert not (tmp_path / "none").exists()


def test_counting_needs_no_training(tmp_path):
    shown = ask("reproduce", "v1-table-1", "--out", tmp_path, "--json")
    rows = {row["row"]: row for row in json.loads(shown.stdout)["rows"]}
    assert rows["vgg-19"]["figures"]["0"]["parameters"] == 143_667_240
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("v1-figure-6", "--scale", "big"), "scale: 'big' is not one of paper, budget, short, smoke"),
        (("v1-figure-6", "--seeds", "0"), "seeds: 0: should be at least 1"),
        (("v1-figure-66",), "did you mean v1-figure-6?"),
        (("v1-figure-6", "--rows", "plain-200"), "did you mean plain-20?"),
    ],
)
def test_wrong_requests_are_refused(words, why):
    shown = ask("reproduce", *words)
    assert shown.exit_code == 2
    assert why in shown.stderr


def test_suites_are_listed_with_their_rows():
    assert all(name in ask("suites").stdout for name in suite_names())
    assert "8.75" in ask("suites", "v1-table-6").stdout
    assert json.loads(ask("suites", "--json").stdout)["v2-table-2"]["runs"] == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", suite_names())
def test_every_suite_runs_at_smoke_scale(name, tmp_path_factory):
    place = tmp_path_factory.getbasetemp() / "smoke"  # suites share runs
    result = reskeras.reproduce(name, "smoke", out=place)
    assert not result.failed
    for row in result.rows:
        assert row.figures[0].keys() == set(result.suite.measures)
    assert all(outcome != "not measured" for _, outcome in result.findings())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_its_row_and_the_same_command_goes_on_to_the_same_result(tmp_path, number):
    words = ["reproduce", "v1-figure-7", "--scale", "smoke", "--rows", "plain-20,resnet-20", "--out"]
    command = [sys.executable, "-m", "reskeras", *words, str(tmp_path / "stopped")]
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for line in running.stdout:
        if line.startswith("preprocessing: "):
            running.send_signal(number)
            break
    told, _ = running.communicate(timeout=120)
    assert running.returncode in (128 + number, -number), told  # the latter where nothing is kept yet
    assert "Traceback" not in told
    assert "resnet-20" not in told.partition("stopped")[0]
    assert ask(*words, tmp_path / "stopped").exit_code == ask(*words, tmp_path / "whole").exit_code == 0
    stopped, whole = (tmp_path / name / "v1-figure-7" / "smoke" / "results.csv" for name in ("stopped", "whole"))
    assert stopped.read_bytes() == whole.read_bytes()


def test_batches_are_divided_among_devices(tmp_path):
    def reproduced(devices):  # in a process of its own: devices are fixed once TensorFlow starts
        words = ["v1-figure-7", "--scale", "smoke", "--rows", "plain-20", "--out", tmp_path, "--devices", devices]
        command = [sys.executable, "-m", "reskeras", "reproduce", *map(str, words)]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)

    done = reproduced(3)
    assert done.returncode == 2 and "batch_size: 20 cannot be split evenly over 3 replicas" in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = reproduced(2)
    assert done.returncode == 0, done.stderr
    assert "batch norm over each of 2 devices' images" in " ".join(done.stdout.split())


def test_rows_are_trained_on_images_given_in_python_and_told_from_others(tmp_path):
    import numpy as np

    labels = np.arange(40) % 2
    images = (labels[:, None, None, None] * 150 + np.random.default_rng(0).integers(0, 90, (40, 8, 8, 1))).astype(
        np.uint8
    )
    told = []

    def asked(images):
        return reskeras.reproduce(
            "v1-figure-6", "smoke", rows=["plain-20"], data=(images, labels), out=tmp_path, tell=told.append
        )

    first, same, other = asked(images), asked(images), asked(images[::-1])
    assert not first.failed
    assert any("instead of cifar10" in each and "arrays-" in each for each in first.rows[0].differences)
    assert first.rows[0].runs == same.rows[0].runs != other.rows[0].runs
    assert first.rows[0].figures == same.rows[0].figures
    assert sum(note.startswith("preprocessing") for note in told) == 2
