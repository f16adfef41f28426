"""The measures of a suite: by name, functions of a row and its trained run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from reskeras.errors import ReskerasError
from reskeras.experiments.right_images import RightImages
from reskeras.experiments.suite_rows import Row
from reskeras.experiments.suite_views import DetectorViewsSpec, LocaliserViewsSpec, ViewsSpec
from reskeras.files import write_json
from reskeras.stored import read_json
from reskeras.tasks.classification.run import ClassifierRun
from reskeras.tasks.run import Run

if TYPE_CHECKING:  # a classifier's measures import no detection code
    from reskeras.tasks.detection.run import DetectorRun
    from reskeras.tasks.localisation.run import LocaliserRun
    from reskeras.tasks.multilabel.run import MultiLabelRun
    from reskeras.tasks.refinement.run import RefinerRun

MEASURES_FILE = "measures.json"
EARLY = 0.25  # share of the epochs
OVER_SEEDS = 0.0016  # standard deviation of an error over five seeds: v1 table 6, 6.61 +- 0.16 %


@dataclass(frozen=True)
class SuiteMeasure:
    """A measure in `words`; `percent` ones are fractions, printed as per cent; `counted` ones need no training;
    `by_image` ones are the share of images of that split with another class on top than their own. `varies` is the
    least standard deviation between seeds that is assumed of a measure; 0 where none was published. `inside` ones are
    of an analysis. Those that are no fractions are printed to `places`."""

    words: str
    percent: bool = True
    places: int = 3
    counted: bool = False
    by_image: str = ""
    varies: float = 0.0
    inside: bool = False

    def shown(self, value: float) -> str:
        """A value as tables print it."""
        if self.percent:
            return f"{value:.2%}"
        return f"{value:,.0f}" if self.counted else f"{value:.{self.places}f}"


MEASURES = {
    "test_error": SuiteMeasure("top-1 error on the test images", by_image="test", varies=OVER_SEEDS),
    "best_error": SuiteMeasure(
        "lowest test error of any epoch; chosen on the test images, so slightly too good", varies=OVER_SEEDS
    ),
    "top5_error": SuiteMeasure("top-5 error on the test images", varies=OVER_SEEDS),
    "training_error": SuiteMeasure(
        "top-1 error on the training images, not augmented", by_image="train", varies=OVER_SEEDS
    ),
    "gap": SuiteMeasure("test error minus training error", varies=OVER_SEEDS),
    "early_error": SuiteMeasure(
        "mean test error over the first quarter of training; lower is faster", varies=OVER_SEEDS
    ),
    "response": SuiteMeasure("mean standard deviation of the layers' responses", percent=False, inside=True),
    "removed_error": SuiteMeasure("median test error with one unit removed", inside=True),
    "minutes": SuiteMeasure(
        "minutes of all epochs, with the validation after each, on the machine in `hardware`", percent=False, places=1
    ),
    "coco_map": SuiteMeasure("COCO's mean average precision on the test images, over overlaps from 0.5 to 0.95"),
    "coco_map50": SuiteMeasure("COCO's mean average precision on the test images, at an overlap of 0.5"),
    "coco_map75": SuiteMeasure("COCO's mean average precision on the test images, at an overlap of 0.75"),
    "map_eleven": SuiteMeasure(
        "mean average precision on the test images by VOC's rule until 2009, at eleven points, at an overlap of 0.5"
    ),
    "map_area": SuiteMeasure("mean average precision on the test images, area under the curve, at an overlap of 0.5"),
    "average_precision": SuiteMeasure("mean average precision over the classes of the test images"),
    "f1": SuiteMeasure("F1 of all labels of the test images, at a probability of 0.5"),
    "localisation_error": SuiteMeasure(
        "share of test images whose box for their class is wrong, overlapping no object of the class by 0.5 or more"
    ),
    "top1_localisation_error": SuiteMeasure(
        "share of test images without a right box for a right class, the class being a classifier's"
    ),
    "top5_localisation_error": SuiteMeasure(
        "share of test images without a right box for a right class among a classifier's five most likely"
    ),
    "parameters": SuiteMeasure("trainable parameters", percent=False, counted=True),
    "multiply_adds": SuiteMeasure("multiply-adds per image", percent=False, counted=True),
}
LOCALISED = ("localisation_error", "top1_localisation_error", "top5_localisation_error")
COCO = ("coco_map", "coco_map50", "coco_map75")
SEEN = (
    "test_error",
    "best_error",
    "top5_error",
    "gap",
    "right test",
    "map_eleven",
    "map_area",
    *COCO,
    *LOCALISED,
)  # in the row's views
Figures = dict[str, float]
Kept = dict[str, Any]  # of a run: figures by measure, None where there is none, and by split the images it had right


@dataclass(frozen=True)
class Measured:
    """The measures of a run, and by split which images it classified right."""

    figures: Figures
    right: dict[str, RightImages]


def figures_of(row: Row, run: Run | None, wanted: tuple[str, ...]) -> Measured:
    """The `wanted` measures of a row; those of a trained run are cached in its folder.

    Counts are for the network as trained, with the classes and channels of its data.
    """
    found, right = Figures(), dict[str, RightImages]()
    known = _read(run) if run else {}
    plan = run.plan if run else row.plan
    for name in wanted:
        measure = MEASURES[name]
        if measure.counted:
            found[name] = float(getattr(plan.complexity(), name))
            continue
        if run is None:
            continue
        views = row.views.model_dump(mode="json")
        if _key(name, views) not in known:
            known |= {_key(each, views): value for each, value in MEASURED[name](row, run).items()}
            plain = {key: asdict(value) if isinstance(value, RightImages) else value for key, value in known.items()}
            write_json(run.path / MEASURES_FILE, plain)
        if known[_key(name, views)] is not None:
            found[name] = known[_key(name, views)]
        if kept := known.get(_key(f"right {measure.by_image}", views)):
            right[measure.by_image] = kept
    return Measured(found, right)


def check_measurable(wanted: Iterable[str]) -> None:
    """ReskerasError (status 2) for a wanted measure that cannot be computed here."""
    from reskeras.tasks.detection.coco_precision import has_pycocotools

    for name in wanted:
        if name.startswith("coco_") and not has_pycocotools():
            raise ReskerasError(
                f"measures: {name} needs pycocotools, which is not installed; pip install 'reskeras[detect]'"
            )


def _key(name: str, views: dict[str, Any]) -> str:
    """What a figure is cached under: test images are seen in the row's views."""
    return f"{name} {views}" if name in SEEN else name


def _read(run: Run) -> Kept:
    path = run.path / MEASURES_FILE
    return read_json(path, "reproduce", dict[str, float | RightImages | None]) if path.is_file() else {}


def _errors(row: Row, run: ClassifierRun) -> Kept:
    views = cast(ViewsSpec, row.views)  # of a classifier's row
    result = run.evaluate(views=views.views, resize=views.resize, scales=views.scales)
    return {
        "test_error": 1 - result.top1,
        "top5_error": None if result.top5 is None else 1 - result.top5,
        "right test": RightImages.of(result.right, result.labels),
    }


def _training_error(row: Row, run: ClassifierRun) -> Kept:
    result = run.evaluate(split="train")
    return {"training_error": 1 - result.top1, "right train": RightImages.of(result.right, result.labels)}


def _early(row: Row, run: ClassifierRun) -> Kept:
    errors = _errors_by_epoch(run)
    return {"early_error": statistics.fmean(errors[: max(round(EARLY * len(errors)), 1)])}


def _best(row: Row, run: ClassifierRun) -> Kept:
    """Epochs are validated in the precision of the training, the last weights also in float32 and the row's views."""
    last = figures_of(row, run, ("test_error",)).figures["test_error"]
    return {"best_error": min(last, *_errors_by_epoch(run))}


def _errors_by_epoch(run: ClassifierRun) -> list[float]:
    return [1 - each["val_accuracy"] for each in run.folder.metrics()]


def _minutes(row: Row, run: ClassifierRun) -> Kept:
    return {"minutes": sum(each["seconds"] for each in run.folder.metrics()) / 60}


def _gap(row: Row, run: ClassifierRun) -> Kept:
    found = figures_of(row, run, ("test_error", "training_error")).figures
    return {"gap": found["test_error"] - found["training_error"]}


def _precision(row: Row, run: DetectorRun) -> Kept:
    found = run.evaluate(options=cast(DetectorViewsSpec, row.views).options())
    coco = {name: getattr(found.coco, name.removeprefix("coco_"), None) for name in COCO}
    return {"map_area": found.voc.map_area, "map_eleven": found.voc.map_eleven, **coco}


def _labels(row: Row, run: MultiLabelRun) -> Kept:
    result = run.evaluate()
    precision = result.mean_average_precision
    return {"average_precision": None if math.isnan(precision) else precision, "f1": result.micro_f1}


def _localisation(row: Row, run: LocaliserRun | RefinerRun) -> Kept:
    how: dict[str, Any] = {}
    if isinstance(row.views, LocaliserViewsSpec):
        how = {role: run.beside.get(role, ()) for role in ("others", "refiner")}
        how |= {"views": row.views.views(), "classifier": next(iter(run.beside.get("classifier", ())), None)}
    found = run.evaluate(**how)
    return dict(zip(LOCALISED, (found.error, found.top1, found.top5), strict=True))


def _inside(row: Row, run: ClassifierRun) -> Kept:
    found = run.analyse()
    removed = [1 - lesion.accuracy for lesion in found.lesions if lesion.kind == "removed"]
    return {
        "response": statistics.fmean(each.deviation for each in found.responses),
        "removed_error": statistics.median(removed) if removed else None,
    }


MEASURED: dict[str, Callable[[Row, Any], Kept]] = {
    "test_error": _errors,
    "top5_error": _errors,
    "training_error": _training_error,
    "early_error": _early,
    "best_error": _best,
    "gap": _gap,
    "minutes": _minutes,
    **dict.fromkeys((*COCO, "map_eleven", "map_area"), _precision),
    "average_precision": _labels,
    "f1": _labels,
    **dict.fromkeys(LOCALISED, _localisation),
    "response": _inside,
    "removed_error": _inside,
}
