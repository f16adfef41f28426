"""Differences of two networks: operation by operation, equal ones of several units and stages told once."""

from dataclasses import replace

import reskeras
from reskeras.networks.diff import difference, unit_changes


def told(steps):
    return [(step.sign, step.part, step.name) for step in steps]


def test_a_plain_and_a_residual_network_are_compared_convolution_by_convolution():
    plain, residual = (reskeras.network(family="cifar", stages=[2, 1], shortcut=shortcut) for shortcut in ("none", "A"))
    found = difference(plain, residual)
    assert [(each.field, each.before, each.after) for each in found.fields] == [("stages.0..1.shortcut", "none", "A")]
    around = [("+", "", "split"), ("+", "", "add")]
    padded = [("+", "shortcut", "shortcut_subsample"), ("+", "shortcut", "shortcut_pad_channels")]
    assert {each.units: told(each.steps) for each in found.units} == {
        "stage1_unit1..unit2": around,
        "stage2_unit1": [around[0], *padded, around[1]],
    }
    back = difference(residual, plain)
    assert [told(each.steps) for each in back.units] == [
        [("-", *rest) for _, *rest in told(each.steps)] for each in found.units
    ]
    assert (back.before, back.after) == (found.after, found.before)


def test_stages_and_units_that_are_no_neighbours_are_listed_apart():
    orders = ("bn_after_add", "original", "bn_after_add")
    changed = reskeras.network(family="cifar", stages=[{"units": 2, "order": order} for order in orders])
    found = difference(reskeras.network(family="cifar", stages=[2, 2, 2]), changed)
    assert [each.field for each in found.fields] == ["stages.0,2.order"]
    assert [each.units for each in found.units] == ["stage1_unit1..unit2, stage3_unit1..unit2"]

    plan = reskeras.plan(family="cifar", stages=[6])
    without = replace(
        plan,
        units=tuple(
            replace(unit, nodes=unit.nodes[:-1]) if unit.name.endswith(("unit1", "unit3", "unit4")) else unit
            for unit in plan.units
        ),
    )
    [change] = unit_changes(plan, without)
    assert change.units == "stage1_unit1, stage1_unit3..unit4"
    assert told(change.steps) == [("-", "", "out_relu")]


def test_units_of_one_side_alone_are_told_whole_and_in_order():
    found = difference(*(reskeras.network(family="cifar", stages=stages) for stages in ([3, 5, 2], [5, 5, 1])))
    assert [(each.units, told(each.steps)) for each in found.units] == [
        ("stage1_unit4..unit5", [("+", "", "whole unit")]),
        ("stage3_unit2", [("-", "", "whole unit")]),
    ]
