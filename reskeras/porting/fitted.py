"""Our weights fitted to another library's network: differences in biases and epsilons are folded into them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.identification.functional import untrained
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.diff import unit_changes
from reskeras.plans import operations as op
from reskeras.plans.plan import Plan
from reskeras.porting.convert import Weights, with_epsilon, without_biases
from reskeras.porting.foreign_model import Ask, ForeignModel
from reskeras.porting.recognise import Recognised, plan_of


class Answers(NamedTuple):
    """The forward pass of another network, normalised images to logits, and whose network it is, in words."""

    ask: Ask
    words: str


@dataclass(frozen=True)
class TrainedNetwork:
    """A network to export: its spec, its weights by canonical name, its preprocessing, and the names of its
    classes."""

    spec: AnyNetwork | DetectorSpec
    weights: Mapping[str, np.ndarray]
    preprocessing: Preprocessing
    labels: Sequence[str]

    @property
    def plan(self) -> Plan:
        """The plan that the weights belong to."""
        return plan_of(self.spec)


def fitted(given: TrainedNetwork, known: Recognised, theirs: ForeignModel) -> Weights:
    """Our weights for the network of `theirs`, which then computes the same; ReskerasError where it cannot."""
    plan = given.plan
    other = replace(known.plan, input_shape=plan.input_shape)
    changes = list(unit_changes(_bare(other), _bare(plan)))
    if changes:
        steps = "; ".join(
            f"{change.units} {', '.join(f'{step.sign} {step.words}' for step in change.steps[:3])}"
            for change in changes[:3]
        )
        raise ReskerasError(f"to: the network is not {theirs.name}: {steps}")
    biased = {
        name for name, layer in known.layers.items() if theirs.library.tensor(layer, "conv", "bias") in theirs.tensors
    }
    weights = without_biases(plan, dict(given.weights), keep=biased)
    for each in plan.ops():
        if isinstance(each, op.BatchNorm) and not each.scale:
            weights[f"{each.name}/gamma"] = np.ones_like(weights[f"{each.name}/beta"])
    epsilons = {each.epsilon for each in other.ops() if isinstance(each, op.BatchNorm)}
    return with_epsilon(plan, weights, epsilons.pop())


def _bare(plan: Plan) -> Plan:
    """`plan` without what fitted weights compensate for: settings of training alone, biases of convolutions, scales and
    epsilons of batch norms."""

    def bare(node: op.Op) -> op.Op | None:
        match untrained(node):
            case op.Conv() as conv:
                return replace(conv, bias=False)
            case op.BatchNorm() as norm:
                return replace(norm, epsilon=1.0, scale=True)
            case other:
                return other

    return plan.mapped(bare)
