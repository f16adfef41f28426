"""How fast artefacts are: laps by a clock that is told the time, turns of processes, what is said of it."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import reskeras
from reskeras.export import speed, stopwatch
from reskeras.export.runtimes import open_model, opened_file
from reskeras.export.speed import Asked, Timing, speeds
from reskeras.report.exports import slower_told, speed_table
from reskeras.report.exports_plot import draw_exports, exports_in_words, placed
from tests.cli.running import invoke, printed, refused

KINDS = ("serving", "tflite", "tflite-int8", "onnx", "openvino")


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """A run with artefacts of every runtime, not measured."""
    run = reskeras.Run(shutil.copytree(trained.path, tmp_path_factory.mktemp("speed") / "run"))
    run.export(*KINDS, timing=False)
    return run


@pytest.mark.parametrize(("seconds", "runs"), [(10.0, 1), (0.25, 4), (1e-6, stopwatch.MOST)])
def test_laps_fill_a_second_after_one_to_warm_up_but_are_not_endless(monkeypatch, seconds, runs):
    now, asked = [0.0], []

    def ask():
        now[0] += 100.0 if not asked else seconds  # the first builds what the others use
        asked.append(None)

    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert stopwatch.laps(ask, 1.0) == pytest.approx([seconds] * runs, rel=1e-3)
    assert len(asked) == 1 + runs


def test_a_timing_is_the_percentiles_of_its_laps():
    laps = np.repeat([0.01, 0.02, 0.3], [20, 30, 2])
    assert Timing.of(8, laps) == Timing(8, 20.0, pytest.approx(1000 * np.percentile(laps, 99)), 400.0)
    assert Timing.of(1, [0.5]).rate == "2.00" and Timing.of(32, [0.01]).rate == "3,200"


def test_artefacts_take_turns_and_their_laps_are_joined(monkeypatch, tmp_path):
    order = []

    def turn(program, arguments, by, within):
        order.append(Path(arguments[0]).name)
        lap = 0.001 * len(order)
        told = {"loading": lap, "laps": {"1": [lap], "4": [4 * lap]}, "memory": 10 * len(order), "precision": "f32"}
        return json.dumps(told).encode()

    monkeypatch.setattr(speed, "run_aside", turn)
    images = {"images": np.zeros((4, 2, 2, 1), np.uint8)}
    asked = {name: Asked(tmp_path / name, images, (1, 4)) for name in ("a.tflite", "b.onnx")}
    found = speeds(asked, threads=2, turns=3)
    assert order == ["a.tflite", "b.onnx"] * 3
    assert found["a.tflite"].threads == 2 and found["a.tflite"].turns == 3
    assert [each.p50_ms for each in found["a.tflite"].timings] == pytest.approx([3.0, 12.0])  # of turns 1, 3 and 5
    assert found["b.onnx"].loading_ms == pytest.approx(4.0) and found["b.onnx"].memory == 60
    assert found["b.onnx"].fastest.batch == 1


def test_all_artefacts_are_measured_each_in_its_own_process(exported):
    images = {"images": np.zeros((2, 16, 16, 1), np.uint8)}
    files = {proof.kind: Path(proof.path) for proof in exported.proofs()}
    found = speeds({kind: Asked(files[kind], images, (1, 3)) for kind in files}, threads=1, turns=1)
    for kind, each in found.items():
        assert not each.failure and [timing.batch for timing in each.timings] == [1, 3], kind
        assert all(0 < timing.p50_ms <= timing.p99_ms for timing in each.timings)
        assert each.loading_ms > 0
    assert found["serving"].memory > 5 * found["tflite"].memory > 0  # TensorFlow is in it


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", KINDS)
def test_every_runtime_gives_the_same_answers_whatever_its_threads(exported, kind):
    path = opened_file(next(Path(proof.path) for proof in exported.proofs() if proof.kind == kind))
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8)
    precision = "f32" if kind == "openvino" else ""
    usual = open_model(path, precision)(images=images)["logits"]
    if kind != "serving":  # TensorFlow takes its number before it begins to compute
        np.testing.assert_allclose(open_model(path, precision, 2)(images=images)["logits"], usual, atol=1e-5)
    assert usual.shape == (5, 10)


def test_one_that_fails_does_not_end_the_others(exported, tmp_path):
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"no model")
    [good] = [Path(proof.path) for proof in exported.proofs() if proof.kind == "tflite"]
    images = {"images": np.zeros((1, 16, 16, 1), np.uint8)}
    found = speeds({"broken": Asked(broken, images, (1,)), "good": Asked(good, images, (1,))}, threads=1, turns=2)
    assert "is rejected by LiteRT" in found["broken"].failure and not found["broken"].timings
    assert not found["good"].failure


def test_the_command_renews_the_figures_in_the_export_folder(exported, tmp_path):
    run = reskeras.Run(shutil.copytree(exported.path, tmp_path / "run"))
    before = {proof.kind: proof for proof in run.proofs()}
    shown = printed("benchmark", run.path, "--to", "tflite", "--to", "tflite-int8", "--turns", "1")
    lines = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert "p50, batch 32" in lines["artefact"] and " ms " in lines["tflite"] and "MiB" in lines["tflite"]
    after = {proof.kind: proof for proof in run.proofs()}
    assert [kind for kind in KINDS if after[kind].speed] == ["tflite", "tflite-int8"]
    assert all(after[kind].difference == before[kind].difference for kind in KINDS)
    rows = list(csv.DictReader((run.folder.export_folder / "report.csv").open()))
    timed = {row["artefact"]: row for row in rows}
    assert float(timed["tflite"]["p50_ms_batch_1"]) == after["tflite"].speed.at(1).p50_ms
    assert timed["onnx"]["p50_ms_batch_1"] == "" and timed["tflite-int8"]["computed_in"] == "integers"
    assert (run.folder.export_folder / "report.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(printed("benchmark", run.path, "--to", "onnx", "--turns", "1", "--json"))
    assert told[0]["speed"]["turns"] == 1 and told[0]["kind"] == "onnx"


def test_what_cannot_be_measured_is_refused_in_a_line(exported, trained):
    assert "to: 'coreml' is not one of serving, tflite" in refused("benchmark", exported.path, "--to", "coreml")
    assert "threads: 0 is out of range; use 1 to 256" in refused("benchmark", exported.path, "--threads", "0")
    assert "turns: 101 is out of range" in refused("benchmark", exported.path, "--turns", "101")
    said = refused("benchmark", trained.path)
    assert f"has no artefact to measure; make one with: reskeras export {trained.path}" in said


def test_an_artefact_of_an_older_model_is_measured_and_told(exported, tmp_path):
    run = reskeras.Run(shutil.copytree(exported.path, tmp_path / "run"))
    report = run.folder.export_folder / "report.json"
    report.write_text(report.read_text().replace(run.folder.digest(), "0" * 64))
    assert "agrees, with an older model" in printed("benchmark", run.path, "--to", "tflite", "--turns", "1")


def test_small_files_that_are_slow_are_told_and_plots_are_of_what_was_timed(exported, tmp_path):
    run = reskeras.Run(shutil.copytree(exported.path, tmp_path / "run"))
    usual, small = run.export("tflite-int8", "onnx-int8")
    proofs = usual, replace(small, kind="tflite-int8-w4")  # of so small a network that would be rejected
    slow = [at(proofs[0], 1.0), at(proofs[1], 3.5)]
    [said] = slower_told(slow)
    assert "tflite-int8-w4 is the smaller file, but 3.5 times slower than tflite-int8" in said
    assert not slower_told([at(proofs[0], 3.5), at(proofs[1], 1.0)]) and not slower_told(slow[:1])
    titles, rows = speed_table(slow)
    assert titles[3] == "p50, batch 1" and [row[3] for row in rows] == ["1.00 ms", "3.50 ms"]
    assert [latency for _, latency in placed(slow)] == [1.0, 3.5] and len(draw_exports(slow).axes) == 1
    assert "tflite-int8-w4: " in exports_in_words(slow) and "3.50 ms an image" in exports_in_words(slow)


def at(proof, ms):
    """The proof with one timing, of a batch of one."""
    return replace(proof, speed=replace(proof.speed, timings=(Timing(1, ms, ms, 1000 / ms),)))


def test_exports_verify_as_many_images_as_are_asked_for(exported, tmp_path):
    run = reskeras.Run(shutil.copytree(exported.path, tmp_path / "run"))
    [proof] = run.export("tflite-float16", images=37, timing=False)
    assert proof.images == 37 and proof.gained is not None and proof.interval[0] <= proof.accuracy <= proof.interval[1]
    right = proof.keras_accuracy * 37 + proof.gained - proof.lost
    assert proof.accuracy * 37 == pytest.approx(right)
    assert "images: 0: should be at least 1" in refused("export", run.path, "--images", "0")
    assert invoke("export", run.path, "--images", "two").exit_code == 2
