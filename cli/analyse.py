"""`reskeras analyse`: responses, gradients and lesion studies of one or several networks, as numbers and plots."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .completion import complete_data, complete_network
from .output import echo, emit_json, facts, heading, json_option, progress
from .paths import Written, data_dir_option
from .tables import Column, table

if TYPE_CHECKING:
    from reskeras.analysis.analysis import Analysis


@click.command(
    "analyse",
    epilog="\b\nExamples:\n"
    "  reskeras analyse saved_models/cifar-resnet-20-digits\n"
    "  reskeras analyse cifar-plain-56 cifar-resnet-56 --lesions 0\n"
    "  reskeras analyse runs/plain-20 runs/resnet-20 --images 2000 --out saved_models/figure-7",
)
@click.argument("networks", nargs=-1, required=True, metavar="RUN...", shell_complete=complete_network)
@click.option(
    "--data",
    metavar="SOURCE",
    shell_complete=complete_data,
    help="Images to measure on.  [default: the run's data; digits for fresh networks]",
)
@data_dir_option
@click.option("--images", type=int, default=1000, show_default=True, metavar="N", help="Number of test images.")
@click.option(
    "--lesions",
    type=int,
    default=100,
    show_default=True,
    metavar="N",
    help="Remove at most N units and swap at most N pairs; 0 for none.",
)
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="Seed of fresh weights.")
@click.option(
    "--out",
    type=Written(),
    metavar="DIR",
    help="Write the plots to this folder.  [default: RUN/analysis; for several networks saved_models/analysis]",
)
@json_option
def command(
    networks: tuple[str, ...],
    data: str | None,
    data_dir: Path | None,
    images: int,
    lesions: int,
    seed: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Analyse the layers and units of trained runs, or of fresh networks (names or YAML files).

    Measures the standard deviation of each 3x3 layer's response (v1 figure 7); the shortcut's share of each unit's
    output, and the effective depth of the signal; how far the stream is the sum of its residuals (v2 equation 4); the
    gradient at each unit; and the test error when units are removed or swapped. Numbers are written to CSV files, plots
    to PNG and SVG. A fresh network's batch norm is first calibrated on training images.
    """
    from reskeras.api import analyse_fresh
    from reskeras.files import check_place, local_path
    from reskeras.report.analysis_plots import save_analyses
    from reskeras.runs import HOME
    from reskeras.tasks.classification.run import ClassifierRun

    runs = {name: local_path(name, "network") for name in networks}
    if out is None and not (len(networks) == 1 and runs[networks[0]].is_dir()):
        check_place(HOME / "analysis")
    found: dict[str, Analysis] = {}
    places: dict[str, Path] = {}
    for place, name in enumerate(networks):
        with progress(f"{name}: removing and swapping units") as done:
            if runs[name].is_dir():
                run = ClassifierRun(runs[name])
                each = run.analyse(data, data_dir, images=images, lesions=lesions, progress=done)
                folder = run.folder.analysis_folder
            else:
                each = analyse_fresh(
                    name, data or "digits", data_dir, seed=seed, images=images, lesions=lesions, progress=done
                )
                folder = (out or HOME / "analysis") / each.network
                each.save(folder)
        label = _label(name, each.network, found) or f"{each.network} ({place + 1})"
        found[label], places[label] = each, folder
    where = out or (next(iter(places.values())) if len(found) == 1 else HOME / "analysis")
    plots = save_analyses(found, where)
    if as_json:
        emit_json([{"name": name, "folder": str(places[name]), **asdict(each)} for name, each in found.items()])
        return
    _summarise(found)
    _echo_places(places.values(), where, plots)


def _label(name: str, network: str, taken: dict[str, Analysis]) -> str | None:
    return next((label for label in (network, name) if label not in taken), None)


def _echo_places(folders: Iterable[Path], where: Path, plots: Sequence[Path]) -> None:
    """Print where the numbers and the plots are."""
    echo()
    facts(
        [("numbers", str(folder), "responses.csv, units.csv, lesions.csv") for folder in folders]
        + [("plots", str(where), " ".join(path.name for path in plots if path.suffix == ".png"))]
    )


def _summarise(found: dict[str, Analysis]) -> None:
    import statistics

    rows = []
    for name, each in found.items():
        removed = [1 - lesion.accuracy for lesion in each.lesions if lesion.kind == "removed"]
        shares = [unit.shortcut_share for unit in each.units if unit.shortcut_share is not None]
        rows.append(
            [
                name,
                f"{each.accuracy:.2%}",
                f"{statistics.fmean(response.deviation for response in each.responses):.3f}",
                f"{each.depth:.1f} of {each.layers}",
                f"{statistics.median(shares):.2f}" if shares else "none",
                "no sum" if each.sum_error is None else f"{each.sum_error:.1e}",
                f"{each.units[1].gradient:.2g}",
                f"{statistics.median(removed):.1%} to {max(removed):.1%}" if removed else "not measured",
            ]
        )
    first = next(iter(found.values()))
    heading(first.data, f"{first.images:,} test images")
    table(
        [
            Column("network"),
            Column("accuracy", right=True),
            Column("mean response", right=True),
            Column("effective depth", right=True),
            Column("shortcut share", right=True),
            Column("x_L - sum", right=True, spare=1),
            Column("first unit's gradient", right=True, spare=2),
            Column("error, one unit removed", right=True),
        ],
        rows,
    )
    taps = {response.tap for each in found.values() for response in each.responses}
    echo(
        f"responses are measured {' or, where no batch norm follows, '.join(sorted(taps, reverse=True))}; "
        "errors are the median and the worst over the removed units"
    )
