"""One GPU in eight minutes: training against stock Keras and PyTorch, XLA and precisions, input, exactness, memory.

`python -m benchmarks.accelerator`; without a GPU (or with --smoke) the same in a tiny form, whose figures mean nothing.
Every part runs in a process of its own within its share of the time; what did not fit is named.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cases import EXACTNESS, INPUT, Part, Row, Sizes
from benchmarks.results import KEPT, ROOT, publish, show

LIMIT = 450.0  # seconds for everything; starting and the last part's end come on top
LEAST = 8.0  # seconds below which a part is not begun
GIB = 2**30
PARTS = (
    Part("reskeras", "resnet-50", 120),
    Part(EXACTNESS, "", 80),
    Part("applications", "resnet-50", 60),
    Part("torch", "resnet-50", 50),
    Part("reskeras", "cifar-resnet-20", 60),
    Part("stock", "cifar-resnet-20", 25),
    Part("reskeras", "cifar-resnet-110", 80),
    Part("stock", "cifar-resnet-110", 40),
    Part(INPUT, "resnet-50", 45),
)
NOTE = (
    "Steps on one repeated batch; start is from building to the end of the first step; peak is TensorFlow's own figure."
)
# kernels that the driver compiles in the first process are kept for the others
ENVIRONMENT = {"CUDA_CACHE_MAXSIZE": str(4 * GIB), **os.environ}
SMOKE = Sizes({"resnet-50": (32, 2), "cifar-resnet-8": (32, 8)}, photos=24, seconds=0.3, others=("float32",))
SMOKE_PARTS = (
    Part("reskeras", "cifar-resnet-8", 60),
    Part("stock", "cifar-resnet-8", 30),
    Part("torch", "cifar-resnet-8", 10),
    Part("applications", "resnet-50", 60),
    Part(INPUT, "resnet-50", 40),
    Part(EXACTNESS, "", 80),
)
COLUMNS = ("network", "contender", "precision", "XLA", "batch", "images/s", "times stock Keras", "peak GiB", "start s")
STOCK = ("applications", "stock")


def sizes_for(memory: int | None) -> Sizes:
    """Batches that fit a GPU of so many bytes: 256 images of 224 pixels take about 22 GiB in bf16, twice that in
    float32."""
    batch = next((count for count, least in ((256, 60), (128, 30), (64, 14)) if (memory or 0) >= least * GIB), 32)
    networks = {"resnet-50": (224, batch), "cifar-resnet-20": (32, 128), "cifar-resnet-110": (32, 128)}
    return Sizes(networks, photos=2048, seconds=2.5)


def measured(part: Part, sizes: Sizes, seconds: float) -> tuple[list[Row], str]:
    """The rows that a part gave within `seconds`, and the end of what it wrote to stderr."""
    command = [sys.executable, "-m", "benchmarks.cases", json.dumps({"part": asdict(part), "sizes": asdict(sizes)})]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=errors, start_new_session=True, env=ENVIRONMENT
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the compilers that it has started
            process.wait()
        out.seek(0)
        errors.seek(0)
        lines = [line for line in out.read().splitlines() if line.endswith("}")]
        return [Row(**json.loads(line)) for line in lines], errors.read().strip()[-300:]


def run_all(parts: Sequence[Part], sizes: Sizes, limit: float) -> tuple[list[Row], list[str]]:
    """All rows, and what was skipped; a part gets its share of the time that is left."""
    end, found, skipped = time.monotonic() + limit, [], []
    for index, part in enumerate(parts):
        left = end - time.monotonic()
        share = left * part.weight / sum(each.weight for each in parts[index:])
        if share < LEAST:
            skipped.append(f"{part.name}: no time left")
            continue
        print(f"{part.name}: up to {share:.0f} s", flush=True)
        began = time.monotonic()
        rows, words = measured(part, sizes, share)
        found += [row for row in rows if not row.failure]
        failures: dict[str, list[str]] = {}
        for row in rows:
            if row.failure:
                failures.setdefault(row.failure, []).append(row.case)
        if missing := [case for case in part.cases(sizes) if case not in {row.case for row in rows}]:
            over = time.monotonic() - began >= share
            ended = f"the process ended: {(words.splitlines() or ['silently'])[-1]}"
            failures.setdefault(f"not done in {share:.0f} s" if over else ended, []).extend(missing)
        skipped += [f"{part.name} ({', '.join(cases)}): {reason}" for reason, cases in failures.items()]
    return found, skipped


def speed_rows(found: Sequence[Row]) -> list[list[Any]]:
    """The table of speeds: beside stock Keras of the same network, precision and batch."""
    stock = {(row.network, row.precision): row.rate for row in found if row.contender in STOCK}
    table = []
    for row in found:
        if row.rate is None:
            continue
        base = stock.get((row.network, row.precision)) if row.peak_bytes or row.start_seconds else None
        names = {"applications": "keras.applications", "stock": "stock Keras", "torch": "PyTorch"}
        table.append(
            [
                row.network,
                names.get(row.contender, row.contender),
                row.precision,
                row.xla,
                row.batch,
                f"{row.rate:,.1f}",
                f"{row.rate / base:.2f}" if base else "",
                f"{row.peak_bytes / GIB:.2f}" if row.peak_bytes else "",
                f"{row.start_seconds:.1f}" if row.start_seconds else "",
            ]
        )
    return table


def check_rows(found: Sequence[Row]) -> list[list[Any]]:
    """The table of checks."""
    return [
        [row.case, f"{row.figure:.3g}", f"{row.bound:.3g}", "holds" if row.holds else "FAILS"]
        for row in found
        if row.holds is not None
    ]


def main() -> int:
    """Measure, print two tables, write JSON; the status is 1 when a check fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="The tiny form, also where there is a GPU.")
    parser.add_argument("--seconds", type=float, default=LIMIT, help="Time for everything.")
    parser.add_argument("--parts", nargs="+", metavar="NAME", help="Only these parts, such as 'resnet-50, reskeras'.")
    parser.add_argument("--out", type=Path, help="The JSON file.  [docs/benchmarks/accelerator.json; smoke: none]")
    options = parser.parse_args()
    from reskeras.diagnosis.driver import find_driver
    from reskeras.diagnosis.probe import used_gpus

    gpus = used_gpus(find_driver())  # without computing on them: their memory is for the parts
    smoke = options.smoke or not gpus
    sizes, parts = (SMOKE, SMOKE_PARTS) if smoke else (sizes_for(gpus[0].memory), PARTS)
    if options.parts:
        parts = [part for part in parts if part.name in options.parts]
        if len(parts) < len(set(options.parts)):
            parser.error(f"--parts: choose from {'; '.join(part.name for part in (SMOKE_PARTS if smoke else PARTS))}")
    where = gpus[0].name if gpus else "no GPU"
    if smoke:
        print(f"{where}: tiny sizes, which only show that the benchmark runs; its figures mean nothing")
    found, skipped = run_all(parts, sizes, options.seconds)
    checks = check_rows(found)
    if checks:
        show("Exactness", ("check", "figure", "bound", "result"), checks)
    publish(
        "accelerator",
        "Training on one GPU",
        COLUMNS,
        speed_rows(found),
        note=f"{where}{', tiny sizes' if smoke else ''}. {NOTE}",
        file=options.out or (None if smoke else KEPT),
        gpu=where,
        smoke=smoke,
        checks=checks,
        skipped=skipped,
        measured=[asdict(row) for row in found],
    )
    for each in skipped or ["nothing"]:
        print(f"skipped: {each}")
    return 0 if all(row.holds is not False for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
