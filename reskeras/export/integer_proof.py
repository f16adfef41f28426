"""Proof that an integer `.tflite` computes what the network's integer form does: constants, operations, answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path

import numpy as np

from reskeras.export.aside import answers_aside
from reskeras.export.integers import Integers
from reskeras.export.lite_graph import CONVOLUTIONS, LiteGraph
from reskeras.export.proof import IntegerProof, Operation
from reskeras.export.usage import IMAGES
from reskeras.files import scratch, write_bytes
from reskeras.graph.integer_arithmetic import Rounded
from reskeras.graph.layers.quantisation import BITS, kernel_step, whole_kernel
from reskeras.plans import operations as op
from reskeras.plans.integers import Negate

MOST_IMAGES, MOST_BYTES = 16, 2**29  # that all results of the operations are looked at for
CHUNK = 50
LIKE = 1e-5  # relative difference of steps that are the same number
AT_THE_ENDS = {"QUANTIZE", "DEQUANTIZE"}  # operations between integers and the pixels and answers
OF_KEPT = {*CONVOLUTIONS, "NEG", "RELU"}  # those that a layer kept in float32 consists of


def prove_integers(path: Path, integers: Integers, images: np.ndarray, logits: np.ndarray, bits: int) -> IntegerProof:
    """Compare the `.tflite` at `path`, whose answers for raw `images` are `logits`, with `integers`. Raises Crash as
    `answers_aside` does."""
    exact = [integers.logits(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)]
    expected, step = np.concatenate([each.values for each in exact]), exact[0].step
    found = np.rint(np.where(np.isfinite(logits), logits, np.inf) / step) if step else logits
    apart = np.abs(found - expected)
    graph = LiteGraph.of(path.read_bytes())
    return IntegerProof(
        bits,
        equal=float((apart == 0).mean()),
        steps=float(apart.max()),
        top=float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        floats=tuple(dict.fromkeys(_floats(graph, integers))),
        changed=tuple(_changed(graph, integers)),
        worst=min(_operations(graph, integers, images), key=lambda each: (-each.steps, each.equal)),
    )


def _floats(graph: LiteGraph, integers: Integers) -> Iterable[str]:
    """The operations that compute in float32 beyond those of layers that are kept in it."""
    kept = sum(isinstance(node, Negate) for node in integers.plan.ops())
    found: Counter[str] = Counter()
    for name, each in graph.operations:
        kinds = {graph.type_of(place) for place in each.outputs}
        if "float32" in kinds and name not in AT_THE_ENDS:
            found[name] += 1
            if name not in OF_KEPT or found[name] > kept:
                yield name


def _changed(graph: LiteGraph, integers: Integers) -> Iterable[str]:
    """The convolutions whose integers are not in the file."""
    stored = []
    for name, each in graph.operations:
        if name in CONVOLUTIONS and graph.type_of(each.inputs[1]) in ("int8", "int4"):
            place = int(each.inputs[2]) if len(each.inputs) > 2 else -1
            weights = graph.constant(int(each.inputs[1]))
            steps = np.asarray(graph.tensors[each.inputs[1]].quantization.scale)
            stored.append((weights, np.zeros(len(steps), np.int32) if place < 0 else graph.constant(place), steps))
    for node, step in integers.convolutions:
        kernel, bias = (integers.weights[f"{node.name}/{role}"] for role in ("kernel", "bias"))
        own, bits = kernel_step(kernel, node.weight_bits or BITS), node.weight_bits or BITS
        depthwise = 1 < node.groups == node.filters
        whole = whole_kernel(kernel, bits).transpose(*((2, 0, 1, 3) if depthwise else (3, 0, 1, 2)))
        added = np.rint(bias / (np.float64(step) * own))
        if not any(
            each.shape == whole.shape
            and np.array_equal(each, whole)
            and np.array_equal(more, added)
            and np.allclose(steps, own, rtol=LIKE)
            for each, more, steps in stored
        ):
            yield node.name


def _operations(graph: LiteGraph, integers: Integers, images: np.ndarray) -> list[Operation]:
    """Each rounded tensor of the integer form, computed of what the file computed before it."""
    places = graph.results("int8")
    size = sum(prod(abs(int(side)) for side in graph.tensors[place].shape) for place in places)
    few = images[: int(np.clip(MOST_BYTES // max(size, 1), 1, MOST_IMAGES))]
    with scratch() as folder:
        whole = folder / "operations.tflite"
        write_bytes(whole, graph.telling(places))
        answers = answers_aside(whole, {IMAGES: few}, chunk=len(few)).values
    told = []
    for place in places:
        scale, zero = graph.range_of(place)
        told.append((scale, zero, np.rint(answers[str(place)] / scale)))
    for place in graph.inputs:
        if graph.type_of(place) == "int8":
            scale, zero = graph.range_of(place)
            told.append((scale, zero, np.rint(few / scale)))
    found: list[Operation] = []

    def watch(node: op.Quantise, made: Rounded) -> Rounded:
        alike = [
            values.reshape(made.values.shape)
            for scale, zero, values in told
            if zero == made.zero and abs(scale - made.step) <= LIKE * made.step and values.size == made.values.size
        ]
        name = node.name.removesuffix("_range")
        if not alike:
            found.append(Operation(name, 0.0, float("inf")))
            return made
        best = max(alike, key=lambda values: float((values == made.values).mean()))
        apart = np.abs(best - made.values)
        found.append(Operation(name, float((apart == 0).mean()), float(apart.max())))
        return Rounded(best.astype(np.float32), made.step, made.zero)

    integers.logits(few, watch)
    return found
