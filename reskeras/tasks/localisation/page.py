"""The report page of localisers: errors, losses, pictures of wrong and right boxes, provenance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reskeras.data.source import Source
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import name_of
from reskeras.networks.localiser import LocaliserSpec
from reskeras.recipes.recipe import Recipe
from reskeras.report.curves import draw_losses, losses_in_words
from reskeras.report.exports import exports_of
from reskeras.report.plots import networks_by_plan, networks_of
from reskeras.report.provenance import provenance_of, trained_on
from reskeras.report.sections import Page, Section, Table, plot
from reskeras.tasks.detection.augmented import batches
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.evaluation import LocalisationEvaluation
from reskeras.tasks.localisation.feed import LocaliserFeed
from reskeras.tasks.localisation.job import LocaliserSubject
from reskeras.tasks.localisation.model import LOSSES
from reskeras.tasks.localisation.overlap_plot import draw_overlaps, overlaps_in_words
from reskeras.tasks.localisation.pictures import LocalisedPictures
from reskeras.tasks.run import Material, seeds_of
from reskeras.tasks.task import find_task
from reskeras.training.strategy import open_replicas


def page_of_localisers(runs: Sequence[Material]) -> Page:
    """One page for the run of one localiser or refiner, or of several."""
    one = len(runs) == 1
    title = (
        runs[0].name
        if one
        else f"{len(runs)} {find_task(runs[0].plan.spec.task).noun}s: {', '.join(run.name for run in runs)}"
    )
    known = {run.name: run.metrics for run in runs if run.metrics}
    networks = networks_by_plan({run.name: run.plan for run in runs})
    sections: list[Section] = [_summary(runs)]
    for run in runs:
        sections += _classes(run, "" if one else f", {run.name}")
    judged = [run for run in runs if run.evaluation and run.test is not None]
    if judged:
        found = {run.name: (run.evaluation, run.test) for run in judged}
        sections.append(plot("Overlaps", draw_overlaps(found, networks), overlaps_in_words(found)))
    for run in judged:
        of = "" if one else f", {run.name}"
        sections += LocalisedPictures(run.test, run.evaluation, run.classes, of).galleries()
    if known:
        sections.append(
            plot("Losses", draw_losses(known, LOSSES, networks, seeds_of(runs)), losses_in_words(known), "By epoch.")
        )
    sections += batches([run for run in runs if run.plan.spec.task == LocaliserSpec.task], _feed)
    sections += networks_of({run.name: run.plan.network for run in runs}, note="These are figures as a classifier.")
    sections += exports_of({run.name: run.proofs for run in runs})
    sections += [provenance_of(run.provenance, run.path, "" if one else f", {run.name}") for run in runs]
    return Page(title, trained_on(run.provenance for run in runs), sections)


def _feed(run: Material, source: Source[Objects], recipe: Recipe) -> LocaliserFeed:
    return LocaliserSubject(run.plan, run.name, source, run.preprocessing).feed(recipe, open_replicas("one"))


def _summary(runs: Sequence[Material]) -> Table:
    """Errors where the class is given, beside those of boxes that know nothing."""
    lines = []
    for run in runs:
        found: LocalisationEvaluation | None = run.evaluation
        figures = [found.error, found.overlap, found.centre, found.mean] if found else [None] * 4
        told = ["" if each is None else f"{each:.2%}" for each in figures]
        lines.append([run.name, name_of(_network(run)), *told])
    return Table(
        "Summary",
        ["run", "network", "error", "mean IoU", "error of the middle half", "error of the mean box"],
        lines,
        "Test images, centre crops, the class given: a box is right at an IoU of 0.5 or more with any object of it.",
        [f"{run.name}: {run.missing}" for run in runs if run.missing],
    )


def _network(run: Material) -> AnyNetwork:
    spec = run.plan.spec
    return find_task(spec.task).network(spec)


def _classes(run: Material, of: str) -> Iterator[Table]:
    found: LocalisationEvaluation | None = run.evaluation
    if found:
        lines = [
            [each.name, f"{each.images:,}", *("" if x is None else f"{x:.2%}" for x in (each.error, each.overlap))]
            for each in found.classes
        ]
        columns = ["class", "test images", "error", "mean IoU"]
        yield Table(f"Classes{of}", columns, lines, "For each class, its boxes on the images that hold it.")
