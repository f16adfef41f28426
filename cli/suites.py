"""`reskeras suites`: the papers' tables and figures that can be reproduced."""

from __future__ import annotations

import click

from .completion import complete_suite
from .output import echo, emit_json, facts, heading, prose
from .tables import Column, table


@click.command(
    "suites", epilog="\b\nExamples:\n  reskeras suites\n  reskeras suites v1-figure-6\n  reskeras suites --json"
)
@click.argument("name", required=False, shell_complete=complete_suite)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(name: str | None, as_json: bool) -> None:
    """List the built-in suites, or the rows of NAME with their published figures."""
    from reskeras.experiments.suite import read_suite, suite_names

    suites = {each: read_suite(each) for each in ([name] if name else suite_names())}
    if as_json:
        emit_json({each: suite.sparse() for each, suite in suites.items()})
        return
    if not name:
        table(
            [Column("suite"), Column("rows", right=True), Column("title")],
            [[each, str(len(suite.rows)), suite.title] for each, suite in suites.items()],
        )
        return
    suite = suites[name]
    heading(suite.title, suite.source)
    prose(suite.expects)
    echo()
    table(
        [Column("row"), Column("network"), *(Column(each.replace("_", " "), right=True) for each in suite.measures)],
        [
            [
                row.row,
                row.network if isinstance(row.network, str) else "custom",
                *(str(row.published.get(each, "")) for each in suite.measures),
            ]
            for row in suite.rows
        ],
    )
    if suite.findings:
        echo()
        facts([("finding", finding.says, "") for finding in suite.findings])
