"""The pictures of a suite's results: curves and analyses of its runs, for its page and as files beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reskeras.experiments.measures import MEASURES
from reskeras.experiments.records import RunRecord
from reskeras.experiments.results import SuiteResult
from reskeras.report.analysis_plots import draw_analyses
from reskeras.report.curves import ERRORS, draw_curves, is_number
from reskeras.report.dots import Dots, dots_in_words, draw_dots
from reskeras.report.figures import save_figures
from reskeras.report.plots import analysis_plots, curves_of, networks_of
from reskeras.report.sections import Plot, plot
from reskeras.report.styles import Panels
from reskeras.tasks.task import find_task

MOST_DOTS = 3  # measures side by side


@dataclass(frozen=True)
class Pictured:
    """The runs of a result by name, the network of each, and how they are drawn: an epoch's error is 1 - `log`."""

    log: str
    records: dict[str, RunRecord]
    networks: dict[str, str]
    panels: Panels | None
    published: dict[str, Any]

    @classmethod
    def of(cls, result: SuiteResult) -> Pictured:
        """What there is to draw of a result: its runs are of one task. A run is drawn once of the rows that only look
        at its test images in other ways."""
        runs, drawn = dict[tuple[str, int], RunRecord](), set[str]()
        for row in result.rows:
            for seed, record in row.records.items():
                place = row.runs.get(seed, "")
                if not (place in drawn and result.views_of(row)):
                    runs[row.row, seed] = record
                drawn.add(place)
        figure = next((find_task(record.task).figure for record in runs.values()), "val_accuracy")
        log = figure.removeprefix("val_")
        several = len({seed for _, seed in runs}) > 1
        records = {f"{row}, seed {seed}" if several else row: record for (row, seed), record in runs.items()}
        networks = dict(zip(records, (row for row, _ in runs), strict=True))
        panels = {
            row: (panel, label)
            for panel, rows in result.suite.panels.items()
            for row, label in rows.items()
            if row in networks.values()
        }
        published = {row.row: _published_error(log, row.published) for row in result.rows}
        return cls(log, records, networks, panels or None, published)

    def curves(self) -> dict[str, Any]:
        """The arguments of `draw_curves` and `curves_of`, but for the metrics."""
        watched = {record.watched for record in self.records.values()}
        return {
            "networks": self.networks,
            "log": self.log,
            "seeds": self.networks,
            "published": self.published,
            "panels": self.panels,
            **({"watched": watched.pop()} if len(watched) == 1 else {}),
        }

    @property
    def metrics(self) -> dict[str, Any]:
        """The epochs of each run that has any in which the error was measured."""
        return {
            name: record.metrics
            for name, record in self.records.items()
            if self.log in ERRORS and any(f"val_{self.log}" in epoch for epoch in record.metrics)
        }

    @property
    def analyses(self) -> dict[str, Any]:
        """The analyses of the runs that were analysed."""
        return {name: record.analysis for name, record in self.records.items() if record.analysis}


def plots_of(result: SuiteResult) -> Iterator[Plot]:
    """Sections of a page: curves, analyses and diagrams of the networks, of detectors the backbones."""
    pictured = Pictured.of(result)
    if dots := dots_of(result):
        yield plot("Row by row", _draw_dots(dots, pictured.panels), dots_in_words(dots))
    if curves := curves_of(pictured.metrics, **pictured.curves()):
        yield curves
    yield from analysis_plots(pictured.analyses, pictured.networks, pictured.networks, pictured.panels)
    first: dict[str, RunRecord] = {}
    for name, record in pictured.records.items():
        first.setdefault(pictured.networks[name], record)
    parts = any(record.is_part for record in first.values())
    how = ("Backbone", "The figures are those of a classifier with this backbone.") if parts else ()
    yield from networks_of({row: record.plan for row, record in first.items()}, *how)


def dots_of(result: SuiteResult) -> list[Dots]:
    """The measures in per cent that are compared with published figures or judged by image, where two rows or more have
    been measured; of row and seed."""
    chosen = []
    for name in result.suite.measures:
        values = {row.row: [100 * each[name] for each in row.figures.values() if name in each] for row in result.rows}
        known = {row.row: float(row.published[name]) for row in result.rows if is_number(row.published.get(name))}
        compared = MEASURES[name].percent and (known or MEASURES[name].by_image)
        if compared and sum(map(bool, values.values())) > 1:
            chosen.append(Dots(name.replace("_", " "), values, known))
    return chosen[:MOST_DOTS]


def _draw_dots(dots: list[Dots], panels: Panels | None) -> Any:
    rows = dict.fromkeys(row for each in dots for row, values in each.values.items() if values or row in each.published)
    return draw_dots(dots, list(rows), panels)


def _published_error(log: str, published: Mapping[str, Any]) -> Any:
    """The published figure, in per cent, that curves of 1 - `log` approach; what is no number as it is."""
    if log == "accuracy":
        return published.get("test_error")
    precision = published.get("coco_map")
    return 100 - precision if isinstance(precision, int | float) else precision


def save_pictures(result: SuiteResult, folder: Path) -> list[Path]:
    """Write the figures as dots, curves and plots of analyses to `folder`, as PNG and SVG; returns the paths."""
    pictured, figures = Pictured.of(result), dict[str, Any]()
    if dots := dots_of(result):
        figures["rows"] = _draw_dots(dots, pictured.panels)
    if pictured.metrics:
        figures["curves"] = draw_curves(pictured.metrics, **pictured.curves())
    if pictured.analyses:
        figures |= draw_analyses(pictured.analyses, pictured.networks, pictured.networks, pictured.panels)
    return save_figures(figures, folder)
