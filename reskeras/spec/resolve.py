"""From a sparse NetworkSpec to a ResolvedNetwork: depth to stage rows, defaults filled in, contradictions refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from reskeras.errors import ReskerasError
from reskeras.spec.depth import read_depth
from reskeras.spec.families import BLOCKS, DEFAULT_SHORTCUT, DEFAULTS, FAMILIES, OTHER_SHORTCUT, STRIDE_ON
from reskeras.spec.fields import whole_shape
from reskeras.spec.network import NetworkSpec, ResolvedNetwork, StageRow, StageSpec, StemSpec
from reskeras.spec.orders import ORDERS
from reskeras.spec.shortcuts import projects
from reskeras.spec.skips import IDENTITY

MOST_UNITS = 5000


def resolve(spec: NetworkSpec) -> ResolvedNetwork:
    """Every field of `spec` decided, by the rules of DESIGN ("The space of networks").

    Raises ReskerasError (status 2) that names the field, its value and the choices.
    """
    family, block, stages = _stages(spec)
    _refuse_idle_factor(spec, stages)
    preset = FAMILIES.get(family)
    if preset is None and spec.stem is None:
        raise ReskerasError("family: not set, and without a family 'stem' is needed; choose imagenet or cifar")
    rows = tuple(_row(spec, stage, index, family, block) for index, stage in enumerate(stages))
    resolved = ResolvedNetwork(
        name=spec.name,
        family=family,
        depth=0,
        stride_on=_stride_on(spec, rows),
        stem=spec.stem or _preset_stem(preset.stem, spec.width_factor, rows[0]),
        stages=rows,
        classes=_first(spec.classes, preset and preset.classes, "classes"),
        input_shape=whole_shape(_first(spec.input_shape, preset and preset.input_shape, "input_shape")),
        **{field: getattr(spec, field) if getattr(spec, field) is not None else default
           for field, default in DEFAULTS.items() if field != "order"},
    )
    resolved = resolved.model_copy(update={"depth": depth_of(resolved)})
    if spec.depth is not None and spec.depth != resolved.depth:
        raise ReskerasError(f"depth: {spec.depth} contradicts stages, which make {resolved.depth} layers; set one")
    _refuse_contradictions(resolved)
    return resolved


def depth_of(network: ResolvedNetwork) -> int:
    """Weighted layers on the main path: stem convolutions, those of the units, and the dense layer."""
    units = sum(row.units * len(BLOCKS[row.block].kernels) for row in network.stages)
    return len(network.stem.convs) + units + 1


def total_stride(network: ResolvedNetwork) -> int:
    """Input pixels for one pixel of the last stage, along one side."""
    strides = [conv.stride for conv in network.stem.convs] + [row.stride for row in network.stages]
    total = network.stem.pool.stride if network.stem.pool else 1
    for stride in strides:
        total *= stride
    return total


def unit_stride(network: ResolvedNetwork, stage: int, unit: int) -> int:
    """Stride of one unit: a stage's stride stands in its first unit, or with `downsample: last` in the
    last unit of the stage before it (the first stage has none before it and keeps its own)."""
    rows = network.stages
    if network.downsample == "first":
        return rows[stage].stride if unit == 0 else 1
    own = rows[0].stride if stage == unit == 0 else 1
    ends = unit == rows[stage].units - 1 and stage + 1 < len(rows)
    return own * (rows[stage + 1].stride if ends else 1)


def _stages(spec: NetworkSpec) -> tuple[str | None, str | None, tuple[StageSpec, ...]]:
    if spec.stages is not None:
        return spec.family, spec.block or "basic", spec.stages
    if spec.depth is None:
        raise ReskerasError("depth: not set; give depth (such as 50), stages (such as [3, 4, 6, 3]) "
                            "or a network's name (such as resnet-50)")
    family, block, units = read_depth(spec.depth, spec.family, spec.block)
    if sum(units) > MOST_UNITS:
        raise ReskerasError(f"depth: {spec.depth} makes {sum(units):,} units, more than {MOST_UNITS:,}")
    return family, block, tuple(StageSpec(units=count) for count in units)


def _row(spec: NetworkSpec, stage: StageSpec, index: int, family: str | None, block: str) -> StageRow:
    here = f"stages.{index}."
    where = here if stage.skip or stage.shortcut else ""
    block = stage.block or block
    skip = stage.skip or spec.skip or IDENTITY
    shortcut = stage.shortcut or spec.shortcut
    if skip.kind == "conv1x1":  # the second paper's name for option C
        if shortcut not in (None, "C"):
            raise ReskerasError(f"{where}skip: conv1x1 is shortcut C and contradicts shortcut {shortcut!r}; set one")
        shortcut, skip = "C", IDENTITY
    shortcut = shortcut or DEFAULT_SHORTCUT.get((family, block), OTHER_SHORTCUT)
    if shortcut in ("none", "C") and skip.kind != "identity":
        reason = "a plain net has no shortcut to change" if shortcut == "none" else "C already projects every shortcut"
        raise ReskerasError(f"{where}skip: {skip.kind!r} does not go with shortcut {shortcut!r}: {reason}; "
                            "choose skip identity, or shortcut A or B")
    return StageRow(
        units=stage.units,
        width=stage.width or _preset_width(family, index, here, spec.width_factor or 1.0),
        stride=stage.stride or (1 if index == 0 else 2),
        block=block,
        shortcut=shortcut,
        skip=skip,
        order=stage.order or spec.order or DEFAULTS["order"],
    )


def _preset_width(family: str | None, index: int, where: str, factor: float) -> int:
    widths = FAMILIES[family].widths if family else ()
    if index >= len(widths):
        known = f"family {family} has widths for {len(widths)} stages" if family else "no family is set"
        raise ReskerasError(f"{where}width: not set, and {known}; give it as {{units: 2, width: 128}}")
    return max(round(widths[index] * factor), 1)


def _preset_stem(stem: StemSpec, factor: float | None, row: StageRow) -> StemSpec:
    """The family's stem, which keeps its width whatever the factor (arXiv:1605.07146 widens the stages alone).

    Unless the first stage's shortcuts are A: they cannot drop channels, so that a stem wider than a narrowed stage
    narrows with it.
    """
    output = row.width * BLOCKS[row.block].expansion
    if factor is None or row.shortcut != "A" or stem.convs[-1].width <= output:
        return stem
    return stem.model_copy(update={"convs": tuple(
        conv.model_copy(update={"width": min(conv.width, output)}) for conv in stem.convs)})


def _stride_on(spec: NetworkSpec, rows: tuple[StageRow, ...]) -> str | None:
    if any(row.block == "bottleneck" for row in rows):
        return spec.stride_on or STRIDE_ON
    if spec.stride_on is not None:
        raise ReskerasError(f"stride_on: {spec.stride_on!r} needs block bottleneck; "
                            f"a {rows[0].block} unit strides in its first convolution")
    return None


def _first(value: Any, preset: Any, field: str) -> Any:
    if value is None and preset is None:
        raise ReskerasError(f"{field}: not set, and no family is set that would give it")
    return preset if value is None else value


def _refuse_idle_factor(spec: NetworkSpec, stages: tuple[StageSpec, ...]) -> None:
    if spec.width_factor is not None and all(stage.width for stage in stages):
        raise ReskerasError(f"width_factor: {spec.width_factor:g} multiplies the family's widths, and every stage "
                            "gives its own; set one")


def _refuse_contradictions(network: ResolvedNetwork) -> None:
    rows = network.stages
    if sum(row.units for row in rows) > MOST_UNITS:
        raise ReskerasError(f"stages: {sum(row.units for row in rows)} units are more than {MOST_UNITS}")
    for index, (row, following) in enumerate(pairwise(rows)):
        if ORDERS[row.order].preactivates and not ORDERS[following.order].preactivates:
            raise ReskerasError(
                f"stages.{index + 1}.order: {following.order!r} after a stage of {row.order!r} is undefined, because "
                "the stream between them is not activated; choose relu_preact or full_preact for the later stages too")
    _refuse_narrowing(network)
    height, width, _ = network.input_shape
    if min(height, width) < (stride := total_stride(network)):
        raise ReskerasError(f"input_shape: {height}x{width} is smaller than the network's stride of {stride} pixels; "
                            f"choose at least {stride}x{stride}, or a smaller stem or fewer strided stages")
    _refuse_inside(network)
    _refuse_idle_border(network)
    residual = [row for row in rows if row.shortcut != "none"]
    if network.projection == "pooled" and not any(row.shortcut in ("B", "C") for row in rows):
        raise ReskerasError("projection: 'pooled' needs projections; choose shortcut B or C")
    if network.squeeze_multiple != 1 and not network.squeeze:
        raise ReskerasError(f"squeeze_multiple: {network.squeeze_multiple} rounds what 'squeeze' leaves; set that too")
    _refuse_idle_first_shortcut(network)
    if network.drop_path and not residual:
        raise ReskerasError(f"drop_path: {network.drop_path} needs shortcuts, and every stage has shortcut 'none'")
    if network.zero_gamma:
        _refuse_zero_gamma(network)


def _refuse_inside(network: ResolvedNetwork) -> None:
    """What is said of the inside of units that have none, and groups that do not divide it."""
    inside = [BLOCKS[row.block].channels(row.width, network.inner_factor)[BLOCKS[row.block].grouped]
              for row in network.stages if BLOCKS[row.block].grouped is not None]
    for field, idle in (("groups", 1), ("inner_factor", 1.0)):
        if getattr(network, field) != idle and not inside:
            raise ReskerasError(f"{field}: {getattr(network, field):g} needs block bottleneck; "
                                f"{network.stages[0].block} units have nothing inside")
    if bad := [width for width in inside if width % network.groups]:
        raise ReskerasError(f"groups: {network.groups} does not divide the {bad[0]} channels inside a unit; "
                            "choose another, or another inner_factor or width")


def _refuse_idle_border(network: ResolvedNetwork) -> None:
    """A stem that is not activated, or a border that makes no difference."""
    stem = network.stem
    if not stem.activated and not stem.pool:
        raise ReskerasError("stem.activated: false needs a pool; without one the activation order decides")
    if stem.pool and stem.pool.border == "edge" and (stem.activated or network.padding == "same"):
        raise ReskerasError("stem.pool.border: 'edge' differs from 'zero' only where the stem has activated: false and "
                            "padding is symmetric")


def _refuse_idle_first_shortcut(network: ResolvedNetwork) -> None:
    """A raw first shortcut where nothing is activated before it, or a projection takes the activated stream."""
    row, width = network.stages[0], network.stem.convs[-1].width
    if network.first_shortcut == "activated":
        return
    if not ORDERS[row.order].preactivates or row.shortcut == "none":
        raise ReskerasError("first_shortcut: 'raw' needs a pre-activation order and a shortcut in the first stage, "
                            f"which has order {row.order!r} and shortcut {row.shortcut!r}")
    if projects(row.shortcut, width, row.width * BLOCKS[row.block].expansion, unit_stride(network, 0, 0),
                network.downsample):
        raise ReskerasError("first_shortcut: 'raw' is for a first unit without a projection, which takes the activated "
                            "stream (v2 appendix)")


def _refuse_narrowing(network: ResolvedNetwork) -> None:
    width = network.stem.convs[-1].width
    for index, row in enumerate(network.stages):
        output = row.width * BLOCKS[row.block].expansion
        if row.shortcut == "A" and output < width:
            stem = "" if index else ", or a narrower stem"
            raise ReskerasError(f"stages.{index}.shortcut: 'A' only adds zero channels and cannot go from {width} to "
                                f"{output}; choose shortcut B or C, or a width of at least {width}{stem}")
        width = output


def _refuse_zero_gamma(network: ResolvedNetwork) -> None:
    allowed = ", ".join(name for name, order in ORDERS.items() if "bn" in order.last)
    for index, row in enumerate(network.stages):
        if "bn" not in ORDERS[row.order].last:
            raise ReskerasError(f"zero_gamma: true needs a residual that ends in BN; order {row.order!r} of "
                                f"stages.{index} does not; choose one of {allowed}")
        if row.shortcut == "none":
            raise ReskerasError(f"zero_gamma: true would silence the plain units of stages.{index}")
    if not network.bn.scale:
        raise ReskerasError("zero_gamma: true contradicts bn.scale: false, which leaves no gamma to set")
