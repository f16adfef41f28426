"""Flags that the commands of detectors share: how a trained detector evaluates images."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from .run_options import listed_numbers

Command = Callable[..., Any]


def looking_options(command: Command) -> Command:
    """`--refine`, `--scales` and `--canonical` as one parameter `looked`, the given fields of `detector.Options`."""

    @wraps(command)
    def with_options(refine: bool, scales: str | None, canonical: float | None, **parameters: Any) -> Any:
        looked: dict[str, Any] = {"refine": refine, "scales": listed_numbers("scales", scales, float, "0.75,1,1.5")}
        return command(looked=looked | ({} if canonical is None else {"canonical": canonical}), **parameters)

    for decorator in (
        click.option(
            "--canonical",
            type=float,
            metavar="PIXELS",
            help="Side at which regions are best seen, by which each picks its two scales.  [default: 224]",
        ),
        click.option(
            "--scales",
            metavar="F,F,...",
            help="See each region at the two best of these factors of the canvas, and keep the larger features.",
        ),
        click.option(
            "--refine", is_flag=True, help="Look once more at what was found, and let overlapping boxes vote."
        ),
    ):
        with_options = decorator(with_options)
    return with_options
