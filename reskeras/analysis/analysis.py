"""The analysis of a trained network on real images, stored as JSON and CSV files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.analysis.activations import UnitSignal, survey
from reskeras.analysis.gradients import gradients
from reskeras.analysis.lesions import Lesion, lesions
from reskeras.analysis.responses import Response
from reskeras.data.pipeline import evaluation_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.sample import part_of_each_class
from reskeras.data.source import Source
from reskeras.errors import ReskerasError, failure
from reskeras.files import local_path, write_csv, write_json
from reskeras.machine import memory
from reskeras.plans.plan import Plan
from reskeras.printable import counted, short_repr
from reskeras.stored import as_shape, read_json

BATCH = 128  # images of a pass, and of the gradient, where their activations fit into memory
MOST_ACTIVATIONS, SHARE = 1 << 30, 8  # bounds of kept activations: bytes, and one part in SHARE of the memory
SUMMARY_FILE, RESPONSES_FILE, UNITS_FILE, LESIONS_FILE = "analysis.json", "responses.csv", "units.csv", "lesions.csv"


@dataclass(frozen=True)
class Analysis:
    """Measurements of one network over `images` test images of `data`, and the gradient of one training batch.

    `depth` is the effective depth of the whole network, `layers` the number of its weighted layers. `accuracy` is the
    share of images whose top class is right; of multi-label images that of all labels.
    """

    network: str
    data: str
    images: int
    accuracy: float
    layers: int
    responses: tuple[Response, ...]
    units: tuple[UnitSignal, ...]
    lesions: tuple[Lesion, ...] = ()

    def __repr__(self) -> str:
        return short_repr(
            self,
            self.network,
            f"{counted(self.images, 'image')} of {self.data}",
            accuracy=self.accuracy,
            depth=self.depth if self.units else None,
            layers=self.layers,
            lesions=len(self.lesions),
        )

    @property
    def depth(self) -> float:
        """Effective depth at the logits."""
        return self.units[-1].depth

    @property
    def sum_error(self) -> float | None:
        """The largest of the units' sum errors; None without an identity stream."""
        errors = [unit.sum_error for unit in self.units if unit.sum_error is not None]
        return max(errors, default=None)

    def save(self, folder: Path) -> None:
        """Write analysis.json and a CSV file each for responses, units and lesions, each atomically."""
        _write_rows(folder / RESPONSES_FILE, Response, self.responses)
        _write_rows(folder / UNITS_FILE, UnitSignal, self.units)
        _write_rows(folder / LESIONS_FILE, Lesion, self.lesions)
        summary = {key: getattr(self, key) for key in ("network", "data", "images", "accuracy", "layers")}
        write_json(folder / SUMMARY_FILE, summary)


def analyse(
    network: str,
    plan: Plan,
    weights: Mapping[str, np.ndarray],
    source: Source,
    preprocessing: Preprocessing,
    images: int = 1000,
    most: int = 100,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Analysis:
    """Analyse the network `plan` with `weights` by canonical name, on `images` test images, stratified by class.

    At most `most` units are removed and `most` pairs swapped; 0 skips both. `progress` gets how many are done, of
    how many. Raises ReskerasError when `images` or `most` is out of range.
    """
    for field, value, least in (("images", images, 1), ("lesions", most, 0)):
        if value < least:
            raise ReskerasError(f"{field}: {value}: should be at least {least}")
    test = part_of_each_class(source.test, images)
    size = batch_size(plan)
    batches = list(evaluation_batches(test, preprocessing, size))
    sloped = part_of_each_class(source.train or source.test, size)  # data opened for testing has no training images
    batch, labels = next(iter(evaluation_batches(sloped, preprocessing, size)))
    found = survey(plan, dict(weights), batches)
    slopes = gradients(plan, dict(weights), batch, labels)
    units = tuple(
        replace(unit, gradient=slopes[unit.unit][0], stream_gradient=slopes[unit.unit][1]) for unit in found.units
    )
    return Analysis(
        network,
        source.label,
        found.images,
        found.accuracy,
        plan.weighted_layers(),
        found.responses,
        units,
        tuple(lesions(plan, dict(weights), batches, most, progress)) if most else (),
    )


def batch_size(plan: Plan) -> int:
    """Images of a pass: BATCH, or fewer if their activations exceed the memory, as in deep networks."""
    room = min(MOST_ACTIVATIONS, memory() // SHARE)
    return max(min(room // plan.complexity().total.activation_bytes(1), BATCH), 1)


def read_analysis(folder: Path) -> Analysis:
    """The analysis stored in `folder`; ReskerasError: status 2 when there is none, 1 when it is broken."""
    folder = local_path(folder, "analysis")
    if not (folder / SUMMARY_FILE).is_file():
        raise ReskerasError(f"analysis: not found in {folder}; create it with: reskeras analyse")
    summary = read_json(folder / SUMMARY_FILE, "analysis", dict[str, Any])
    try:
        return as_shape(
            {
                **summary,
                "responses": tuple(_read_rows(folder / RESPONSES_FILE, Response)),
                "units": tuple(_read_rows(folder / UNITS_FILE, UnitSignal)),
                "lesions": tuple(_read_rows(folder / LESIONS_FILE, Lesion)),
            },
            Analysis,
        )
    except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
        raise failure(f"analysis: {folder} is broken: {error}") from error


def _write_rows(path: Path, kind: type, rows: Sequence[Any]) -> None:
    names = [field.name for field in fields(kind)]
    write_csv(path, [names, *([_cell(asdict(row)[name]) for name in names] for row in rows)])


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return " ".join(value) if isinstance(value, (tuple, list)) else repr(value) if isinstance(value, float) else value


def _read_rows(path: Path, kind: type) -> Iterable[Any]:
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield kind(**{field.name: _value(row[field.name], str(field.type)) for field in fields(kind)})


def _value(text: str, kind: str) -> Any:
    if kind.startswith("float"):
        return float(text) if text else None
    return tuple(text.split()) if kind.startswith("tuple") else text
