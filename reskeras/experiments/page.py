"""The HTML page of a suite's results: published and measured figures, findings, curves and analyses of its runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reskeras.experiments.measures import MEASURES
from reskeras.experiments.records import RunRecord
from reskeras.experiments.results import SuiteResult
from reskeras.files import check_place
from reskeras.report.page import write_page
from reskeras.report.plots import analysis_plots, curves_of, networks_of
from reskeras.report.sections import Page, Plot, Section, Table
from reskeras.tasks.classification.run import ClassifierRun
from reskeras.tasks.task import find_task

VERDICTS = (
    "A difference came out, or is reversed, where it exceeds twice its standard error, by the deviation between seeds "
    "pooled over the rows that have several (of an error at least 0.16 points), and where McNemar's test on the images "
    "gives p < 0.05 if it is an error on them; else it is undecided."
)


def write_suite_page(result: SuiteResult, out: str | Path) -> Path:
    """Write the page of a result; returns the path."""
    check_place(out)
    return write_page(page_of_suite(result), out)


def page_of_suite(result: SuiteResult) -> Page:
    """The page of a result: the findings first."""
    sections: list[Section] = []
    if findings := result.findings():
        lines = [[finding.says, verdict.word, verdict.why] for finding, verdict in findings]
        sections.append(
            Table("Findings", ["finding", "verdict", "figures"], lines, VERDICTS, sentences=("finding", "figures"))
        )
    columns, lines = result.table()
    sections.append(
        Table(
            "Published and measured" if result.scale else "Measured",
            columns,
            lines,
            (f"Scale {result.scale}. " if result.scale else "")
            + "Median over the seeds (mean \u00b1 standard deviation if there are several)"
            + ("; the paper's figures follow its own protocol." if result.scale else "."),
            _notes(result),
        )
    )
    sections += plots_of(result)
    columns, lines = result.runs_table()
    sections.append(Table("Runs", columns, lines, "How each figure was made.", sentences=("schedule",)))
    return Page(result.suite.title, f"{result.suite.source}. {result.suite.expects}".removeprefix(". "), sections)


def plots_of(result: SuiteResult) -> Iterator[Plot]:
    """Curves, analyses and diagrams of a result's classifiers."""
    runs = {
        (row, seed): record
        for row, seed, record in result.runs()
        if issubclass(find_task(record.task).run_type(), ClassifierRun)
    }
    several = len({seed for _, seed in runs}) > 1
    named = {f"{row}, seed {seed}" if several else row: record for (row, seed), record in runs.items()}
    networks = dict(zip(named, (row for row, _ in runs), strict=True))
    figure = next((find_task(record.task).figure for record in named.values()), "val_accuracy")
    metrics = {name: record.metrics for name, record in named.items()}
    if curves := curves_of(metrics, networks, figure.removeprefix("val_"), bands=True):
        yield curves
    yield from analysis_plots({name: each.analysis for name, each in named.items() if each.analysis}, networks)
    first: dict[str, RunRecord] = {}
    for name, record in named.items():
        first.setdefault(networks[name], record)
    yield from networks_of({row: record.plan for row, record in first.items()})


def _notes(result: SuiteResult) -> list[str]:
    notes = [f"{name.replace('_', ' ')}: {MEASURES[name].words}." for name in result.suite.measures]
    everywhere, own = result.differences()
    notes += [f"Differences from the paper: {'; '.join(everywhere)}."] if everywhere else []
    notes += [f"{row}: {'; '.join(differences)}." for row, differences in own.items()]
    return notes + [f"{row.row} failed: {row.error}" for row in result.failed]
