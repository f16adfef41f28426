"""The HTML page of a suite's results: published and measured figures, findings, curves and analyses of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reskeras.analysis.analysis import SUMMARY_FILE, read_analysis
from reskeras.documents.validation import validated
from reskeras.errors import failure
from reskeras.experiments.measures import MEASURES
from reskeras.experiments.results import RESULTS_FILE, RowResult, SuiteResult
from reskeras.experiments.suite import SuiteSpec
from reskeras.files import check_place, local_path
from reskeras.report.page import write_page
from reskeras.report.plots import analysis_plots, curves_of, networks_of
from reskeras.report.sections import Facts, Page, Section, Table
from reskeras.runs import REPORT_FILE
from reskeras.stored import as_shape, read_json
from reskeras.tasks.classification.run import ClassifierRun
from reskeras.tasks.run import Run
from reskeras.tasks.task import find_task


def read_result(folder: str | Path) -> SuiteResult:
    """The results that `reproduce` wrote into `folder`; ReskerasError (status 1) when they are broken."""
    path = local_path(folder, "suite") / RESULTS_FILE
    data = read_json(path, "report", dict[str, Any])
    try:
        rows = [
            RowResult(
                row["row"],
                row["published"],
                row["differences"],
                {int(seed): figures for seed, figures in row["figures"].items()},
                {int(seed): run for seed, run in row["runs"].items()},
                row["error"],
            )
            for row in data["rows"]
        ]
        rows = as_shape(rows, list[RowResult])
        return SuiteResult(data["suite"], validated(SuiteSpec, data["spec"]), data["scale"], rows)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise failure(f"report: {path} is broken: {error}") from error


def write_suite_page(folder: str | Path, out: str | Path | None = None, data_dir: str | Path | None = None) -> Path:
    """Write the page of the results in `folder`, by default into it; returns the path."""
    page = out or local_path(folder, "suite") / REPORT_FILE
    check_place(page)
    return write_page(page_of_suite(read_result(folder)), page)


def page_of_suite(result: SuiteResult) -> Page:
    """The page of a result; runs that no longer exist are left out of the plots."""
    columns, lines = result.table()
    sections: list[Section] = [
        Table(
            "Published and measured" if result.scale else "Measured",
            columns,
            lines,
            (f"Scale {result.scale}. " if result.scale else "")
            + "Median over the seeds (mean \u00b1 standard deviation if there are several)"
            + ("; the paper's figures follow its own protocol." if result.scale else "."),
            _notes(result),
        )
    ]
    if findings := result.findings():
        sections.append(Facts("Findings", findings, "The paper's findings, and the outcomes here."))
    runs: dict[tuple[str, int], Run] = {
        (row.row, seed): Run(path)
        for row in result.rows
        for seed, path in row.runs.items()
        if local_path(path, "run").is_dir()
    }
    several = len({seed for _, seed in runs}) > 1
    named = {f"{row}, seed {seed}" if several else row: run for (row, seed), run in runs.items()}
    networks = dict(zip(named, (row for row, _ in runs), strict=True))
    sections += _inside({name: run for name, run in named.items() if isinstance(run, ClassifierRun)}, networks)
    sections.append(_provenance(result, named))
    return Page(result.suite.title, f"{result.suite.source}. {result.suite.expects}".removeprefix(". "), sections)


def _inside(named: Mapping[str, ClassifierRun], networks: Mapping[str, str]) -> Iterator[Section]:
    """Curves, analyses and diagrams of classifiers."""
    metrics = {name: run.folder.metrics() for name, run in named.items()}
    figure = next((find_task(run.task).figure for run in named.values()), "val_accuracy")
    if curves := curves_of(metrics, networks, figure.removeprefix("val_"), bands=True):
        yield curves
    yield from analysis_plots(
        {
            name: read_analysis(run.folder.analysis_folder)
            for name, run in named.items()
            if (run.folder.analysis_folder / SUMMARY_FILE).is_file()
        },
        networks,
    )
    first: dict[str, ClassifierRun] = {}
    for name, run in named.items():
        first.setdefault(networks[name], run)
    yield from networks_of({row: run.plan for row, run in first.items()})


def _notes(result: SuiteResult) -> list[str]:
    notes = [f"{name.replace('_', ' ')}: {MEASURES[name].words}." for name in result.suite.measures]
    everywhere, own = result.differences()
    notes += [f"Differences from the paper: {'; '.join(everywhere)}."] if everywhere else []
    notes += [f"{row}: {'; '.join(differences)}." for row, differences in own.items()]
    return notes + [f"{row.row} failed: {row.error}" for row in result.failed]


def _provenance(result: SuiteResult, runs: Mapping[str, Run]) -> Facts:
    pairs = []
    for name, run in runs.items():
        made, machine = run.folder.provenance(), run.folder.provenance().get("machine", {})
        pairs.append(
            (
                name,
                f"{made.get('training_seconds', 0):,.0f} s on {machine.get('processor')} with "
                f"{machine.get('cpus')} cores, {made.get('precision')}, made {made.get('made')}, "
                f"revision {made.get('git_revision')}",
            )
        )
    return Facts("Provenance", pairs, f"Suite {result.name}, {len(runs)} runs.")
