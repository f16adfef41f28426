"""`reskeras reproduce`: the rows of a table or figure, trained, measured, and compared with the published figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .completion import complete_data, complete_scale, complete_suite
from .output import echo, facts, heading, note, prose, short
from .suite_results import check_suite, echo_suite, emit_suite

if TYPE_CHECKING:
    from reskeras.experiments.reproduce import Cost


@click.command(
    "reproduce",
    epilog="\b\nExamples:\n"
    "  reskeras reproduce v1-table-1\n"
    "  reskeras reproduce v1-figure-6 --scale smoke\n"
    "  reskeras reproduce v1-figure-6 --rows plain-20,plain-56,resnet-20,resnet-56 --seeds 2 --data-dir ~/tfds\n"
    "  reskeras reproduce v2-table-2 --scale paper --dry-run",
)
@click.argument("suite", shell_complete=complete_suite)
@click.option(
    "--scale",
    default="short",
    shell_complete=complete_scale,
    show_default=True,
    metavar="SCALE",
    help="paper: as in the paper. short: a shorter schedule. smoke: a few seconds, to check that it runs.",
)
@click.option(
    "--rows", multiple=True, metavar="ROW", help="Run only these rows; may be repeated, or separated by commas."
)
@click.option("--seeds", type=int, default=1, show_default=True, metavar="N", help="Number of runs per row.")
@click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=complete_data,
    help="Use these images for every row, instead of the scale's.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder of prepared TFDS data sets.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for runs and results.  [default: saved_models/reproduce]",
)
@click.option(
    "--devices",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Divide each batch among N GPUs, or without a GPU among logical CPUs.",
)
@click.option("--dry-run", is_flag=True, help="Print the cost and the expected result, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
def command(
    suite: str,
    scale: str,
    rows: tuple[str, ...],
    seeds: int,
    data: str | None,
    data_dir: Path | None,
    out: Path | None,
    devices: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the rows of SUITE (reskeras suites, or your own YAML file), and show published and measured side by side.

    Finished rows are not run again, suites share their runs, and stopped runs are resumed. A row that fails is reported
    and does not stop the others; the exit status is then 1.
    """
    from reskeras.experiments.reproduce import PLACE, cost, opened_replicas, prepared, reproduce

    spec, ready = prepared(suite, scale, _split(rows, suite), seeds, data)
    if not dry_run:
        opened_replicas(ready, devices)
    trained = [row for row in ready if row.recipe]
    if not as_json:
        heading(spec.title, spec.source)
        prose(spec.expects)
        if trained:
            _echo_cost(cost(trained, seeds, out, data_dir))
        echo()
    if dry_run:
        return
    result = reproduce(
        suite,
        scale,
        rows=[row.name for row in ready],
        seeds=seeds,
        out=out,
        data=data,
        data_dir=data_dir,
        devices=devices,
        tell=lambda line: note(line, err=True),
    )
    if as_json:
        emit_suite(result)
    else:
        echo_suite(result, Path(out or PLACE) / result.name / scale)
    check_suite(result)


def _split(rows: tuple[str, ...], suite: str) -> list[str]:
    """Split names at commas, except where a row's own name has one."""
    from reskeras.experiments.suite import read_suite

    known = {row.row for row in read_suite(suite).rows}
    return [name.strip() for typed in rows for name in ([typed] if typed in known else typed.split(","))]


def _echo_cost(expected: Cost) -> None:
    done = expected.trainings - expected.left
    time = (
        "time unknown until a run has finished"
        if expected.seconds is None
        else (f"about {expected.seconds / 60:,.0f} min, at the speed of the runs finished here")
    )
    facts(
        [
            ("trainings", str(expected.trainings), f"{done} already done" if done else ""),
            ("work", short(expected.multiply_adds), "multiply-adds in total, a step counted as three forward passes"),
            ("left", str(expected.left), time if expected.left else ""),
        ]
    )
