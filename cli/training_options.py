"""The training flags, the same for classifiers and detectors, and the output after a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reskeras.readers import OBJECTS, usages
from reskeras.recipes.loss import LOSSES
from reskeras.recipes.optimizer import OPTIMIZERS
from reskeras.recipes.recipe import given

from .completion import complete_objects, complete_recipe
from .output import command_line, echo, emit_json, note, result_json_option
from .paths import data_dir_option
from .run_options import numbers_by_name
from .shown import echo_result
from .suite_results import check_suites, echo_suite, emit_suites

if TYPE_CHECKING:
    from reskeras.experiments.results import SuiteResult
    from reskeras.tasks.run import Run

Command = Callable[..., Any]


def objects_option(what: str = "Annotated images") -> Callable[[Command], Command]:
    """The flag `--data` of a training on annotated images."""
    return click.option(
        "--data", required=True, metavar="SOURCE", shell_complete=complete_objects, help=f"{what}: {usages(OBJECTS)}."
    )


@dataclass(frozen=True)
class TrainingRequest:
    """A training as typed: its recipe and the fields laid over that, the run to start from, the number of seeds, and
    `how`, the remaining keywords of `reskeras.train`."""

    recipe: str | None
    start: Path | None
    seeds: int | None
    as_json: bool
    recipe_fields: dict[str, Any] = field(default_factory=dict)
    how: dict[str, Any] = field(default_factory=dict)

    def tell(self, line: str) -> None:
        """Print a line about the training; on stderr where stdout is for JSON."""
        note(line, err=self.as_json)

    @property
    def keywords(self) -> dict[str, Any]:
        """Keywords of `reskeras.train` and `reskeras.train_detector` besides network, data and recipe."""
        return {**self.how, **self.recipe_fields, "start": self.start, "tell": self.tell}

    def finish(self, run: Run) -> None:
        """Evaluate the run, and print the result and the next command; in a distributed training only the chief
        does."""
        from reskeras.launch.cluster import cluster
        from reskeras.tasks.task import find_task

        if (here := cluster()) and not here.is_chief:
            return
        result = run.evaluate()
        if self.as_json:
            emit_json({"run": str(run.path), **result.as_dict()})
            return
        echo_result(result, run)
        echo(f"saved      {run.path}")
        if hasattr(run, "export"):
            note(f"next       {command_line(*find_task(run.task).words('export'), run.path)}")

    def finish_seeds(self, result: SuiteResult) -> None:
        """Print the figures of several trainings; ReskerasError (status 1) when one failed."""
        if self.as_json:
            emit_suites([result])
        else:
            echo_suite(result, Path(next(iter(result.rows[0].runs.values()))).parent)
        check_suites([result])


DISTILLATION = "Learn from the outputs of this trained run too: distillation (see the recipe)."
OF_OBJECTS = ("auto", "focal")  # losses on annotated images


def training_options(
    recipe: str, start: str, losses: Sequence[str] = tuple(LOSSES), teacher: str | None = None
) -> Callable[[Command], Command]:
    """Give a command the flags of a training, as one parameter `training`, a TrainingRequest.

    `recipe`, `start` and `teacher` are help texts: the default recipe, what a run to start from provides, and what
    another one teaches; None where that is refused. `losses` are the kinds to choose from.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_training(**parameters: Any) -> Any:
            typed = {name: parameters.pop(name) for name in (*HOW, *RECIPE_FIELDS)}
            factors = parameters.pop("factors")
            fields = given(**{name: typed[name] for name in RECIPE_FIELDS})
            if factors:
                fields["rate_factors"] = numbers_by_name("rate-factor", factors, "stage1_*=0.1")
            recipe, start, seeds, as_json = (parameters.pop(name) for name in ("recipe", "start", "seeds", "as_json"))
            request = TrainingRequest(recipe, start, seeds, as_json, fields, {name: typed[name] for name in HOW})
            return command(training=request, **parameters)

        decorated: Command = with_training
        for decorator in reversed(
            [*_flags_of_what(recipe, start), *_flags_of_recipe(losses, teacher), *_flags_of_how()]
        ):
            decorated = decorator(decorated)
        return decorated

    return decorate


HOW = ("data_dir", "cache", "strategy", "devices", "resume", "profile", "histograms", "out")
RECIPE_FIELDS = (
    "optimizer",
    "images",
    "teacher",
    "loss",
    "freeze",
    "frozen_bn",
    "epochs",
    "batch_size",
    "learning_rate",
    "seed",
    "precision",
    "form",
    "recompute",
    "deterministic",
)


def _instead(flag: str, kind: type, metavar: str = "N", text: str = "Override the recipe's.") -> Any:
    return click.option(flag, type=kind, metavar=metavar, help=text)


def _path(*names: str, metavar: str, text: str) -> Any:
    return click.option(*names, type=click.Path(path_type=Path), metavar=metavar, help=text)


def _flags_of_what(recipe: str, start: str) -> list[Callable[[Command], Command]]:
    """The flags of what is trained: on which data, from which run, by which recipe, how many times."""
    return [
        data_dir_option,
        click.option(
            "--cache",
            metavar="ram|DIR",
            help="Keep images in memory, or in this local folder, once they have been read: for data on slow storage.",
        ),
        click.option(
            "--recipe",
            metavar="RECIPE",
            shell_complete=complete_recipe,
            help=f"A recipe's name (reskeras recipes) or a YAML file.  [default: {recipe}]",
        ),
        _path("--from", "start", metavar="RUN", text=start),
        click.option(
            "--seeds",
            type=int,
            metavar="N",
            help="Train N times, with the recipe's seed and the next ones, and print mean and deviation.",
        ),
    ]


def _flags_of_recipe(losses: Sequence[str], teacher: str | None) -> list[Callable[[Command], Command]]:
    """The flags that override fields of the recipe."""
    return [
        click.option(
            "--freeze",
            metavar="STAGE",
            help="Freeze everything up to and including this stage or unit, such as stage2.",
        ),
        click.option(
            "--frozen-bn/--no-frozen-bn",
            default=None,
            help="Whether to freeze batch norm's statistics, scale and shift.",
        ),
        click.option(
            "--rate-factor",
            "factors",
            multiple=True,
            metavar="PATTERN=F",
            help="Multiply the learning rate of weights with matching names, as in 'stage1_*=0.1'; may be repeated.",
        ),
        _instead("--images", int, "N", "Train on N of the training images, stratified by class and drawn by the seed."),
        click.option("--teacher", metavar="RUN", hidden=teacher is None, help=teacher),
        _instead("--loss", str, "LOSS", f"{', '.join(losses)}; overrides the recipe's."),
        _instead("--optimizer", str, "KIND", f"{', '.join(OPTIMIZERS)}; overrides the recipe's."),
        _instead("--epochs", int),
        _instead("--batch-size", int),
        _instead("--learning-rate", float, "RATE"),
        _instead("--seed", int),
        _instead("--precision", str, "P", "auto, float32, mixed_bfloat16 or mixed_float16; overrides the recipe's."),
        click.option(
            "--form", metavar="FORM", help="unrolled, scanned (equal units as one loop) or auto (scanned when deep)."
        ),
        click.option(
            "--recompute", is_flag=True, default=None, help="Recompute units in the backward pass to save memory."
        ),
    ]


def _flags_of_how() -> list[Callable[[Command], Command]]:
    """The flags of how it is trained: on which devices, and what is written."""
    return [
        click.option(
            "--strategy",
            default="auto",
            show_default=True,
            metavar="S",
            help="one, mirrored (all GPUs), multi-worker (TF_CONFIG or Slurm), or auto.",
        ),
        click.option("--devices", type=int, metavar="N", help="Number of GPUs; without a GPU, of logical CPUs."),
        click.option("--resume", is_flag=True, help="Resume from the newest state in the run folder."),
        click.option(
            "--deterministic",
            is_flag=True,
            default=None,
            help="Give bit-identical results every time, on the same hardware and with the same versions.",
        ),
        click.option(
            "--profile", type=int, default=0, metavar="STEPS", help="Write a TensorBoard profile of this many steps."
        ),
        click.option("--histograms", is_flag=True, help="Write TensorBoard histograms of the weights each epoch."),
        _path("--out", metavar="DIR", text="The new run folder.  [default: saved_models/NAME-DATA]"),
        result_json_option,
    ]
