"""The measures of a suite: by name, functions of a row and its trained run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reskeras.experiments.suite_rows import Row
from reskeras.files import write_json
from reskeras.stored import read_json
from reskeras.tasks.classification.run import ClassifierRun
from reskeras.tasks.run import Run

if TYPE_CHECKING:  # a classifier's measures import no detection code
    from reskeras.tasks.detection.run import DetectorRun
    from reskeras.tasks.multilabel.run import MultiLabelRun

FIGURES_FILE = "figures.json"
EARLY = 0.25  # share of the epochs


@dataclass(frozen=True)
class SuiteMeasure:
    """A measure in `words`; `percent` ones are fractions, printed as per cent; `counted` ones need no training."""

    words: str
    percent: bool = True
    counted: bool = False

    def shown(self, value: float) -> str:
        """A value as tables print it."""
        if self.percent:
            return f"{value:.2%}"
        return f"{value:,.0f}" if self.counted else f"{value:.3f}"


MEASURES = {
    "test_error": SuiteMeasure("top-1 error on the test images"),
    "top5_error": SuiteMeasure("top-5 error on the test images"),
    "training_error": SuiteMeasure("error on the last epoch's augmented training batches"),
    "gap": SuiteMeasure("test error minus training error"),
    "early_error": SuiteMeasure("mean test error over the first quarter of training; lower is faster"),
    "response": SuiteMeasure("mean standard deviation of the layers' responses", percent=False),
    "removed_error": SuiteMeasure("median test error with one unit removed"),
    "map_area": SuiteMeasure("mean average precision on the test images, area under the curve, overlap 0.5"),
    "average_precision": SuiteMeasure("mean average precision over the classes of the test images"),
    "f1": SuiteMeasure("F1 of all labels of the test images, at a probability of 0.5"),
    "parameters": SuiteMeasure("trainable parameters", percent=False, counted=True),
    "multiply_adds": SuiteMeasure("multiply-adds per image", percent=False, counted=True),
}
Figures = dict[str, float]


def figures_of(row: Row, run: Run | None, wanted: tuple[str, ...]) -> Figures:
    """The `wanted` measures of a row; those of a trained run are cached in its folder.

    Counts are for the network as trained, with the classes and channels of its data.
    """
    found: Figures = {}
    known = _read(run) if run else {}
    plan = run.plan if run else row.plan
    for name in wanted:
        if MEASURES[name].counted:
            found[name] = float(getattr(plan.complexity(), name))
            continue
        if run is None:
            continue
        key = f"{name} {row.views.model_dump(mode='json')}" if name in ("test_error", "top5_error") else name
        if key not in known:
            known |= {key.replace(name, each, 1): value for each, value in MEASURED[name](row, run).items()}
            write_json(run.path / FIGURES_FILE, known)
        if known[key] is not None:
            found[name] = known[key]
    return found


def _read(run: Run) -> dict[str, Any]:
    path = run.path / FIGURES_FILE
    return read_json(path, "reproduce", dict[str, float | None]) if path.is_file() else {}


def _errors(row: Row, run: ClassifierRun) -> dict[str, float | None]:
    views = row.views
    result = run.evaluate(views=views.views, resize=views.resize, scales=views.scales)
    return {"test_error": 1 - result.top1, "top5_error": None if result.top5 is None else 1 - result.top5}


def _curves(row: Row, run: ClassifierRun) -> dict[str, float | None]:
    rows = run.folder.metrics()
    early = rows[: max(round(EARLY * len(rows)), 1)]
    return {
        "training_error": 1 - rows[-1]["accuracy"],
        "early_error": statistics.fmean(1 - each["val_accuracy"] for each in early),
        "gap": rows[-1]["accuracy"] - rows[-1]["val_accuracy"],
    }


def _precision(row: Row, run: DetectorRun) -> dict[str, float | None]:
    return {"map_area": run.evaluate().voc.map_area}


def _labels(row: Row, run: MultiLabelRun) -> dict[str, float | None]:
    result = run.evaluate()
    precision = result.mean_average_precision
    return {"average_precision": None if math.isnan(precision) else precision, "f1": result.micro_f1}


def _inside(row: Row, run: ClassifierRun) -> dict[str, float | None]:
    found = run.analyse()
    removed = [1 - lesion.accuracy for lesion in found.lesions if lesion.kind == "removed"]
    return {
        "response": statistics.fmean(each.deviation for each in found.responses),
        "removed_error": statistics.median(removed) if removed else None,
    }


MEASURED: dict[str, Callable[[Row, Any], dict[str, float | None]]] = {
    "test_error": _errors,
    "top5_error": _errors,
    "training_error": _curves,
    "early_error": _curves,
    "gap": _curves,
    "map_area": _precision,
    "average_precision": _labels,
    "f1": _labels,
    "response": _inside,
    "removed_error": _inside,
}
