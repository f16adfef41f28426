"""The flags of a search, the same for networks and for what is built on them, and the search itself."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reskeras.errors import ReskerasError

from .completion import complete_recipe, complete_space
from .launch import PROGRAM
from .network_options import NetworkRequest
from .output import emit_json, note, result_json_option
from .paths import data_dir_option
from .quantities import Quantity
from .trials import Board, echo_search

if TYPE_CHECKING:
    from reskeras.tuning.search import Search

Command = Callable[..., Any]


def searching_options(data: Command, recipe: str, objective: str) -> Callable[[Command], Command]:
    """The flags of a search as keywords of `search_as`; `data` is the flag `--data`, `recipe` and `objective` are the
    defaults to tell of these."""

    def decorate(command: Command) -> Command:
        own = [data, *_flags(recipe, objective), *_limits(), *_workers(), *_results()]
        for decorator in reversed([_SPACE, *own]):
            command = decorator(command)
        return command

    return decorate


_SPACE = click.option(
    "--space",
    metavar="SPACE",
    shell_complete=complete_space,
    help="Search space: a name (reskeras spaces) or a YAML file.",
)


def _flags(recipe: str, objective: str) -> list[Command]:
    """How the search goes and what a trial is."""
    return [
        click.option(
            "--recipe",
            metavar="RECIPE",
            shell_complete=complete_recipe,
            help=f"A recipe's name (reskeras recipes) or a YAML file.  [default: {recipe}]",
        ),
        click.option(
            "--objective",
            multiple=True,
            metavar="NAME[:min|max[:WEIGHT]]",
            help=f"Figure to optimise; several are combined in a weighted sum.  [default: {objective}]",
        ),
        data_dir_option,
        click.option(
            "--epochs", type=int, metavar="N", help="Override the recipe's epochs; the maximum for hyperband."
        ),
        click.option("--patience", type=int, metavar="N", help="Stop a trial that has not improved for N epochs."),
        click.option(
            "--tuner", default="bayesian", show_default=True, metavar="T", help="random, grid, bayesian or hyperband."
        ),
        click.option(
            "--trials", type=int, metavar="N", help="Maximum number of trials.  [default: 10; the whole grid for grid]"
        ),
        click.option(
            "--executions",
            type=int,
            default=1,
            show_default=True,
            metavar="N",
            help="Train each trial N times, with different seeds, and average the figures.",
        ),
        click.option(
            "--seed", type=int, default=0, show_default=True, metavar="N", help="Seed for choosing the trials."
        ),
    ]


def _limits() -> list[Command]:
    """What candidates may cost."""
    return [
        click.option("--max-params", type=Quantity(), metavar="N", help="Maximum number of parameters, such as 300k."),
        click.option(
            "--max-multiply-adds", type=Quantity(), metavar="N", help="Maximum multiply-adds per image, such as 50M."
        ),
        click.option(
            "--max-activation-memory",
            type=Quantity(),
            metavar="BYTES",
            help="Maximum memory that a training step keeps for the backward pass, such as 500MiB.",
        ),
        click.option("--max-latency-ms", type=float, metavar="MS", help="Maximum measured latency of one image."),
    ]


def _workers() -> list[Command]:
    """The processes that run trials."""
    return [
        click.option(
            "--workers",
            type=int,
            default=1,
            show_default=True,
            metavar="N",
            help="Number of processes on this machine, each with its share of the GPUs or cores.",
        ),
        click.option(
            "--restarts", type=int, default=3, show_default=True, metavar="N", help="Maximum restarts of each worker."
        ),
        click.option(
            "--worker-timeout",
            type=float,
            default=120.0,
            show_default=True,
            metavar="SECONDS",
            help="Time without a heartbeat after which a worker counts as lost.",
        ),
        click.option(
            "--port", type=int, default=0, metavar="P", help="Port that workers connect to.  [default: a free one]"
        ),
    ]


def _results() -> list[Command]:
    """Where the results are."""
    return [
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help="The search's folder.  [default: saved_models/tune-NETWORK-DATA]",
        ),
        click.option(
            "--show", type=click.Path(path_type=Path), metavar="SEARCH", help="Print the results of an earlier search."
        ),
        result_json_option,
    ]


def search_as(
    name: str, request: NetworkRequest, space: str | None, show: Path | None, as_json: bool, **options: Any
) -> None:
    """Search `space` for the best of the requested network, for the task called `name`, and print the result."""
    if show is not None:
        from reskeras.tuning.search import open_search

        search: Search | None = open_search(show)
    elif space is None:
        raise ReskerasError("space: not set; use --space with a name (reskeras spaces) or a YAML file")
    elif options["data"] is None:
        raise ReskerasError("data: not set; use --data with annotated images")
    else:
        search = _search(name, request, space, as_json, **options)
    if search is None:  # a worker; the chief prints the results
        return
    if as_json:
        emit_json(search.as_dict())
    else:
        echo_search(search)


def _search(
    name: str,
    request: NetworkRequest,
    space: str,
    as_json: bool,
    *,
    recipe: str | None,
    epochs: int | None,
    patience: int | None,
    out: Path | None,
    teacher: str | None = None,
    **options: Any,
) -> Search | None:
    """Run the search; None in a worker, whose chief prints the results."""
    from reskeras.recipes.recipe import given
    from reskeras.recipes.recipe import recipe as read_recipe
    from reskeras.spaces.space import space as read_space
    from reskeras.tasks.task import find_task
    from reskeras.tuning.objective import read_objective

    # wrong requests fail before TensorFlow loads
    task = find_task(name)
    spec = task.spec(request.source, settings=request.settings, **request.fields)
    over, chosen = read_space(space), read_recipe(recipe or task.recipe, **given(epochs=epochs, teacher=teacher))
    read_objective(options["objective"])
    from reskeras.api import tune
    from reskeras.tuning.workers import CHIEF, role

    board = Board(over, err=as_json)
    search = tune(
        over,
        spec,
        recipe=chosen,
        task=name,
        patience=patience,
        out=out,
        command=[*PROGRAM, *sys.argv[1:]],
        tell=lambda line: note(line, err=True),
        ended=board.add,
        **options,
    )
    return search if role() in (None, CHIEF) else None
