"""The page of trained runs: network, curves, responses, confusion matrix, worst mistakes, exports, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.analysis.analysis import Analysis
from reskeras.data.pipeline import evaluation_images
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.evaluation.accuracy import Evaluation
from reskeras.export.proof import Proof
from reskeras.report.analysis import draw_analyses
from reskeras.report.architecture import draw
from reskeras.report.confusion import draw_confusion
from reskeras.report.curves import curves_in_words, draw_curves
from reskeras.report.provenance import exports_of, provenance_of, trained_on
from reskeras.report.sections import Gallery, Image, Page, Plot, Section, Table, drawing, plot, thumbnail
from reskeras.spec.plan import Plan

MISTAKES = 24
PLOTS = {
    "responses": "Layer responses", "signal": "Shortcuts and effective depth", "gradients": "Gradients",
    "lesions": "Units removed and exchanged",
}


@dataclass(frozen=True)
class Material:
    """What is known of a run; `evaluation` and `test` are None where its images are not at hand: see `missing`."""

    name: str
    path: str
    plan: Plan
    metrics: Sequence[Mapping[str, Any]]
    provenance: Mapping[str, Any]
    preprocessing: Preprocessing
    proofs: Sequence[Proof] = ()
    analysis: Analysis | None = None
    evaluation: Evaluation | None = None
    test: Split | None = None
    missing: str = ""


def page_of(runs: Sequence[Material]) -> Page:
    """One page of one run or several, by name."""
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


def networks_by_plan(plans: Mapping[str, Plan]) -> dict[str, str]:
    """Runs by name to their network: the name of the first run that has it."""
    first: list[tuple[Plan, str]] = []
    found = {}
    for name, plan in plans.items():
        found[name] = next((known for each, known in first if each == plan), name)
        first.append((plan, name))
    return found


def curves_of(metrics: Mapping[str, Sequence[Mapping[str, Any]]], networks: Mapping[str, str]) -> Plot | None:
    """The curves of the runs that have any; runs of one of `networks` share a colour."""
    known = {name: rows for name, rows in metrics.items() if rows}
    return plot("Training and test error", draw_curves(known, networks), curves_in_words(known)) if known else None


def analysis_plots(analyses: Mapping[str, Analysis], networks: Mapping[str, str]) -> Iterator[Plot]:
    """The plots of analyses over each other; runs of one of `networks` share a colour."""
    if not analyses:
        return
    words = "; ".join(f"{name}: mean response {np.mean([each.deviation for each in found.responses]):.3f}, "
                      f"effective depth {found.depth:.1f} of {found.layers} layers" for name, found in analyses.items())
    taps = dict.fromkeys(each.tap for found in analyses.values() for each in found.responses)
    images = next(iter(analyses.values())).images
    for key, figure in draw_analyses(analyses, networks).items():
        caption = f"Responses are read {' or '.join(taps)}; {images:,} test images." if key == "responses" else ""
        yield plot(PLOTS[key], figure, f"{PLOTS[key]}, a line for each network. {words}.", caption)


def networks_of(plans: Mapping[str, Plan]) -> Iterator[Plot]:
    """Each network drawn stage by stage, equal ones once."""
    drawn: list[Plan] = []
    for name, plan in plans.items():
        if plan in drawn:
            continue
        drawn.append(plan)
        total = plan.complexity()
        yield drawing(
            f"Network {name}", lambda path, plan=plan, name=name: draw(plan, name, path),
            f"The network {name} drawn stage by stage: {plan.weighted_layers()} weighted layers, from "
            f"{plan.input_shape} to {plan.output_shape[0]} classes.",
            f"{total.parameters:,} parameters, {total.multiply_adds:,} multiply-adds of an image.")


def _summary(runs: Sequence[Material]) -> Table:
    columns = ["run", "layers", "parameters", "epochs", "training error", "test error", "top-5 error", "images"]
    rows = []
    for run in runs:
        last, found = run.metrics[-1] if run.metrics else {}, run.evaluation
        rows.append([
            run.name, str(run.plan.weighted_layers()), f"{run.plan.complexity().parameters:,}", str(len(run.metrics)),
            f"{1 - last['accuracy']:.2%}" if last else "", f"{1 - found.top1:.2%}" if found else "",
            f"{1 - found.top5:.2%}" if found and found.top5 is not None else "", f"{found.images:,}" if found else ""])
    notes = [f"{run.name}: no test error, because {run.missing}" for run in runs if run.missing]
    return Table("Summary", columns, rows, "Training error: of the last epoch's augmented batches; test error: "
                 "of the best model, single view, float32.", notes)


def _mistakes(run: Material, of: str) -> Iterator[Section]:
    found = run.evaluation
    if found is None:
        return
    confused = "; ".join(f"{true} taken for {taken}: {count}" for true, taken, count in found.most_confused())
    yield plot(f"Confusion matrix{of}", draw_confusion(found),
               f"Confusion matrix of {found.images:,} test images of {len(found.classes)} classes; {found.top1:.1%} "
               f"are right. The commonest mistakes: {confused or 'none'}.")
    wrong = np.flatnonzero(found.predicted != found.labels)
    if not len(wrong) or run.test is None:
        return
    worst = wrong[np.argsort(-found.confidence[wrong], kind="stable")][:MISTAKES]
    images, _ = evaluation_images(run.test.part("worst", worst), run.preprocessing, len(worst))
    names = [_short(name) for name in run.test.names(worst)]
    told = [(found.classes[found.labels[index]], found.classes[found.predicted[index]], found.confidence[index], name)
            for index, name in zip(worst, names, strict=True)]
    yield Gallery(f"Worst mistakes{of}", [
        Image(thumbnail(image), f"The test image {name} of {true} that was taken for {taken}",
              f"{true}, taken for {taken} ({sure:.0%}): {name}")
        for image, (true, taken, sure, name) in zip(images, told, strict=True)],
        f"The {len(worst)} of {len(wrong):,} wrong test images that the model is surest of.")


def _short(name: str) -> str:
    """A test image's name as a caption: a file with its folder, which is its class, or the number of a record."""
    return name.partition(", in ")[0] if name.startswith("record ") else "/".join(Path(name).parts[-2:])
