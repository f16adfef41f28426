"""From a sparse NetworkSpec to a ResolvedNetwork: depth to stage rows, defaults filled in, contradictions refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from reskeras.documents.fields import whole_shape
from reskeras.errors import ReskerasError
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.depth import read_depth
from reskeras.networks.families import DEFAULT_SHORTCUT, DEFAULTS, FAMILIES, OTHER_SHORTCUT, STRIDE_ON
from reskeras.networks.orders import ORDERS
from reskeras.networks.resolved import ResolvedNetwork, StrideOn
from reskeras.networks.shortcuts import SHORTCUTS, Change, ShortcutOption
from reskeras.networks.skips import IDENTITY
from reskeras.networks.stages import MOST_UNITS, StageRow, StageSpec
from reskeras.plans.initialisers import IDENTITIES

if TYPE_CHECKING:
    from reskeras.networks.network import NetworkSpec
    from reskeras.networks.parts import StemSpec

WIDER = Change(in_width=1, out_width=2, stride=1, downsample="first")


def resolved(spec: NetworkSpec) -> ResolvedNetwork:
    """Every field of `spec` resolved: as set, else the family's preset, else the default of `families.DEFAULTS`.

    Raises ReskerasError (status 2), which names the field, its value and the choices.
    """
    family, block, stages = _stages(spec)
    _refuse_idle_factor(spec, stages)
    preset = FAMILIES.get(family) if family else None
    stem = spec.stem or (preset.stem if preset else None)
    if stem is None:
        raise ReskerasError("family: not set, and no 'stem' either; choose family imagenet or cifar, or set 'stem'")
    rows = tuple(_row(spec, stage, index, family, block) for index, stage in enumerate(stages))
    others: dict[str, Any] = {
        field: getattr(spec, field) if getattr(spec, field) is not None else default
        for field, default in DEFAULTS.items()
        if field != "order"
    }
    network = ResolvedNetwork(
        name=spec.name,
        quantise=spec.quantise,
        family=family,
        depth=0,
        stride_on=_stride_on(spec, rows),
        stem=stem if spec.stem else _preset_stem(stem, spec.width_factor, rows[0]),
        stages=rows,
        classes=_first(spec.classes, preset and preset.classes, "classes"),
        input_shape=whole_shape(_first(spec.input_shape, preset and preset.input_shape, "input_shape")),
        **others,
    )
    network = network.model_copy(update={"depth": network.layers})
    if spec.depth is not None and spec.depth != network.depth:
        raise ReskerasError(
            f"depth: {spec.depth} contradicts stages, which make {network.depth} layers; set only one of them"
        )
    _refuse_contradictions(network)
    return network


def _stages(spec: NetworkSpec) -> tuple[str | None, str, tuple[StageSpec, ...]]:
    if spec.stages is not None:
        return spec.family, spec.block or "basic", spec.stages
    if spec.depth is None:
        raise ReskerasError(
            "depth: not set; give depth (such as 50), stages (such as [3, 4, 6, 3]) "
            "or a network's name (such as resnet-50)"
        )
    family, block, units = read_depth(spec.depth, spec.family, spec.block)
    if sum(units) > MOST_UNITS:
        raise ReskerasError(f"depth: {spec.depth} makes {sum(units):,} units; the maximum is {MOST_UNITS:,}")
    return family, block, tuple(StageSpec(units=count) for count in units)


def _row(spec: NetworkSpec, stage: StageSpec, index: int, family: str | None, block: str) -> StageRow:
    here = f"stages.{index}."
    where = here if stage.skip or stage.shortcut else ""
    block = stage.block or block
    skip = stage.skip or spec.skip or IDENTITY
    shortcut = stage.shortcut or spec.shortcut
    if skip.stands_for:
        if shortcut not in (None, skip.stands_for):
            raise ReskerasError(
                f"{where}skip: {skip.kind} is the same as shortcut {skip.stands_for} and contradicts shortcut "
                f"{shortcut!r}; set only one of them"
            )
        shortcut, skip = skip.stands_for, IDENTITY
    shortcut = shortcut or DEFAULT_SHORTCUT.get((family, block), OTHER_SHORTCUT)
    option = SHORTCUTS[shortcut]
    if skip != IDENTITY and (option.always_projects or not option.residual):
        reason = (
            f"{shortcut} already projects every shortcut" if option.residual else ("a plain network has no shortcuts")
        )
        raise ReskerasError(
            f"{where}skip: {skip.kind!r} cannot be combined with shortcut {shortcut!r}: {reason}; "
            f"choose skip identity, or shortcut {_options(lambda each: not each.always_projects)}"
        )
    return StageRow(
        units=stage.units,
        width=stage.width or _preset_width(family, index, here, spec.width_factor or 1.0),
        stride=stage.stride or (1 if index == 0 else 2),
        block=block,
        shortcut=shortcut,
        skip=skip,
        order=stage.order or spec.order or DEFAULTS["order"],
    )


def _options(fits: Callable[[ShortcutOption], bool]) -> str:
    """The shortcut options that `fits` accepts, as `A or B`."""
    return " or ".join(name for name, option in SHORTCUTS.items() if option.residual and fits(option))


def _preset_width(family: str | None, index: int, where: str, factor: float) -> int:
    widths = FAMILIES[family].widths if family else ()
    if index >= len(widths):
        known = f"family {family} has widths for only {len(widths)} stages" if family else "no family is set"
        raise ReskerasError(f"{where}width: not set, and {known}; set it, such as {{units: 2, width: 128}}")
    return max(round(widths[index] * factor), 1)


def _preset_stem(stem: StemSpec, factor: float | None, row: StageRow) -> StemSpec:
    """The family's stem, whose width the factor does not change (arXiv:1605.07146 widens the stages only).

    An exception is a first stage whose shortcuts cannot reduce channels, as A's: a stem wider than such a stage is
    narrowed to it.
    """
    output = row.width * BLOCKS[row.block].expansion
    if factor is None or SHORTCUTS[row.shortcut].narrows or stem.convs[-1].width <= output:
        return stem
    return stem.model_copy(
        update={"convs": tuple(conv.model_copy(update={"width": min(conv.width, output)}) for conv in stem.convs)}
    )


def _stride_on(spec: NetworkSpec, rows: tuple[StageRow, ...]) -> StrideOn | None:
    if any(BLOCKS[row.block].inner is not None for row in rows):
        return spec.stride_on or STRIDE_ON
    if spec.stride_on is not None:
        raise ReskerasError(
            f"stride_on: {spec.stride_on!r} needs block bottleneck; "
            f"a {rows[0].block} unit strides in its first convolution"
        )
    return None


def _first(value: Any, preset: Any, field: str) -> Any:
    if value is None and preset is None:
        raise ReskerasError(f"{field}: not set, and no family is set to take it from")
    return preset if value is None else value


def _refuse_idle_factor(spec: NetworkSpec, stages: tuple[StageSpec, ...]) -> None:
    if spec.width_factor is not None and all(stage.width for stage in stages):
        raise ReskerasError(
            f"width_factor: {spec.width_factor:g} multiplies the family's widths, but every stage "
            "sets its own; set only one of them"
        )


def _refuse_contradictions(network: ResolvedNetwork) -> None:
    rows = network.stages
    if sum(row.units for row in rows) > MOST_UNITS:
        raise ReskerasError(f"stages: {sum(row.units for row in rows):,} units; the maximum is {MOST_UNITS:,}")
    for index, (row, following) in enumerate(pairwise(rows)):
        if ORDERS[row.order].preactivates and not ORDERS[following.order].preactivates:
            choices = " or ".join(name for name, order in ORDERS.items() if order.preactivates)
            raise ReskerasError(
                f"stages.{index + 1}.order: {following.order!r} after a stage of {row.order!r} is undefined, because "
                f"the stream between them is not activated; choose {choices} for the later stages too"
            )
    _refuse_narrowing(network)
    height, width, _ = network.input_shape
    if min(height, width) < (stride := network.total_stride):
        raise ReskerasError(
            f"input_shape: {height}x{width} is smaller than the network's stride of {stride} pixels; "
            f"choose at least {stride}x{stride}, or a smaller stem or fewer strided stages"
        )
    _refuse_inside(network)
    _refuse_idle_border(network)
    if network.projection == "pooled" and not any(SHORTCUTS[row.shortcut].projects(WIDER) for row in rows):
        choices = _options(lambda option: option.projects(WIDER))
        raise ReskerasError(f"projection: 'pooled' needs projections; choose shortcut {choices}")
    if network.squeeze_multiple != 1 and not network.squeeze:
        raise ReskerasError(f"squeeze_multiple: {network.squeeze_multiple} has no effect without 'squeeze'; set both")
    _refuse_idle_first_shortcut(network)
    if network.drop_path and not network.residual_rows:
        raise ReskerasError(f"drop_path: {network.drop_path} needs shortcuts, but every stage has shortcut 'none'")
    if network.zero_gamma:
        _refuse_zero_gamma(network)


def _refuse_inside(network: ResolvedNetwork) -> None:
    """Refuse settings of an inner convolution where blocks have none, and groups that do not divide its width."""
    inside = [
        form.channels(row.width, network.inner_factor)[form.inner]
        for row in network.stages
        if (form := BLOCKS[row.block]).inner is not None
    ]
    for field, idle in (("groups", 1), ("inner_factor", 1.0)):
        if getattr(network, field) != idle and not inside:
            raise ReskerasError(
                f"{field}: {getattr(network, field):g} needs block bottleneck; "
                f"{network.stages[0].block} units have no inner convolution"
            )
    if network.groups > 1 and network.initialiser in IDENTITIES:
        raise ReskerasError(
            f"initialiser: {network.initialiser!r} has no identity for {network.groups} groups; "
            "choose another, or groups 1"
        )
    if bad := [width for width in inside if width % network.groups]:
        raise ReskerasError(
            f"groups: {network.groups} does not divide the {bad[0]} channels inside a unit; "
            "choose another, or another inner_factor or width"
        )


def _refuse_idle_border(network: ResolvedNetwork) -> None:
    """Refuse a stem that is not activated and has no pool, and a border that makes no difference."""
    stem = network.stem
    if not stem.activated and not stem.pool:
        raise ReskerasError("stem.activated: false needs a pool; without one the activation order decides")
    never_negative = stem.activated and network.activation == "relu"
    if stem.pool and stem.pool.border == "edge" and (never_negative or network.padding == "same"):
        raise ReskerasError(
            "stem.pool.border: 'edge' differs from 'zero' only where the stem has activated: false, or another "
            "activation than relu, and padding is symmetric"
        )


def _refuse_idle_first_shortcut(network: ResolvedNetwork) -> None:
    """Refuse a raw first shortcut where nothing is pre-activated, or where the shortcut is a projection."""
    row, width = network.stages[0], network.stem.convs[-1].width
    if network.first_shortcut == "activated":
        return
    if not ORDERS[row.order].preactivates or not SHORTCUTS[row.shortcut].residual:
        raise ReskerasError(
            "first_shortcut: 'raw' needs a pre-activation order and a shortcut in the first stage, "
            f"which has order {row.order!r} and shortcut {row.shortcut!r}"
        )
    if SHORTCUTS[row.shortcut].projects(
        Change(width, row.width * BLOCKS[row.block].expansion, network.unit_stride(0, 0), network.downsample)
    ):
        raise ReskerasError(
            "first_shortcut: 'raw' needs a first unit without a projection; a projection takes the activated "
            "stream (v2 appendix)"
        )


def _refuse_narrowing(network: ResolvedNetwork) -> None:
    width = network.stem.convs[-1].width
    for index, row in enumerate(network.stages):
        output = row.width * BLOCKS[row.block].expansion
        if not SHORTCUTS[row.shortcut].narrows and output < width:
            stem = "" if index else ", or a narrower stem"
            choices = _options(lambda option: option.narrows)
            raise ReskerasError(
                f"stages.{index}.shortcut: {row.shortcut!r} only adds zero channels and cannot reduce {width} channels "
                f"to {output}; choose shortcut {choices}, or at least {width} output channels{stem}"
            )
        width = output


def _refuse_zero_gamma(network: ResolvedNetwork) -> None:
    allowed = ", ".join(name for name, order in ORDERS.items() if "bn" in order.last)
    for index, row in enumerate(network.stages):
        if "bn" not in ORDERS[row.order].last:
            raise ReskerasError(
                f"zero_gamma: true needs a residual that ends in BN; order {row.order!r} of "
                f"stages.{index} does not; choose one of {allowed}"
            )
        if not SHORTCUTS[row.shortcut].residual:
            raise ReskerasError(f"zero_gamma: true would zero the output of the plain units of stages.{index}")
    if not network.bn.scale:
        raise ReskerasError("zero_gamma: true contradicts bn.scale: false, which leaves no gamma to set")
