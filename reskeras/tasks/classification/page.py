"""The report page of classifiers: curves, analysis, confusion matrix, worst mistakes, exports, networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.analysis.analysis import Analysis
from reskeras.data.pipeline import evaluation_images
from reskeras.printable import counted
from reskeras.report.exports import exports_of
from reskeras.report.plots import analysis_plots, curves_of, networks_by_plan, networks_of
from reskeras.report.provenance import provenance_of, trained_on
from reskeras.report.sections import Gallery, Image, Page, Section, Table, plot, thumbnail
from reskeras.tasks.classification.confusion_plot import draw_confusion
from reskeras.tasks.run import Material, seeds_of

MISTAKES = 24


@dataclass(frozen=True)
class ClassifierMaterial(Material):
    """The material of a classifier's report, with its latest analysis."""

    analysis: Analysis | None = None


def page_of(runs: Sequence[ClassifierMaterial]) -> Page:
    """One page for one run or several."""
    told = partial(
        summary,
        log=("accuracy", "training error", _error),
        figures={
            "test error": lambda found: _error(found.top1),
            "top-5 error": lambda found: "" if found.top5 is None else _error(found.top5),
        },
        caption="Training error: on the last epoch's augmented batches; test error: of the best model, single view, "
        "float32.",
    )
    return page_of_parts(runs, told, _mistakes, "accuracy")


def _error(accuracy: float) -> str:
    return f"{1 - accuracy:.2%}"


def page_of_parts(
    runs: Sequence[ClassifierMaterial],
    summed: Callable[[Sequence[ClassifierMaterial]], Table],
    judged: Callable[[ClassifierMaterial, str], Iterator[Section]],
    log: str,
) -> Page:
    """The page of one run or several: `summed` makes the table of all, `judged` the sections of one run's evaluation,
    whose titles end in the text given; curves are of 1 - `log`."""
    one = len(runs) == 1
    title = runs[0].name if one else f"{len(runs)} runs: {', '.join(run.name for run in runs)}"
    sections: list[Section] = [summed(runs)]
    networks, seeds = networks_by_plan({run.name: run.plan for run in runs}), seeds_of(runs)
    if curves := curves_of({run.name: run.metrics for run in runs}, networks, log, seeds):
        sections.append(curves)
    sections += analysis_plots({run.name: run.analysis for run in runs if run.analysis}, networks, seeds)
    for run in runs:
        sections += judged(run, "" if one else f", {run.name}")
    sections += exports_of({run.name: run.proofs for run in runs})
    sections += networks_of({run.name: run.plan for run in runs})
    sections += [provenance_of(run.provenance, run.path, "" if one else f", {run.name}") for run in runs]
    return Page(title, trained_on(run.provenance for run in runs), sections)


def summary(
    runs: Sequence[ClassifierMaterial],
    log: tuple[str, str, Callable[[float], str]],
    figures: Mapping[str, Callable[[Any], str]],
    caption: str,
) -> Table:
    """A row for each run: the last value of a `log` (its key, its title, how it is shown), and `figures` of its
    evaluation by title."""
    key, title, told = log
    columns = ["run", "layers", "parameters", "epochs", title, *figures, "images"]
    rows = []
    for run in runs:
        last, found = run.metrics[-1] if run.metrics else {}, run.evaluation
        rows.append(
            [
                run.name,
                str(run.plan.weighted_layers()),
                f"{run.plan.complexity().parameters:,}",
                str(len(run.metrics)),
                told(last[key]) if key in last else "",
                *(shown(found) if found else "" for shown in figures.values()),
                f"{found.images:,}" if found else "",
            ]
        )
    notes = [f"{run.name}: no {next(iter(figures))} ({run.missing})" for run in runs if run.missing]
    return Table("Summary", columns, rows, caption, notes)


def _mistakes(run: ClassifierMaterial, of: str) -> Iterator[Section]:
    found = run.evaluation
    if found is None:
        return
    confused = "; ".join(f"{true} classified as {taken}: {count}" for true, taken, count in found.most_confused())
    yield plot(
        f"Confusion matrix{of}",
        draw_confusion(found),
        f"Confusion matrix of {found.images:,} test images of {len(found.classes)} classes; {found.top1:.1%} "
        f"are correct. Most common mistakes: {confused or 'none'}.",
    )
    wrong = np.flatnonzero(found.predicted != found.labels)
    if not len(wrong) or run.test is None:
        return
    worst = wrong[np.argsort(-found.confidence[wrong], kind="stable")][:MISTAKES]
    told = [
        f"{found.classes[found.labels[index]]}, classified as {found.classes[found.predicted[index]]} "
        f"({found.confidence[index]:.0%})"
        for index in worst
    ]
    yield Gallery(
        f"Worst mistakes{of}",
        gallery(run, worst, told),
        f"The {len(worst)} most confident of {counted(len(wrong), 'wrong prediction')} on test images.",
    )


def gallery(run: ClassifierMaterial, indices: np.ndarray, told: Sequence[str]) -> list[Image]:
    """Small pictures of test images, each with what is `told` of it and its name."""
    images, _ = evaluation_images(run.test.part("worst", indices), run.preprocessing, len(indices))
    captions = [f"{text}: {_short(name)}" for text, name in zip(told, run.test.names(indices), strict=True)]
    return [
        Image(thumbnail(image), f"Test image of class {caption}", caption)
        for image, caption in zip(images, captions, strict=True)
    ]


def _short(name: str) -> str:
    """A test image's name as a caption: a file with its folder, which is its class, or the number of a record."""
    return name.partition(", in ")[0] if name.startswith("record ") else "/".join(Path(name).parts[-2:])
