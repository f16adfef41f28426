"""`reskeras report`: what is known of a run, in tables."""

from __future__ import annotations

from pathlib import Path

import click

from .output import emit_json, facts, heading
from .results import echo_proofs
from .run_options import run_argument


@click.command(
    "report",
    epilog="\b\nExamples:\n"
    "  reskeras report saved_models/cifar-resnet-20-digits\n"
    "  reskeras report saved_models/cifar-resnet-20-digits --json",
)
@run_argument
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(run: Path, as_json: bool) -> None:
    """How a run was made, how its training ended, and the proof of each of its exports."""
    from reskeras.api import Run

    known = Run(run)
    made, rows, proofs = known.folder.provenance(), known.folder.metrics(), known.proofs()
    if as_json:
        emit_json({"run": str(run), "provenance": made, "metrics": rows,
                   "exports": [each.as_dict() for each in proofs]})
        return
    data = made.get("data", {})
    heading(str(run), f"made {made.get('made', 'at an unknown time')}, {made.get('precision', 'not trained')}")
    facts([("data", str(data.get("label", "none")), f"{data.get('train', 0):,} training, {data.get('test', 0):,} test"),
           ("epochs", str(len(rows)), f"the best is {made['best_epoch']}" if "best_epoch" in made else ""),
           *((name, f"{rows[-1][name]:.4f}", "in the last epoch") for name in (
               "loss", "accuracy", "val_loss", "val_accuracy") if rows)])
    if proofs:
        click.echo()
        echo_proofs(proofs)
    else:
        click.echo(f"no exports yet; make some with: reskeras export {run}")
