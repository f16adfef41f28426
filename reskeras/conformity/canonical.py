"""One form for what can be written in several: padding beside a convolution, scaled branches, pools of everything."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from reskeras.conformity.foreign import Foreign
from reskeras.errors import ReskerasError
from reskeras.spec import operations as op
from reskeras.spec.operations import Shape
from reskeras.spec.plan import Fork, Node, Plan, Sequence, sequence_ops, sequence_shape


def canonical(nodes: Sequence, shape: Shape | None = None) -> Sequence:
    """`nodes` in the one form that equal functions have, for an input of `shape` where that is known.

    Zeros around an odd window of stride 1 are `same`; a factor of a scaled addition is a scale on its branch; the
    shortcut comes first; an average over all of a map is a global pool.
    """
    made: list[Node] = []
    for node in nodes:
        if isinstance(node, Fork):
            made.append(_fork(node, shape))
        else:
            made.append(_op(node, shape))
            _join(made)
        shape = _after(node, shape)
    return tuple(made)


def canonical_plan(plan: Plan) -> Plan:
    """`plan` with every unit in that form."""
    shapes = (plan.input_shape, *plan.unit_shapes())
    units = tuple(replace(unit, nodes=canonical(unit.nodes, shape))
                  for unit, shape in zip(plan.units, shapes, strict=False))
    return replace(plan, units=units)


def weighted(node: Node) -> list[op.Op]:
    """The operations of a node that do the work: convolutions, dense layers, and what stands for one."""
    return [each for each in sequence_ops((node,)) if isinstance(each, op.Conv | op.Dense)
            or (isinstance(each, Foreign) and each.weighted)]


def _after(node: Node, shape: Shape | None) -> Shape | None:
    """The shape after `node`, where it is known."""
    try:
        return None if shape is None else sequence_shape((node,), shape)
    except (ReskerasError, ValueError, IndexError):  # an operation that has no room, or another rank
        return None


def _op(node: op.Op, shape: Shape | None) -> op.Op:
    match node:
        case op.Conv(kernel=(1, 1)):
            return replace(node, padding="same")
        case op.Pool(kernel=(1, 1)):  # of one position, a maximum is an average
            return replace(node, reduce="max", padding="valid")
        case op.Pool(reduce="average") if shape is not None and node.kernel == shape[:-1] and node.padding == "valid":
            return op.GlobalPool(name=node.name, reduce="average", keep_positions=True)
        case _:
            return node


def _join(made: list[Node]) -> None:
    """Make one of the last two operations where they are one."""
    match made[-2:]:
        case [*_, op.Pad(rows=(0, 0), columns=(0, 0))]:
            made.pop()
        case [*_, op.Scale(factor=1.0)]:
            made.pop()
        case [op.Pad(border="zero") as first, op.Pad(border="zero") as second]:
            rows, columns = ((one[0] + two[0], one[1] + two[1])
                             for one, two in ((first.rows, second.rows), (first.columns, second.columns)))
            made[-2:] = [replace(second, rows=rows, columns=columns)]
        case [op.Pad(border="zero") as pad, op.Conv(stride=(1, 1), padding="valid") as conv]:
            around = tuple((size // 2, size // 2) for size in conv.kernel)
            if all(size % 2 for size in conv.kernel) and (pad.rows, pad.columns) == around:
                made[-2:] = [replace(conv, padding="same")]
        case [op.GlobalPool(keep_positions=True) as pool, op.Flatten()]:
            made[-2:] = [replace(pool, keep_positions=False)]


def _fork(fork: Fork, shape: Shape | None) -> Fork:
    branches = tuple(canonical(branch, shape) for branch in fork.branches)
    if fork.merge == "scaled_add":
        branches = tuple(branch if factor == 1.0 else (*branch, op.Scale(name="scale", factor=factor))
                         for branch, factor in zip(branches, fork.factors, strict=True))
        fork = replace(fork, merge="add", factors=())
    if fork.merge in ("add", "multiply"):
        branches = tuple(sorted(branches, key=_work))
    return replace(fork, branches=branches)


def _work(branch: Sequence) -> tuple[int, int]:
    """How much a branch does: a shortcut does less than its residual."""
    ops = [each for node in branch for each in weighted(node)]
    return len(ops), sum(prod(each.kernel) for each in ops if isinstance(each, op.Conv))
