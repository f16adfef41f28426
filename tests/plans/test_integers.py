"""The integer form of plans: shapes, and where tensors are rounded."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

import reskeras
from reskeras.plans import merges
from reskeras.plans import operations as op
from reskeras.plans.integers import PIXELS, RULES, Negate, Offset, integer_plan, with_pixels
from reskeras.plans.nodes import Fork, fold, walk
from reskeras.plans.operation import Op
from reskeras.plans.plan import Plan, Unit
from tests.graph.integer_networks import GATED, NETWORKS, SMALL, network

WEIGHTED = (op.Conv, op.Dense)
SAME_VALUES = (op.Flatten, op.Pad, op.PadChannels)


def roundness(node, value):
    """`value`, whether a tensor consists of 8-bit integers, after an operation."""
    if isinstance(node, op.Quantise):
        return True
    if isinstance(node, op.Conv):
        assert value, f"{node.name} takes what is not rounded"
        return False
    moved = isinstance(node, SAME_VALUES) or (isinstance(node, op.Pool | op.GlobalPool) and node.reduce == "max")
    return value and moved


def joined(fork, values):
    if not isinstance(fork.merge, merges.Concat):  # the branches of which are rounded together
        assert all(values), f"{fork.name} takes what is not rounded"
    return False


def outer(plan):
    """The nodes of all units, one after the other, as what follows a unit's last is the next unit's first."""
    return tuple(node for unit in plan.units for node in unit.nodes)


def sequences(nodes):
    yield nodes
    for node in walk(nodes):
        if isinstance(node, Fork):
            yield from node.branches


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_stay_and_all_that_is_computed_with_is_rounded(name):
    plan = network_plan(name)
    made = integer_plan(plan, 4)
    assert made.unit_shapes() == plan.unit_shapes()
    assert fold(outer(made), False, roundness, joined)  # logits are rounded too
    convolutions = [node for node in made.ops() if isinstance(node, op.Conv)]
    assert {node.name for node in plan.ops() if isinstance(node, WEIGHTED)} <= {node.name for node in convolutions}
    assert all(node.weight_bits == 4 and node.bias for node in convolutions)
    assert not [node for node in made.ops() if isinstance(node, op.BatchNorm | op.Dense | op.Scale | op.Dropout)]
    names = [node.name for node in walk(outer(made))]
    assert len(names) == len(set(names))


def network_plan(name):
    fields = dict(NETWORKS[name])
    spec = reskeras.network(fields.pop("name"), **fields) if "name" in fields else reskeras.network(**fields)
    return spec.lower()


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_rounded_between_a_sum_or_convolution_and_its_relu(name):
    made = integer_plan(network_plan(name))
    fused = 0
    for nodes in sequences(outer(made)):
        for before, between, after in zip(nodes, nodes[1:], nodes[2:], strict=False):
            of_sum = isinstance(before, Fork) and isinstance(before.merge, merges.Add)
            if isinstance(before, op.Conv) or of_sum:
                assert not (isinstance(between, op.Quantise) and isinstance(after, op.Relu))
                fused += isinstance(between, op.Relu)
    assert fused or "gelu" in name or "silu" in name


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_concatenated_has_one_range(name):
    forks = [node for node in walk(outer(integer_plan(network_plan(name)))) if isinstance(node, Fork)]
    joins = [fork for fork in forks if isinstance(fork.merge, merges.Concat)]
    assert joins or "inception" not in name
    assert not [branch for fork in joins for branch in fork.branches if branch and isinstance(branch[-1], op.Quantise)]


def test_what_is_averaged_keeps_the_range_that_it_had():
    made = integer_plan(network_plan("pooled"))
    known = set()
    for before, node in zip(walk(outer(made)), [*walk(outer(made))][1:], strict=False):
        if isinstance(node, op.Quantise):
            assert not node.like or (isinstance(before, op.Pool) and node.like in known)
            known.add(node.name)
    assert any(node.like for node in made.ops() if isinstance(node, op.Quantise))


def test_a_relu_at_the_start_of_the_next_unit_belongs_to_what_is_before_it():
    conv = op.Conv(name="a", filters=2, kernel=(1, 1))
    units = (Unit(stage="a", nodes=(conv,)), Unit(stage="b", nodes=(op.Relu(name="r"), replace(conv, name="b"))))
    made = integer_plan(Plan(units=units, input_shape=(4, 4, 2)))
    assert [node.name for node in outer(made)] == ["image_range", "a", "r", "r_range", "b", "b_range"]


def test_a_relu_that_nothing_can_compute_too_is_rounded_before_and_after():
    conv, relu = op.Conv(name="a", filters=2, kernel=(1, 1)), op.Relu(name="r")
    join = Fork(name="j", branches=((conv,), (replace(conv, name="b"),)), merge=merges.Concat())
    made = integer_plan(Plan(units=(Unit(stage="a", nodes=(join, relu)),), input_shape=(4, 4, 2)))
    assert [node.name for node in outer(made)] == ["image_range", "j", "j_range", "r", "r_range"]


@pytest.mark.parametrize("kind", GATED)
def test_gates_are_refused_by_name(kind):
    with pytest.raises(reskeras.ReskerasError, match=r"quantise: stage1_unit1_add: .* of .*gated add") as caught:
        reskeras.network(**GATED[kind], quantise="int8").lower()
    assert caught.value.status == 2


def test_an_operation_without_a_row_is_refused_by_name():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Cosine(Op):
        kind: ClassVar[str] = "cosine"

    plan = Plan(units=(Unit(stage="a", nodes=(Cosine(name="a_cosine"),)),), input_shape=(4, 4, 2))
    with pytest.raises(reskeras.ReskerasError, match="quantise: a_cosine: there is no integer form of cosine"):
        integer_plan(plan)


def test_every_operation_has_a_row_or_is_rewritten_or_refused():
    """A new kind of operation or merge must be decided on."""
    rewritten = {op.BatchNorm, op.Dense, op.Scale, op.Dropout, op.Quantise, merges.ScaledAdd}
    refused = {merges.GatedAdd}
    kinds = {*op.OPERATIONS.values(), *merges.MERGES.values(), Offset, Negate}
    assert set(RULES) | rewritten | refused == kinds
    assert not set(RULES) & (rewritten | refused)


def test_a_factor_goes_into_the_convolution_before_it():
    names = {node.name for node in integer_plan(network_plan("dropout-B-preact")).ops() if isinstance(node, op.Conv)}
    assert "stage2_unit1_shortcut_conv" in names
    assert "stage2_unit1_shortcut_scale" not in names  # in it
    assert "stage2_unit2_shortcut_scale" in names  # of an identity: a convolution of its own


def test_a_factor_behind_a_convolution_with_a_stride_counts_once():
    """The positions that a later dense layer spans are those of the convolution, not of two."""
    nodes = (
        op.Conv(name="c", filters=2, kernel=(3, 3), stride=(2, 2), padding="valid"),
        op.Scale(name="s", factor=0.5),
        op.Flatten(name="f"),
        op.Dense(name="d", units=3),
    )
    made = integer_plan(Plan(units=(Unit(stage="a", nodes=nodes),), input_shape=(7, 7, 2)))
    assert next(node.kernel for node in made.ops() if node.name == "d") == (3, 3)
    assert made.output_shape == (3,)


@pytest.mark.parametrize("kept", ["head_dense1", "stage2_unit2_conv1", "logits"])
def test_layers_kept_in_float_are_between_what_is_rounded(kept):
    plan = network_plan("vgg")
    made = integer_plan(plan, 8, [kept])
    assert made.unit_shapes() == plan.unit_shapes()
    floats = [node.name for node in made.ops() if isinstance(node, op.Conv) and node.weight_bits is None]
    assert floats == [kept]
    assert [node.name for node in made.ops() if isinstance(node, Negate)] == [f"{kept}_negated"]
    assert made.weight_shapes()[f"{kept}/kernel"][:2] == integer_plan(plan).weight_shapes()[f"{kept}/kernel"][:2]
    assert fold(outer(made), False, roundness, joined)


@pytest.mark.parametrize("by_pixel", [False, True])
def test_pixels_are_normalised_by_a_convolution_of_each_channel(by_pixel):
    made = with_pixels(integer_plan(network_plan("original")), (-2.0, 2.0), by_pixel)
    first = made.units[0]
    assert first.name == PIXELS
    assert fold(outer(made), False, roundness, joined)
    [conv] = [node for node in first.nodes if isinstance(node, op.Conv)]
    assert (conv.groups, conv.filters, conv.weight_bits) == (3, 3, 8)
    assert by_pixel == any(isinstance(node, Offset) for node in first.nodes)


def test_a_spec_that_is_quantised_says_so():
    spec = reskeras.network(**SMALL, quantise="int8-w4")
    assert spec.lower() == integer_plan(spec.float_plan, 4)
    assert reskeras.networks.catalog.name_of(spec).endswith("-int8-w4")
    assert "int8-w4" in spec.describe()


def test_plans_are_taken_from_the_cache_by_kind():
    assert network("original")[1] is reskeras.network(**SMALL).lower()
    assert reskeras.network(**SMALL, quantise="int8").lower() != reskeras.network(**SMALL).lower()
