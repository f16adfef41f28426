"""What integers cost, and what training on them gets back: a run, its integer artefacts, and both after another epoch.

    python -m benchmarks.integer_trials commands RESULTS --runs RUNS --work DIR    a command for each trial that is left
    python -m benchmarks.integer_trials table RESULTS                              the table of what is finished

RUNS holds trained classifiers. Each has these trials: as it is, and after one more epoch by the recipe `quantise` with
each of three seeds; in float32, int8 and int8-w4, as LiteRT answers for all test images. RESULTS gets trials.jsonl: a
line for each trial, with a bit for each test image. A training that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.results import machine, show

FLOAT = "float32"
KINDS = {FLOAT: "tflite", "int8": "tflite-int8", "int8-w4": "tflite-int8-w4"}
BEFORE, SEEDS = -1, (0, 1, 2)
EPOCHS = 1
TRIALS_FILE = "trials.jsonl"


class Trial(NamedTuple):
    """A run in one of the ways of KINDS, as it is (seed BEFORE) or trained on with a seed."""

    run: str
    way: str
    seed: int

    @property
    def name(self) -> str:
        """Of its run."""
        return f"{self.run}-{self.way}-seed{self.seed}"


def trials(wanted: argparse.Namespace) -> Iterator[Trial]:
    """Those of the runs in `wanted.runs` that are asked for, those as they are first."""
    from reskeras.runs import open_run

    folders = [folder for folder in sorted(wanted.runs.iterdir()) if (folder / "network.yaml").is_file()]
    for run in (folder.name for folder in folders if open_run(folder).task == "classification"):
        for seed in (BEFORE, *SEEDS):
            for way in KINDS:
                trial = Trial(run, way, seed)
                asked = (getattr(wanted, field, None) in (None, value) for field, value in trial._asdict().items())
                if all(asked):
                    yield trial


def finished(results: Path) -> dict[Trial, dict[str, Any]]:
    """The lines of the trials that are done."""
    file = results / TRIALS_FILE
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {Trial(line["run"], line["way"], line["seed"]): line for line in map(json.loads, lines)}


def run(trial: Trial, wanted: argparse.Namespace) -> dict[str, Any]:
    """Train, where that is part of it, and judge; the trial's line."""
    import shutil

    import reskeras
    from reskeras.experiments.right_images import RightImages

    began = time.perf_counter()
    work = wanted.work / trial.name
    if trial.seed == BEFORE:
        if not work.exists():
            shutil.copytree(wanted.runs / trial.run, work)
        made: Any = reskeras.Run(work)
    else:
        fields = {"epochs": EPOCHS, "seed": trial.seed, "data_dir": wanted.data_dir, "tell": print}
        start = reskeras.Run(wanted.runs / trial.run)
        spec = start.folder.spec()
        spec = spec if trial.way == FLOAT else spec.model_copy(update={"quantise": trial.way})
        data = start.folder.provenance()["data"]["name"]
        made = reskeras.train(spec, data, "quantise", start=start, out=work, resume=True, **fields)
    right, labels, size = _judged(made, trial.way, wanted.data_dir)
    return {
        **trial._asdict(),
        "accuracy": float(right.mean()),
        "bytes": size,
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "date": date.today().isoformat(),
        "machine": machine(),
        "revision": made.folder.provenance().get("git_revision"),
        "right": asdict(RightImages.of(right, labels)),
    }


def _judged(made: Any, way: str, data_dir: str | None) -> tuple[np.ndarray, np.ndarray, int]:
    """Whether the artefact names each test image rightly, the images' labels, and its bytes."""
    from reskeras.export.aside import answers_aside
    from reskeras.export.samples import images_of_each_class

    split = made.source(data_dir=data_dir).test
    [proof] = made.export(KINDS[way], data_dir=data_dir, timing=False)
    images, labels = images_of_each_class(split, made.preprocessing(), split.count)
    logits = answers_aside(Path(proof.path), {"images": images}).values["logits"]
    return logits.argmax(axis=1) == labels, labels, proof.bytes


def table(found: dict[Trial, dict[str, Any]]) -> list[list[str]]:
    """A row for each run, way and time: accuracy, and its difference from the run as it is, on the same images."""
    from reskeras.experiments.right_images import RightImages

    right = {trial: RightImages(**line["right"]).right() for trial, line in found.items()}
    rows = []
    for run_, way, after in dict.fromkeys((trial.run, trial.way, trial.seed != BEFORE) for trial in found):
        own = [
            each for trial, each in right.items() if (trial.run, trial.way, trial.seed != BEFORE) == (run_, way, after)
        ]
        accuracies = [100 * float(each.mean()) for each in own]
        spread = f" ± {statistics.stdev(accuracies):.2f}" if len(own) > 1 else ""
        reference = right.get(Trial(run_, FLOAT, BEFORE))
        sizes = {line["bytes"] for trial, line in found.items() if (trial.run, trial.way) == (run_, way)}
        told = "" if reference is None or (way == FLOAT and not after) else difference_told(own, reference)
        time_ = f"after {EPOCHS} epoch" if after else "before"
        rows.append(
            [run_, way, time_, str(len(own)), f"{statistics.fmean(accuracies):.2f}{spread}", told, f"{max(sizes):,}"]
        )
    return rows


def difference_told(own: Sequence[np.ndarray], reference: np.ndarray) -> str:
    """The mean difference of accuracies in points and its 95% interval over images: `-0.73 (-0.98 to -0.48)`."""
    each = 100 * (np.mean(own, axis=0) - reference)
    half = 1.96 * float(each.std(ddof=1)) / len(each) ** 0.5
    return f"{each.mean():+.2f} ({each.mean() - half:+.2f} to {each.mean() + half:+.2f})"


COLUMNS = ["run", "computed in", "", "seeds", "accuracy, %", "beside the run, points (95%)", "bytes"]


def main() -> None:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["run", "commands", "table"])
    parser.add_argument("results", type=Path, help="Has trials.jsonl, or gets it.")
    parser.add_argument("--runs", type=Path, help="run, commands: the folder of trained runs.")
    parser.add_argument("--work", type=Path, help="run, commands: where the runs of trials are.")
    parser.add_argument("--data-dir", help="Where data sets are prepared for TFDS.")
    parser.add_argument("--run", help="Only of this run.")
    parser.add_argument("--way", choices=list(KINDS))
    parser.add_argument("--seed", type=int, choices=[BEFORE, *SEEDS])
    options = parser.parse_args()
    known = finished(options.results)
    if options.do == "table":
        show("Integers beside float32, all test images", COLUMNS, table(known))
        return
    if not options.runs or not options.work:
        parser.error(f"{options.do}: give --runs and --work")
    for trial in trials(options):
        if trial in known:
            continue
        if options.do == "run":
            line = run(trial, options)
            options.results.mkdir(parents=True, exist_ok=True)
            with (options.results / TRIALS_FILE).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")
            continue
        words = [sys.executable, "-m", "benchmarks.integer_trials", "run", str(options.results)]
        words += ["--runs", str(options.runs), "--work", str(options.work)]
        words += ["--data-dir", options.data_dir] if options.data_dir else []
        words += [word for field, value in trial._asdict().items() for word in (f"--{field}", str(value))]
        print(shlex.join(words))


if __name__ == "__main__":
    main()
