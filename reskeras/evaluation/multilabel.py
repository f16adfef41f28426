"""Average precision, precision and recall of each class of a multi-label network on a split, in float32."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.evaluation.dense import DenseNetwork
from reskeras.evaluation.heads import SIGMOID, log_of
from reskeras.evaluation.views import Views, scored
from reskeras.files import write_csv
from reskeras.printable import counted, short_repr

THRESHOLD = 0.5  # the probability from which a class counts as predicted
BETWEEN = "|"  # separates the classes of an image, as in the CSV files that are read


@dataclass(frozen=True)
class ClassFigures:
    """How well one class is told on `images` images that have it and all others: figures in 0..1, None where they are
    undefined. `average_precision` is over all thresholds, the others are at THRESHOLD."""

    name: str
    images: int
    predicted: int
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class LabelEvaluation:
    """Results on `images` images of any number of classes each.

    `loss` is the mean binary cross-entropy of a label, in nats. `undefined` counts images with non-finite outputs,
    which score 0 for every class. `labels`, uint8, and `probabilities`, float64, are (images, classes), `names` are
    those of the images, all in order.
    """

    data: str
    split: str
    images: int
    loss: float
    views: str = "single view"
    undefined: int = 0
    classes: tuple[str, ...] = ()
    labels: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.uint8), repr=False, compare=False)
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False, compare=False)
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __repr__(self) -> str:
        return short_repr(
            self,
            f"{counted(self.images, f'{self.split} image')} of {self.data}",
            mean_average_precision=self.mean_average_precision,
            micro_f1=self.micro_f1,
            loss=self.loss,
            undefined=self.undefined or None,
        )

    @property
    def predicted(self) -> np.ndarray:
        """bool (images, classes): the classes whose probability is THRESHOLD or more."""
        return self.probabilities >= THRESHOLD

    @cached_property
    def figures(self) -> tuple[ClassFigures, ...]:
        """The figures of each class."""
        found, rows = [], zip(self.classes, self.labels.T > 0, self.predicted.T, self.probabilities.T, strict=True)
        for name, true, taken, scores in rows:
            hits, positives, count = int((true & taken).sum()), int(true.sum()), int(taken.sum())
            found.append(
                ClassFigures(
                    name,
                    positives,
                    count,
                    average_precision(true, scores),
                    hits / count if count else None,
                    hits / positives if positives else None,
                    2 * hits / (count + positives) if count + positives else None,
                )
            )
        return tuple(found)

    @cached_property
    def mean_average_precision(self) -> float:
        """The mean over the classes that any image has; NaN without such a class."""
        return mean_average_precision(self.labels, self.probabilities)

    @property
    def micro_f1(self) -> float | None:
        """F1 of all labels together."""
        total = int(self.labels.sum()) + int(self.predicted.sum())
        return 2 * int((self.predicted & (self.labels > 0)).sum()) / total if total else None

    @property
    def macro_f1(self) -> float | None:
        """The mean F1 of the classes that any image has."""
        known = [each.f1 for each in self.figures if each.images and each.f1 is not None]
        return float(np.mean(known)) if known else None

    @property
    def exact(self) -> float:
        """The share of images all of whose labels are right."""
        return float((self.predicted == (self.labels > 0)).all(axis=1).mean())

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON, with those of each class."""
        arrays = ("labels", "probabilities", "classes", "names")
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in arrays}
        own = ("mean_average_precision", "micro_f1", "macro_f1", "exact")
        by_class = {each.name: asdict(each) for each in self.figures}
        for figures in by_class.values():
            del figures["name"]
        return {**plain, **{name: getattr(self, name) for name in own}, "threshold": THRESHOLD, "classes": by_class}

    def losses(self) -> np.ndarray:
        """The mean binary cross-entropy of each image's labels, in nats, (images,)."""
        return _losses(log_of(self.probabilities), self.labels)

    def of(self, labels: np.ndarray) -> str:
        """The names of the classes that are true in `labels`, (classes,)."""
        return BETWEEN.join(name for name, there in zip(self.classes, labels, strict=True) if there)

    def save_predictions(self, path: Path) -> None:
        """A CSV with a line for each image: its index in the split, its file (or the number of its record), its
        classes, those predicted, and the probability of each class."""
        rows = zip(self.names, self.labels, self.predicted, self.probabilities, strict=True)
        write_csv(
            path,
            [
                ["index", "image", "classes", "predicted", *self.classes],
                *(
                    [index, name, self.of(true), self.of(taken), *(f"{each:.6f}" for each in probabilities)]
                    for index, (name, true, taken, probabilities) in enumerate(rows)
                ),
            ],
        )


def average_precision(true: np.ndarray, scores: np.ndarray) -> float | None:
    """Average precision of scores (n,); None where nothing is true."""
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(true, scores)) if true.any() else None


def mean_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """The mean over the classes that any image has, of labels and scores (images, classes); NaN without any. A score
    that is no number is the lowest."""
    least, most = np.finfo(np.float64).min, np.finfo(np.float64).max
    scores = np.nan_to_num(scores.astype(np.float64), nan=least, neginf=least, posinf=most)
    each = [average_precision(true > 0, own) for true, own in zip(labels.T, scores.T, strict=True)]
    known = [value for value in each if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _losses(logs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean binary cross-entropy of each row's labels, of log probabilities (n, classes)."""
    losses: np.ndarray = np.where(labels > 0, logs, log_of(-np.expm1(logs)))
    return -losses.mean(axis=1)


def evaluate_labels(
    model: keras.Model,
    split: Split,
    preprocessing: Preprocessing,
    data: str,
    batch_size: int = 128,
    classes: tuple[str, ...] = (),
    views: Views = Views(),
    dense: DenseNetwork | None = None,
) -> LabelEvaluation:
    """Evaluate `model` on every image of `split`, in order; `dense` is needed for views with scales."""
    loss, undefined = 0.0, 0
    every: dict[str, list[np.ndarray]] = {"labels": [], "probabilities": []}
    for logs, labels in scored(model, split, preprocessing, views, dense, batch_size, SIGMOID):
        sound = np.isfinite(logs.sum(axis=1))
        undefined += int((~sound).sum())
        loss += float(_losses(logs, labels).sum())
        every["labels"].append(labels)
        every["probabilities"].append(np.where(sound[:, None], np.exp(logs), 0.0))
    return LabelEvaluation(
        data,
        split.name,
        split.count,
        loss / split.count,
        views.describe(),
        undefined,
        classes or tuple(map(str, range(model.outputs[0].shape[-1]))),
        **{name: np.concatenate(values) for name, values in every.items()},
        names=tuple(split.names()),
    )
