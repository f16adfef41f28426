"""Trials that decide detectors' defaults: geometry, beta of the regions' loss and the choice of an epoch, on two sets.

    python -m benchmarks.detection_trials scenes FOLDER --photos DIR     make the set that decides
    python -m benchmarks.detection_trials commands FOLDER --cells BCCD   a command for each trial that is left
    python -m benchmarks.detection_trials table FOLDER                   the tables of what is finished

Every trial tests its detector after each epoch by COCO's rules, beside what training shows of held-out images, so that
ways to choose an epoch are compared without trainings of their own. A trial that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.detection_scenes import make
from benchmarks.results import show

SEEDS = (0, 1, 2)
GEOMETRIES, BETAS = ("exact", "cell", "torchvision"), {"1": 1.0, "1/9": 1 / 9}
FIGURES = {"map": "AP", "map50": "AP50", "map75": "AP75"}
CONFIDENCE = 0.95
COMMON = {"batch_size": 4, "learning_rate": 0.02, "clip_norm": 10.0, "holdout": 0.1}
SCHEDULE = {"kind": "cosine", "warmup": 0.05}


def _network(height: int, width: int, sizes: Sequence[int], **more: Any) -> dict[str, Any]:
    """The small detector of docs/results/bccd/bccd.yaml for another canvas and other anchors."""
    stem = {"convs": [{"kernel": 7, "width": 16, "stride": 2}]}
    backbone = {"family": "imagenet", "depth": 18, "width_factor": 0.25, "stem": stem}
    return {
        "backbone": {**backbone, "input_shape": [height, width, 3]},
        "anchors": {"sizes": list(sizes)},
        "proposals": {"training": 300, "testing": 100},
        "regions": {"size": 8, "sample": 64, **more},
    }


class Set(NamedTuple):
    """A set of images, and the canvas, anchors and recipe of its trials."""

    canvas: tuple[int, int]
    anchors: tuple[int, ...]
    recipe: dict[str, Any]


# epochs for one core: eight minutes, and twelve
SETS = {
    "scenes": Set((160, 192), (16, 32, 64, 110), {"epochs": 30, "augment": {"scale": [0.7, 1.4], "flip": True}}),
    "cells": Set(
        (360, 480), (24, 48, 90, 170), {"epochs": 24, "augment": {"scale": [0.7, 1.4], "flip": True, "flip_rows": True}}
    ),
}
# how an epoch is chosen, of the lines of its metrics
PICKS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "loss": lambda line: (-line["val_loss"],),
    "mAP": lambda line: (line["val_average_precision"], -line["val_loss"]),
    "last": lambda line: (line["epoch"],),
}


class Trial(NamedTuple):
    """One training; the fields before `seed` are its arm."""

    set: str
    geometry: str
    beta: str
    seed: int

    def folder(self, root: Path) -> Path:
        """Its run."""
        return root / "runs" / f"{self.set}-{self.geometry}-beta{self.beta.replace('/', 'of')}-seed{self.seed}"

    def tests(self, root: Path) -> Path:
        """The figures of its test images after each epoch, a line of JSON for each."""
        return self.folder(root).with_suffix(".tests.jsonl")

    def epochs(self, root: Path) -> list[dict[str, Any]]:
        """What is known of each epoch, held-out images and test images."""
        tested = {line["epoch"]: line for line in _lines(self.tests(root))}  # the last of an epoch that was done twice
        metrics = _lines(self.folder(root) / "metrics.jsonl")
        return [line | tested[line["epoch"]] for line in metrics if line["epoch"] in tested]

    def finished(self, root: Path, epochs: int) -> bool:
        """Whether all epochs are trained and tested."""
        return len(self.epochs(root)) >= epochs


def trials(wanted: argparse.Namespace) -> Iterator[Trial]:
    """The trials asked for, seed by seed, so that what is finished early compares all arms."""
    for seed, name, beta, geometry in itertools.product(SEEDS, SETS, reversed(BETAS), GEOMETRIES):
        trial = Trial(name, geometry, beta, seed)
        if all(getattr(wanted, field, None) in (None, value) for field, value in trial._asdict().items()):
            yield trial


def run(trial: Trial, root: Path, cells: str | None, epochs: int) -> None:
    """Train and test, or go on where it was stopped. ReskerasError for what is wrong with the data, or when stopped."""
    import keras

    import reskeras
    from reskeras.graph.weights import read
    from reskeras.networks.detector import DetectorSpec
    from reskeras.tasks.detection.coco_precision import coco_precision
    from reskeras.tasks.detection.detector_inference import Detector
    from reskeras.tasks.detection.opening import open_objects

    data = f"coco:{(root / 'scenes').absolute()}" if trial.set == "scenes" else f"voc:{cells}"
    folder, test, (canvas, anchors, fields) = trial.folder(root), open_objects(data), SETS[trial.set]

    class TestedEpochs(keras.callbacks.Callback):
        """Appends COCO's figures of the test images after each epoch; they decide nothing in the training."""

        def on_train_begin(self, logs: Any = None) -> None:
            begun = reskeras.DetectorRun(folder)
            self.detector = Detector(begun.plan, None, begun.preprocessing())

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.detector.load(read(self.model))
            found = coco_precision(self.detector.look(test.test)[0], test.test, test.classes)
            line = {"epoch": epoch + 1, **{figure: getattr(found, figure) or 0.0 for figure in FIGURES}}
            with trial.tests(root).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")

    folder.parent.mkdir(parents=True, exist_ok=True)
    spec = {**_network(*canvas, anchors, beta=BETAS[trial.beta]), "geometry": trial.geometry}
    reskeras.train_detector(
        DetectorSpec.model_validate(spec),
        data,
        out=folder,
        resume=True,
        callbacks=[TestedEpochs()],
        tell=print,
        **(COMMON | fields | {"epochs": epochs, "seed": trial.seed, "schedule": SCHEDULE}),
    )


def _run_or_say_why(trial: Trial, root: Path, cells: str | None, epochs: int) -> None:
    from reskeras.errors import ReskerasError

    try:
        run(trial, root, cells, epochs)
    except ReskerasError as error:
        raise SystemExit(f"{trial.folder(root).name}: {error}") from error


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


Results = dict[tuple[Trial, str], dict[str, float]]  # percent, by trial and way to choose an epoch


def results(root: Path, wanted: argparse.Namespace) -> Results:
    """The figures of the finished trials."""
    found: Results = {}
    for trial in trials(wanted):
        if trial.finished(root, wanted.epochs or SETS[trial.set].recipe["epochs"]):
            for pick, score in PICKS.items():
                best = max(trial.epochs(root), key=score)
                found[trial, pick] = {figure: 100 * best[figure] for figure in FIGURES} | {"epoch": best["epoch"]}
    return found


def tables(found: Results) -> None:
    """Print means by arm, and differences that are paired by seed."""
    arms = dict.fromkeys((trial[:3], pick) for trial, pick in found)
    rows = []
    for arm, pick in arms:
        own = [figures for (trial, way), figures in found.items() if (trial[:3], way) == (arm, pick)]
        columns = [_spread([each[figure] for each in own]) for figure in FIGURES]
        rows.append([*arm, pick, len(own), *columns, f"{statistics.fmean(each['epoch'] for each in own):.1f}"])
    rows.sort(key=lambda row: (list(SETS).index(row[0]), list(PICKS).index(row[3])))
    heads = ["set", "geometry", "beta", "epoch by", "seeds", *FIGURES.values(), "epoch"]
    show("Test images, mean +- standard deviation over seeds", heads, rows)
    heads = ["set", "field", "difference", "epoch by", "seeds", *FIGURES.values()]
    caption = (
        f"Mean over seeds and its {CONFIDENCE:.0%} interval by Student's t; all other fields are equal within a pair"
    )
    show("Paired differences", heads, list(_differences(found)), caption)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.1f}" + (f" +- {statistics.stdev(values):.1f}" if len(values) > 1 else "")


CONTRASTS = [
    ("geometry", "exact", "cell"),
    ("geometry", "torchvision", "cell"),
    ("geometry", "exact", "torchvision"),
    ("beta", "1/9", "1"),
    ("epoch by", "mAP", "loss"),
    ("epoch by", "mAP", "last"),
]


def _differences(found: Results) -> Iterator[list[Any]]:
    """Rows: for each seed the mean difference of the pairs that differ in one field alone."""
    for name, (field, one, other) in itertools.product(SETS, CONTRASTS):
        for way in ["any"] if field == "epoch by" else PICKS:
            pairs: dict[int, list[dict[str, float]]] = {}
            for (trial, pick), figures in found.items():
                if trial.set != name or one != (pick if field == "epoch by" else getattr(trial, field)):
                    continue
                if way not in ("any", pick):
                    continue
                partner = (trial, other) if field == "epoch by" else (trial._replace(**{field: other}), pick)
                if partner in found:
                    less = {figure: figures[figure] - found[partner][figure] for figure in FIGURES}
                    pairs.setdefault(trial.seed, []).append(less)
            if pairs:
                means = {
                    figure: [statistics.fmean(each[figure] for each in own) for own in pairs.values()]
                    for figure in FIGURES
                }
                yield [name, field, f"{one} - {other}", way, len(pairs), *map(interval, means.values())]


def interval(values: Sequence[float]) -> str:
    """The mean of differences and the half-width of its confidence interval: `+1.2 +- 0.8`."""
    from scipy.stats import t

    mean, count = statistics.fmean(values), len(values)
    if count < 2:
        return f"{mean:+.2f}"
    half = t.ppf((1 + CONFIDENCE) / 2, count - 1) * statistics.stdev(values) / count**0.5
    return f"{mean:+.2f} +- {half:.2f}"


def main() -> None:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["scenes", "run", "commands", "table"])
    parser.add_argument("folder", type=Path, help="Holds the scenes and the runs.")
    parser.add_argument("--photos", help="scenes: where CIFAR-10 is prepared for TFDS.")
    parser.add_argument("--cells", help="run: the BCCD folder, in VOC's layout.")
    parser.add_argument("--set", choices=list(SETS))
    parser.add_argument("--geometry", choices=list(GEOMETRIES))
    parser.add_argument("--beta", choices=list(BETAS))
    parser.add_argument("--seed", type=int, choices=list(SEEDS))
    parser.add_argument("--epochs", type=int, help="Instead of the set's own number, to try it out.")
    options = parser.parse_args()
    if options.do == "scenes":
        if not options.photos:
            parser.error("scenes: give --photos, the folder of CIFAR-10")
        make(options.folder / "scenes", options.photos)
    elif options.do == "table":
        tables(results(options.folder, options))
    for trial in trials(options) if options.do in ("run", "commands") else ():
        epochs = options.epochs or SETS[trial.set].recipe["epochs"]
        if trial.set == "cells" and not options.cells:
            parser.error("cells: give --cells, the BCCD folder, or --set scenes")
        if trial.finished(options.folder, epochs):
            continue
        if options.do == "run":
            _run_or_say_why(trial, options.folder, options.cells, epochs)
            continue
        words = [sys.executable, "-m", "benchmarks.detection_trials", "run", str(options.folder)]
        words += [word for field, value in trial._asdict().items() for word in (f"--{field}", str(value))]
        words += ["--cells", options.cells] if trial.set == "cells" else []
        words += ["--epochs", str(options.epochs)] if options.epochs else []
        print(shlex.join(words))


if __name__ == "__main__":
    main()
