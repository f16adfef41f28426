"""Candidates for the spec of a graph: what can be read off its parts, and every combination of what cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise, product
from typing import Any

from reskeras.identification.units import Anatomy, UnitFacts
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.catalog import catalog
from reskeras.networks.excitation import squeeze_of
from reskeras.networks.families import DEFAULT_SHORTCUT, FAMILIES, OTHER_SHORTCUT
from reskeras.networks.network import NetworkSpec
from reskeras.networks.orders import ORDERS
from reskeras.networks.shortcuts import SHORTCUTS, Change, ShortcutOption
from reskeras.plans import operations as op
from reskeras.plans.initialisers import INITIALISERS
from reskeras.plans.merges import GATE
from reskeras.plans.nodes import Fork, Node, Sequence, sequence_ops
from reskeras.plans.wording import sequence_words

Data = dict[str, Any]
Stages = list[list[UnitFacts]]
OPEN_CLASSES = 1000  # stands in for the classes of a model without a head
OPEN_INPUT = (224, 224)  # stands in for an open height and width where no family sets them


def candidates(parts: Anatomy, shape: tuple[int | None, ...]) -> Iterator[Data]:
    """Fully specified candidates: fields that can be read off, and every combination of those that cannot."""
    read = _read(parts)
    grouped = {downsample: _grouped(parts.units, downsample) for downsample in ("first", "last")}
    likely = sorted(grouped, key=lambda downsample: len(grouped[downsample]))  # the reading with fewer stages first
    normed = _stem_norms(parts, read["conv_bias"])
    for downsample, order, padding, norms in product(likely, ORDERS, ("symmetric", "same"), normed):
        stages = grouped[downsample]
        rows = [_row(stage, stages[index - 1][-1] if index else None, downsample) for index, stage in enumerate(stages)]
        changes, family = _changes(parts, stages, downsample), _family(parts, rows)
        data = {
            **read,
            **_stem(read, parts, norms),
            "downsample": downsample,
            "padding": padding,
            "family": family,
            "stages": [{**row, "order": order} for row in _with_shortcuts(rows, stages, changes, family)],
        }
        if None not in shape:
            data["input_shape"] = list(shape)
        elif family is None:
            data["input_shape"] = [
                *(size or open_ for size, open_ in zip(shape, OPEN_INPUT, strict=False)),
                shape[-1] or 3,
            ]
        if family is None:
            data["classes"] = data["classes"] or OPEN_CLASSES
        yield {key: value for key, value in data.items() if value is not None}


def _read(parts: Anatomy) -> Data:
    """The fields whose values are visible in the graph; where layers disagree, the most common value."""
    ops = list(sequence_ops(parts.nodes))
    gates, stem = set(_gates(parts.nodes)), {id(node) for node in parts.nodes[: parts.stem_last + 1]}
    convs = [each for each in ops if isinstance(each, op.Conv)]
    norms = [each for each in ops if isinstance(each, op.BatchNorm)]
    heads = [each for each in parts.nodes if isinstance(each, op.Dense | op.GlobalPool | op.Dropout)]
    dense = heads[-1] if heads and isinstance(heads[-1], op.Dense) else None
    after = parts.nodes[parts.nodes.index(dense) + 1 :] if dense else ()
    initialiser = _commonest(each.initialiser for each in ops if isinstance(each, op.Conv | op.Dense))
    strides = (unit.form.strided for unit in parts.units if BLOCKS[unit.block].inner is not None)
    strided = _commonest(place for place in strides if place is not None)
    residual = [unit for unit in parts.units if unit.shortcut is not None]
    squeeze, multiple = squeeze_of([(unit.out_width, unit.middle) for unit in residual if unit.middle])
    first = parts.units[0]
    return {
        "stem": {
            "convs": [dict(zip(("kernel", "width", "stride"), conv, strict=True)) for conv in parts.convs],
            "pool": parts.pool and dict(zip(("kernel", "stride", "border"), (*parts.pool, parts.border), strict=True)),
            "activated": parts.activated,
        },
        "projection": "pooled" if any(unit.pooled for unit in residual) else "strided",
        "groups": _commonest(unit.form.groups for unit in parts.units),
        "inner_factor": _commonest(unit.form.inner_factor for unit in parts.units),
        "squeeze": squeeze,
        "squeeze_multiple": multiple,
        "first_shortcut": "raw" if first.preactivated and not first.projects else "activated",
        "stride_on": None if strided is None else ("first_1x1", "3x3")[strided],
        "classes": dense and dense.units,
        "head": {
            "pool": next((each.reduce for each in heads if isinstance(each, op.GlobalPool)), "average"),
            "dropout": next((each.rate for each in heads if isinstance(each, op.Dropout)), 0.0),
            "scale": next((each.factor for each in after if isinstance(each, op.Scale)), 1.0),
        },
        "conv_bias": any(conv.bias for conv in convs if id(conv) not in gates | stem),
        "bn": {
            "momentum": _commonest(norm.momentum for norm in norms),
            "epsilon": _commonest(norm.epsilon for norm in norms),
            "scale": any(norm.scale for norm in norms),
        }
        if norms
        else None,
        "zero_gamma": bool(residual) and all(unit.silent for unit in residual),
        "activation": _commonest(each.kind for each in ops if each.kind in op.ACTIVATIONS and id(each) not in gates),
        "initialiser": initialiser if initialiser in INITIALISERS else None,
        "drop_path": residual[-1].drop_path if residual else 0.0,
    }


def _stem_norms(parts: Anatomy, biased: bool) -> list[tuple[bool, ...]]:
    """Whether batch norm follows each convolution of the stem, in every way that is possible.

    That behind the last one may be the first unit's. Where the other convolutions are `biased`, its own bias does not
    speak against a batch norm.
    """
    stem = _stem_convs(parts)
    *found, _ = (not conv.bias or isinstance(after, op.BatchNorm) for conv, after in stem)
    lasts = (True,) if not stem[-1][0].bias else (biased, not biased)
    return [(*found, last) for last in lasts]


def _stem_convs(parts: Anatomy) -> list[tuple[op.Conv, Node | None]]:
    """The stem's convolutions, each with the node after it."""
    pairs = list(zip(parts.nodes, (*parts.nodes[1:], None), strict=True))
    return [(node, after) for node, after in pairs[: parts.stem_last + 1] if isinstance(node, op.Conv)]


def _stem(read: Data, parts: Anatomy, norms: tuple[bool, ...]) -> Data:
    """The stem with batch norm where `norms` says so, and whether convolutions in front of batch norms are biased."""
    convs = [{**conv, "bn": bn} for conv, bn in zip(read["stem"]["convs"], norms, strict=True)]
    biased = any(conv.bias and bn for (conv, _), bn in zip(_stem_convs(parts), norms, strict=True))
    return {"stem": {**read["stem"], "convs": convs}, "conv_bias": read["conv_bias"] or biased}


def _gates(nodes: Sequence) -> Iterator[int]:
    """`id` of the convolutions in gates, of shortcuts or of channels; their biases do not follow `conv_bias`."""
    for node in nodes:
        if isinstance(node, Fork):
            for part, branch in zip(node.parts, node.branches, strict=True):
                yield from map(id, sequence_ops(branch)) if part == GATE else _gates(branch)


def _grouped(units: tuple[UnitFacts, ...], downsample: str) -> Stages:
    """Runs of units that can form a stage; a stride begins one, or with `downsample: last` ends one."""
    stages: Stages = [[units[0]]]
    for before, unit in pairwise(units):
        alike = all(getattr(before, name) == getattr(unit, name) for name in ("block", "width", "skip"))
        alike = alike and (before.shortcut is None) == (unit.shortcut is None)
        strides = unit.stride if downsample == "first" else before.stride
        if alike and strides == 1:
            stages[-1].append(unit)
        else:
            stages.append([unit])
    return stages


def _row(stage: list[UnitFacts], before: UnitFacts | None, downsample: str) -> Data:
    """A stage without its shortcut option, which depends on the other stages."""
    first = stage[0]
    if downsample == "last":
        stride = before.stride if before else first.stride if len(stage) > 1 else 1
    else:
        stride = first.stride
    return {
        "units": len(stage),
        "width": first.width,
        "stride": stride,
        "block": first.block,
        "skip": first.skip.model_dump(),
    }


def _with_shortcuts(rows: list[Data], stages: Stages, changes: list[list[Change]], family: str | None) -> list[Data]:
    """`rows` with the shortcut option that reproduces their units; of several, the one that fits most stages, and of
    those the default."""
    fitting = [_fitting(*pair) for pair in zip(stages, changes, strict=True)]
    counts = Counter(name for options in fitting for name in options)
    chosen = []
    for row, options in zip(rows, fitting, strict=True):
        default = DEFAULT_SHORTCUT.get((family or "", row["block"]), OTHER_SHORTCUT)
        best = max((counts[name], name == default) for name in options)
        chosen.append({**row, "shortcut": next(name for name in options if (counts[name], name == default) == best)})
    return chosen


def _fitting(stage: list[UnitFacts], changes: list[Change]) -> list[str]:
    """The options that reproduce the shortcuts of the most units of a stage."""
    fits = {
        name: sum(_fits(option, *pair) for pair in zip(stage, changes, strict=True))
        for name, option in SHORTCUTS.items()
    }
    return [name for name, count in fits.items() if count == max(fits.values())]


def _fits(option: ShortcutOption, unit: UnitFacts, change: Change) -> bool:
    """Whether an option reproduces the shortcut of a unit."""
    if unit.shortcut is None or not option.residual:
        return unit.shortcut is None and not option.residual
    return option.projects(change) == unit.projects and (
        unit.projects or sequence_words(option.fitted("", change)) == sequence_words(unit.shortcut)
    )


def _changes(parts: Anatomy, stages: Stages, downsample: str) -> list[list[Change]]:
    """How each unit changes the shape of the stream."""
    widths = iter((parts.convs[-1][1], *(unit.out_width for unit in parts.units)))
    return [[Change(next(widths), unit.out_width, unit.stride, downsample) for unit in stage] for stage in stages]


def _family(parts: Anatomy, rows: list[Data]) -> str | None:
    """The preset with this stem or these widths, or that of a catalogued network which has a stem of its own."""
    widths = tuple(row["width"] for row in rows)
    known = [(name, preset.stem, preset.widths) for name, preset in FAMILIES.items()]
    own = (row.spec.decided() for row in catalog().values() if isinstance(row.spec, NetworkSpec) and row.spec.stem)
    known += [(str(each.family), each.stem, tuple(stage.width for stage in each.stages)) for each in own]
    for name, stem, preset_widths in known:
        convs = tuple((conv.kernel, conv.width, conv.stride) for conv in stem.convs)
        pool = stem.pool and (stem.pool.kernel, stem.pool.stride)
        if (convs, pool) == (parts.convs, parts.pool) or widths == preset_widths:
            return name
    return None


def _commonest(values: Iterable[Any]) -> Any:
    """The most common value; None when there is none."""
    counts = Counter(values).most_common(1)
    return counts[0][0] if counts else None
