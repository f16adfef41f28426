"""Claims about activation orders, written out by hand from figure 4 of the second paper (arXiv:1603.05027)."""

from __future__ import annotations

import pytest

import reskeras
from reskeras.plans.merges import ADD
from reskeras.plans.nodes import Fork

# one middle unit of two 3x3 convolutions: on the residual, then after the addition
FIGURE_4 = {
    "original": ("conv bn relu conv bn", "relu"),  # (a)
    "bn_after_add": ("conv bn relu conv", "bn relu"),  # (b)
    "relu_before_add": ("conv bn relu conv bn relu", ""),  # (c)
    "relu_preact": ("relu conv bn relu conv bn", ""),  # (d)
    "full_preact": ("bn relu conv bn relu conv", ""),  # (e)
}
# the same with 1x1, 3x3, 1x1
BOTTLENECK = {
    "original": ("conv bn relu conv bn relu conv bn", "relu"),
    "bn_after_add": ("conv bn relu conv bn relu conv", "bn relu"),
    "relu_before_add": ("conv bn relu conv bn relu conv bn relu", ""),
    "relu_preact": ("relu conv bn relu conv bn relu conv bn", ""),
    "full_preact": ("bn relu conv bn relu conv bn relu conv", ""),
}
SINGLE = {
    "original": ("conv bn", "relu"),
    "bn_after_add": ("conv", "bn relu"),
    "relu_before_add": ("conv bn relu", ""),
    "relu_preact": ("relu conv bn", ""),
    "full_preact": ("bn relu conv", ""),
}
FORMS = {"basic": FIGURE_4, "bottleneck": BOTTLENECK, "single": SINGLE}


def kinds(nodes) -> str:
    return " ".join(
        "fork" if isinstance(node, Fork) else node.kind
        for node in nodes
        if isinstance(node, Fork) or node.kind != "pad"
    )


def units(**fields) -> dict:
    return {unit.name: unit for unit in reskeras.plan(**fields).units}


@pytest.mark.parametrize("order", FIGURE_4)
@pytest.mark.parametrize("block", FORMS)
def test_a_middle_unit_is_drawn_as_in_figure_4(block, order):
    residual, after = FORMS[block][order]
    unit = units(family="cifar", stages=[3, 3], block=block, order=order)["stage2_unit2"]
    fork = unit.nodes[0]
    assert isinstance(fork, Fork) and fork.merge == ADD
    shortcut, branch = fork.branches
    assert shortcut == ()  # the raw stream
    assert kinds(branch) == residual
    assert kinds(unit.nodes[1:]) == after


@pytest.mark.parametrize(
    ("order", "stem", "head"),
    [
        ("original", "conv bn relu", "global_pool dense"),
        ("bn_after_add", "conv bn relu", "global_pool dense"),
        ("relu_before_add", "conv bn relu", "global_pool dense"),
        ("relu_preact", "conv bn", "relu global_pool dense"),
        ("full_preact", "conv", "bn relu global_pool dense"),
    ],
)
def test_stem_and_head_complete_the_order(order, stem, head):
    ends = units(family="cifar", stages=[1], order=order)
    assert kinds(ends["stem"].nodes) == stem
    assert kinds(ends["head"].nodes) == head


@pytest.mark.parametrize("order", FIGURE_4)
def test_imagenet_stems_activate_before_the_max_pool_whatever_the_order(order):
    stem = units(family="imagenet", stages=[1], order=order)["stem"]
    assert kinds(stem.nodes) == "conv bn relu pool"


@pytest.mark.parametrize(
    ("order", "before", "projection", "residual"),
    [
        ("original", "", "conv bn", "conv bn relu conv bn"),
        ("bn_after_add", "", "conv bn", "conv bn relu conv"),
        ("relu_before_add", "", "conv bn", "conv bn relu conv bn relu"),
        ("relu_preact", "relu", "conv bn", "conv bn relu conv bn"),
        ("full_preact", "bn relu", "conv", "conv bn relu conv"),
    ],
)
def test_a_projecting_unit_shares_its_pre_activation(order, before, projection, residual):
    unit = units(family="cifar", stages=[2, 2], order=order, shortcut="B")["stage2_unit1"]
    at = next(index for index, node in enumerate(unit.nodes) if isinstance(node, Fork))
    assert kinds(unit.nodes[:at]) == before
    assert kinds(unit.nodes[at].branches[0]) == projection
    assert kinds(unit.nodes[at].branches[1]) == residual


@pytest.mark.parametrize("order", FIGURE_4)
def test_a_plain_unit_is_the_residual_without_a_shortcut(order):
    residual, after = FIGURE_4[order]
    unit = units(family="cifar", stages=[2], order=order, shortcut="none")["stage1_unit2"]
    assert kinds(unit.nodes) == f"{residual} {after}".strip()


def test_between_two_middle_units_every_order_but_the_first_moves_something():
    drawn = {order: (*FIGURE_4[order],) for order in FIGURE_4}
    assert len(set(drawn.values())) == 5
    middle = {order: units(family="cifar", stages=[3], order=order)["stage1_unit2"] for order in FIGURE_4}
    assert len(set(middle.values())) == 5
