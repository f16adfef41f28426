"""`reskeras reproduce`: the rows of a table or figure, trained, measured, and compared with the published figures."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reskeras.errors import ReskerasError
from reskeras.quantities import short, short_time

from .completion import complete_scale, complete_source, complete_suites, complete_turn
from .output import echo, emit_json, facts, heading, note, prose, result_json_option
from .paths import data_dir_option
from .suite_results import check_suites, echo_suite, emit_suites
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.experiments.cost import Cost, TrainingCost

ALL = "all"


@click.command(
    "reproduce",
    epilog="\b\nExamples:\n"
    "  reskeras reproduce v1-table-1\n"
    "  reskeras reproduce v1-figure-6 --scale smoke\n"
    "  reskeras reproduce v1-figure-6 --rows plain-20,plain-56,resnet-20,resnet-56 --seeds 2 --data-dir ~/tfds\n"
    "  reskeras reproduce v2-table-2 --scale paper --dry-run\n"
    "  reskeras reproduce all --scale budget --only must --data-dir ~/tfds",
)
@click.argument("suite", shell_complete=complete_suites)
@click.option(
    "--scale",
    default="short",
    shell_complete=complete_scale,
    show_default=True,
    metavar="SCALE",
    help="paper: as in the paper. budget: all images, 14 epochs. short: a fifth of the images, or small ones for "
    "detectors. smoke: a few seconds, to check that it runs.",
)
@click.option(
    "--rows", multiple=True, metavar="ROW", help="Run only these rows; may be repeated, or separated by commas."
)
@click.option(
    "--seeds",
    type=int,
    metavar="N",
    help="Number of runs per row.  [default: 1; at the scale budget, as many as the row says]",
)
@click.option(
    "--only",
    multiple=True,
    shell_complete=complete_turn,
    metavar="TURN",
    help="With all, at the scale budget: only rows of this turn: must, should or may; may be repeated.",
)
@click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=complete_source,
    help="Use these images for every row, instead of the scale's.",
)
@data_dir_option
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
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the cost and the expected result, and stop. Where no epoch has finished, a step is measured.",
)
@result_json_option
def command(
    suite: str,
    scale: str,
    rows: tuple[str, ...],
    seeds: int | None,
    only: tuple[str, ...],
    data: str | None,
    data_dir: Path | None,
    out: Path | None,
    devices: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Run the rows of SUITE (reskeras suites, or your own YAML file), and show published and measured side by side.

    SUITE may be all, for every suite that trains: at the scale budget, rows of the turn `must` are run first, then
    `should`, then `may`. Finished rows are not run again, suites share their runs, and stopped runs are resumed. A row
    that fails is reported and does not stop the others; the exit status is then 1.
    """
    from reskeras.experiments.cost import cost
    from reskeras.experiments.reproduce import PLACE, all_prepared, opened_replicas, prepared, reproduce, reproduce_all
    from reskeras.experiments.suite import TURNS

    everything = suite == ALL
    if everything and (misplaced := _given(rows=rows, seeds=seeds, data=data)):
        raise ReskerasError(f"--{misplaced}: only for one suite, not for all")
    if only and not everything:
        raise ReskerasError("--only: only for all; choose the rows of one suite with --rows")
    turns = only or TURNS
    ready = all_prepared(scale, turns) if everything else [prepared(suite, scale, _split(rows, suite), seeds, data)]
    replicas = opened_replicas([row for each in ready for row in each.rows], devices)
    tell = partial(note, err=True)
    if not as_json:
        for each in ready[: 0 if everything else 1]:
            heading(each.suite.title, each.suite.source)
            prose(f"Expected: {each.suite.expects}")
    if dry_run or not as_json:
        # at the smoke scale measuring would take longer than the trainings
        expected = cost(ready, out, data_dir, None if scale == "smoke" else replicas, tell)
        if as_json:
            emit_json(asdict(expected))
        else:
            _echo_cost(expected, len(ready) > 1)
            echo()
    if dry_run:
        return
    place = Path(out or PLACE)
    if everything:
        results = reproduce_all(scale, only=turns, out=out, data_dir=data_dir, devices=devices, tell=tell)
    else:
        names = [row.name for row in ready[0].rows]
        results = [
            reproduce(
                suite, scale, rows=names, seeds=seeds, out=out, data=data, data_dir=data_dir, devices=devices, tell=tell
            )
        ]
    if as_json:
        emit_suites(results, everything)
    for result in results if not as_json else ():
        if everything:
            heading(result.suite.title, result.suite.source)
        echo_suite(result, place / result.name / scale)
    check_suites(results)


def _given(**options: Any) -> str:
    """The first of the options that was given, or an empty text."""
    return next((name for name, value in options.items() if value), "")


def _split(rows: tuple[str, ...], suite: str) -> list[str]:
    """Split names at commas, except where a row's own name has one."""
    from reskeras.experiments.suite import read_suite

    known = {row.row for row in read_suite(suite).rows}
    return [name.strip() for typed in rows for name in ([typed] if typed in known else typed.split(","))]


def _echo_cost(expected: Cost, several: bool) -> None:
    """What is to be trained, and how long that takes: a line for each training where there are several suites."""
    if not expected.trainings:
        return
    if several:
        table(
            [Column("suite"), Column("row"), Column("seed", right=True), Column("minutes left", right=True)],
            [[each.suite, each.row, str(each.seed), _minutes(each)] for each in expected.trainings],
        )
        echo()
    done = len(expected.trainings) - expected.left
    time = (
        "time unknown until a run has finished"
        if expected.seconds is None
        else f"about {short_time(expected.seconds)} here, by epochs that have finished or a step measured now"
    )
    facts(
        [
            ("runs", str(len(expected.trainings)), f"{done} already done" if done else ""),
            ("work", short(expected.multiply_adds), "multiply-adds in total, a step counted as three forward passes"),
            ("left", str(expected.left), time if expected.left else ""),
        ]
    )


def _minutes(training: TrainingCost) -> str:
    if training.is_done:
        return "done"
    return "unknown" if training.seconds is None else f"{training.seconds / 60:,.0f}"
