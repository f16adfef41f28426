"""A canonical sequence cut into stem, units and head, and the facts of each unit: block, stride, shortcut and skip."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from reskeras.identification.canonical import weighted
from reskeras.identification.foreign import Unlike
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.skips import IDENTITY, SkipSpec, read_skip
from reskeras.plans import operations as op
from reskeras.plans.merges import GATE, RESIDUAL, SHORTCUT
from reskeras.plans.nodes import Fork, Sequence
from reskeras.plans.operation import changes_shape
from reskeras.plans.wording import sequence_words

ACTIVATIONS = tuple(op.ACTIVATIONS.values())
Run = list[tuple[int, op.Conv]]  # convolutions one after another, each with its index in the sequence


@dataclass(frozen=True)
class Block:
    """The convolutions of a unit. `strided` is the index of the one that strides, None where none does."""

    name: str
    width: int
    stride: int
    strided: int | None
    inner_factor: float = 1.0
    groups: int = 1


@dataclass(frozen=True)
class UnitFacts:
    """The facts of one unit. `first` and `last` are the indexes in the sequence of its outermost convolutions, or of
    its fork.

    `shortcut` holds the operations that change the shape of its shortcut, None in a plain unit. `skip` is what the fork
    does to shortcut and residual. `middle` is the number of channels in the middle of a squeeze-and-excitation at the
    residual's end. `preactivated`: the residual begins with an activation that the shortcut does not share.
    """

    first: int
    last: int
    form: Block
    shortcut: Sequence | None
    skip: SkipSpec
    drop_path: float = 0.0
    silent: bool = False
    middle: int | None = None
    preactivated: bool = False

    @property
    def block(self) -> str:
        """The block's name."""
        return self.form.name

    @property
    def width(self) -> int:
        """The stage's width."""
        return self.form.width

    @property
    def stride(self) -> int:
        """The stride of the whole unit."""
        return self.form.stride

    @property
    def projects(self) -> bool:
        """Whether its shortcut is a projection."""
        return self.shortcut is not None and any(isinstance(node, op.Conv) for node in self.shortcut)

    @property
    def pooled(self) -> bool:
        """Whether an average pool precedes the projection."""
        return self.projects and any(
            isinstance(node, op.Pool) and node.reduce == "average" for node in self.shortcut or ()
        )

    @property
    def out_width(self) -> int:
        """Output channels."""
        return self.width * BLOCKS[self.block].expansion


@dataclass(frozen=True)
class Anatomy:
    """The stem's convolutions (kernel, width, stride) and pool (kernel, stride), the border of the pool's input and
    whether that is activated, the units, and the index at which the stem ends."""

    nodes: Sequence
    convs: tuple[tuple[int, int, int], ...]
    pool: tuple[int, int] | None
    stem_last: int
    units: tuple[UnitFacts, ...]
    border: str = "zero"
    activated: bool = True


def anatomy(nodes: Sequence) -> Anatomy:
    """The parts of a canonical sequence; Unlike when they are not a stem and units in this design space."""
    body = _body(nodes)
    forks = [index for index in body if isinstance(nodes[index], Fork)]
    convs = {index: node for index in body if isinstance(node := nodes[index], op.Conv)}
    pools = {index: node for index in body if isinstance(node := nodes[index], op.Pool)}
    if not convs:
        raise Unlike("it has no convolution on its main path")
    pool = min(pools, default=None)
    late = pool is not None and forks and pool > forks[0]
    if late or len(pools) > 1 or any(node.reduce != "max" for node in pools.values()):
        raise Unlike("it pools between or after its units: " + ", ".join(node.words for node in pools.values()))
    stem_end = pool if pool is not None else (forks[0] - 1 if forks else min(convs))
    if not any(index <= stem_end for index in convs) or (forks and forks[0] < stem_end):
        raise Unlike("it does not begin with a convolution and an optional pool before its first unit")
    stem = {index: conv for index, conv in convs.items() if index <= stem_end}
    rest = [index for index in body if index > stem_end]
    return Anatomy(
        nodes,
        tuple((_square(conv), conv.filters, conv.stride[0]) for conv in stem.values()),
        None if pool is None else (_square(pools[pool]), pools[pool].stride[0]),
        max(stem) if pool is None else pool,
        _units(nodes, rest),
        *(() if pool is None else _before_pool(nodes, pool)),
    )


def _before_pool(nodes: Sequence, pool: int) -> tuple[str, bool]:
    """The border around the input of the stem's pool, and whether that input is activated."""
    before = nodes[max(index for index in range(pool) if isinstance(nodes[index], op.Conv)) + 1 : pool]
    border = next((node.border for node in before if isinstance(node, op.Pad)), "zero")
    return border, any(isinstance(node, (*ACTIVATIONS, op.BatchNorm)) for node in before)


def _body(nodes: Sequence) -> range:
    """Indexes before the head, which begins with the global pool, the flattening or the first dense layer."""
    ends = (index for index, node in enumerate(nodes) if isinstance(node, op.GlobalPool | op.Flatten | op.Dense))
    body = range(next(ends, len(nodes)))
    strange = [node for index in body for node in weighted(nodes[index]) if not isinstance(node, op.Conv)]
    if strange:
        counts = Counter(node.words for node in strange)
        raise Unlike("it has " + ", ".join(f"{name} ({count})" for name, count in counts.items()))
    return body


def _units(nodes: Sequence, rest: list[int]) -> tuple[UnitFacts, ...]:
    """A unit for each fork, and plain units for the runs of convolutions between forks."""
    units: list[UnitFacts] = []
    run: Run = []
    for index in rest:
        node = nodes[index]
        if isinstance(node, op.Conv):
            run.append((index, node))
        elif isinstance(node, Fork):
            units += _plain(run)
            run = []
            units.append(_residual(node, index))
    units += _plain(run)
    if not units:
        raise Unlike("it has no unit after its stem")
    return tuple(units)


def _plain(run: Run) -> list[UnitFacts]:
    """A run of convolutions as plain units of the first block that fits all of it."""
    if not run:
        return []
    for name in BLOCKS:
        size = len(BLOCKS[name].kernels)
        groups = [run[start : start + size] for start in range(0, len(run), size)]
        found = [_block([conv for _, conv in group]) for group in groups]
        blocks = [each for each in found if each is not None and each.name == name]
        # a width changes only where a unit begins
        if len(blocks) == len(groups):
            return [
                UnitFacts(group[0][0], group[-1][0], each, None, IDENTITY)
                for group, each in zip(groups, blocks, strict=True)
            ]
    raise Unlike(
        "its convolutions do not form blocks of this design space: "
        + ", ".join(conv.words for _, conv in run[:6])
        + (", ..." if len(run) > 6 else "")
    )


def _block(convs: list[op.Conv]) -> Block | None:
    """The block that the convolutions of a unit form; None when there is no such block."""
    if any(len(set(conv.kernel)) > 1 or len(set(conv.stride)) > 1 for conv in convs):
        return None
    kernels, filters = tuple(conv.kernel[0] for conv in convs), tuple(conv.filters for conv in convs)
    strides = [conv.stride[0] for conv in convs]
    strided = [place for place, stride in enumerate(strides) if stride > 1]
    for name, form in BLOCKS.items():
        if form.kernels != kernels:
            continue
        width, rest = divmod(filters[-1], form.expansion)
        inner_factor, groups = 1.0, 1
        if form.inner is not None and width:
            inner_factor, groups = filters[0] / width, convs[form.inner].groups
        fits = (
            not rest
            and filters == form.channels(width, inner_factor)
            and all(conv.groups == (groups if place == form.inner else 1) for place, conv in enumerate(convs))
        )
        if not fits or len(strided) > 1 or (strided and strided[0] not in (0, form.inner)):
            return None
        return Block(name, width, prod(strides), strided[0] if strided else None, inner_factor, groups)
    return None


def _residual(fork: Fork, index: int) -> UnitFacts:
    if not fork.is_residual or (skip := read_skip(fork)) is None:
        raise Unlike(
            f"it has a {fork.merge.kind} of {len(fork.branches)} branches: "
            + " | ".join(map(sequence_words, fork.branches))
        )
    residual, shortcut = _branch(fork, RESIDUAL), _branch(fork, SHORTCUT)
    gates = [node for node in residual if isinstance(node, Fork)]
    block = None
    if not gates or (len(gates) == 1 and gates[0].is_gate):
        block = _block([node for node in residual if isinstance(node, op.Conv)])
    if block is None or any(isinstance(each, op.Pool) for each in residual):
        raise Unlike(
            f"the residual of a unit is not a block of this design space ({', '.join(BLOCKS)}): "
            f"{sequence_words(residual)}"
        )
    last = residual[-1]
    norms = [node for node in residual if isinstance(node, op.BatchNorm)]
    middle = next((node.filters for gate in gates for node in _branch(gate, GATE) if isinstance(node, op.Conv)), None)
    return UnitFacts(
        index,
        index,
        block,
        _shortcut(shortcut),
        skip,
        last.rate if isinstance(last, op.Dropout) and last.per_image else 0.0,
        bool(norms) and norms[-1].gamma_start == 0.0,
        middle,
        isinstance(residual[0], (*ACTIVATIONS, op.BatchNorm)),
    )


def _branch(fork: Fork, part: str) -> Sequence:
    """The branch that is `part` of a fork that has it."""
    return fork.branches[fork.parts.index(part)]


def _shortcut(nodes: Sequence) -> Sequence:
    """The operations that change the shape of a shortcut."""
    if any(isinstance(node, Fork) for node in nodes):
        raise Unlike(f"a shortcut branches: {sequence_words(nodes)}")
    convs = [node for node in nodes if isinstance(node, op.Conv)]
    if len(convs) > 1 or any(conv.kernel != (1, 1) for conv in convs):
        raise Unlike(f"a shortcut has more than a 1x1 convolution: {sequence_words(nodes)}")
    return tuple(node for node in nodes if not isinstance(node, Fork) and changes_shape(type(node)))


def _square(node: op.Conv | op.Pool) -> int:
    if len(set(node.kernel)) > 1:
        raise Unlike(f"its stem has a window that is not square: {node.words}")
    return node.kernel[0]
