"""What a training step computes, moves, keeps and communicates, counted from the plan."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from reskeras.plans.complexity import BYTES
from reskeras.plans.nodes import Fork, fold
from reskeras.plans.operation import Op, Shape
from reskeras.plans.operations import Conv
from reskeras.plans.plan import Plan
from reskeras.recipes.recipe import FLOAT, Recipe

SYNCHRONISED = 2  # reductions of a batch norm by sync_bn: of sums, sums of squares and the count, and their gradients
LOGGED = 4  # numbers that Keras reduces one by one over machines for its logs: loss and accuracy, sums and counts


@dataclass(frozen=True)
class StepWork:
    """What a step does for one image, and once for each accelerator.

    multiply_adds: of an image, forward and backward. moved: numbers of an image that are read or written, if each
    convolution, dense layer and batch norm is a kernel of its own, and everything else is fused into these at no cost.
    """

    multiply_adds: int
    moved: int


class _Tensor(NamedTuple):
    """A tensor of one image: its shape, how many of its numbers are in memory, which padding is not, and whether a
    gradient flows to it."""

    shape: Shape
    size: int
    differentiated: bool


def step_work(plan: Plan) -> StepWork:
    """The work of a step of a training of all weights.

    A convolution or dense layer is one product forward, and two backward: the gradients of its weights and of its
    input, which the first layer does without. Each product reads two of input, output and weights, and writes the
    third; weights are not counted as moved, nor what a stride passes over. Batch norm reads its input and writes its
    output forward; backward it reads the input and the gradient, and writes a gradient.
    """
    multiply_adds = moved = 0

    def through(op: Op, tensor: _Tensor) -> _Tensor:
        nonlocal multiply_adds, moved
        output = op.output_shape(tensor.shape)
        size, forward = prod(output), op.multiply_adds(tensor.shape, output)
        if forward:
            products = 3 if tensor.differentiated else 2
            multiply_adds += products * forward
            moved += products * (_read(op, tensor, output) + size)
        elif op.learned:
            moved += 3 * tensor.size + 2 * size
        else:
            size = min(size, tensor.size)
        return _Tensor(output, size, tensor.differentiated or bool(op.learned))

    def join(fork: Fork, ends: list[_Tensor]) -> _Tensor:
        merged = fork.merged_shape([end.shape for end in ends])
        size = min(prod(merged), sum(end.size for end in ends))
        return _Tensor(merged, size, any(end.differentiated for end in ends))

    tensor = _Tensor(plan.input_shape, prod(plan.input_shape), False)
    for unit in plan.units:
        tensor = fold(unit.nodes, tensor, through, join)
    return StepWork(multiply_adds, moved)


def _read(op: Op, tensor: _Tensor, output: Shape) -> int:
    """Numbers of its input that a product uses: of a strided 1x1 convolution not all."""
    if not isinstance(op, Conv):
        return tensor.size
    return min(tensor.size, prod(output[:-1]) * prod(op.kernel) * tensor.shape[-1])


def moved_bytes(plan: Plan, recipe: Recipe, images: int, precision: str) -> int:
    """Bytes that a step on `images` images reads and writes at least: `StepWork.moved`, and in float32 once weights and
    what the optimiser keeps for them, or the sums of gradients where these are accumulated."""
    updated = plan.complexity().parameters * (1 + recipe.slots if recipe.accumulate == 1 else 1)
    return step_work(plan).moved * images * BYTES[precision] + 2 * FLOAT * updated


@dataclass(frozen=True)
class Collectives:
    """The reductions of a step over all accelerators: `vectors` of many numbers, `scalars` of one number each, and
    bytes."""

    vectors: int
    scalars: int
    bytes: int


def collectives(plan: Plan, recipe: Recipe, replicas: int, machines: int) -> Collectives:
    """The reductions of a step of a classifier: all gradients in one, and all batch-norm statistics in another."""
    if replicas == 1:
        return Collectives(0, 0, 0)
    total, norms = plan.complexity().total, sum("moving_mean" in op.held for op in plan.ops())
    statistics = SYNCHRONISED * norms if recipe.sync_bn else int(norms > 0)
    numbers = SYNCHRONISED * (total.statistics + norms) if recipe.sync_bn else total.statistics
    return Collectives(1 + statistics, LOGGED if machines > 1 else 0, FLOAT * (total.parameters + numbers))
