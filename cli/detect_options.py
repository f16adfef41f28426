"""Flags that the detector commands share: how a trained detector evaluates images."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from .run_options import listed_numbers

Command = Callable[..., Any]


def looking_options(command: Command) -> Command:
    """`--refine`, `--scales`, `--shorter` and `--canonical` as one parameter `looked`, the given fields of
    `detector.Options`; and `--with` as `others`, the runs that form an ensemble with RUN."""

    @wraps(command)
    def with_options(
        refine: bool, scales: str | None, shorter: str | None, canonical: float | None, **parameters: Any
    ) -> Any:
        looked: dict[str, Any] = {
            "refine": refine,
            "scales": listed_numbers("scales", scales, float, "0.75,1,1.5"),
            "shorter": listed_numbers("shorter", shorter, int, "200,400,600,800,1000"),
        }
        return command(looked=looked | ({} if canonical is None else {"canonical": canonical}), **parameters)

    for decorator in (
        click.option(
            "--with",
            "others",
            multiple=True,
            type=click.Path(path_type=Path),
            metavar="RUN",
            help="Another detector of the same classes, for an ensemble: each judges the proposals of all, and their "
            "answers are averaged; may be repeated.",
        ),
        click.option(
            "--canonical",
            type=float,
            metavar="PIXELS",
            help="Target side of regions; each region uses the two scales that bring it closest.  [default: 224]",
        ),
        click.option(
            "--shorter",
            metavar="PIXELS,...",
            help="As --scales, by the pixels of the image's shorter side; the paper has 200,400,600,800,1000.",
        ),
        click.option(
            "--scales",
            metavar="F,F,...",
            help="Factors of the image's size; take the element-wise maximum of each region's features at its two best "
            "ones.",
        ),
        click.option(
            "--refine",
            is_flag=True,
            help="Classify and adjust the detected boxes once more, and let overlapping boxes vote.",
        ),
    ):
        with_options = decorator(with_options)
    return with_options
