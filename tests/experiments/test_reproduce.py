"""`reskeras reproduce`: rows are trained once, measured, set beside what was published; failures are told."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

import reskeras
from reskeras.experiments import suite_rows
from reskeras.experiments.suite import SuiteSpec, read_suite, suite_names
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
    assert "8.75%" in shown.stdout
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


def test_a_reason_that_rows_share_is_told_once_as_it_comes_and_once_in_the_end(done, monkeypatch):
    from reskeras.experiments import reproduce as module

    def failing(row, *rest):
        raise reskeras.ReskerasError("data: 3 of the 40 train images hold no object")

    monkeypatch.setattr(module, "figures_of", failing)
    shown = ask("reproduce", "v1-figure-7", "--scale", "smoke", "--rows", "plain-20,resnet-20", "--out", done[0])
    assert shown.exit_code == 1 and shown.stderr.count("hold no object") == 2
    assert "resnet-20 failed: as 'plain-20' did" in shown.stderr
    assert "failed: plain-20, resnet-20: data: 3 of the 40 train images hold no object" in shown.stderr


def test_a_dry_run_says_what_it_costs_and_does_nothing(tmp_path):
    shown = ask("reproduce", "v1-figure-6", "--scale", "smoke", "--out", tmp_path / "none", "--dry-run")
    assert shown.exit_code == 0
    assert "Plain nets get worse with depth" in shown.stdout
    assert "time unknown until a run has finished" in shown.stdout
    assert not (tmp_path / "none").exists()
    shown = ask("reproduce", "v1-figure-6", "--scale", "smoke", "--out", tmp_path / "none", "--dry-run", "--json")
    told = json.loads(shown.stdout)
    assert [each["row"] for each in told["trainings"]] == ["plain-20", "resnet-20"]  # at this scale rows coincide
    assert all(
        each["multiply_adds"] > 0 and each["left"] == 1 and each["seconds"] is None for each in told["trainings"]
    )


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
@pytest.mark.parametrize("name", [name for name in suite_names() if any(not row.ours for row in read_suite(name).rows)])
def test_every_suite_runs_at_smoke_scale(name, tmp_path_factory):
    place = tmp_path_factory.getbasetemp() / "smoke"  # suites share runs
    result = reskeras.reproduce(name, "smoke", out=place)
    assert not result.failed
    printed = {row.row for row in result.suite.rows if row.network is None}
    for row in result.rows:
        assert row.row in printed or row.figures[0].keys() == set(result.suite.measures)
    assert all(verdict.word != "not measured" for _, verdict in result.findings())


NETWORKS = {"plain": {"shortcut": "none"}, "resnet": {}, "preact": {"order": "full_preact"}}


@pytest.fixture
def small(monkeypatch):
    """Two small suites in the place of the built-in ones, whose budget is that of the smoke scale."""
    from reskeras.experiments import reproduce as module
    from reskeras.experiments.suite import ProtocolSpec, read_protocol

    def suite(*rows):
        return SuiteSpec.model_validate(
            {
                "title": "t",
                "source": "s",
                "expects": "e",
                "protocol": "cifar",
                "measures": ["test_error"],
                "rows": [
                    {
                        "row": name,
                        "network": {"family": "cifar", "stages": [1], **NETWORKS[name]},
                        "budget": {"turn": turn, "seeds": seeds},
                    }
                    for name, turn, seeds in rows
                ],
            }
        )

    suites = {
        "one": suite(("plain", "may", 1), ("resnet", "must", 2)),
        "two": suite(("resnet", "must", 2), ("preact", "should", 1)),
    }
    known = read_protocol("cifar").sparse()
    known["scales"]["budget"] = known["scales"]["smoke"]
    monkeypatch.setattr(suite_rows, "read_protocol", lambda name: ProtocolSpec.model_validate(known))
    monkeypatch.setattr(module, "suite_names", lambda: [*suites])
    monkeypatch.setattr(module, "read_suite", suites.__getitem__)
    return suites


@pytest.mark.slow
def test_all_suites_are_run_by_turns_and_what_they_share_once(small, tmp_path):
    told = []
    results = reskeras.reproduce_all("budget", only=["must", "should"], out=tmp_path, tell=told.append)
    trained = [told[place - 1] for place, note in enumerate(told) if note.startswith("preprocessing")]
    assert trained == ["resnet, seed 0", "resnet, seed 1", "preact, seed 0"]
    assert [(each.name, [(row.row, sorted(row.figures)) for row in each.rows]) for each in results] == [
        ("one", [("resnet", [0, 1])]),
        ("two", [("resnet", [0, 1]), ("preact", [0])]),
    ]
    told.clear()
    everything = reskeras.reproduce_all("budget", out=tmp_path, tell=told.append)
    assert sum(note.startswith("preprocessing") for note in told) == 1  # plain is what was left
    assert {row.row for row in everything[0].rows} == {"plain", "resnet"}


@pytest.mark.slow
def test_the_cost_of_all_is_counted_once_and_what_is_done_is_left_out(small, tmp_path, monkeypatch):
    from reskeras.experiments import cost as module
    from reskeras.experiments.cost import cost
    from reskeras.experiments.reproduce import all_prepared, opened_replicas

    ready = all_prepared("budget")
    unknown = cost(ready, tmp_path)
    assert [(each.row, each.seed) for each in unknown.trainings] == [
        ("plain", 0),
        ("resnet", 0),
        ("resnet", 1),
        ("preact", 0),
    ]
    assert unknown.left == 4 and unknown.seconds is None
    asked = []
    with monkeypatch.context() as busy:
        busy.setattr(module, "training_rate", lambda job, replicas: time.sleep(0.5) or 100.0)
        busy.setattr(module, "used_seconds", lambda: 2 * time.monotonic() + sum(os.times()[:4]))
        assert cost(ready, tmp_path, replicas=opened_replicas([], 1), tell=asked.append).seconds > 0
    assert asked[1] == "other work used 2.0 cores meanwhile, so the time measured for plain is too long"
    assert asked[::2] == [f"measuring a step of {row}" for row in ("plain", "resnet", "preact")]  # not for each seed
    assert cost(ready, tmp_path).seconds is None  # not kept
    monkeypatch.setattr(module, "used_seconds", lambda: sum(os.times()[:4]))
    asked = []
    measured = cost(ready, tmp_path, replicas=opened_replicas([], 1), tell=asked.append)
    assert asked == [f"measuring a step of {row}" for row in ("plain", "resnet", "preact")]
    assert measured.seconds > 0
    assert cost(ready, tmp_path).seconds == measured.seconds  # kept
    [result, _] = reskeras.reproduce_all("budget", only=["must"], out=tmp_path)
    after = cost(ready, tmp_path)
    assert [each.is_done for each in after.trainings] == [False, True, True, False]
    run = reskeras.Run(result.rows[0].runs[0])
    counts = run.folder.provenance()["data"]
    work = (3 * counts["train"] + counts["test"]) * run.plan.complexity().multiply_adds
    assert after.trainings[1].multiply_adds == pytest.approx(work)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("all", "--scale", "budget", "--only", "soon"), "only: 'soon' is not one of must, should, may"),
        (("all", "--scale", "smoke", "--only", "must"), "only: rows have turns only at the scale budget"),
        (("all", "--rows", "plain-20"), "--rows: only for one suite, not for all"),
        (("all", "--seeds", "2"), "--seeds: only for one suite, not for all"),
        (("all", "--data", "digits"), "--data: only for one suite, not for all"),
        (("v1-figure-6", "--only", "must"), "--only: only for all; choose the rows of one suite with --rows"),
        (("v1-table-4", "--scale", "budget"), "scale: no row of this suite is run at the scale budget"),
    ],
)
def test_what_goes_with_all_suites_alone_is_told(words, why):
    shown = ask("reproduce", *words)
    assert shown.exit_code == 2
    assert why in shown.stderr


@pytest.mark.slow
def test_all_suites_print_their_trainings_first_and_then_their_results(small, tmp_path):
    shown = ask("reproduce", "all", "--scale", "budget", "--only", "must", "--out", tmp_path)
    assert shown.exit_code == 0, shown.output
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["one", "resnet", "0"] in [line[:3] for line in lines]
    assert shown.stdout.count("results.json") == 2
    listed = json.loads(
        ask("reproduce", "all", "--scale", "budget", "--only", "must", "--out", tmp_path, "--json").stdout
    )
    assert [each["suite"] for each in listed] == ["one", "two"]


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


@pytest.mark.slow
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


@pytest.mark.slow
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
