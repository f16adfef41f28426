"""The pictures of a suite's results: curves and analyses of its classifiers, for its page and as files beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reskeras.experiments.records import RunRecord
from reskeras.experiments.results import SuiteResult
from reskeras.report.analysis_plots import draw_analyses
from reskeras.report.curves import draw_curves
from reskeras.report.figures import save_figures
from reskeras.report.plots import analysis_plots, curves_of, networks_of
from reskeras.report.sections import Plot
from reskeras.report.styles import Panels
from reskeras.tasks.classification.run import ClassifierRun
from reskeras.tasks.task import find_task


@dataclass(frozen=True)
class Pictured:
    """The classifiers of a result by name, the network of each, and how they are drawn."""

    records: dict[str, RunRecord]
    networks: dict[str, str]
    panels: Panels | None
    published: dict[str, Any]

    @classmethod
    def of(cls, result: SuiteResult) -> Pictured:
        """What there is to draw of a result."""
        runs = {
            (row, seed): record
            for row, seed, record in result.runs()
            if issubclass(find_task(record.task).run_type(), ClassifierRun)
        }
        several = len({seed for _, seed in runs}) > 1
        records = {f"{row}, seed {seed}" if several else row: record for (row, seed), record in runs.items()}
        networks = dict(zip(records, (row for row, _ in runs), strict=True))
        panels = {
            row: (panel, label)
            for panel, rows in result.suite.panels.items()
            for row, label in rows.items()
            if row in networks.values()
        }
        published = {row.row: row.published.get("test_error") for row in result.rows}
        return cls(records, networks, panels or None, published)

    def curves(self) -> dict[str, Any]:
        """The arguments of `draw_curves` and `curves_of`, but for the metrics."""
        figure = next((find_task(record.task).figure for record in self.records.values()), "val_accuracy")
        watched = {record.watched for record in self.records.values()}
        return {
            "networks": self.networks,
            "log": figure.removeprefix("val_"),
            "bands": True,
            "published": self.published,
            "panels": self.panels,
            **({"watched": watched.pop()} if len(watched) == 1 else {}),
        }

    @property
    def metrics(self) -> dict[str, Any]:
        """The epochs of each run that has any."""
        return {name: record.metrics for name, record in self.records.items() if record.metrics}

    @property
    def analyses(self) -> dict[str, Any]:
        """The analyses of the runs that were analysed."""
        return {name: record.analysis for name, record in self.records.items() if record.analysis}


def plots_of(result: SuiteResult) -> Iterator[Plot]:
    """Sections of a page: curves, analyses and diagrams of the networks."""
    pictured = Pictured.of(result)
    if curves := curves_of(pictured.metrics, **pictured.curves()):
        yield curves
    yield from analysis_plots(pictured.analyses, pictured.networks, True, pictured.panels)
    first: dict[str, RunRecord] = {}
    for name, record in pictured.records.items():
        first.setdefault(pictured.networks[name], record)
    yield from networks_of({row: record.plan for row, record in first.items()})


def save_pictures(result: SuiteResult, folder: Path) -> list[Path]:
    """Write curves and plots of analyses to `folder`, as PNG and SVG; returns the paths."""
    pictured, figures = Pictured.of(result), dict[str, Any]()
    if pictured.metrics:
        figures["curves"] = draw_curves(pictured.metrics, **pictured.curves())
    if pictured.analyses:
        figures |= draw_analyses(pictured.analyses, pictured.networks, True, pictured.panels)
    return save_figures(figures, folder)
