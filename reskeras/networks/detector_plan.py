"""DetectorPlan: what the detector of a spec computes, as plans.

The stages up to `shared` run once per image; the region proposal network runs on their feature map; the last stage and
the head's pooling run once per region. All of these are slices of the network's one plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

from reskeras.errors import ReskerasError
from reskeras.networks.detector import WIDEST_RPN, DetectorSpec, shared_by_default
from reskeras.networks.lower import Maker
from reskeras.networks.orders import ORDERS
from reskeras.networks.parts import SMALL_NORMAL
from reskeras.plans import operations as op
from reskeras.plans.complexity import Complexity, Cost, UnitCost
from reskeras.plans.operation import Shape
from reskeras.plans.plan import Plan, Unit
from reskeras.plans.receptive_field import ReceptiveField, receptive_field

OF_REGIONS = ("regions", "logits", "box_deltas")  # the parts that run once per region


@dataclass(frozen=True)
class Cells:
    """Where the cells of a feature map look: cell (i, j) at `offsets` + (i, j) * `stride` pixels of the canvas."""

    stride: float
    offsets: tuple[float, float]


@dataclass(frozen=True)
class DetectorPlan:
    """What a detector computes, as plans: `shared` on an image; `rpn`, `objectness` and `anchor_deltas` on the shared
    map; `regions`, `logits` and `box_deltas` on the features pooled for each region. `spec` is fully resolved.

    `network` is the whole backbone, whose slices `shared` and `regions` are.
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

    @property
    def parts(self) -> dict[str, Plan]:
        """The plans by name, in the order in which they are computed."""
        names = ("shared", "rpn", "objectness", "anchor_deltas", "regions", "logits", "box_deltas")
        return {name: getattr(self, name) for name in names}

    @property
    def input_shape(self) -> Shape:
        """Height, width and channels of the canvas."""
        return self.shared.input_shape

    @property
    def map_shape(self) -> Shape:
        """Height, width and channels of the shared map."""
        return self.shared.output_shape

    def cells(self, height: int | None = None, width: int | None = None) -> Cells:
        """Where the cells of the shared map look on a canvas of `height` x `width`, by default the detector's own."""
        own = self.input_shape
        fields = receptive_field(replace(self.shared, input_shape=(height or own[0], width or own[1], own[2])))
        if fields is None:
            raise ReskerasError(f"shared: {self.spec.shared} has no positions; choose a stage before the pooling")
        stride = float(fields[0].stride)
        offset: Callable[[ReceptiveField], float] = {
            "exact": lambda field: field.middle,
            "cell": lambda field: stride / 2,
            "torchvision": lambda field: 0.0,
        }[self.spec.geometry]
        return Cells(stride, (offset(fields[0]), offset(fields[1])))

    @property
    def stride(self) -> float:
        """Pixels of the canvas per cell of the shared map."""
        return self.cells().stride

    @property
    def anchors(self) -> int:
        """Anchors at each position."""
        return self.spec.anchors.per_position

    @property
    def everything(self) -> Plan:
        """All units in one plan, to look up weights and units in; its shapes do not chain."""
        return Plan(
            units=tuple(unit for plan in self.parts.values() for unit in plan.units), input_shape=self.input_shape
        )

    def times(self, regions: int) -> dict[str, int]:
        """How often each part runs for an image with so many regions."""
        whole = {"regions": int(self.spec.regions.context)}  # the whole image is one more region
        return {name: regions + whole.get(name, 0) if name in OF_REGIONS else 1 for name in self.parts}

    def costs(self) -> dict[str, tuple[Complexity, int]]:
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
                    multiply_adds=part.total.multiply_adds * times,
                    activations=part.total.activations * times,
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


def lower_detector(spec: DetectorSpec) -> DetectorPlan:
    """The plans of a detector; ReskerasError (status 2) when the spec contradicts itself."""
    spec = spec.decided()
    resolved = spec.backbone.decided()
    network = resolved.lower()
    maker, end = Maker(resolved), network.endpoint(spec.shared or shared_by_default(resolved))
    shared = network.slice(until=network.units[end].name)
    each, classes = spec.anchors.per_position, spec.classes or resolved.classes
    # a pre-activation network's stream is raw (v2 section 4), so the proposal network activates it first
    stages = [unit.stage for unit in shared.units if isinstance(unit.stage, int)]
    before = maker.activation(ORDERS[resolved.stages[stages[-1] - 1].order].head, "rpn_pre_")
    width = spec.proposals.width or min(shared.output_shape[-1], WIDEST_RPN)
    rpn = _plan(
        "rpn",
        (*before, *maker.conv("rpn_conv", 3, width, 1, bias_start=0.0), op.Relu(name="rpn_relu")),
        shared.output_shape,
    )
    head = network.units[-1]
    pooling = replace(head, nodes=tuple(node for node in head.nodes if not isinstance(node, op.Dense)))
    regions = Plan(
        units=(*network.units[end + 1 : -1], pooling),
        input_shape=(spec.regions.size, spec.regions.size, shared.output_shape[-1]),
    )
    pooled = (regions.output_shape[0] * (2 if spec.regions.context else 1),)
    dense = {
        name: _plan(name, (op.Dense(name=name, units=units, initialiser=SMALL_NORMAL),), pooled)
        for name, units in (("logits", classes + 1), ("box_deltas", 4 * classes))
    }
    convs = {
        name: _plan(
            name,
            (op.Conv(name=name, filters=filters, kernel=(1, 1), bias=True, initialiser=SMALL_NORMAL),),
            rpn.output_shape,
        )
        for name, filters in (("objectness", each), ("anchor_deltas", 4 * each))
    }
    plan = DetectorPlan(spec=spec, network=network, shared=shared, rpn=rpn, regions=regions, **convs, **dense)
    _check_counts(plan)
    return plan


def _plan(name: str, nodes: tuple, shape: Shape) -> Plan:
    return Plan(units=(Unit(stage=name, nodes=nodes),), input_shape=shape)


def _check_counts(plan: DetectorPlan) -> None:
    count, spec = prod(plan.map_shape[:2]) * plan.anchors, plan.spec
    for field in ("training", "testing"):
        if getattr(spec.proposals, field) > spec.proposals.before:
            raise ReskerasError(
                f"proposals.{field}: {getattr(spec.proposals, field)} must be at most proposals.before "
                f"({spec.proposals.before})"
            )
    if count < 2:
        raise ReskerasError(
            f"anchors: the shared map of {plan.map_shape[0]}x{plan.map_shape[1]} has only {count}; "
            "choose a larger backbone.input_shape, or more sizes"
        )
