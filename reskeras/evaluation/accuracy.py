"""Loss and accuracy of a model on a split, in float32, with any kind of views (v1 sections 3.4 and 4.2)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.evaluation.dense import DenseNetwork
from reskeras.evaluation.views import Views, scored
from reskeras.files import write_csv
from reskeras.printable import counted, short_repr


@dataclass(frozen=True)
class Evaluation:
    """Results on `images` images: mean cross-entropy in nats, and accuracies in 0..1.

    `top5` is None for five classes or fewer. `undefined` counts images with non-finite outputs, which count as wrong.
    `names`, `labels`, `predicted`, `confidence` and `right` (whether it counts for `top1`) have one entry per image, in
    order.
    """

    data: str
    split: str
    images: int
    loss: float
    top1: float
    top5: float | None
    views: str = "single view"
    undefined: int = 0
    classes: tuple[str, ...] = ()
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32), repr=False, compare=False)
    predicted: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64), repr=False, compare=False)
    confidence: np.ndarray = field(default_factory=lambda: np.zeros(0), repr=False, compare=False)
    right: np.ndarray = field(default_factory=lambda: np.zeros(0, bool), repr=False, compare=False)
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __repr__(self) -> str:
        return short_repr(
            self,
            f"{counted(self.images, f'{self.split} image')} of {self.data}",
            top1=self.top1,
            top5=self.top5,
            loss=self.loss,
            undefined=self.undefined or None,
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON, with each class' images and accuracy."""
        arrays = ("labels", "predicted", "confidence", "right", "classes", "names")
        plain = {name: value for name, value in asdict(self).items() if name not in arrays}
        return {
            **plain,
            "classes": {name: {"images": count, "top1": accuracy} for name, count, accuracy in self.by_class()},
        }

    def confusion(self) -> np.ndarray:
        """int64 (classes, classes): images by true class (rows) and predicted class (columns)."""
        from sklearn.metrics import confusion_matrix

        return confusion_matrix(self.labels, self.predicted, labels=np.arange(len(self.classes)))

    def by_class(self) -> list[tuple[str, int, float | None]]:
        """(name, images, accuracy) of each class; accuracy None without images."""
        table = self.confusion()
        return [
            (name, int(row.sum()), float(row[index] / row.sum()) if row.sum() else None)
            for index, (name, row) in enumerate(zip(self.classes, table, strict=True))
        ]

    def most_confused(self, count: int = 3) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: (true class, predicted class, images)."""
        table = self.confusion() * (1 - np.eye(len(self.classes), dtype=np.int64))
        worst = np.argsort(-table, axis=None, kind="stable")[:count]
        pairs = [divmod(int(place), len(self.classes)) for place in worst]
        return [
            (self.classes[true], self.classes[taken], int(table[true, taken]))
            for true, taken in pairs
            if table[true, taken]
        ]

    def save_predictions(self, path: Path) -> None:
        """A CSV with a line for each image: its index in the split, its file (or the number of its record), true class,
        top class, probability."""
        rows = zip(self.names, self.labels, self.predicted, self.confidence, strict=True)
        write_csv(
            path,
            [
                ["index", "image", "class", "predicted", "probability"],
                *(
                    [index, name, self.classes[label], self.classes[predicted], f"{sure:.6f}"]
                    for index, (name, label, predicted, sure) in enumerate(rows)
                ),
            ],
        )


def evaluate(
    model: keras.Model,
    split: Split,
    preprocessing: Preprocessing,
    data: str,
    batch_size: int = 128,
    classes: tuple[str, ...] = (),
    views: Views = Views(),
    dense: DenseNetwork | None = None,
) -> Evaluation:
    """Evaluate `model` on every image of `split`, in order; `dense` is needed for views with scales."""
    loss, undefined, in_five = 0.0, 0, 0
    every: dict[str, list[np.ndarray]] = {"labels": [], "predicted": [], "confidence": [], "right": []}
    for logs, labels in scored(model, split, preprocessing, views, dense, batch_size):
        numbers = np.isfinite(logs.max(axis=1))
        undefined += int((~numbers).sum())
        own = logs[np.arange(len(labels)), labels]
        loss -= float(own.sum())
        # ties count against the model: an untrained network with equal logits is never right
        rank = np.where(numbers, (logs >= own[:, None]).sum(axis=1), logs.shape[1] + 5)
        in_five += int((rank <= 5).sum())
        every["right"].append(rank <= 1)
        every["labels"].append(labels)
        every["predicted"].append(np.where(numbers, np.nan_to_num(logs, nan=-np.inf).argmax(axis=1), 0))
        every["confidence"].append(np.exp(logs.max(axis=1)))
    names = classes or tuple(map(str, range(model.outputs[0].shape[-1])))
    found = {name: np.concatenate(values) for name, values in every.items()}
    return Evaluation(
        data,
        split.name,
        split.count,
        loss / split.count,
        float(found["right"].sum() / split.count),
        in_five / split.count if len(names) > 5 else None,
        views.describe(),
        undefined,
        names,
        **found,
        names=tuple(split.names()),
    )
