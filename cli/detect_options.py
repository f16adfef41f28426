"""Flags that commands for boxes share: how a trained detector evaluates images, what predictions are written to, and
exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reskeras.artefacts import VERIFIED_BOXES

from .export import echo_exported
from .output import emit_json, json_option, working
from .paths import Written
from .run_options import (
    batch_option,
    data_options,
    images_option,
    kinds_option,
    listed_numbers,
    numbers_by_name,
    run_argument,
)

if TYPE_CHECKING:
    from reskeras.tasks.detection.object_run import ObjectRun

Command = Callable[..., Any]
WRITTEN = ("out", "coco", "annotations", "yolo", "crops")


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
            help="Like --scales, but in pixels of the image's shorter side; the paper uses 200,400,600,800,1000.",
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


def class_names(text: str | None, known: Sequence[str]) -> list[str] | None:
    """The names in `--classes NAME,...`, or the one class whose own name that is; None for None."""
    if text is None or text in known:
        return None if text is None else [text]
    return [name.strip() for name in text.split(",")]


def written_options(out: str) -> Callable[[Command], Command]:
    """`--out`, `--coco`, `--annotations`, `--yolo` and `--save-crops` as one parameter `written`, the fields of
    `Places`; `out` is the help text of the first."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_written(**parameters: Any) -> Any:
            return command(written={name: parameters.pop(name) for name in WRITTEN}, **parameters)

        decorated: Command = with_written
        for decorator in (
            click.option(
                "--save-crops",
                "crops",
                type=Written(),
                metavar="DIR",
                help="Write a picture of each object that --out would draw to this new folder, in a folder of its "
                "class.",
            ),
            click.option(
                "--yolo",
                type=Written(),
                metavar="DIR",
                help="Write YOLO's text format to this new folder: class number, centre x, y, width, height, score.",
            ),
            click.option(
                "--annotations",
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="With --coco: take the ids of images and categories from this COCO annotations file.",
            ),
            click.option(
                "--coco", type=Written(dir_okay=False), metavar="FILE", help="Write COCO's results format, for loadRes."
            ),
            click.option("--out", type=Written(), metavar="DIR", help=out),
        ):
            decorated = decorator(decorated)
        return decorated

    return decorate


@dataclass(frozen=True)
class ExportRequest:
    """An export as typed: of which run, to which kinds, verified on which data."""

    run: Path
    kinds: tuple[str, ...]
    tolerances: dict[str, float]
    images: int
    timing: bool
    batch: int | None
    data: str | None
    data_dir: Path | None
    as_json: bool

    def finish(self, kind: Callable[[Path], ObjectRun]) -> None:
        """Export the run, opened by `kind`, and print the proofs."""
        made = kind(self.run)
        with working("exporting"):
            proofs = made.export(
                *dict.fromkeys(self.kinds),
                data=self.data,
                data_dir=self.data_dir,
                tolerances=self.tolerances,
                images=self.images,
                timing=self.timing,
                batch=self.batch,
            )
        if self.as_json:
            emit_json([proof.as_dict() for proof in proofs])
        else:
            echo_exported(made, proofs, self.data)


def exporting_options(kinds: str) -> Callable[[Command], Command]:
    """RUN and the flags of an export as one parameter `export`, an ExportRequest; `kinds` is the help of `--to`."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_export(
            run: Path,
            kinds: tuple[str, ...],
            tolerances: tuple[str, ...],
            images: int,
            no_timing: bool,
            batch: int | None,
            data: str | None,
            data_dir: Path | None,
            as_json: bool,
        ) -> Any:
            allowed = numbers_by_name("tolerance", tolerances, "serving=0.01")
            timing = not no_timing
            return command(export=ExportRequest(run, kinds, allowed, images, timing, batch, data, data_dir, as_json))

        decorated: Command = with_export
        for decorator in (
            json_option,
            data_options,
            click.option("--no-timing", is_flag=True, help="Skip the timings."),
            images_option(VERIFIED_BOXES),
            batch_option,
            click.option(
                "--tolerance",
                "tolerances",
                multiple=True,
                metavar="KIND=VALUE",
                help="Largest difference allowed in a probability, or in a corner as a fraction of the image's longer "
                "side.",
            ),
            kinds_option(kinds),
            run_argument,
        ):
            decorated = decorator(decorated)
        return decorated

    return decorate
