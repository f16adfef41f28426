"""Claims about the rules at the edges: where a shortcut starts, what it costs, which unit strides."""

from __future__ import annotations

import pytest

import reskeras
from reskeras.plans.merges import GatedAdd, ScaledAdd
from reskeras.plans.nodes import Fork, sequence_ops


def units(source=None, **fields) -> dict:
    return {unit.name: unit for unit in reskeras.plan(source, **fields).units}


def fork(unit) -> Fork:
    return next(node for node in unit.nodes if isinstance(node, Fork))


def before(unit) -> list[str]:
    return [node.kind for node in unit.nodes[: unit.nodes.index(fork(unit))]]


def kinds(nodes) -> list[str]:
    return [op.kind for op in sequence_ops(nodes) if op.kind != "pad"]


def strides(nodes) -> list[int]:
    return [op.stride[0] for op in sequence_ops(nodes) if op.kind == "conv"]


# --- pre-activation (v2 appendix) ---


def test_preact_first_unit_activates_before_the_split():
    first = units("cifar-preact-110")["stage1_unit1"]
    assert before(first) == ["bn", "relu"]
    assert kinds(fork(first).branches[0]) == []
    assert kinds(fork(first).branches[1]) == ["conv", "bn", "relu", "conv"]


def test_a_raw_first_shortcut_takes_what_the_stem_gives():
    first = units("cifar-preact-110", first_shortcut="raw")["stage1_unit1"]
    assert before(first) == []
    assert kinds(fork(first).branches[1]) == ["bn", "relu", "conv", "bn", "relu", "conv"]


def test_preact_projection_sees_the_activated_stream():
    strided = units("cifar-preact-164")["stage2_unit1"]
    assert before(strided) == ["bn", "relu"]
    assert kinds(fork(strided).branches[0]) == ["conv"]


def test_preact_option_a_and_identity_take_the_raw_stream():
    net = units("cifar-preact-110")
    for name in ("stage1_unit2", "stage2_unit1", "stage3_unit1", "stage3_unit18"):
        assert before(net[name]) == []
        assert kinds(fork(net[name]).branches[1]) == ["bn", "relu", "conv", "bn", "relu", "conv"]
    assert kinds(fork(net["stage2_unit1"]).branches[0]) == ["pool", "pad_channels"]


def test_preact_with_option_c_shares_in_every_unit():
    net = units("cifar-preact-110", shortcut="C")
    assert all(before(unit) == ["bn", "relu"] for name, unit in net.items() if "unit" in name)


# --- shortcuts (v1 section 3.3) ---


@pytest.mark.parametrize(
    ("name", "projecting"),
    [
        ("resnet-18-B", ["stage2_unit1", "stage3_unit1", "stage4_unit1"]),
        ("resnet-34-B", ["stage2_unit1", "stage3_unit1", "stage4_unit1"]),
        ("preact-18", ["stage2_unit1", "stage3_unit1", "stage4_unit1"]),
        ("resnet-50-B", ["stage1_unit1", "stage2_unit1", "stage3_unit1", "stage4_unit1"]),
        ("preact-50", ["stage1_unit1", "stage2_unit1", "stage3_unit1", "stage4_unit1"]),
        ("resnet-34-A", []),
        ("cifar-resnet-20", []),
    ],
)
def test_projections_stand_where_the_shape_changes_and_nowhere_else(name, projecting):
    found = [
        unit
        for unit, made in units(name).items()
        if any(op.name == f"{unit}_shortcut_conv" for op in sequence_ops(made.nodes))
    ]
    assert found == projecting


def test_option_c_projects_in_every_unit():
    residual = [unit for name, unit in units("resnet-34-C").items() if "unit" in name]
    assert len(residual) == 16
    assert all("conv" in kinds(fork(unit).branches[0]) for unit in residual)


def test_option_a_has_no_parameters_and_keeps_every_second_position():
    shortcut = fork(units("resnet-34-A")["stage2_unit1"]).branches[0]
    subsample, pad = shortcut
    assert (subsample.kernel, subsample.stride) == ((1, 1), (2, 2))
    assert subsample.output_shape((56, 56, 64)) == (28, 28, 64)
    assert pad.output_shape((28, 28, 64)) == (28, 28, 128)
    assert not any(op.weights((56, 56, 64)) for op in shortcut)


def test_option_a_widens_a_bottleneck_without_a_stride():
    shortcut = fork(units("resnet-50", shortcut="A")["stage1_unit1"]).branches[0]
    assert kinds(shortcut) == ["pad_channels"]


# --- strides ---


def test_a_bottleneck_strides_in_its_first_1x1_by_default():
    unit = units("resnet-50")["stage2_unit1"]
    assert strides(fork(unit).branches[1]) == [2, 1, 1]
    assert strides(fork(unit).branches[0]) == [2]


def test_a_bottleneck_strides_in_its_3x3_when_asked():
    unit = units("resnet-50", stride_on="3x3")["stage2_unit1"]
    assert strides(fork(unit).branches[1]) == [1, 2, 1]
    # v1.5 costs the first 1x1 of three stages at four times the positions: 256x128, 512x256, 1024x512
    entries = ((28, 256, 128), (14, 512, 256), (7, 1024, 512))
    more = sum(3 * side * side * wide * narrow for side, wide, narrow in entries)
    plain, late = reskeras.plan("resnet-50").complexity(), reskeras.plan("resnet-50", stride_on="3x3").complexity()
    assert late.multiply_adds - plain.multiply_adds == more
    assert late.parameters == plain.parameters


def test_a_basic_unit_strides_in_its_first_convolution():
    assert strides(fork(units("resnet-18")["stage2_unit1"]).branches[1]) == [2, 1]


def test_downsample_last_strides_in_the_last_unit_of_the_stage_before():
    net = units("preact-50", downsample="last")
    strided = [name for name, unit in net.items() if "unit" in name and 2 in strides(fork(unit).branches[1])]
    assert strided == ["stage1_unit3", "stage2_unit4", "stage3_unit6"]
    plan = reskeras.plan("preact-50", downsample="last")
    assert [plan.slice(until=f"stage{stage}").output_shape for stage in (1, 2, 3, 4)] == [
        (28, 28, 256),
        (14, 14, 512),
        (7, 7, 1024),
        (7, 7, 2048),
    ]


def test_the_first_stage_keeps_its_own_stride_whatever_downsample_says():
    for units in (1, 2):
        stages = [{"units": units, "stride": 2}, {"units": 2, "stride": 2}]
        shapes = {
            where: reskeras.plan(family="cifar", stages=stages, downsample=where).unit_shapes()
            for where in ("first", "last")
        }
        sides = {where: [shape[0] for shape in each[: 1 + units]] for where, each in shapes.items()}
        assert sides == {"first": [32, *[16] * units], "last": [32, *[16] * (units - 1), 8]}
        assert shapes["first"][-2] == shapes["last"][-2] == (8, 8, 32)


def test_downsample_last_subsamples_the_shortcut_of_a_unit_that_keeps_its_width():
    shortcut = fork(units("preact-50", downsample="last")["stage1_unit3"]).branches[0]
    assert kinds(shortcut) == ["pool"]
    assert shortcut[0].stride == (2, 2)


def test_symmetric_padding_splits_what_a_stride_needs_evenly():
    stem = units("resnet-50")["stem"].nodes
    assert [(node.rows, node.columns) for node in stem if node.kind == "pad"] == [((3, 3), (3, 3)), ((1, 1), (1, 1))]
    same = units("resnet-50", padding="same")["stem"].nodes
    assert not [node for node in same if node.kind == "pad"]


# --- skips (v2 figure 2) ---


def test_constant_scaling_multiplies_both_paths():
    merge = fork(units("cifar-resnet-110-scale-0.5-1")["stage1_unit2"])
    assert merge.merge == ScaledAdd(factors=(0.5, 1.0))


@pytest.mark.parametrize(("name", "exclusive"), [("exclusive-gate-bias-6", True), ("shortcut-gate-bias-6", False)])
def test_a_gate_is_a_strided_1x1_convolution_with_bias_and_sigmoid(name, exclusive):
    merge = fork(units(f"cifar-resnet-110-{name}")["stage2_unit1"])
    shortcut, residual, gate = merge.branches
    conv, sigmoid = gate
    assert merge.merge == GatedAdd(exclusive=exclusive)
    assert (conv.kernel, conv.stride, conv.filters, conv.bias, conv.bias_start) == ((1, 1), (2, 2), 32, True, -6.0)
    assert sigmoid.kind == "sigmoid"
    assert kinds(shortcut) == ["pool", "pad_channels"]  # the gate meets the shape-matched shortcut
    assert kinds(residual) == ["conv", "bn", "relu", "conv", "bn"]


def test_a_dropped_shortcut_has_the_papers_expectation():
    drop, scale = fork(units("cifar-resnet-20", skip={"kind": "dropout", "rate": 0.3})["stage1_unit2"]).branches[0]
    # Dropout keeps 0.7 of the elements and grows them by 1/0.7, so the factor alone is the expectation
    assert drop.rate == 0.3
    assert scale.factor == pytest.approx(0.7)
    assert fork(units("cifar-resnet-110-dropout-0.5")["stage1_unit2"]).branches[0][1].factor == 0.5


# --- training aids ---


def test_drop_path_grows_linearly_to_the_last_unit():
    net = units(family="cifar", stages=[2, 2, 1], drop_path=0.5)
    rates = [fork(net[name]).branches[1][-1].rate for name in net if "unit" in name]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert all(fork(net[name]).branches[1][-1].per_image for name in net if "unit" in name)


def test_zero_gamma_touches_only_the_last_batch_norm_of_residuals():
    plan = reskeras.plan("resnet-50", zero_gamma=True)
    silent = {op.name for op in plan.ops() if op.kind == "bn" and op.gamma_start == 0}
    assert silent == {f"{unit.name}_bn3" for unit in plan.units if "unit" in unit.name}
    assert not [op for op in reskeras.plan("resnet-50").ops() if op.kind == "bn" and op.gamma_start == 0]


def test_one_batch_norm_setting_reaches_every_batch_norm():
    norms = [op for op in reskeras.plan("preact-50", bn={"momentum": 0.99, "epsilon": 1e-3}).ops() if op.kind == "bn"]
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.99, 1e-3)}
    defaults = [op for op in reskeras.plan("resnet-50").ops() if op.kind == "bn"]
    assert {(norm.momentum, norm.epsilon) for norm in defaults} == {(0.9, 1e-5)}


def test_names_of_operations_are_unique():
    for name in ("resnet-50", "preact-34", "cifar-resnet-110-exclusive-gate-bias0", "cifar-preact-164", "vgg-19"):
        names = [op.name for op in reskeras.plan(name).ops()]
        assert len(names) == len(set(names))


def test_drop_path_leaves_a_plain_stage_among_residual_ones_alone():
    net = units(family="cifar", stages=[{"units": 1, "shortcut": "none"}, 1], drop_path=0.2)
    assert "dropout" not in kinds(net["stage1_unit1"].nodes)
    assert "dropout" in kinds(net["stage2_unit1"].nodes)


def test_an_even_kernel_pads_its_odd_pixel_at_the_end():
    stem = {"convs": [{"kernel": 4, "width": 8, "stride": 2}], "pool": {"kernel": 2, "stride": 2}}
    net = reskeras.plan(family="cifar", stages=[1], stem=stem)
    assert [node.rows for node in net.units[0].nodes if node.kind == "pad"] == [(1, 2), (0, 1)]
    assert net.unit_shapes()[0] == (8, 8, 8)


# --- width_factor ---


def stem_width(**fields) -> int:
    return reskeras.network(**fields).decided().stem.convs[-1].width


@pytest.mark.parametrize("factor", [0.05, 0.25, 0.5, 1.0, 2.0, 10.0])
@pytest.mark.parametrize(
    ("family", "widths", "stem"), [("cifar", (16, 32, 64), 16), ("imagenet", (64, 128, 256, 512), 64)]
)
@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
def test_a_width_factor_leaves_the_stem_unless_option_a_could_not_follow(family, widths, stem, shortcut, factor):
    fields = {
        "family": family,
        "depth": 2 * len(widths) + 2 if family == "cifar" else 18,
        "shortcut": shortcut,
        "width_factor": factor,
    }
    resolved = reskeras.network(**fields).decided()
    assert [row.width for row in resolved.stages] == [max(round(width * factor), 1) for width in widths]
    narrowed = shortcut == "A" and factor < 1
    assert resolved.stem.convs[-1].width == (max(round(widths[0] * factor), 1) if narrowed else stem)
    assert reskeras.plan(**fields).output_shape == (resolved.classes,)
    again = reskeras.network(**resolved.model_dump(mode="json", exclude={"depth"}, exclude_none=True))
    assert again.decided() == resolved


def test_a_stem_that_is_told_is_never_changed():
    told = {"family": "cifar", "depth": 8, "stem": {"convs": [{"width": 24}]}}
    assert stem_width(**told, width_factor=2) == 24
    with pytest.raises(
        reskeras.ReskerasError,
        match="cannot reduce 24 channels to 4; choose shortcut B or C, or at least 24 output channels, "
        "or a narrower stem",
    ):
        reskeras.plan(**told, width_factor=0.25)
