"""Units and stages in words, the same in tables, diffs and diagrams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from reskeras.plans import operations as op
from reskeras.plans.merges import GATE, RESIDUAL
from reskeras.plans.nodes import Fork, Node, Sequence
from reskeras.plans.operation import listed, stride_words
from reskeras.plans.plan import Unit


def sequence_words(nodes: Sequence) -> str:
    """A sequence in one line, a fork as `add(shortcut | residual)`."""
    return ", ".join(_node_words(node) for node in nodes) or "identity"


def _node_words(node: Node) -> str:
    words = node.words.replace(", ", " ")
    return f"{words}({' | '.join(map(sequence_words, node.branches))})" if isinstance(node, Fork) else words


def stage_words(units: Iterable[Unit]) -> str:
    """The units of one stage as v1 table 1 writes them, such as `[1x1, 64; 3x3, 64; 1x1, 256] x 3`.

    Activations and strides inside units are left out, as in that table; stem and head are written in full.
    """
    units = list(units)
    if units[0].index is None:
        return "; ".join(part for unit in units for part in _main_path(unit.nodes, whole=True))
    parts = []
    for core, run in groupby(units, key=lambda unit: tuple(_main_path(unit.nodes, whole=False))):
        alike = list(run)
        parts.append(f"[{'; '.join(core)}] x {len(alike)}")
        parts += [node.words for unit in alike for node in unit.nodes if isinstance(node, op.Pool)]
    return "; ".join(parts)


def _main_path(nodes: Sequence, whole: bool) -> Iterator[str]:
    """Convolutions along the residuals; `whole` adds pooling and strides."""
    for node in nodes:
        match node:
            case Fork() if node.is_residual:
                yield from _main_path(node.branch(RESIDUAL) or (), whole)
            case Fork() if node.is_gate:
                widths = [str(each.filters) for each in node.branch(GATE) or () if isinstance(each, op.Conv)]
                yield f"gate, {'-'.join(widths)}"
            case Fork():
                yield f"{node.merge.kind} of {', '.join(map(_end, node.branches))}"
            case op.Conv():
                yield listed(node.core_words, stride_words(node.stride) if whole else "", node.groups_words)
            case op.Dense():
                yield node.words
            case op.Pool() | op.GlobalPool() if whole:
                yield node.words
            case _:
                pass


def _end(branch: Sequence) -> str:
    """The width that a branch ends with: filters, those of a nested fork's branches, or a pool."""
    for node in reversed(branch):
        if isinstance(node, Fork):
            return "+".join(map(_end, node.branches))
        if isinstance(node, op.Conv):
            return str(node.filters)
    pools = [f"{node.reduce} pool" for node in branch if isinstance(node, op.Pool)]
    return pools[-1] if pools else "identity"
