"""Canonical form: one representation of equivalent graphs, with explicit padding, scaled branches, global pools and
operations on a single position each written in one way."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from reskeras.errors import ReskerasError
from reskeras.identification.foreign import Lowest, OnePosition
from reskeras.plans import operations as op
from reskeras.plans.merges import ADD, ScaledAdd
from reskeras.plans.nodes import Fork, Node, Sequence, sequence_ops, sequence_shape
from reskeras.plans.operation import Shape
from reskeras.plans.plan import Plan

# operations that do the same to a 1x1 map as to a vector of channels
POSITIONWISE = (op.Conv, op.Dense, *op.ACTIVATIONS.values(), op.Sigmoid, op.Dropout, op.Scale)


def canonical(nodes: Sequence, shape: Shape | None = None) -> Sequence:
    """`nodes` in canonical form, which equal functions share, for an input of `shape` where that is known.

    Zero padding around an odd window of stride 1 becomes `same`, and so does a window that needs no padding; a factor
    of a scaled addition becomes a Scale on its branch; the shortcut comes first; an average pool over a whole map
    becomes a global pool; operations on a single position become 1x1 convolutions where the result stays a map, dense
    layers where it does not.
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
    """`plan` with every unit in canonical form."""
    shapes = (plan.input_shape, *plan.unit_shapes())
    units = tuple(
        replace(unit, nodes=canonical(unit.nodes, shape)) for unit, shape in zip(plan.units, shapes, strict=False)
    )
    return replace(plan, units=units)


def weighted(node: Node) -> list[op.Op]:
    """The weighted operations of a node: convolutions, dense layers, and foreign ones that stand for one."""
    return [each for each in sequence_ops((node,)) if each.weighted]


def _after(node: Node, shape: Shape | None) -> Shape | None:
    """The shape after `node`, where it can be computed."""
    try:
        return None if shape is None else sequence_shape((node,), shape)
    except (ReskerasError, ValueError, IndexError):  # a window that does not fit, or another rank
        return None


def _op(node: op.Op, shape: Shape | None) -> op.Op:
    match node:
        case op.Scale(float32=True):  # precision is compared by itself
            return replace(node, float32=False)
        case op.Conv(kernel=(1, 1)):
            return replace(node, padding="same")
        case op.Pool(kernel=(1, 1)):  # over a single position, maximum and average are the same
            return replace(node, reduce="max", padding="valid")
        case op.Conv(padding="valid") | op.Pool(padding="valid") if (
            shape is not None
            and len(shape) == 3
            and all(
                size % stride == 0 and kernel <= stride
                for size, kernel, stride in zip(shape, node.kernel, node.stride, strict=False)
            )
            and not (isinstance(node, op.Pool) and node.kernel == shape[:-1])
        ):
            return replace(node, padding="same")
        case op.Pool(reduce="average") if shape is not None and node.kernel == shape[:-1] and node.padding == "valid":
            return op.GlobalPool(name=node.name, reduce="average", keep_positions=True)
        case _:
            return node


def _join(made: list[Node]) -> None:
    """Fuse the last two operations where one does the same, and drop no-ops."""
    match made[-2:]:
        case [*_, op.Pad(rows=(0, 0), columns=(0, 0))]:
            made.pop()
        case [*_, op.Scale(factor=1.0)]:
            made.pop()
        case [op.Pad(border="zero") as first, op.Pad(border="zero") as second]:
            rows, columns = (
                (one[0] + two[0], one[1] + two[1])
                for one, two in ((first.rows, second.rows), (first.columns, second.columns))
            )
            made[-2:] = [replace(second, rows=rows, columns=columns)]
        case [op.Pad(border="zero") as pad, op.Conv(stride=(1, 1), padding="valid") as conv]:
            around = tuple((size // 2, size // 2) for size in conv.kernel)
            if all(size % 2 for size in conv.kernel) and (pad.rows, pad.columns) == around:
                made[-2:] = [replace(conv, padding="same")]
        case [Lowest() as pad, op.Pool(reduce="max", padding="valid") as pool] if all(
            2 * max(around) <= size for around, size in zip((pad.rows, pad.columns), pool.kernel, strict=True)
        ):
            made[-2:] = [op.Pad(name=pad.name, rows=pad.rows, columns=pad.columns, border="edge"), pool]
        case [*_, op.Flatten() | OnePosition() | op.Dense()]:
            _of_one_position(made)


def _of_one_position(made: list[Node]) -> None:
    """Rewrite the positionwise operations after a global pool in the form that they end in: a 1x1 map and
    convolutions, or a vector of channels and dense layers."""
    begin = len(made) - 1
    while begin > 0 and isinstance(made[begin - 1], POSITIONWISE) and not _has_window(made[begin - 1]):
        begin -= 1
    if begin == 0 or not isinstance(pool := made[begin - 1], op.GlobalPool):
        return
    if isinstance(made[-1], OnePosition) and pool.keep_positions:  # applied to a map, this reshape does something else
        return
    *between, last = made[begin:]
    keep = pool.keep_positions if isinstance(last, op.Dense) else isinstance(last, OnePosition)
    if isinstance(last, op.Dense):
        between.append(last)
    made[begin - 1 :] = [
        replace(pool, keep_positions=keep),
        *(_as_convolution(node) if keep else _as_dense(node) for node in between),
    ]


def _has_window(node: Node) -> bool:
    return isinstance(node, op.Conv) and (node.kernel != (1, 1) or node.groups != 1)


def _as_convolution(node: Node) -> Node:
    if not isinstance(node, op.Dense):
        return node
    return op.Conv(name=node.name, filters=node.units, kernel=(1, 1), bias=node.bias, initialiser=node.initialiser)


def _as_dense(node: Node) -> Node:
    if not isinstance(node, op.Conv):
        return node
    return op.Dense(name=node.name, units=node.filters, bias=node.bias, initialiser=node.initialiser)


def _fork(fork: Fork, shape: Shape | None) -> Fork:
    branches = tuple(canonical(branch, shape) for branch in fork.branches)
    if isinstance(fork.merge, ScaledAdd):
        branches = tuple(
            branch if factor == 1.0 else (*branch, op.Scale(name="scale", factor=factor))
            for branch, factor in zip(branches, fork.merge.factors, strict=True)
        )
        fork = replace(fork, merge=ADD)
    if fork.merge.commutes:
        branches = tuple(sorted(branches, key=_work))
    return replace(fork, branches=branches)


def _work(branch: Sequence) -> tuple[int, int]:
    """How much a branch computes, to sort by: a shortcut less than its residual."""
    ops = [each for node in branch for each in weighted(node)]
    return len(ops), sum(prod(each.kernel) for each in ops if isinstance(each, op.Conv))
