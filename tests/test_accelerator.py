"""The accelerator's benchmark ends in time with what it has, names what it skipped, and tells failures."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import accelerator, cases
from benchmarks.cases import Part, Row
from benchmarks.photos import LONGER, make_photos

ROOT = Path(__file__).parents[1]
STOCK, OURS = Part("stock", "cifar-resnet-8", 1), Part("reskeras", "cifar-resnet-8", 3)


class Slow:
    """A clock, and a stand-in for `measured` whose parts take `seconds` of it."""

    def __init__(self, monkeypatch, seconds, given=lambda part: []):
        self.now, self.seconds, self.given, self.shares = 0.0, seconds, given, []
        monkeypatch.setattr(accelerator.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(accelerator, "measured", self.measured)

    def measured(self, part, sizes, seconds):
        self.shares.append(seconds)
        self.now += min(self.seconds, seconds)
        return self.given(part), "Fatal: out of luck"


def row(part, case, **facts):
    return Row(part.name, case, part.network, part.library, precision=case.split()[0], **facts)


def test_parts_share_the_time_by_weight_and_pass_on_what_is_left(monkeypatch):
    slow = Slow(monkeypatch, 5, lambda part: [row(part, case) for case in part.cases(accelerator.SMOKE)])
    found, skipped = accelerator.run_all([STOCK, OURS, STOCK], accelerator.SMOKE, 100)
    assert slow.shares == [20, pytest.approx(95 * 3 / 4), 90]
    assert len(found) == 8 and skipped == []


def test_what_there_is_no_time_for_is_named_and_the_limit_kept(monkeypatch):
    slow = Slow(monkeypatch, 1000, lambda part: [row(part, "bfloat16 XLA")] if part is OURS else [])
    found, skipped = accelerator.run_all([OURS, STOCK, STOCK], accelerator.SMOKE, 30)
    assert slow.now <= 30
    assert [each.case for each in found] == ["bfloat16 XLA"]
    assert skipped == [
        f"cifar-resnet-8, reskeras ({', '.join(OURS.cases(accelerator.SMOKE)[1:])}): not done in 18 s",
        "cifar-resnet-8, stock: no time left",  # its share would be 6 s
        "cifar-resnet-8, stock (float32): not done in 12 s",
    ]


def test_a_process_that_dies_and_a_case_that_fails_are_told(monkeypatch):
    Slow(monkeypatch, 1, lambda part: [row(part, "float32", failure="OOM")] if part is STOCK else [])
    found, skipped = accelerator.run_all([STOCK, Part("input", "resnet-50", 1)], accelerator.SMOKE, 100)
    assert found == []
    assert skipped == [
        "cifar-resnet-8, stock (float32): OOM",
        "resnet-50, input (paper-imagenet, modern-imagenet, with steps): the process ended: Fatal: out of luck",
    ]


def test_a_part_that_takes_too_long_is_ended():
    began = time.monotonic()
    assert accelerator.measured(STOCK, accelerator.SMOKE, 0.5)[0] == []
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_failed_case_does_not_stop_the_next(monkeypatch):
    def trained(part, case, sizes, folder):
        if case.endswith("XLA"):
            raise ValueError("no ptxas\nmore")
        return row(part, case, rate=2.0)

    monkeypatch.setattr(cases, "_trained", trained)
    rows = list(cases.rows(OURS, accelerator.SMOKE))
    assert [each.failure for each in rows] == ["ValueError: no ptxas", None] * 3


def test_speeds_are_beside_stock_keras_of_the_same_precision():
    found = [
        row(OURS, "float32 XLA", rate=30.0, start_seconds=1.0, peak_bytes=3 << 29),
        row(OURS, "bfloat16 XLA", rate=90.0, start_seconds=1.0),
        row(STOCK, "float32", rate=20.0, start_seconds=2.0),
        Row("exactness", "XLA equals plain", figure=2e-6, bound=1e-3, holds=True),
        Row("exactness", "resumed", figure=1, bound=0, holds=False),
    ]
    table = accelerator.speed_rows(found)
    ours, half, stock = (line[5:] for line in table)
    assert (ours, half, stock) == (
        ["30.0", "1.50", "1.50", "1.0"],
        ["90.0", "", "", "1.0"],
        ["20.0", "1.00", "", "2.0"],
    )
    assert [line[3] for line in accelerator.check_rows(found)] == ["holds", "FAILS"]


def test_batches_follow_the_gpu_s_memory():
    sizes = [accelerator.sizes_for(gib << 30).networks["resnet-50"] for gib in (141, 40, 16, 8)]
    assert sizes == [(224, 256), (224, 128), (224, 64), (224, 32)]
    assert accelerator.sizes_for(None).networks["resnet-50"] == (224, 32)


def test_photos_are_jpegs_of_imagenet_s_sizes_the_same_every_time(tmp_path):
    first, second = tmp_path / "x", tmp_path / "y"
    assert make_photos(first, 4) == make_photos(second, 4) > 10_000
    files = sorted(path.relative_to(first) for path in first.rglob("*.jpg"))
    assert len(files) == 4 and {path.parts[0] for path in files} == {"flower", "temple"}
    for path in sorted(files, key=lambda path: path.name):
        assert (first / path).read_bytes() == (second / path).read_bytes()
        with Image.open(first / path) as image:
            assert max(image.size) in LONGER and 0.5 < min(image.size) / max(image.size) < 0.9
            assert np.asarray(image).std() > 10


@pytest.mark.slow
def test_the_tiny_form_measures_everything_and_every_check_holds(tmp_path):
    out = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks.accelerator", "--smoke", "--seconds", "1500", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["skipped"] == ["cifar-resnet-8, torch (float32): PyTorch with CUDA is not installed"]
    assert [check[3] for check in found["checks"]] == ["holds"] * 5
    assert {row["part"]: row["rate"] is not None for row in found["measured"]} == {
        **{f"cifar-resnet-8, {library}": True for library in ("reskeras", "stock")},
        "resnet-50, applications": True,
        "resnet-50, input": True,
        "exactness": False,
    }
    assert "tiny sizes" in done.stdout
