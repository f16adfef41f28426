"""Receptive fields: which pixels of the input each position of a feature map depends on."""

from __future__ import annotations

from dataclasses import dataclass

from reskeras.plans.nodes import Fork, fold
from reskeras.plans.operation import Op, Shape
from reskeras.plans.plan import Plan
from reskeras.plans.windows import Window


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """Along one axis: position i depends on the pixels from `first` to `last`, both + i * `stride`, of which those
    outside of the input are padding."""

    first: int = 0
    last: int = 0
    stride: int = 1

    @property
    def middle(self) -> float:
        """The middle of position 0's pixels; pixel 0 covers 0 to 1."""
        return (self.first + self.last + 1) / 2

    def through(self, window: Window) -> ReceptiveField:
        """That of positions with such windows on positions with this one."""
        first = self.first - window.before * self.stride
        last = self.last + (window.length - 1 - window.before) * self.stride
        return ReceptiveField(first, last, self.stride * window.stride)

    def __or__(self, other: ReceptiveField) -> ReceptiveField:
        """That of a position which depends on both."""
        return ReceptiveField(min(self.first, other.first), max(self.last, other.last), max(self.stride, other.stride))


Fields = tuple[ReceptiveField, ReceptiveField]  # down and across


def receptive_field(plan: Plan) -> Fields | None:
    """The receptive field of the positions of a plan's output, down and across; None where it has no positions.

    Branches are united. Gates that are pooled over the whole input (squeeze-and-excitation) do not count. Where
    windows pad as TensorFlow's `same` does, it depends on the size of the input.
    """
    value: tuple[Shape, Fields | None] = plan.input_shape, (ReceptiveField(), ReceptiveField())
    for unit in plan.units:
        value = fold(unit.nodes, value, _through, _joined)
    return value[1]


def _through(node: Op, before: tuple[Shape, Fields | None]) -> tuple[Shape, Fields | None]:
    shape, fields = before
    seen = node.sees(shape)
    after = None if fields is None or seen is None else (fields[0].through(seen[0]), fields[1].through(seen[1]))
    return node.output_shape(shape), after


def _joined(fork: Fork, values: list[tuple[Shape, Fields | None]]) -> tuple[Shape, Fields | None]:
    shapes, fields = zip(*values, strict=True)
    united: Fields | None = None
    for each in filter(None, fields):
        united = each if united is None else (united[0] | each[0], united[1] | each[1])
    return fork.merged_shape(list(shapes)), united
