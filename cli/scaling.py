"""The flags of `show` that plan a training over accelerators, and what they print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

import click

from reskeras.errors import ReskerasError
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import name_of
from reskeras.quantities import short, short_bytes, short_time
from reskeras.scaling.accelerators import ACCELERATORS, accelerator
from reskeras.scaling.bounds import Conditions, StepBound, data_set, step_bound
from reskeras.scaling.step import step_work

from .completion import complete_device, complete_recipe
from .output import echo, facts, heading, sentence
from .tables import Column, table

Command = Callable[..., Any]
CONDITIONS = {"images": "--images", "core_ms": "--core-ms", "bandwidth": "--bandwidth", "cores": "--cores"}
PARTS = {  # the parts of a step's bound, as the table has them
    "compute": "compute",
    "traffic": "memory traffic",
    "links": "all-reduce, links",
    "network": "all-reduce, network",
    "input": "input",
}


@dataclass(frozen=True)
class ScalingRequest:
    """Clusters and their device as typed, the recipe, and the conditions."""

    device: str
    clusters: tuple[str, ...]
    recipe: str | None
    conditions: Conditions

    def overview(self, spec: AnyNetwork, source: str | None, each: int | None) -> ScalingOverview:
        """The bounds for each cluster, by the recipe asked for, else by the one in the file `source`, else by the
        data set's; `each` as in `step_bound`."""
        from reskeras.networks.request import recipe_of

        plan = spec.lower()
        recipe = self.recipe or recipe_of(source, data_set(plan).recipe)
        bounds = [step_bound(plan, cluster, self.device, recipe, each, self.conditions) for cluster in self.clusters]
        return ScalingOverview(spec, self, str(recipe), bounds)


@dataclass(frozen=True)
class ScalingOverview:
    """Everything `show --device` prints: what bounds a step of training over each cluster."""

    spec: AnyNetwork
    request: ScalingRequest
    recipe: str
    bounds: list[StepBound]

    def echo(self) -> None:
        """Print it."""
        heading(name_of(self.spec))
        sentence(self.spec.describe())
        echo()
        facts(self._facts())
        echo()
        columns = [Column("cluster"), *(Column(str(bound.cluster), right=True) for bound in self.bounds)]
        table(columns, [row for row in self._rows() if any(cell != "-" for cell in row[1:])])
        echo()
        for bound in self.bounds:
            if bound.each > bound.fitting:
                sentence(
                    f"{bound.cluster}: {bound.each:,} images do not fit into the memory of {self.request.device}, at "
                    f"most {bound.fitting:,} do: use more accelerators, another --batch, or recompute: true in the "
                    "recipe"
                )
        sentence("These times are bounds, not measurements: every part at its peak, all parts at once.")

    def data(self) -> dict[str, Any]:
        """For JSON."""
        first, request = self.bounds[0], self.request
        return {
            "device": request.device,
            **asdict(accelerator(request.device)),
            "precision": first.precision,
            "recipe": self.recipe,
            "images": first.images,
            "core_ms": first.core_ms,
            "network_gbits": request.conditions.bandwidth,
            "cores": request.conditions.cores,
            "clusters": [bound.data() for bound in self.bounds],
        }

    def _facts(self) -> list[tuple[str, str, str]]:
        row, first, plan = accelerator(self.request.device), self.bounds[0], self.spec.lower()
        conditions, total = self.request.conditions, plan.complexity().total
        length = (
            f"{first.recipe.iterations:,} iterations" if first.recipe.iterations else f"{first.recipe.epochs} epochs"
        )
        measured = "as given" if conditions.core_ms else f"measured with {data_set(plan).measured}"
        kept = short_bytes(total.activation_bytes(1, first.precision))
        return [
            ("device", self.request.device, f"{row.product}, {row.memory} GB; {row.source}"),
            ("peak", f"{row.peak(first.precision) / 1e12:g} TFLOP/s", f"in {first.precision}, dense"),
            ("memory", f"{row.bandwidth:,g} GB/s", ""),
            ("links", f"{row.link:g} GB/s", f"each way, by {row.linked_by}"),
            ("network", f"{conditions.bandwidth:,g} Gbit/s", "of a machine, each way"),
            (
                "image",
                f"{short(2 * step_work(plan).multiply_adds)}FLOP",
                f"forward and backward; {kept} kept between them",
            ),
            ("input", f"{first.core_ms:g} ms", f"of a core for an image, {measured}"),
            ("gradients", short_bytes(4 * total.parameters), "in float32"),
            ("training", length, f"of {first.images:,} images, by {self.recipe}"),
        ]

    def _rows(self) -> list[list[str]]:
        def row(title: str, cell: Callable[[StepBound], str]) -> list[str]:
            return [title, *map(cell, self.bounds)]

        def part(name: str) -> Callable[[StepBound], str]:
            return lambda bound: short_time(bound.seconds[name]) if name in bound.seconds else "-"

        def reductions(bound: StepBound) -> str:
            scalars = f" + {bound.reduced.scalars}" if bound.reduced.scalars else ""
            return f"{bound.reduced.vectors}{scalars}" if bound.reduced.vectors else "-"

        return [
            row("accelerators", lambda bound: f"{bound.cluster.accelerators:,}"),
            row("global batch", lambda bound: f"{bound.recipe.batch_size:,}"),
            row("learning rate", lambda bound: f"{bound.learning_rate:.3g}"),
            row("images on each", lambda bound: f"{bound.each:,}"),
            row("memory of each, at least", lambda bound: short_bytes(bound.memory)),
            row("collectives", reductions),
            row("all-reduced", lambda bound: short_bytes(bound.reduced.bytes) if bound.reduced.vectors else "-"),
            *(row(title, part(name)) for name, title in PARTS.items()),
            row("step, at least", lambda bound: short_time(bound.step)),
            row("limited by", lambda bound: bound.limit),
            row("images/s, at most", lambda bound: f"{bound.images_per_second:,.0f}"),
            row("input cores a machine", lambda bound: f"{bound.cores:,.1f}"),
            row("steps an epoch", lambda bound: f"{bound.steps:,}"),
            row("epoch, at least", lambda bound: short_time(bound.steps * bound.step)),
            row("training, at least", lambda bound: short_time(bound.training)),
        ]


def scaling_options(command: Command) -> Command:
    """Give a command the flags of a cluster as one parameter `scaling`: a ScalingRequest, or None without --device."""

    @wraps(command)
    def with_scaling(**parameters: Any) -> Any:
        device, clusters, recipe = (parameters.pop(name) for name in ("device", "clusters", "recipe"))
        typed = {name: parameters.pop(name) for name in CONDITIONS}
        given = {name: value for name, value in typed.items() if value is not None}
        if device is None:
            flags = ["--cluster"] * bool(clusters) + ["--recipe"] * bool(recipe) + [CONDITIONS[name] for name in given]
            if flags:
                raise ReskerasError(f"{flags[0]} needs --device, one of {', '.join(ACCELERATORS)}")
            return command(scaling=None, **parameters)
        request = ScalingRequest(device, clusters or ("1x1",), recipe, Conditions(**given))
        return command(scaling=request, **parameters)

    decorated: Command = with_scaling
    for decorator in reversed(_flags()):
        decorated = decorator(decorated)
    return decorated


def _flags() -> list[Callable[[Command], Command]]:
    return [
        click.option(
            "--device",
            metavar="DEVICE",
            shell_complete=complete_device,
            help=f"Instead of stages, print what limits training on this accelerator: {', '.join(ACCELERATORS)}.",
        ),
        click.option(
            "--cluster",
            "clusters",
            multiple=True,
            metavar="MxN",
            help="Machines x accelerators of each, such as 8x8; may be repeated, to compare.  [default: 1x1]",
        ),
        click.option(
            "--recipe",
            metavar="RECIPE",
            shell_complete=complete_recipe,
            help="With --device: a recipe's name or YAML file.  [default: modern-imagenet, or for images below 64 "
            "pixels modern-cifar]",
        ),
        click.option(
            "--images",
            type=int,
            metavar="N",
            help="With --device: number of training images.  [default: those of ImageNet, or CIFAR]",
        ),
        click.option(
            "--bandwidth",
            type=float,
            metavar="GBITS",
            help="With --cluster: Gbit/s of a machine's network, in each direction.  [default: 100]",
        ),
        click.option(
            "--core-ms",
            type=float,
            metavar="MS",
            help="With --device: milliseconds of a core to decode and augment an image.  [default: a measured value, "
            "which the output names]",
        ),
        click.option(
            "--cores",
            type=int,
            metavar="N",
            help="With --device: cores of a machine for the input, as a further bound.  [default: unlimited]",
        ),
    ]
