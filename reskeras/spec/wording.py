"""Operations, units and stages in words, the same in tables, differences and drawings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from reskeras.spec import operations as op
from reskeras.spec.plan import Fork, Node, Sequence, Unit

RESIDUAL_MERGES = ("add", "scaled_add", "gated_add")
POOL_NAMES = {"max": "max pool", "average": "average pool"}


def words(node: Node) -> str:
    """An operation as the papers write it, such as `3x3 conv, 64, /2`; a fork as its merge."""
    match node:
        case op.Conv():
            bias = f"bias {node.bias_start:g}" if node.bias_start else "bias" if node.bias else ""
            groups = f"{node.groups} groups" if node.groups > 1 else ""
            return _listed(f"{_by(node.kernel)} conv", str(node.filters), _stride(node.stride), groups, bias)
        case op.Pool() if node.kernel == (1, 1):
            return _listed("subsample", _stride(node.stride))
        case op.Pool():
            return _listed(f"{_by(node.kernel)} {POOL_NAMES[node.reduce]}", _stride(node.stride))
        case op.GlobalPool():
            return f"global {POOL_NAMES[node.reduce]}"
        case op.Dense():
            return f"dense, {node.units}"
        case op.Pad():
            return f"pad, {node.rows[0]}-{node.rows[1]}" + (
                "" if node.rows == node.columns else f" by {node.columns[0]}-{node.columns[1]}") + (
                "" if node.border == "zero" else f", {node.border}")
        case op.PadChannels():
            return f"zero channels, to {node.channels}"
        case op.Scale():
            return f"times {node.factor:g}"
        case op.Dropout():
            return f"{'drop path' if node.per_image else 'dropout'}, {node.rate:.3g}"
        case Fork():
            return merge_words(node)
        case _:
            return node.kind


def merge_words(fork: Fork) -> str:
    """How the branches of a fork come together."""
    if fork.merge == "scaled_add":
        return f"scaled add, {' and '.join(f'{factor:g}' for factor in fork.factors)}"
    return ("exclusive " if fork.exclusive else "") + fork.merge.replace("_", " ")


def is_gate(fork: Fork) -> bool:
    """Whether a fork multiplies the stream by what it makes of it, as squeeze-and-excitation does."""
    return fork.merge == "multiply" and len(fork.branches) == 2 and fork.branches[0] == ()


def branch_names(fork: Fork) -> tuple[str, ...]:
    """What to call the branches: those of a residual unit by their part in it, others by number."""
    if is_residual(fork):
        return ("shortcut", "residual", "gate")[: len(fork.branches)]
    if is_gate(fork):
        return ("stream", "gate")
    return tuple(f"branch {number + 1}" for number in range(len(fork.branches)))


def is_residual(fork: Fork) -> bool:
    """Whether a fork is a shortcut beside a residual, perhaps with a gate, in that order."""
    return fork.merge in RESIDUAL_MERGES and len(fork.branches) == (3 if fork.merge == "gated_add" else 2)


def sequence_words(nodes: Sequence) -> str:
    """A sequence in one line, a fork as `add(shortcut | residual)`."""
    return ", ".join(_node_words(node) for node in nodes) or "identity"


def _node_words(node: Node) -> str:
    if isinstance(node, Fork):
        return f"{merge_words(node).replace(', ', ' ')}({' | '.join(map(sequence_words, node.branches))})"
    return words(node).replace(", ", " ")


def stage_words(units: Iterable[Unit]) -> str:
    """The units of one stage as v1 table 1 writes them, such as `[1x1, 64; 3x3, 64; 1x1, 256] x 3`.

    Activations and strides inside units are left out, as they are there; stem and head are written in full.
    """
    units = list(units)
    if units[0].name == units[0].stage:
        return "; ".join(part for unit in units for part in _main_path(unit.nodes, whole=True))
    parts = []
    for core, run in groupby(units, key=lambda unit: tuple(_main_path(unit.nodes, whole=False))):
        alike = list(run)
        parts.append(f"[{'; '.join(core)}] x {len(alike)}")
        parts += [words(node) for unit in alike for node in unit.nodes if isinstance(node, op.Pool)]
    return "; ".join(parts)


def _main_path(nodes: Sequence, whole: bool) -> Iterator[str]:
    """Convolutions along the residuals; `whole` adds pooling and strides."""
    for node in nodes:
        match node:
            case Fork() if is_residual(node):
                yield from _main_path(node.branches[1], whole)
            case Fork() if is_gate(node):
                widths = [str(each.filters) for each in node.branches[1] if isinstance(each, op.Conv)]
                yield f"gate, {'-'.join(widths)}"
            case Fork():
                yield f"{node.merge} of {', '.join(map(_end, node.branches))}"
            case op.Conv():
                groups = f"{node.groups} groups" if node.groups > 1 else ""
                yield _listed(f"{_by(node.kernel)}, {node.filters}", _stride(node.stride) if whole else "", groups)
            case op.Dense():
                yield words(node)
            case op.Pool() | op.GlobalPool() if whole:
                yield words(node)
            case _:
                pass


def _end(branch: Sequence) -> str:
    """What a branch ends in, as far as its width goes: filters, those of branches of its own, or a pool."""
    for node in reversed(branch):
        if isinstance(node, Fork):
            return "+".join(map(_end, node.branches))
        if isinstance(node, op.Conv):
            return str(node.filters)
    pools = [POOL_NAMES[node.reduce] for node in branch if isinstance(node, op.Pool)]
    return pools[-1] if pools else "identity"


def _by(sizes: tuple[int, int]) -> str:
    return "x".join(map(str, sizes))


def _stride(stride: tuple[int, int]) -> str:
    if stride == (1, 1):
        return ""
    return f"/{stride[0]}" if stride[0] == stride[1] else f"/{_by(stride)}"


def _listed(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
