"""Proof that an integer artefact computes what the network's integer form does: constants, operations, answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from reskeras.export.integer_files import OF_KEPT, IntegerFile, Range, taken_apart
from reskeras.export.integers import Integers
from reskeras.export.proof import IntegerProof, Operation
from reskeras.export.runtimes import integer_instructions
from reskeras.graph.integer_rounding import Arithmetic, Rounded
from reskeras.graph.layers.quantisation import BITS, kernel_step, whole_kernel
from reskeras.plans import operations as op
from reskeras.plans.integers import Negate
from reskeras.plans.nodes import placed_ops
from reskeras.plans.plan import Plan

MOST_IMAGES, MOST_BYTES = 16, 2**29  # that all results of the operations are looked at for
LIKE = 1e-5  # relative difference of steps that are the same number
Exact = Callable[[Arithmetic], Rounded]


def prove_integers(
    path: Path, integers: Integers, images: np.ndarray, logits: np.ndarray, bits: int, exact: Exact, precision: str = ""
) -> IntegerProof:
    """Compare the artefact at `path`, whose answers for raw `images`, computed in `precision`, are `logits`, with
    `integers`, whose own answers are `exact`, given the runtime's arithmetic. Raises Crash as `answers_aside` does."""
    few = images[: int(np.clip(MOST_BYTES // max(_size(integers.plan), 1), 1, MOST_IMAGES))]
    file = taken_apart(path, few, precision)
    unrounded = frozenset(
        node.name
        for node in integers.plan.ops()
        if isinstance(node, op.Quantise) and any(_alike(integers.range(node), each) for each in file.unrounded)
    )
    answers = exact(replace(file.arithmetic, unrounded=unrounded))
    expected, step = answers.values, answers.step
    found = np.rint(np.where(np.isfinite(logits), logits, np.inf) / step) if step else logits
    apart = np.abs(found - expected)
    return IntegerProof(
        bits,
        equal=float((apart == 0).mean()),
        steps=float(apart.max()),
        top=float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        floats=tuple(dict.fromkeys(_floats(file, integers))),
        changed=tuple(_changed(file, integers)),
        worst=min(_operations(file, integers, few), key=lambda each: (-each.steps, each.equal)),
        instructions=tuple(integer_instructions()),
    )


def _floats(file: IntegerFile, integers: Integers) -> Iterable[str]:
    """The operations that compute in float32 beyond those of layers that are kept in it."""
    kept = sum(isinstance(node, Negate) for node in integers.plan.ops())
    found: Counter[str] = Counter()
    for name in file.floats:
        found[name] += 1
        if name not in OF_KEPT or found[name] > kept:
            yield name


def _size(plan: Plan) -> int:
    """The bytes of all that is rounded for one image."""
    before = (plan.input_shape, *plan.unit_shapes())
    placed = (each for unit, shape in zip(plan.units, before, strict=False) for each in placed_ops(unit.nodes, shape))
    return sum(prod(shape) for node, shape in placed if isinstance(node, op.Quantise))


def _alike(one: Range, other: Range) -> bool:
    """Whether two ranges are the same; runtimes keep a step in float32."""
    return one[1] == other[1] and abs(one[0] - other[0]) <= LIKE * one[0]


def _changed(file: IntegerFile, integers: Integers) -> Iterable[str]:
    """The convolutions whose integers are not in the file."""
    for node, step in integers.convolutions:
        kernel, bias = (integers.weights[f"{node.name}/{role}"] for role in ("kernel", "bias"))
        bits = node.weight_bits or BITS
        own, whole = kernel_step(kernel, bits), whole_kernel(kernel, bits).transpose(3, 0, 1, 2)
        added = np.rint(bias / (np.float64(step) * own))
        if not any(
            each.kernel.shape == whole.shape
            and np.array_equal(each.kernel, whole)
            and np.array_equal(each.bias, added)
            and np.allclose(each.steps, own, rtol=LIKE)
            for each in file.convolutions
        ):
            yield node.name


def _operations(file: IntegerFile, integers: Integers, images: np.ndarray) -> list[Operation]:
    """Each rounded tensor of the integer form, computed of what the file computed before it."""
    found: list[Operation] = []

    def watch(node: op.Quantise, made: Rounded) -> Rounded:
        alike = [
            each.values.reshape(made.values.shape)
            for each in file.results
            if _alike((float(made.step), made.zero), each.range) and each.values.size == made.values.size
        ]
        name = node.name.removesuffix("_range")
        if not alike:
            found.append(Operation(name, 0.0, float("inf")))
            return made
        best = max(alike, key=lambda values: float((values == made.values).mean()))
        apart = np.abs(best - made.values)
        found.append(Operation(name, float((apart == 0).mean()), float(apart.max())))
        return Rounded(best.astype(np.float32), made.step, made.zero)

    integers.logits(images, watch, file.arithmetic)  # all that is told is rounded
    return found
