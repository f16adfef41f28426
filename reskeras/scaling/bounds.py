"""Lower bounds on a training step over many accelerators, each from its own peak: an upper bound on images per second.

Nothing here is measured on a GPU, and no efficiency is assumed: every part runs at the data sheet's peak, and all parts
at the same time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reskeras.errors import ReskerasError, shown
from reskeras.plans.plan import Plan
from reskeras.recipes.gpu_precision import gpu_precision
from reskeras.recipes.recipe import Recipe, recipe, steps_per_epoch
from reskeras.recipes.sizes import at_largest
from reskeras.scaling.accelerators import accelerator
from reskeras.scaling.step import Collectives, collectives, moved_bytes, step_work

MOST = 65_536  # accelerators: the largest batch that a recipe may have leaves an image to each
GIGABIT = 1e9 / 8  # bytes
BANDWIDTH = 100.0  # Gbit/s of a machine's network unless told


@dataclass(frozen=True)
class Cluster:
    """`machines` with `each` accelerators."""

    machines: int
    each: int

    def __str__(self) -> str:
        return f"{self.machines}x{self.each}"

    @property
    def accelerators(self) -> int:
        """Those of all machines, one replica on each."""
        return self.machines * self.each


def read_cluster(text: str) -> Cluster:
    """`8x8`: machines times accelerators of each; ReskerasError (status 2) for anything else."""
    match = re.fullmatch(r"([0-9]{1,9})\s*[xX×]\s*([0-9]{1,9})", text.strip())
    found = Cluster(*map(int, match.groups())) if match else None
    if found and 1 <= found.accelerators <= MOST:
        return found
    raise ReskerasError(
        f"cluster: {shown(text)} should be machines x accelerators of each, such as 8x8, and at most {MOST:,} in all"
    )


@dataclass(frozen=True)
class DataSet:
    """Images to train on: their number, the recipe for them, and the milliseconds of a core that an image takes to be
    decoded and augmented, with where these were measured."""

    images: int
    recipe: str
    core_ms: float
    measured: str


IMAGENET = DataSet(1_281_167, "modern-imagenet", 1.71, "photographs of 333 to 1,600 pixels")
CIFAR = DataSet(50_000, "modern-cifar", 0.037, "CIFAR-10 as JPEG files")
SMALL = 64  # pixels of a shorter side below which images are taken to be CIFAR's


def data_set(plan: Plan) -> DataSet:
    """The data that networks of this input size are trained on in the papers."""
    return CIFAR if min(plan.input_shape[:2]) < SMALL else IMAGENET


@dataclass(frozen=True)
class Conditions:
    """What neither plan, recipe nor data sheet says: the number of training images, the milliseconds of a core for an
    image, the Gbit/s of a machine in each direction, and its cores, where they are to limit. None: the data set's."""

    images: int | None = None
    core_ms: float | None = None
    bandwidth: float = BANDWIDTH
    cores: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that no machine has; NaN is in no range."""
        ranges = {"images": (1, 10**12), "core_ms": (1e-6, 10**6), "bandwidth": (1e-3, 10**6), "cores": (1, 100_000)}
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ReskerasError(f"{name}: {value:,} should be from {low:g} to {high:,}")

    def of(self, data: DataSet) -> tuple[int, float]:
        """Images, and milliseconds for each."""
        return self.images or data.images, self.core_ms or data.core_ms


@dataclass(frozen=True)
class StepBound:
    """A step of a training over a cluster.

    memory: bytes on each accelerator, at least. seconds: the least that each part of the step takes: `compute`,
    `traffic` (of memory), and where there are any `links` and `network` (the all-reduce in and between machines) and
    `input`. core_ms: for an image.
    """

    cluster: Cluster
    recipe: Recipe
    precision: str
    images: int  # of an epoch
    core_ms: float
    meant: int  # the batch size that the recipe's learning rate is meant for
    memory: int
    fitting: int  # images that fit on an accelerator
    reduced: Collectives
    seconds: dict[str, float] = field(hash=False)

    @property
    def each(self) -> int:
        """Images of a step on each accelerator."""
        return self.recipe.step_images // self.cluster.accelerators

    @property
    def learning_rate(self) -> float:
        """By the linear rule, in proportion to the batch size (arXiv:1706.02677)."""
        return self.recipe.learning_rate * self.recipe.batch_size / self.meant

    @property
    def limit(self) -> str:
        """The part that takes longest."""
        return max(self.seconds, key=lambda part: self.seconds[part])

    @property
    def step(self) -> float:
        """Seconds of a step, at least: its parts may overlap, and the longest remains."""
        return self.seconds[self.limit]

    @property
    def images_per_second(self) -> float:
        """Images trained on in a second by the whole cluster, at most."""
        return self.recipe.step_images / self.step

    @property
    def cores(self) -> float:
        """Cores of each machine that are busy with the input at `images_per_second`."""
        return self.images_per_second / self.cluster.machines * self.core_ms / 1000

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return steps_per_epoch(self.images, self.recipe.step_images)

    @property
    def training(self) -> float:
        """Seconds of the whole training, at least; evaluation and checkpoints are not counted."""
        return self.recipe.steps(self.steps) * self.step

    def data(self) -> dict[str, Any]:
        """For JSON; times in seconds."""
        return {
            "cluster": str(self.cluster),
            "accelerators": self.cluster.accelerators,
            "batch_size": self.recipe.batch_size,
            "learning_rate": self.learning_rate,
            "images_each": self.each,
            "fitting_images_each": self.fitting,
            "memory_bytes": self.memory,
            "collectives": self.reduced.vectors,
            "scalar_collectives": self.reduced.scalars,
            "reduced_bytes": self.reduced.bytes,
            "seconds": self.seconds,
            "step_seconds": self.step,
            "limit": self.limit,
            "images_per_second": self.images_per_second,
            "input_cores_each_machine": self.cores,
            "steps_per_epoch": self.steps,
            "epoch_seconds": self.steps * self.step,
            "training_seconds": self.training,
        }


def step_bound(
    plan: Plan,
    cluster: str | Cluster,
    device: str,
    source: str | Path | Recipe | None = None,
    each: int | None = None,
    conditions: Conditions = Conditions(),
) -> StepBound:
    """Bounds for a step of training a classifier `plan` over `cluster`, such as 8x8, of the accelerators `device`.

    `source` is the recipe, by default that of the network's data set; its batch is divided over the accelerators, or
    has `each` images on each. ReskerasError (status 2) for unknown names, and for what the recipe cannot do there.
    """
    cluster = read_cluster(cluster) if isinstance(cluster, str) else cluster
    row, data = accelerator(device), data_set(plan)
    chosen = recipe(data.recipe if source is None else source)
    _check_all_alike(chosen)
    plan = at_largest(plan, chosen.sizes)
    meant = chosen.batch_size
    if each is not None:
        chosen = recipe(chosen, batch_size=each * cluster.accelerators * chosen.accumulate)
    chosen.check_replicas(cluster.accelerators)
    precision = gpu_precision(chosen.precision, row.capability)
    images, core_ms = conditions.of(data)
    images -= round(images * chosen.holdout)
    fixed = chosen.step_bytes(plan, 0, precision)
    image = chosen.step_bytes(plan, 1, precision) - fixed
    here = chosen.step_images // cluster.accelerators
    reduced = collectives(plan, chosen, cluster.accelerators, cluster.machines)
    seconds = {
        "compute": 2 * step_work(plan).multiply_adds * here / row.peak(precision),
        "traffic": moved_bytes(plan, chosen, here, precision) / (row.bandwidth * 1e9),
    }
    if cluster.each > 1:
        seconds["links"] = ring_bytes(reduced.bytes, cluster.each) / (row.link * 1e9)
    if cluster.machines > 1:
        seconds["network"] = ring_bytes(reduced.bytes, cluster.machines) / (conditions.bandwidth * GIGABIT)
    if conditions.cores:
        seconds["input"] = chosen.step_images / cluster.machines * core_ms / 1000 / conditions.cores
    fitting = max((row.memory * 2**30 - fixed) // image, 0) if image else here
    memory = fixed + here * image
    return StepBound(cluster, chosen, precision, images, core_ms, meant, memory, fitting, reduced, seconds)


def ring_bytes(count: int, members: int) -> float:
    """Bytes that each of `members` sends, and receives, in a ring all-reduce of `count` bytes: no algorithm in which
    the members do the adding sends fewer (Patarasuk and Yuan, 2009)."""
    return 2 * (members - 1) / members * count


def _check_all_alike(chosen: Recipe) -> None:
    frozen = [name for name in ("freeze", "frozen_bn") if getattr(chosen, name)]
    if frozen:
        raise ReskerasError(f"{frozen[0]}: these figures are of a training of all weights; use a recipe without it")
    if len(chosen.sizes) > 1:
        raise ReskerasError(
            f"sizes: these figures are of steps on images of one size, and the recipe has {len(chosen.sizes)}; use a "
            "recipe with one of them"
        )
