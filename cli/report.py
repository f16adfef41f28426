"""`reskeras report`: a report on runs or on a suite's results, as tables and as one HTML page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reskeras.files import local_path
from reskeras.runs import RESULTS_FILE
from reskeras.tasks.task import find_task

from .cards import card_fact, echo_files
from .classification_results import echo_proofs
from .output import command_line, echo, emit_json, facts, heading, note, working
from .paths import Written, data_dir_option
from .suite_results import echo_suite, emit_suites

if TYPE_CHECKING:
    from reskeras.tasks.run import Run


LOGS = [f"{images}{name}" for images in ("", "val_") for name in ("loss", "accuracy", "average_precision", "localised")]


@click.command(
    "report",
    epilog="\b\nExamples:\n"
    "  reskeras report saved_models/cifar-resnet-20-digits\n"
    "  reskeras report runs/plain-20 runs/plain-56 --out saved_models/degradation.html\n"
    "  reskeras report saved_models/reproduce/v1-figure-6/short\n"
    "  reskeras report saved_models/resnet-18-detector-bccd\n"
    "  reskeras report saved_models/cifar-resnet-20-digits --json",
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out",
    type=Written(),
    metavar="FILE",
    help="Write the page to this file.  [default: report.html in the run; for several runs saved_models/report.html]",
)
@data_dir_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print the report's data as JSON, and write neither page nor card."
)
def command(runs: tuple[Path, ...], out: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Write one HTML page about trained runs, or a suite's results, that works offline, on a phone and in print, and a
    model card of each run.

    It shows the network stage by stage, training and test error, responses and other plots of `analyse`, the confusion
    matrix, the worst mistakes, exports with their verification, and provenance; several runs share each plot.
    For detectors it shows average precision, recall of the proposals, losses, what limits them, and examples and
    mistakes with boxes drawn in.

    The card is README.md in the run, and beside its exports, in the form of Hugging Face's: figures with intervals,
    data, recipe, limits, provenance, use. A README.md that you wrote or edited is left as it is. A suite's runs get
    theirs from a report of their own.
    """
    if len(runs) == 1 and (local_path(runs[0], "run") / RESULTS_FILE).is_file():
        _report_suite(runs[0], out, as_json)
        return
    from reskeras.api import write_report
    from reskeras.tasks.run import Run

    opened: list[Run[Any]] = [Run(run) for run in runs]
    if as_json:
        known = [_known(run) for run in opened]
        emit_json(known[0] if len(known) == 1 else known)
        return
    for run in opened:
        _echo(run)
    with working("drawing the page"):
        page = write_report(*opened, out=out, data_dir=data_dir)
    echo()
    echo_files([("page", str(page), ""), *(card_fact(run.path) for run in opened)])


def _report_suite(folder: Path, out: Path | None, as_json: bool) -> None:
    """Print the results in a folder, and write their page."""
    from reskeras.experiments.page import write_suite_page
    from reskeras.experiments.results_folder import read_result

    result = read_result(folder)
    if as_json:
        emit_suites([result])
        return
    echo_suite(result, folder)
    facts([("page", str(write_suite_page(result, local_path(folder, "run"), out)), "")])


def _known(run: Run) -> dict[str, Any]:
    metrics = run.folder.metrics(partial(note, err=True))
    return {
        "run": str(run.path),
        "provenance": run.folder.provenance(),
        "metrics": metrics,
        "exports": [each.as_dict() for each in run.proofs()],
    }


def _echo(run: Run) -> None:
    made, rows, proofs = run.folder.provenance(), run.folder.metrics(note), run.proofs()
    heading(str(run.path), f"made {made.get('made', 'at an unknown time')}, {made.get('precision', 'not trained')}")
    if ported := made.get("ported"):
        facts([("ported", ported["source"], ported["layout"])])
    else:
        _echo_training(made, rows)
    if proofs:
        echo()
        echo_proofs(proofs)
    elif hasattr(run, "export"):
        words = find_task(run.task).words("export")
        note(f"no exports yet; create them with: {command_line(*words, run.path)}")


def _echo_training(made: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    data = made.get("data", {})
    facts(
        [
            (
                "data",
                str(data.get("label", "none")),
                f"{data.get('train', 0):,} training, {data.get('test', 0):,} test",
            ),
            ("epochs", str(len(rows)), f"best epoch {made['best_epoch']}" if "best_epoch" in made else ""),
            *((name, f"{rows[-1][name]:.4f}", "in the last epoch") for name in LOGS if rows and name in rows[-1]),
        ]
    )
