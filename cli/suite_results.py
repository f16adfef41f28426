"""Prints the results of a suite, or of one training in several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reskeras.errors import failure

from .output import echo, emit_json, facts, prose
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.experiments.results import SuiteResult


def emit_suites(results: Sequence[SuiteResult], several: bool = False) -> None:
    """Print them as JSON: one as an object, `several` as a list."""
    from reskeras.experiments.results_folder import as_dict

    data = [as_dict(result) for result in results]
    emit_json(data if several else data[0])


def check_suites(results: Sequence[SuiteResult]) -> None:
    """ReskerasError (status 1) when a row failed."""
    from reskeras.experiments.reasons import by_reason

    if failed := [(row.row, row.error) for result in results for row in result.failed]:
        names = ", ".join(result.name for result in results if result.failed)
        raise failure(f"{names}: failed: " + "; ".join(by_reason(failed)))


def echo_suite(result: SuiteResult, place: Path) -> None:
    """Print the table, the differences from the paper, the findings, and where the results are."""
    columns, lines = result.table() if result.scale else result.by_seed()
    table([Column(columns[0]), *(Column(title, right=True) for title in columns[1:])], lines)
    _echo_differences(result)
    for finding, verdict in result.findings():
        why = f" {verdict.why[:1].upper()}{verdict.why[1:]}." if verdict.why else ""
        prose(f"{verdict.word.capitalize()}: {finding.says}{why}")
    facts([("results", str(place), "results.json, results.csv, report.html")])


def _echo_differences(result: SuiteResult) -> None:
    everywhere, own = result.differences()
    echo()
    if everywhere:
        prose("Differences from the paper: " + "; ".join(everywhere) + ".")
    for row, differences in own.items():
        echo(f"  {row}: {'; '.join(differences)}")
    if everywhere or own:
        echo()
