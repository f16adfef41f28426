"""DetectorPlan: what the detector of a spec computes, as plans.

Without a neck the stages up to `shared` run once per image, and the last stage and the head's pooling once per region
of their one map (C4). With one the whole network runs once per image, and heads of their own run on a pyramid of maps.
The stages are slices of the network's one plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any, Self

from reskeras.errors import ReskerasError
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_parts import dense_regions, detection_parts, pyramid_parts, region_plan, shared_plan
from reskeras.networks.geometry import GEOMETRIES
from reskeras.networks.lower import Maker
from reskeras.networks.plan_of_parts import PlanOfParts
from reskeras.networks.resize import Canvas, smallest
from reskeras.plans.complexity import Complexity, Cost, UnitCost
from reskeras.plans.operation import Shape
from reskeras.plans.plan import Plan
from reskeras.plans.receptive_field import Fields, receptive_field
from reskeras.plans.windows import Window

OF_REGIONS = ("regions", "logits", "box_deltas")  # the parts that run once per region
OF_LEVELS = ("rpn", "objectness", "anchor_deltas")  # those that run on each map


@dataclass(frozen=True)
class Level:
    """A map that heads run on: its cell (i, j) looks at `offsets` + (i, j) * `stride` pixels of the canvas. Its anchors
    of these `sizes` are there, or `steps` pixels of height and width apart; regions are pooled from it unless it is for
    proposals alone."""

    stride: float
    steps: tuple[float, float]
    offsets: tuple[float, float]
    shape: Shape
    sizes: tuple[float, ...]
    pooled: bool


@dataclass(frozen=True)
class DetectorPlan(PlanOfParts):
    """What a detector computes, as plans: `shared` on an image, and `neck`, by name, on its maps at `ends`; `rpn`,
    `objectness` and `anchor_deltas` on each map that results; `regions`, `logits` and `box_deltas` on the features
    pooled for each region. `spec` is fully resolved.

    `network` is the whole backbone, whose slices `shared` and, without a neck, `regions` are.
    """

    spec: DetectorSpec
    network: Plan
    shared: Plan
    rpn: Plan
    objectness: Plan
    anchor_deltas: Plan
    regions: Plan
    logits: Plan
    box_deltas: Plan
    ends: tuple[str, ...]
    neck: Mapping[str, Plan] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Plan]:
        """The plans by name, in the order in which they are computed."""
        names = (*OF_LEVELS, *OF_REGIONS)
        return {"shared": self.shared, **self.neck, **{name: getattr(self, name) for name in names}}

    def with_parts(self, parts: Mapping[str, Plan]) -> Self:
        """The same with other `parts`, by the names of these."""
        others: dict[str, Any] = {name: part for name, part in parts.items() if name not in self.neck}
        return replace(self, **others, neck={name: parts[name] for name in self.neck})

    @property
    def canvases(self) -> tuple[Canvas, ...]:
        """Heights and widths of all canvases, in ascending order of area; without `resize`, the one."""
        resize = self.spec.resize
        return resize.canvases or () if resize else (self.canvas,)

    def at(self, height: int, width: int) -> DetectorPlan:
        """The same on a canvas of that size."""
        image = (height, width, self.input_shape[-1])
        shared, network = (replace(each, input_shape=image) for each in (self.shared, self.network))
        other = replace(self, shared=shared, network=network)
        levels = other.levels()
        sizes = dict.fromkeys(OF_LEVELS, levels[0].shape[:2])
        for name, level in product(("lateral", "smooth"), levels):
            sizes[f"{name}{level.stride:g}"] = level.shape[:2]
        return other.with_parts(
            {
                name: replace(part, input_shape=(*sizes[name], part.input_shape[-1])) if name in sizes else part
                for name, part in other.parts.items()
            }
        )

    def levels(self) -> tuple[Level, ...]:
        """The maps that heads run on, from the finest on.

        A map of the pyramid looks where that of the backbone does, which it takes its positions from.
        """
        spec = self.spec
        looks = [_seen(self.shared.slice(until=end), spec) for end in self.ends]
        for _ in range(spec.neck.extra if spec.neck else 0):  # a map of every second cell
            fields, (rows, columns, channels) = looks[-1]
            down, across = (each.through(Window(stride=2)) for each in fields)
            looks.append(((down, across), (-(-rows // 2), -(-columns // 2), channels)))
        sizes, geometry, canvas = spec.anchors.sizes or (), GEOMETRIES[spec.geometry], self.canvas
        each = len(sizes) // len(looks)
        return tuple(
            Level(
                stride=float(fields[0].stride),
                steps=(geometry.step(fields[0], canvas[0], shape[0]), geometry.step(fields[1], canvas[1], shape[1])),
                offsets=(geometry.offset(fields[0]), geometry.offset(fields[1])),
                shape=shape,
                sizes=sizes[number * each : (number + 1) * each],
                pooled=number < len(self.ends),
            )
            for number, (fields, shape) in enumerate(looks)
        )

    @property
    def stride(self) -> float:
        """Pixels of the canvas per cell of the finest map."""
        return self.levels()[0].stride

    @property
    def map_shape(self) -> Shape:
        """Height, width and channels of the finest map."""
        return self.levels()[0].shape

    @property
    def anchors(self) -> int:
        """Anchors at each position."""
        return self.objectness.output_shape[-1]

    @property
    def all_anchors(self) -> int:
        """Anchors on the detector's canvas."""
        return self.anchors * sum(prod(level.shape[:2]) for level in self.levels())

    def times(self, regions: int) -> dict[str, float]:
        """How often each part runs for an image with so many regions; one that runs on several maps, by how many cells
        they have for each of the first."""
        cells = [prod(level.shape[:2]) for level in self.levels()]
        whole = {"regions": int(self.spec.regions.context)}  # the whole image is one more region
        often = {**dict.fromkeys(OF_LEVELS, sum(cells) / cells[0]), **dict.fromkeys(OF_REGIONS, regions)}
        return {name: often.get(name, 1) + whole.get(name, 0) for name in self.parts}

    def costs(self) -> dict[str, tuple[Complexity, float]]:
        """The costs of each part, and how often it runs for an image in testing."""
        times = self.times(self.spec.proposals.testing)
        return {name: (plan.complexity(), times[name]) for name, plan in self.parts.items()}

    def complexity(self) -> Complexity:
        """The costs of one image in testing with all its regions, by part and in total."""
        units = tuple(
            UnitCost(
                name,
                self.parts[name].output_shape,
                replace(
                    part.total,
                    multiply_adds=round(part.total.multiply_adds * times),
                    activations=round(part.total.activations * times),
                ),
            )
            for name, (part, times) in self.costs().items()
        )
        return Complexity(units, sum((unit.cost for unit in units), Cost()))

    @property
    def parameters(self) -> int:
        """Trainable parameters of the whole detector."""
        return self.complexity().parameters

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of one image in testing, with all its regions."""
        return self.complexity().multiply_adds


def _seen(plan: Plan, spec: DetectorSpec) -> tuple[Fields, Shape]:
    """As `looked`, with the channels that heads on a pyramid see."""
    fields, shape = looked(plan, spec.shared)
    return fields, (*shape[:2], spec.neck.width) if spec.neck else shape


def looked(plan: Plan, shared: str | None) -> tuple[Fields, Shape]:
    """The receptive fields of the map that a plan, up to the stage `shared`, ends with, and its shape."""
    fields = receptive_field(plan)
    if fields is None:
        raise ReskerasError(f"shared: {shared} has no positions; choose a stage before the pooling")
    return fields, plan.output_shape


def lower_detector(spec: DetectorSpec) -> DetectorPlan:
    """The plans of a detector; ReskerasError (status 2) when the spec contradicts itself."""
    spec = spec.decided()
    resolved = spec.backbone.decided()
    network, maker = resolved.lower(), Maker(resolved)
    shared, ends = shared_plan(spec, network)
    if spec.neck:
        neck = pyramid_parts(spec.neck, maker, shared, ends)
        finest = min(spec.neck.strides or ())
        first, regions = neck[f"smooth{finest}"], dense_regions(spec.regions, spec.neck, maker)
    else:
        neck, first, regions = {}, shared, region_plan(spec, network, shared)
    plan = DetectorPlan(
        spec=spec,
        network=network,
        shared=shared,
        regions=regions,
        ends=ends,
        neck=neck,
        **detection_parts(spec, maker, first, regions),
    )
    _check_counts(plan)
    for canvas in smallest(plan.canvases):
        _check_canvas(plan, canvas)
    return plan


def _check_counts(plan: DetectorPlan) -> None:
    """Raise ReskerasError for more proposals than there are boxes to choose from."""
    spec, levels = plan.spec.proposals, plan.levels()
    for name, before, each in (("training", "before", spec.before), ("testing", "before_testing", spec.tested)):
        count, most = getattr(spec, name), each * len(levels)
        if count > most:
            maps = " of all maps" if plan.neck else ""
            raise ReskerasError(f"proposals.{name}: {count} should be at most proposals.{before}{maps} ({most})")


def _check_canvas(plan: DetectorPlan, canvas: Canvas) -> None:
    """Raise ReskerasError for a canvas that is too small for the network or its anchors."""
    spec, where = plan.spec, "resize.canvases" if plan.spec.resize else "backbone.input_shape"
    # of the largest canvas, which is its input shape, the backbone has refused it
    if any(side < step for side, step in zip(canvas, plan.network.stride, strict=True)):
        raise ReskerasError(
            f"{where}: {_by(canvas)} is below the network's stride of {max(plan.network.stride)} pixels"
        )
    here = plan.at(*canvas)
    if here.all_anchors < 2:
        raise ReskerasError(
            f"anchors: the shared map of {_by(here.map_shape[:2])} has only {here.all_anchors}; choose a larger "
            f"{where}, or more sizes"
        )
    shapes = [
        (size * ratio**0.5, size / ratio**0.5) for size in spec.anchors.sizes or () for ratio in spec.anchors.ratios
    ]
    inside = GEOMETRIES[spec.geometry].inside  # an anchor with no more than that is neither trained nor proposed
    several = spec.resize and not spec.resize.multiple  # the canvases of a multiple are for strips too
    if several and not any(prod(map(min, shape, canvas)) > prod(shape) * inside for shape in shapes):
        raise ReskerasError(
            f"anchors.sizes: none has more than {inside:.0%} of its area on the canvas of {_by(canvas)}; choose "
            f"smaller sizes than {min(spec.anchors.sizes or ()):g}, or a larger resize.shorter"
        )


def _by(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
