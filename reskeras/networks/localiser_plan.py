"""LocaliserPlan: what the localiser of a spec computes, as plans; the trunk is a slice of its network's one plan."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from reskeras.networks.detector_parts import activated, one_unit
from reskeras.networks.detector_plan import Level, looked
from reskeras.networks.geometry import GEOMETRIES
from reskeras.networks.localiser import PRIOR, LocaliserSpec
from reskeras.networks.lower import Maker
from reskeras.networks.parts import SMALL_NORMAL
from reskeras.networks.plan_of_parts import PlanOfParts
from reskeras.plans import operations as op
from reskeras.plans.complexity import Complexity
from reskeras.plans.plan import Plan

HEADS = ("rpn", "objectness", "anchor_deltas")


@dataclass(frozen=True)
class LocaliserPlan(PlanOfParts):
    """What a localiser computes, as plans: `shared` on an image, then `rpn`, and on its map the sibling convolutions:
    `objectness`, for each anchor a logit of each class, and `anchor_deltas`, for each anchor four numbers of each class
    or of all. `spec` is fully resolved; `network` is the whole trunk, of which `shared` is a slice."""

    spec: LocaliserSpec
    network: Plan
    shared: Plan
    rpn: Plan
    objectness: Plan
    anchor_deltas: Plan

    @property
    def parts(self) -> dict[str, Plan]:
        """The plans by name, in the order in which they are computed."""
        return {"shared": self.shared, **{name: getattr(self, name) for name in HEADS}}

    @property
    def sides(self) -> tuple[float, float]:
        """Pixels of an image's shorter side, and the most of its longer one."""
        return float(self.spec.shorter or 0), math.inf

    def at(self, height: int, width: int) -> LocaliserPlan:
        """The same on an image of that size."""
        shared = replace(self.shared, input_shape=(height, width, self.input_shape[-1]))
        size = shared.output_shape[:2]
        heads = {name: getattr(self, name) for name in HEADS}
        return replace(
            self,
            shared=shared,
            **{name: replace(plan, input_shape=(*size, plan.input_shape[-1])) for name, plan in heads.items()},
        )

    def levels(self) -> tuple[Level, ...]:
        """The one map that heads run on."""
        fields, shape = looked(self.shared, self.spec.shared)
        offset, step = GEOMETRIES[self.spec.geometry].offset, float(fields[0].stride)
        offsets = (offset(fields[0]), offset(fields[1]))
        return (Level(step, (step, step), offsets, shape, self.spec.anchors.sizes or (), pooled=False),)

    def complexity(self) -> Complexity:
        """The costs of one crop."""
        return self.everything.complexity()


def lower_localiser(spec: LocaliserSpec) -> LocaliserPlan:
    """The plans of a localiser; ReskerasError (status 2) when the spec contradicts itself."""
    spec = spec.decided()
    resolved = spec.trunk.decided()
    network, maker = resolved.lower(), Maker(resolved)
    end = network.units[network.endpoint(str(spec.shared))].name
    shared = network.slice(until=end)
    nodes = (
        *activated(maker, shared, end, "rpn_pre_"),
        *maker.conv("rpn_conv", 3, spec.width or 0, 1, bias_start=0.0),
        op.Relu(name="rpn_relu"),
    )
    rpn = one_unit("rpn", nodes, shared.output_shape)
    anchors, classes = len(spec.anchors.sizes or ()) * len(spec.anchors.ratios), spec.classes or 0
    siblings = {
        name: one_unit(
            name,
            (
                op.Conv(
                    name=name, filters=filters, kernel=(1, 1), bias=True, bias_start=start, initialiser=SMALL_NORMAL
                ),
            ),
            rpn.output_shape,
        )
        for name, filters, start in (
            ("objectness", anchors * classes, math.log(PRIOR / (1 - PRIOR))),
            ("anchor_deltas", anchors * spec.boxes * 4, 0.0),
        )
    }
    plan = LocaliserPlan(spec=spec, network=network, shared=shared, rpn=rpn, **siblings)
    plan.levels()  # refuses a map without positions
    return plan
