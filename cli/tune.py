"""`reskeras tune`: hyperparameter search over networks and recipes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reskeras.errors import ReskerasError
from reskeras.readers import CLASSES, usages

from .completion import complete_data, complete_recipe, complete_space
from .launch import PROGRAM
from .network_options import NetworkRequest, network_options
from .output import emit_json, note
from .quantities import Quantity
from .trials import Board, echo_search

if TYPE_CHECKING:
    from reskeras.tuning.search import Search


@click.command(
    "tune",
    epilog="\b\nExamples:\n"
    "  reskeras tune cifar-resnet-20 --space depth-width --data digits --trials 12 --max-params 300k\n"
    "  reskeras tune cifar-resnet-20 --space mine.yaml --tuner hyperband --epochs 9 --data cifar10\n"
    "  reskeras tune cifar-resnet-20 --space all --objective val_accuracy --objective multiply_adds:min:0.02\n"
    "  reskeras tune --show saved_models/tune-cifar-resnet-20-digits",
)
@network_options()
@click.option(
    "--space",
    metavar="SPACE",
    shell_complete=complete_space,
    help="Search space: a name (reskeras spaces) or a YAML file.",
)
@click.option(
    "--data",
    default="digits",
    show_default=True,
    metavar="SOURCE",
    shell_complete=complete_data,
    help=f"{usages(CLASSES)}; append @N to use N training images.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), metavar="DIR", help="Folder of prepared TFDS data sets.")
@click.option(
    "--recipe",
    default="quick",
    show_default=True,
    metavar="RECIPE",
    shell_complete=complete_recipe,
    help="A recipe's name (reskeras recipes) or a YAML file.",
)
@click.option("--epochs", type=int, metavar="N", help="Override the recipe's epochs; the maximum for hyperband.")
@click.option("--patience", type=int, metavar="N", help="Stop a trial that has not improved for N epochs.")
@click.option(
    "--tuner", default="bayesian", show_default=True, metavar="T", help="random, grid, bayesian or hyperband."
)
@click.option(
    "--objective",
    multiple=True,
    metavar="NAME[:min|max[:WEIGHT]]",
    help="Figure to optimise; several are combined in a weighted sum.  [default: val_accuracy]",
)
@click.option(
    "--trials", type=int, metavar="N", help="Maximum number of trials.  [default: 10; the whole grid for grid]"
)
@click.option(
    "--executions",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Number of trainings per trial, with different seeds; their figures are averaged.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Seed for choosing the trials.")
@click.option("--max-params", type=Quantity(), metavar="N", help="Maximum number of parameters, such as 300k.")
@click.option("--max-multiply-adds", type=Quantity(), metavar="N", help="Maximum multiply-adds per image, such as 50M.")
@click.option(
    "--max-activation-memory",
    type=Quantity(),
    metavar="BYTES",
    help="Maximum memory that a training step keeps for the backward pass, such as 500MiB.",
)
@click.option("--max-latency-ms", type=float, metavar="MS", help="Maximum measured latency of one image.")
@click.option(
    "--workers",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes on this machine, each with its share of the GPUs or cores.",
)
@click.option(
    "--restarts", type=int, default=3, show_default=True, metavar="N", help="Maximum restarts of each worker."
)
@click.option(
    "--worker-timeout",
    type=float,
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Time without a heartbeat after which a worker is given up.",
)
@click.option("--port", type=int, default=0, metavar="P", help="Port that workers connect to.  [default: a free one]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The search's folder.  [default: saved_models/tune-NETWORK-DATA]",
)
@click.option(
    "--show", type=click.Path(path_type=Path), metavar="SEARCH", help="Print the results of an earlier search."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON; progress goes to stderr.")
def command(request: NetworkRequest, space: str | None, show: Path | None, as_json: bool, **options: Any) -> None:
    """Search SPACE for the best network and recipe, starting from NETWORK.

    Every trial is trained as by `reskeras train`, with some of the training images held out; candidates that exceed a
    limit are skipped before they are built. The same command resumes a search that was stopped or killed. The folder
    contains trials.csv, plots, TensorBoard files, and best.yaml, which `reskeras train` and `build` accept.

    On a cluster, start the same command on each machine with KERASTUNER_TUNER_ID (chief, or a worker's name),
    KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT set, and --out on a shared disk.
    """
    if show is not None:
        from reskeras.tuning.search import open_search

        search: Search | None = open_search(show)
    elif space is None:
        raise ReskerasError("space: not set; use --space with a name (reskeras spaces) or a YAML file")
    else:
        search = _search(request, space, as_json, **options)
    if search is None:  # a worker; the chief prints the results
        return
    if as_json:
        emit_json(search.as_dict())
    else:
        echo_search(search)


def _search(
    request: NetworkRequest,
    space: str,
    as_json: bool,
    *,
    recipe: str,
    epochs: int | None,
    patience: int | None,
    out: Path | None,
    **options: Any,
) -> Search | None:
    """Run the search; None in a worker, whose chief prints the results."""
    from reskeras.recipes.recipe import given
    from reskeras.recipes.recipe import recipe as read_recipe
    from reskeras.spaces.space import space as read_space
    from reskeras.tuning.objective import read_objective

    # wrong requests fail before TensorFlow loads
    spec, over, chosen = request.spec(), read_space(space), read_recipe(recipe, **given(epochs=epochs))
    read_objective(options["objective"])
    from reskeras.api import tune
    from reskeras.tuning.workers import CHIEF, role

    board = Board(over, err=as_json)
    search = tune(
        over,
        spec,
        recipe=chosen,
        patience=patience,
        out=out,
        command=[*PROGRAM, *sys.argv[1:]],
        tell=lambda line: note(line, err=True),
        ended=board.add,
        **options,
    )
    return search if role() in (None, CHIEF) else None
