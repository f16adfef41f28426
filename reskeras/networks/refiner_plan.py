"""RefinerPlan: what the refiner of a spec computes, as plans."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reskeras.networks.detector_parts import one_unit, without_logits
from reskeras.networks.localiser import PRIOR
from reskeras.networks.parts import SMALL_NORMAL
from reskeras.networks.plan_of_parts import PlanOfParts
from reskeras.networks.refiner import RefinerSpec
from reskeras.plans import operations as op
from reskeras.plans.complexity import Complexity
from reskeras.plans.plan import Plan


@dataclass(frozen=True)
class RefinerPlan(PlanOfParts):
    """What a refiner computes, as plans: `shared` on a warped region, and on its features the sibling layers:
    `objectness`, a logit of each class, and `box_deltas`, four numbers of each class or of all. `spec` is fully
    resolved; `network` is the whole judge, of which `shared` is all but the logits."""

    spec: RefinerSpec
    network: Plan
    shared: Plan
    objectness: Plan
    box_deltas: Plan

    @property
    def parts(self) -> dict[str, Plan]:
        """The plans by name, in the order in which they are computed."""
        return {"shared": self.shared, "objectness": self.objectness, "box_deltas": self.box_deltas}

    def complexity(self) -> Complexity:
        """The costs of one region."""
        return self.everything.complexity()


def lower_refiner(spec: RefinerSpec) -> RefinerPlan:
    """The plans of a refiner; ReskerasError (status 2) when the spec contradicts itself."""
    spec = spec.decided()
    network = spec.judge.decided().lower()
    shared = Plan(units=(*network.units[:-1], without_logits(network.units[-1])), input_shape=network.input_shape)
    siblings = {
        name: one_unit(
            name, (op.Dense(name=name, units=units, initialiser=SMALL_NORMAL, bias_start=start),), shared.output_shape
        )
        for name, units, start in (
            ("objectness", spec.classes or 0, math.log(PRIOR / (1 - PRIOR))),
            ("box_deltas", spec.boxes * 4, 0.0),
        )
    }
    return RefinerPlan(spec=spec, network=network, shared=shared, **siblings)
