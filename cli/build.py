"""`reskeras build`: compile a network to Keras and save it as a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reskeras.quantities import short_bytes

from .network_options import NetworkRequest, network_options
from .output import command_line, echo, emit_json, json_option, note, working
from .paths import Written

if TYPE_CHECKING:
    from .overview import Overview


@click.command(
    "build",
    epilog="\b\nExamples:\n"
    "  reskeras build --depth 152 --preact\n"
    "  reskeras build resnet-34 --classes 10 --out saved_models/mine --plot resnet-34.png",
)
@network_options()
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="The new run folder.  [default: saved_models/NAME]"
)
@click.option("--plot", type=Written(), metavar="FILE", help="Also draw the network unit by unit: .png, .svg or .pdf.")
@json_option
def command(request: NetworkRequest, out: Path | None, plot: Path | None, as_json: bool) -> None:
    """Compile a network with fresh weights, describe it, and save it as a new run folder.

    NETWORK is a name from the catalogue (reskeras list), a YAML file or a run folder; flags override its fields, or
    define a network without it. The folder contains network.yaml, resolved.yaml and model.keras.
    """
    from reskeras.runs import place_for

    from .overview import Overview

    overview = Overview(request.spec())
    overview.spec.check_fresh()
    place_for(out, overview.name)  # a folder that exists is refused now, not after the build
    if plot:
        _draw(overview, plot)
    if not as_json:
        overview.echo()
        echo()
    started = time.perf_counter()
    with working("compiling and saving"):
        from reskeras.api import build_run  # imports TensorFlow, which takes seconds

        path = build_run(overview.spec, out)
    seconds = time.perf_counter() - started
    if as_json:
        emit_json(
            {**overview.data(), "run": str(path), "seconds": round(seconds, 2), "plot": str(plot) if plot else None}
        )
        return
    size = short_bytes(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()))
    echo(f"saved  {path}  ({size}, in {seconds:.1f} s)")
    if plot:
        echo(f"drawn  {plot}")
    note(f"next   {command_line('reskeras', 'show', path)}")


def _draw(overview: Overview, plot: Path) -> None:
    from reskeras.report.architecture import check_path, draw

    check_path(plot)
    draw(overview.plan, overview.name, plot)
