"""The report page of classifiers: curves, analysis, confusion matrix, worst mistakes, exports, networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reskeras.analysis.analysis import Analysis
from reskeras.data.pipeline import evaluation_images
from reskeras.report.plots import analysis_plots, curves_of, networks_by_plan, networks_of
from reskeras.report.provenance import exports_of, provenance_of, trained_on
from reskeras.report.sections import Gallery, Image, Page, Section, Table, plot, thumbnail
from reskeras.tasks.classification.confusion_plot import draw_confusion
from reskeras.tasks.run import Material

MISTAKES = 24


@dataclass(frozen=True)
class ClassifierMaterial(Material):
    """The material of a classifier's report, with its latest analysis."""

    analysis: Analysis | None = None


def page_of(runs: Sequence[ClassifierMaterial]) -> Page:
    """One page for one run or several."""
    one = len(runs) == 1
    title = runs[0].name if one else f"{len(runs)} runs: {', '.join(run.name for run in runs)}"
    sections: list[Section] = [_summary(runs)]
    networks = networks_by_plan({run.name: run.plan for run in runs})
    if curves := curves_of({run.name: run.metrics for run in runs}, networks):
        sections.append(curves)
    sections += analysis_plots({run.name: run.analysis for run in runs if run.analysis}, networks)
    for run in runs:
        sections += _mistakes(run, "" if one else f", {run.name}")
    sections += exports_of({run.name: run.proofs for run in runs})
    sections += networks_of({run.name: run.plan for run in runs})
    sections += [provenance_of(run.provenance, run.path, "" if one else f", {run.name}") for run in runs]
    return Page(title, trained_on(run.provenance for run in runs), sections)


def _summary(runs: Sequence[ClassifierMaterial]) -> Table:
    columns = ["run", "layers", "parameters", "epochs", "training error", "test error", "top-5 error", "images"]
    rows = []
    for run in runs:
        last, found = run.metrics[-1] if run.metrics else {}, run.evaluation
        rows.append(
            [
                run.name,
                str(run.plan.weighted_layers()),
                f"{run.plan.complexity().parameters:,}",
                str(len(run.metrics)),
                f"{1 - last['accuracy']:.2%}" if last else "",
                f"{1 - found.top1:.2%}" if found else "",
                f"{1 - found.top5:.2%}" if found and found.top5 is not None else "",
                f"{found.images:,}" if found else "",
            ]
        )
    notes = [f"{run.name}: no test error ({run.missing})" for run in runs if run.missing]
    return Table(
        "Summary",
        columns,
        rows,
        "Training error: on the last epoch's augmented batches; test error: of the best model, single view, float32.",
        notes,
    )


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
    images, _ = evaluation_images(run.test.part("worst", worst), run.preprocessing, len(worst))
    names = [_short(name) for name in run.test.names(worst)]
    told = [
        (found.classes[found.labels[index]], found.classes[found.predicted[index]], found.confidence[index], name)
        for index, name in zip(worst, names, strict=True)
    ]
    yield Gallery(
        f"Worst mistakes{of}",
        [
            Image(
                thumbnail(image),
                f"Test image {name} of class {true}, classified as {taken}",
                f"{true}, classified as {taken} ({sure:.0%}): {name}",
            )
            for image, (true, taken, sure, name) in zip(images, told, strict=True)
        ],
        f"The {len(worst)} most confident of {len(wrong):,} wrong predictions on test images.",
    )


def _short(name: str) -> str:
    """A test image's name as a caption: a file with its folder, which is its class, or the number of a record."""
    return name.partition(", in ")[0] if name.startswith("record ") else "/".join(Path(name).parts[-2:])
