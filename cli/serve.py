"""`reskeras serve`: TensorFlow Serving on a run's exports."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import click

from reskeras.addresses import copies_named

from .output import command_line, echo
from .run_options import run_argument


@click.command(
    "serve",
    epilog="\b\nExamples:\n"
    "  reskeras serve saved_models/photos\n"
    "  reskeras serve saved_models/photos --port 9000 --dry-run",
)
@run_argument
@click.option(
    "--port", type=click.IntRange(1, 65535), metavar="P", default=8501, show_default=True, help="Port of the REST API."
)
@click.option(
    "--grpc-port",
    type=click.IntRange(1, 65535),
    metavar="P",
    default=8500,
    show_default=True,
    help="Port of the gRPC API.",
)
@click.option("--dry-run", is_flag=True, help="Print the commands without running them.")
def command(run: Path, port: int, grpc_port: int, dry_run: bool) -> None:
    """Serve a run's SavedModel with TensorFlow Serving: tensorflow_model_server, else its container.

    It picks up new versions that `reskeras export` writes while it runs, and never sees a half-written one.
    """
    from reskeras.export.server import PROGRAM, commands_for, exported, model_name, way_to_serve
    from reskeras.runs import open_run
    from reskeras.tasks.task import find_task

    opened = open_run(run)
    task = find_task(opened.task)
    folder = exported(opened, task.words("export"), task.served_batches())
    if dry_run:
        with copies_named():  # these programs read the copy of a remote run
            for words in commands_for(folder, port, grpc_port):
                echo(command_line(*words))
        return
    words = way_to_serve(folder, port, grpc_port)
    with copies_named():
        echo(command_line(*words))
    if words[0] == PROGRAM:
        echo(f"{PROGRAM} cannot be bound to one address: its ports are open on every network of this machine", err=True)
    url = f"http://localhost:{port}/v1/models/{quote(model_name(folder))}"
    echo(f"ask: {command_line(*task.words('predict'), '--url', url)} IMAGE...")
    os.execvp(words[0], words)
