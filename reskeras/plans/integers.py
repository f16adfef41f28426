"""The integer form of a plan: what a runtime for 8-bit integers computes, with each rounding as an operation.

Batch norms are folded, those that cannot be are depthwise 1x1 convolutions, dense layers and factors are convolutions
too, because converters write these as integer operations with a scale for each output channel, and others not. A table
says for each kind of operation and merge where its output is rounded; one without a row is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from reskeras.errors import ReskerasError
from reskeras.plans import merges
from reskeras.plans import operations as op
from reskeras.plans.folding import without_batch_norms
from reskeras.plans.merges import Merge
from reskeras.plans.nodes import Fork, Node, Sequence, sequence_shape
from reskeras.plans.operation import Op, Shape, Weight
from reskeras.plans.plan import Plan, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset(Op):
    """A constant map added to images: minus the mean of each pixel."""

    kind: ClassVar[str] = "offset"

    def weights(self, shape: Shape) -> dict[str, Weight]:
        return {"map": Weight(shape)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Negate(Op):
    """-x, behind a convolution by negated weights. Converters have no integers for it, so that the convolution stays
    one of float32 between tensors that are rounded."""

    kind: ClassVar[str] = "negate"


Rule = Literal["own", "input", "none"] | tuple[float, float]
"""Where the range of an output comes from: its own statistics; its input's range, in which it is rounded again; none,
because each value is one of its input's already; or fixed."""

SHARES = (0.0, 255 / 256)  # the range of LiteRT's LOGISTIC and SOFTMAX
RULES: dict[type[Op] | type[Merge], Rule] = {
    op.Conv: "own",
    op.Relu: "own",
    op.Gelu: "own",
    op.Silu: "own",
    op.Sigmoid: SHARES,
    op.Pool: "input",
    op.GlobalPool: "own",
    op.Flatten: "none",
    op.Pad: "none",
    op.PadChannels: "none",
    Offset: "own",
    Negate: "own",
    merges.Add: "own",
    merges.Multiply: "own",
    merges.Concat: "own",
}
FUSING: tuple[type[Op] | type[Merge], ...] = (op.Conv, Negate, merges.Add, merges.Multiply)
"""What computes the ReLU after it too: nothing is rounded between them."""
KERNEL_BITS = {"int8": 8, "int8-w4": 4}
IMAGE = "image_range"
PIXELS = "pixels"  # the unit before all others that takes raw pixels
Told = Callable[[Op, op.Conv], None]


def integer_plan(
    plan: Plan, weight_bits: int = 8, kept: Collection[str] = (), told: Told = lambda before, after: None
) -> Plan:
    """The integer form of `plan`: kernels of `weight_bits`, activations of 8 bits. The convolutions and dense layers
    `kept` compute in float32, between what is rounded.

    `told` hears of every operation that becomes a convolution or is taken into one, as (before, after), in the order in
    which weights must follow. Raises ReskerasError (status 2) naming an operation that has no integer form.
    """
    plan = without_batch_norms(plan, lambda pair: told(pair[1], pair[0]))
    made, source = _Convolutions(weight_bits, frozenset(kept), told), IMAGE
    units: list[Unit] = []
    changed = [
        made.sequence(unit.nodes, shape)
        for unit, shape in zip(plan.units, (plan.input_shape, *plan.unit_shapes()), strict=False)
    ]
    for unit, nodes, after in zip(plan.units, changed, [*changed[1:], ()], strict=True):
        nodes, source = _rounded(nodes, source, following=after[0] if after else None)
        units.append(replace(unit, nodes=nodes if units else (op.Quantise(name=IMAGE), *nodes)))
    return replace(plan, units=tuple(units))


def with_pixels(plan: Plan, ends: tuple[float, float], by_pixel: bool) -> Plan:
    """An integer form that takes pixels of 0 to 255, and normalises them by a 1x1 convolution of each channel, whose
    output is between `ends`; and `by_pixel` by an offset."""
    channels = plan.input_shape[-1]
    first: Sequence = (
        op.Quantise(name="pixel_range", fixed=(0.0, 255.0)),
        replace(_conv("normalise", channels, (1, 1), groups=channels), weight_bits=8),
    )
    if by_pixel:
        first += (op.Quantise(name="normalise_range", fixed=ends), Offset(name="offset"))
    return replace(plan, units=(Unit(stage=PIXELS, nodes=first), *plan.units))


@dataclass(frozen=True)
class _Convolutions:
    """Rewrites sequences so that all that has weights is a convolution; dropout is left out."""

    bits: int
    kept: frozenset[str]
    told: Told

    def sequence(self, nodes: Sequence, shape: Shape) -> Sequence:
        """`nodes`, on an input of `shape`; a vector keeps its position until the end."""
        done: list[Node] = []
        before = positions = shape
        for node in nodes:
            made = self._fork(node, before) if isinstance(node, Fork) else self._op(node, before, positions, done)
            done += made
            positions = sequence_shape(made, positions)
            before = sequence_shape((node,), before)
        flat = len(before) == 1
        return (*done, op.Flatten(name=f"{done[-1].name}_flat")) if flat else tuple(done)

    def _op(self, node: Op, shape: Shape, positions: Shape, done: list[Node]) -> Sequence:
        match node:
            case op.Dropout() | op.Flatten():
                return ()
            case op.GlobalPool():
                return (replace(node, keep_positions=True),)
            case op.Scale() if done and isinstance(done[-1], op.Conv):
                self.told(node, done[-1])
                return ()
            case op.Scale() | op.BatchNorm():
                return self._told(node, _conv(node.name, shape[-1], (1, 1), groups=shape[-1]))
            case op.Dense():
                return self._told(node, _conv(node.name, node.units, (positions[0], positions[1])))
            case op.Conv():
                return self._told(node, replace(node, bias=True))
        return (node,)

    def _told(self, node: Op, made: op.Conv) -> Sequence:
        made = replace(made, weight_bits=None if node.name in self.kept else self.bits)
        self.told(node, made)
        if made.weight_bits:
            return (made,)
        self.told(negate := Negate(name=f"{node.name}_negated"), made)
        return (made, negate)

    def _fork(self, fork: Fork, shape: Shape) -> Sequence:
        branches = fork.branches
        if isinstance(fork.merge, merges.ScaledAdd):
            named = [
                (branch, op.Scale(name=f"{fork.name}_scale{number}", factor=factor))
                for number, (branch, factor) in enumerate(zip(branches, fork.merge.factors, strict=True), start=1)
            ]
            branches = tuple(
                (*branch, scale) if scale.factor != 1 else branch for branch, scale in named if scale.factor
            )
            fork = replace(fork, merge=merges.ADD)
        branches = tuple(self.sequence(branch, shape) for branch in branches)
        return (replace(fork, branches=branches),) if len(branches) > 1 else branches[0]


def _conv(name: str, filters: int, kernel: tuple[int, int], groups: int = 1) -> op.Conv:
    return op.Conv(name=name, filters=filters, kernel=kernel, padding="valid", groups=groups, bias=True)


def _rounded(nodes: Sequence, source: str, close: bool = True, following: Node | None = None) -> tuple[Sequence, str]:
    """`nodes`, which `following` comes after, with a Quantise wherever a tensor is rounded, and the name of the last;
    `source` is that of the input. Unless `close` the output is left as it is."""
    done: list[Node] = []
    for node, after in zip(nodes, (*nodes[1:], following), strict=False):
        made = node
        if isinstance(node, Fork):
            # what is joined has one range: rounding it rounds each branch
            apart = not isinstance(node.merge, merges.Concat)
            made = replace(node, branches=tuple(_rounded(branch, source, apart)[0] for branch in node.branches))
        done.append(made)
        rule, fused = _rule(node), isinstance(_record(node), FUSING) and isinstance(after, op.Relu)
        if rule == "none" or fused or (node is nodes[-1] and not close):
            continue
        name = f"{node.name}_range"
        if rule == "input":
            done.append(op.Quantise(name=name, like=source))
        else:
            done.append(op.Quantise(name=name, fixed=None if rule == "own" else rule))
            source = name
    return tuple(done), source


def _record(node: Node) -> Op | Merge:
    return node.merge if isinstance(node, Fork) else node


def _rule(node: Node) -> Rule:
    record = _record(node)
    match record:
        case op.Pool(reduce="max") | op.Pool(kernel=(1, 1)) | op.GlobalPool(reduce="max") | op.Conv(weight_bits=None):
            return "none"
    if type(record) not in RULES:
        raise ReskerasError(f"quantise: {node.name}: there is no integer form of {record.words}")
    return RULES[type(record)]
