"""`reskeras launch`: several workers of one training on this machine, or this machine's worker of a cluster."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

from reskeras.errors import ReskerasError, unknown

from .output import command_line, echo, note

if TYPE_CHECKING:
    from reskeras.launch.cluster import Cluster

LAUNCHED = (("train",), ("detect", "train"))
EXAMPLE = "reskeras launch --workers 2 -- train cifar-resnet-20 --data digits --out saved_models/demo"
# -P: no module of the working directory can shadow one of ours
PROGRAM = (sys.executable, "-P", "-c", "from reskeras_cli.main import main; main()")


@click.command(
    "launch",
    context_settings={"allow_interspersed_args": False},
    epilog="\b\nExamples:\n"
    f"  {EXAMPLE}\n"
    "  reskeras launch --workers 4 --restarts 10 -- train resnet-50 --data folder:photos --out saved_models/photos\n"
    "  reskeras launch --workers 2 --dry-run -- train cifar-resnet-56 --data cifar10\n"
    "  TF_CONFIG=... reskeras launch -- train resnet-50 --data folder:photos --out saved_models/photos --resume",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of processes to start.  [default: this machine's worker of the cluster in TF_CONFIG or Slurm]",
)
@click.option(
    "--restarts",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    metavar="R",
    help="Number of times to restart a group that failed.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between asking a worker to stop (SIGTERM) and killing it.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="P",
    help="Use the first free ports from P on.  [default: any free ones]",
)
@click.option("--dry-run", is_flag=True, help="Print the commands and their environments without running them.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="-- train ...")
def command(
    workers: int | None, restarts: int, grace: float, port: int | None, dry_run: bool, arguments: tuple[str, ...]
) -> int:
    """Train in N processes on this machine that share each batch, and restart them when one fails.

    Everything after -- is a reskeras command line, to which --strategy multi-worker is added. Each worker gets its
    share of the cores, or of the GPUs, and its output is prefixed with its number. When one fails, all are stopped and
    restarted with --resume. Ctrl-C and SIGTERM stop all of them and keep their training state.

    On several machines, run the same command without --workers on each: it starts and restarts that machine's worker
    of the cluster in TF_CONFIG or Slurm's variables, and the workers meet again. Only the first one writes --out.

    The exit status is 0 when all workers have finished, 1 when the group failed too often, 2 when a worker refused the
    request, and 143 or 130 when it was stopped.
    """
    from reskeras.launch.group import Launch, supervise

    here = _cluster(workers, port)
    first = worker_arguments(arguments)
    again = worker_arguments(arguments, resume=True)
    if dry_run:
        _echo_commands(workers, port, first)
        return 0
    if restarts and not {"--out", "--resume"} & _options(arguments):
        note(
            "launch: without --out, a restart resumes the run in the default folder, the one whose name has no number; "
            "use --out if that is a different run",
            err=True,
        )
    launch = Launch((*PROGRAM, *first), workers or 1, (*PROGRAM, *again), restarts, grace, port=port, here=here)
    return supervise(launch, lambda line, is_error: echo(line, err=is_error))


def _cluster(workers: int | None, port: int | None) -> Cluster | None:
    """The cluster whose worker this machine is to run; None for a group of `workers` on this machine."""
    from reskeras.launch.cluster import cluster

    here = cluster()
    several = here is not None and len(here.workers) > 1
    if workers is None and not several:
        raise ReskerasError(
            "launch: give --workers N to train in N processes on this machine, or TF_CONFIG or Slurm's variables for "
            "this machine's worker of a cluster"
        )
    if here and several and (workers or port):
        option = "workers" if workers else "port"
        raise ReskerasError(
            f"{option}: {workers or port}: the environment (TF_CONFIG, CLUSTER_SPEC or Slurm) has a cluster of "
            f"{len(here.workers)} workers; leave out --{option}, or unset the variable to train on this machine alone"
        )
    return here if several else None


def worker_arguments(arguments: tuple[str, ...], resume: bool = False) -> list[str]:
    """The arguments of each worker's `reskeras`; ReskerasError (status 2) for a command that cannot be launched."""
    if not arguments:
        raise ReskerasError(f"launch: no command to launch; give it after --, for example\n{EXAMPLE}")
    command = next((each for each in LAUNCHED if arguments[: len(each)] == each), None)
    if command is None:
        raise unknown("launch", arguments[0], map(" ".join, LAUNCHED))
    given = _options(arguments)
    added = [] if "--strategy" in given else ["--strategy", "multi-worker"]
    if resume and "--resume" not in given:
        added.append("--resume")
    # right after the command's name: after a -- they would not be options
    return [*command, *added, *arguments[len(command) :]]


def _options(arguments: tuple[str, ...]) -> set[str]:
    return {word.partition("=")[0] for word in arguments}


def _echo_commands(workers: int | None, port: int | None, arguments: list[str]) -> None:
    from reskeras.launch.places import UNBUFFERED, environments, free_ports

    for setting in environments(free_ports(workers, port), os.environ) if workers else [UNBUFFERED]:
        pairs = [f"{name}={shlex.quote(value)}" for name, value in setting.items()]
        echo(" ".join([*pairs, command_line(*PROGRAM, *arguments)]))
