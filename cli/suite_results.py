"""Prints the results of a suite, or of one training in several seeds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from reskeras.errors import failure

from .output import echo, emit_json, facts, prose
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.experiments.results import SuiteResult


def emit_suite(result: SuiteResult) -> None:
    """Print it as JSON."""
    rows = [asdict(row) for row in result.rows]
    emit_json({"suite": result.name, "scale": result.scale, "rows": rows, "findings": result.findings()})


def check_suite(result: SuiteResult) -> None:
    """ReskerasError (status 1) when a row failed."""
    if result.failed:
        raise failure(f"{result.name}: failed: " + "; ".join(f"{row.row}: {row.error}" for row in result.failed))


def echo_suite(result: SuiteResult, place: Path) -> None:
    """Print the table, the differences from the paper, the findings, and where the results are."""
    columns, lines = result.table() if result.scale else result.by_seed()
    table([Column(columns[0]), *(Column(title, right=True) for title in columns[1:])], lines)
    _echo_differences(result)
    for says, outcome in result.findings():
        echo(f"{says} {outcome[:1].upper()}{outcome[1:]}.")
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
