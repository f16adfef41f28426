"""The claim that every block x order x skip x shortcut either makes a network of the right shape or is refused."""

from __future__ import annotations

from itertools import product

import pytest

import reskeras
from reskeras.errors import ReskerasError

BLOCKS = {"basic": 1, "bottleneck": 4, "single": 1}  # output over width
ORDERS = ["original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact"]
SKIPS = ["identity", "scale", "exclusive_gate", "shortcut_gate", "conv1x1", "dropout"]
SHORTCUTS = ["A", "B", "C", "none"]
# a plain net has nothing to change, C leaves nothing to change, and conv1x1 is C by another name
FORBIDDEN = {(skip, "none") for skip in SKIPS[1:]} | {("conv1x1", "A"), ("conv1x1", "B")}
FORBIDDEN |= {(skip, "C") for skip in ("scale", "exclusive_gate", "shortcut_gate", "dropout")}
COMBINATIONS = list(product(BLOCKS, ORDERS, SKIPS, SHORTCUTS))
SMALL = {"family": "cifar", "stages": [2, 1], "input_shape": [8, 8, 3]}


def fields(block: str, order: str, skip: str, shortcut: str) -> dict:
    return SMALL | {"block": block, "order": order, "skip": skip, "shortcut": shortcut}


def test_a_third_of_the_combinations_is_forbidden():
    forbidden = [each for each in COMBINATIONS if each[2:] in FORBIDDEN]
    assert (len(COMBINATIONS), len(forbidden)) == (360, 15 * 11)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("order", ORDERS)
def test_valid_combinations_have_the_shapes_of_their_rows(block, order):
    wide = BLOCKS[block]
    for skip, shortcut in product(SKIPS, SHORTCUTS):
        if (skip, shortcut) in FORBIDDEN:
            continue
        plan = reskeras.plan(**fields(block, order, skip, shortcut))
        assert plan.unit_shapes() == ((8, 8, 16), (8, 8, 16 * wide), (8, 8, 16 * wide), (4, 4, 32 * wide), (10,))
        assert all(unit.cost.parameters > 0 and unit.cost.activations > 0 for unit in plan.complexity().units)


@pytest.mark.parametrize(("skip", "shortcut"), sorted(FORBIDDEN))
def test_invalid_combinations_are_refused_by_name(skip, shortcut):
    for block, order in product(BLOCKS, ORDERS):
        with pytest.raises(ReskerasError) as refusal:
            reskeras.network(**fields(block, order, skip, shortcut))
        message = str(refusal.value)
        assert message.startswith("skip: ")
        assert skip in message and repr(shortcut) in message
        assert refusal.value.status == 2


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_changes_no_convolution(order):
    for block, skip, shortcut in product(BLOCKS, SKIPS, SHORTCUTS):
        if (skip, shortcut) in FORBIDDEN:
            continue
        plans = [reskeras.plan(**fields(block, name, skip, shortcut)) for name in (order, "original")]
        convolutions = [
            sorted((op.name, op.filters, op.stride) for op in plan.ops() if op.kind == "conv") for plan in plans
        ]
        assert convolutions[0] == convolutions[1]
        assert plans[0].complexity().multiply_adds == plans[1].complexity().multiply_adds


@pytest.mark.parametrize(("first", "second"), product(ORDERS, ORDERS))
def test_an_activated_stage_may_come_before_any_other_and_a_raw_one_only_before_its_kind(first, second):
    stages = [{"units": 1, "order": first}, {"units": 1, "order": second}]
    raw = {"relu_preact", "full_preact"}
    if first in raw and second not in raw:
        with pytest.raises(ReskerasError, match=f"stages.1.order: '{second}' after a stage of '{first}'"):
            reskeras.network(family="cifar", stages=stages)
    else:
        assert reskeras.plan(family="cifar", stages=stages).output_shape == (10,)
