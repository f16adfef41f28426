"""Flags that the localiser commands share: how a trained localiser looks at images, and what says the classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from .run_options import listed_numbers

Command = Callable[..., Any]


def locating_options(classifier: str) -> Callable[[Command], Command]:
    """`--dense`, `--with`, `--refiner` and `--classifier` as one parameter `looked`, keywords of
    `LocaliserRun.evaluate` and `predict`; `classifier` is the help text of that flag."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_looks(dense: str | None, **parameters: Any) -> Any:
            from reskeras.tasks.localisation.views import LocaliserViews

            looked = {name: parameters.pop(name) for name in ("others", "refiner", "classifier")}
            looked["views"] = LocaliserViews(listed_numbers("dense", dense, int, "224,256,384"))
            return command(looked=looked, **parameters)

        decorated: Command = with_looks
        for decorator in reversed(_flags(classifier)):
            decorated = decorator(decorated)
        return decorated

    return decorate


def _flags(classifier: str) -> list[Callable[[Command], Command]]:
    run: dict[str, Any] = {"type": click.Path(path_type=Path), "metavar": "RUN"}
    return [
        click.option(
            "--dense",
            metavar="PIXELS,...",
            help="Look at whole images, scaled to these shorter sides, instead of the centre crop; the likeliest box "
            "counts.",
        ),
        click.option(
            "--with",
            "others",
            multiple=True,
            **run,
            help="Another localiser of the same classes, crop and anchors, for an ensemble; may be repeated.",
        ),
        click.option(
            "--refiner",
            multiple=True,
            **run,
            help="A refiner, which judges the best boxes of each class anew; with several, their mean counts.",
        ),
        click.option("--classifier", **run, help=classifier),
    ]
