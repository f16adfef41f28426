"""Claims about plans: slices, endpoints, equality, and cells of other papers written with the same nodes."""

from __future__ import annotations

import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.plans import operations as op
from reskeras.plans.merges import ADD, Concat, GatedAdd, Multiply
from reskeras.plans.nodes import Fork
from reskeras.plans.operation import by_kind
from reskeras.plans.plan import Plan, Unit

BN = {"momentum": 0.9, "epsilon": 1e-5}


def conv(name: str, filters: int, kernel: int, **rest) -> op.Conv:
    return op.Conv(name=name, filters=filters, kernel=(kernel, kernel), **rest)


def one(nodes, shape) -> Plan:
    return Plan(units=(Unit(stage=1, index=1, nodes=tuple(nodes)),), input_shape=shape)


# --- slices ---


@pytest.mark.parametrize("name", ["resnet-18", "preact-50", "cifar-preact-110", "vgg-19"])
def test_slices_add_up_to_the_whole(name):
    whole = reskeras.plan(name)
    for cut in ("stage1", "stage2", "stage3_unit1"):
        front, back = whole.slice(until=cut), whole.slice(after=cut)
        assert front.output_shape == back.input_shape
        assert back.output_shape == whole.output_shape
        assert front.units + back.units == whole.units
        for figure in ("parameters", "statistics", "multiply_adds"):
            costs = [getattr(part.complexity().total, figure) for part in (front, back, whole)]
            assert costs[0] + costs[1] == costs[2]


def test_a_slice_in_the_middle_is_one_stage():
    stage = reskeras.plan("resnet-50").slice(after="stage2", until="stage3")
    assert [unit.name for unit in stage.units] == [f"stage3_unit{unit}" for unit in range(1, 7)]
    assert (stage.input_shape, stage.output_shape) == ((28, 28, 512), (14, 14, 1024))


def test_slicing_from_end_to_end_changes_nothing():
    plan = reskeras.plan("resnet-18")
    assert plan.slice() == plan.slice(until="head") == plan


@pytest.mark.parametrize(("after", "until"), [("stage2", "stage1"), ("stage2", "stage2"), ("head", None)])
def test_a_slice_that_ends_before_it_starts_is_refused(after, until):
    with pytest.raises(ReskerasError) as refusal:
        reskeras.plan("resnet-18").slice(after=after, until=until)
    assert "until" in str(refusal.value) and repr(after) in str(refusal.value)


# --- endpoints ---


def test_an_endpoint_is_a_unit_or_the_last_unit_of_a_stage():
    plan = reskeras.plan("resnet-50")
    names = [unit.name for unit in plan.units]
    assert names[plan.endpoint("stage2")] == "stage2_unit4"
    assert names[plan.endpoint("stage2_unit1")] == "stage2_unit1"
    assert (names[plan.endpoint("stem")], names[plan.endpoint("head")]) == ("stem", "head")


@pytest.mark.parametrize("name", ["stage5", "stage", "stage1_unit9", "", "Stage1"])
def test_an_unknown_endpoint_names_those_there_are(name):
    with pytest.raises(ReskerasError) as refusal:
        reskeras.plan("resnet-50").endpoint(name)
    assert repr(name) in str(refusal.value)
    assert "stem, stage1, stage2, stage3, stage4, head" in str(refusal.value)


# --- equality ---


def test_units_that_do_the_same_are_equal():
    units = {unit.name: unit for unit in reskeras.plan("cifar-preact-110").units}
    middle = {units[f"stage2_unit{number}"] for number in range(2, 19)}
    assert len(middle) == 1
    assert units["stage2_unit1"] not in middle
    assert units["stage1_unit2"] not in middle


def test_units_that_differ_in_a_number_are_not_equal():
    one_rate, other_rate = (reskeras.plan("cifar-resnet-20", drop_path=rate).units[3] for rate in (0.1, 0.2))
    assert one_rate != other_rate
    zero, six = (reskeras.plan(f"cifar-resnet-110-shortcut-gate-bias{bias}").units[3] for bias in ("0", "-6"))
    assert zero != six


# --- cells of other papers need no new node ---


def test_squeeze_and_excitation_is_a_product_of_a_branch_with_its_gate():
    squeeze = (
        op.GlobalPool(name="squeeze", keep_positions=True),
        conv("down", 4, 1, bias=True),
        op.Relu(name="relu"),
        conv("up", 64, 1, bias=True),
        op.Sigmoid(name="gate"),
    )
    plan = one([Fork(name="excite", branches=((), squeeze), merge=Multiply())], (8, 8, 64))
    cost = plan.complexity().total
    assert plan.output_shape == (8, 8, 64)
    assert cost.parameters == 64 * 4 + 4 + 4 * 64 + 64
    assert cost.multiply_adds == 64 * 4 + 4 * 64  # at one position
    # the input as a factor, the squeezed 1x1x64, the relu's 4 and the sigmoid's 64
    assert cost.activations == 8 * 8 * 64 + 64 + 4 + 64


def test_an_inception_cell_is_a_concatenation_of_four_branches():
    branches = (
        (conv("a", 64, 1),),
        (conv("b1", 96, 1), conv("b2", 128, 3)),
        (conv("c1", 16, 1), conv("c2", 32, 5)),
        (op.Pool(name="d1", reduce="max", kernel=(3, 3), stride=(1, 1), padding="same"), conv("d2", 32, 1)),
    )
    plan = one([Fork(name="cell", branches=branches, merge=Concat())], (28, 28, 192))
    weights = 192 * 64 + 192 * 96 + 9 * 96 * 128 + 192 * 16 + 25 * 16 * 32 + 192 * 32  # GoogLeNet 3a, without biases
    assert plan.output_shape == (28, 28, 64 + 128 + 32 + 32)
    assert plan.complexity().parameters == weights == 163328
    assert plan.complexity().multiply_adds == weights * 28 * 28


def test_asymmetric_kernels_and_nested_forks_have_the_right_shapes():
    split = Fork(
        name="split",
        merge=Concat(),
        branches=(
            (op.Conv(name="row", filters=8, kernel=(1, 3)),),
            (op.Conv(name="column", filters=8, kernel=(3, 1)),),
        ),
    )
    outer = Fork(name="outer", merge=Concat(), branches=((conv("a", 4, 1),), (conv("b", 6, 1), split)))
    plan = one([outer], (9, 9, 10))
    assert plan.output_shape == (9, 9, 20)
    assert plan.complexity().parameters == 10 * 4 + 10 * 6 + 2 * 3 * 6 * 8
    assert [each.name for each in plan.ops()] == ["a", "b", "row", "column"]


def test_a_resnet_d_shortcut_averages_before_it_projects():
    shortcut = (
        op.Pool(name="average", reduce="average", kernel=(2, 2), stride=(2, 2)),
        conv("project", 512, 1),
        op.BatchNorm(name="bn", **BN),
    )
    residual = (conv("c1", 128, 1), conv("c2", 128, 3, stride=(2, 2)), conv("c3", 512, 1))
    plan = one([Fork(name="add", branches=(shortcut, residual))], (56, 56, 256))
    cost = plan.complexity().total
    assert plan.output_shape == (28, 28, 512)
    assert cost.parameters == 256 * 512 + 2 * 512 + 256 * 128 + 9 * 128 * 128 + 128 * 512
    assert cost.multiply_adds == 28 * 28 * (256 * 512 + 9 * 128 * 128 + 128 * 512) + 56 * 56 * 256 * 128


def test_grouped_convolutions_see_a_part_of_the_channels():
    plan = one([conv("grouped", 128, 3, groups=32)], (14, 14, 128))
    assert plan.complexity().parameters == 9 * 4 * 128
    assert plan.complexity().multiply_adds == 9 * 4 * 128 * 14 * 14


@pytest.mark.parametrize(
    ("merge", "branches"),
    [
        (ADD, ((), (conv("wide", 8, 1),))),
        (ADD, ((), (conv("half", 4, 1, stride=(2, 2)),))),
        (Concat(), ((), (conv("half", 4, 1, stride=(2, 2)),))),
        (Multiply(), ((), (conv("half", 4, 1, stride=(2, 2)),))),
        (GatedAdd(), ((), (), (conv("wide", 8, 1),))),
    ],
)
def test_branches_that_do_not_fit_are_refused(merge, branches):
    with pytest.raises(ReskerasError, match=f"crossing: .*{merge.kind}"):
        assert one([Fork(name="crossing", branches=branches, merge=merge)], (6, 6, 4)).output_shape


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "expected"),
    [
        (224, 7, 2, "same", 112),
        (224, 7, 2, "valid", 109),
        (230, 7, 2, "valid", 112),
        (7, 3, 2, "same", 4),
        (7, 1, 2, "valid", 4),
        (8, 1, 2, "valid", 4),
        (5, 5, 3, "valid", 1),
    ],
)
def test_a_window_has_as_many_places_as_it_fits(size, kernel, stride, padding, expected):
    for window in (
        conv("window", 3, kernel, stride=(stride, stride), padding=padding),
        op.Pool(name="window", reduce="max", kernel=(kernel, kernel), stride=(stride, stride), padding=padding),
    ):
        assert window.output_shape((size, size, 3)) == (expected, expected, 3)


def test_a_window_larger_than_its_input_is_refused():
    with pytest.raises(ReskerasError, match="window of 7 does not fit an input of 5"):
        conv("wide", 3, 7, padding="valid").output_shape((5, 5, 3))


def test_a_table_of_kinds_refuses_what_would_be_another():
    class Relu:
        kind = "relu"

    class Plain:
        kind = "relu"

    class Copied:
        kind = "relu"

    class Nameless(Relu):
        pass

    with pytest.raises(TypeError, match="Copied is of kind 'relu', as is Plain"):
        by_kind([Plain, Copied])
    with pytest.raises(TypeError, match="Nameless is of kind None"):
        by_kind([Nameless])
    with pytest.raises(TypeError, match="Nameless is derived from Relu"):
        by_kind([Relu])
