"""`reskeras suites`: the papers' tables and figures that can be reproduced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .completion import complete_suite
from .output import echo, emit_json, facts, heading, json_option, prose
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.experiments.suite import RowSpec


@click.command(
    "suites", epilog="\b\nExamples:\n  reskeras suites\n  reskeras suites v1-figure-6\n  reskeras suites --json"
)
@click.argument("name", required=False, shell_complete=complete_suite)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the built-in suites, or the rows of NAME with their published figures."""
    from reskeras.experiments.suite import read_suite, suite_names, task_of
    from reskeras.tasks.task import find_task

    suites = {each: read_suite(each) for each in ([name] if name else suite_names())}
    if as_json:
        emit_json({each: suite.sparse() for each, suite in suites.items()})
        return
    if not name:
        table(
            [Column("suite"), Column("rows", right=True), Column("for"), Column("title")],
            [
                [each, str(len(suite.rows)), f"{find_task(task_of(suite)).noun}s", suite.title]
                for each, suite in suites.items()
            ],
        )
        return
    suite = suites[name]
    heading(suite.title, suite.source)
    prose(suite.expects)
    echo()
    table(
        [Column("row"), Column("network"), *(Column(each.replace("_", " "), right=True) for each in suite.measures)],
        [
            [row.row, _network(row), *(str(row.published.get(each, "")) for each in suite.measures)]
            for row in suite.rows
        ],
    )
    for row in suite.rows:
        if row.network is None:
            echo(f"  {row.row}: {row.why}")
    if suite.findings:
        echo()
        facts([("finding", finding.says, "") for finding in suite.findings])


def _network(row: RowSpec) -> str:
    """The network of a row in a word or two: its name, that of a detector's backbone, or that there is none."""
    asked = row.network
    if isinstance(asked, dict) and isinstance(asked.get("backbone"), str):
        return f"{asked['backbone']}, changed" if len(asked) > 1 else asked["backbone"]
    return asked if isinstance(asked, str) else "published only" if asked is None else "custom"
