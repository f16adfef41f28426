"""DetectorPlan: what the detector of a spec computes, as plans.

Without a neck the stages up to `shared` run once per image, and the last stage and the head's pooling once per region
of their one map (C4). With one the whole network runs once per image, and heads of their own run on a pyramid of maps.
The stages are slices of the network's one plan.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from reskeras.errors import ReskerasError
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_parts import dense_regions, detection_parts, pyramid_parts, region_plan, shared_plan
from reskeras.networks.lower import Maker
from reskeras.plans.complexity import Complexity, Cost, UnitCost
from reskeras.plans.operation import Shape
from reskeras.plans.plan import Plan
from reskeras.plans.receptive_field import ReceptiveField, receptive_field

OF_REGIONS = ("regions", "logits", "box_deltas")  # the parts that run once per region
OF_LEVELS = ("rpn", "objectness", "anchor_deltas")  # those that run on each map


@dataclass(frozen=True)
class Level:
    """A map that heads run on: its cell (i, j) looks at `offsets` + (i, j) * `stride` pixels of the canvas, where it
    has anchors of these `sizes`; regions are pooled from it unless it is for proposals alone."""

    stride: float
    offsets: tuple[float, float]
    shape: Shape
    sizes: tuple[float, ...]
    pooled: bool = True


@dataclass(frozen=True)
class DetectorPlan:
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

    def with_parts(self, parts: Mapping[str, Plan]) -> DetectorPlan:
        """The same with other `parts`, by the names of these."""
        others: dict[str, Any] = {name: part for name, part in parts.items() if name not in self.neck}
        return replace(self, **others, neck={name: parts[name] for name in self.neck})

    @property
    def input_shape(self) -> Shape:
        """Height, width and channels of the canvas."""
        return self.shared.input_shape

    def levels(self, height: int | None = None, width: int | None = None) -> tuple[Level, ...]:
        """The maps of a canvas of `height` x `width`, by default the detector's own, from the finest on.

        A map of the pyramid looks where that of the backbone does, which it takes its positions from.
        """
        own = self.input_shape
        shared = replace(self.shared, input_shape=(height or own[0], width or own[1], own[2]))
        sizes = self.spec.anchors.sizes or ()
        extra = self.spec.neck.extra if self.spec.neck else 0
        each, found = len(sizes) // (len(self.ends) + extra), list[Level]()
        for number in range(len(self.ends) + extra):
            here = sizes[number * each : (number + 1) * each]
            if number < len(self.ends):
                found.append(_level(shared.slice(until=self.ends[number]), self.spec, here))
            else:
                found.append(_every_second(found[-1], self.spec, here))
        return tuple(found)

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

    @property
    def everything(self) -> Plan:
        """All units in one plan, to look up weights and units in; its shapes do not chain."""
        return Plan(
            units=tuple(unit for plan in self.parts.values() for unit in plan.units), input_shape=self.input_shape
        )

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


def _level(plan: Plan, spec: DetectorSpec, sizes: tuple[float, ...]) -> Level:
    fields = receptive_field(plan)
    if fields is None:
        raise ReskerasError(f"shared: {spec.shared} has no positions; choose a stage before the pooling")
    offset = _offset(spec, fields[0].stride)
    width = spec.neck.width if spec.neck else plan.output_shape[-1]
    return Level(
        float(fields[0].stride), (offset(fields[0]), offset(fields[1])), (*plan.output_shape[:2], width), sizes
    )


def _offset(spec: DetectorSpec, stride: float) -> Callable[[ReceptiveField], float]:
    """Where the first cell of a map looks, by its receptive field."""
    offsets: dict[str, Callable[[ReceptiveField], float]] = {
        "exact": lambda field: field.middle,
        "cell": lambda field: stride / 2,
        "torchvision": lambda field: 0.0,
    }
    return offsets[spec.geometry]


def _every_second(finer: Level, spec: DetectorSpec, sizes: tuple[float, ...]) -> Level:
    """The map of every second cell of a `finer` one."""
    height, width, channels = finer.shape
    offsets = (finer.stride, finer.stride) if spec.geometry == "cell" else finer.offsets
    return Level(2 * finer.stride, offsets, (-(-height // 2), -(-width // 2), channels), sizes, pooled=False)


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
    return plan


def _check_counts(plan: DetectorPlan) -> None:
    spec = plan.spec
    for field_, before in (("training", "before"), ("testing", "before_testing")):
        most = getattr(spec.proposals, before) * len(plan.levels())
        if getattr(spec.proposals, field_) > most:
            raise ReskerasError(
                f"proposals.{field_}: {getattr(spec.proposals, field_)} must be at most proposals.{before}"
                f"{f' of all maps ({most})' if spec.neck else f' ({most})'}"
            )
    if plan.all_anchors < 2:
        height, width = plan.levels()[0].shape[:2]
        raise ReskerasError(
            f"anchors: the shared map of {height}x{width} has only {plan.all_anchors}; "
            "choose a larger backbone.input_shape, or more sizes"
        )
