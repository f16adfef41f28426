"""Integer artefacts taken apart: the constants in the file, what its runtime computes in real numbers, and the results
of its operations."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reskeras.export import executed
from reskeras.export.aside import answers_aside, run_aside
from reskeras.export.lite_graph import CONVOLUTIONS, LiteGraph
from reskeras.export.runtimes import name_of
from reskeras.export.usage import IMAGES
from reskeras.files import scratch, write_bytes
from reskeras.graph.integer_rounding import LITE, Arithmetic

LOOKED_AT_WITHIN = 1200.0  # seconds
# operations of LiteRT between integers and the pixels and answers, and one that moves values as they are
AT_THE_ENDS = {"QUANTIZE", "DEQUANTIZE", "RESHAPE"}
OF_KEPT = {*CONVOLUTIONS, "NEG", "RELU", "Conv", "FusedConv", "Neg", "Relu", "Convolution", "Eltwise"}
"""Those that a layer kept in float32 consists of, by the names of all runtimes."""
ARITHMETIC = {".onnx": Arithmetic(floats=True), ".xml": Arithmetic(floats=True, zero_first=True)}
Range = tuple[float, int]  # the step, and the int8 that stands for zero


@dataclass(frozen=True)
class Stored:
    """The integers of a convolution: its kernel (filters, rows, columns, inputs), bias, and the kernel's steps."""

    kernel: np.ndarray
    bias: np.ndarray
    steps: np.ndarray


@dataclass(frozen=True)
class Told:
    """A rounded tensor for some images: whole `values`, without a zero point, in steps of its range."""

    range: Range
    values: np.ndarray


@dataclass(frozen=True)
class IntegerFile:
    """What an integer artefact computes, and some results; `floats` are operations in real numbers, `unrounded` the
    ranges that its runtime only clips to, because it computes what follows in the same operation; `arithmetic` is
    the runtime's, but for those."""

    convolutions: Sequence[Stored]
    floats: Sequence[str]
    results: Sequence[Told]
    unrounded: frozenset[Range] = frozenset()
    arithmetic: Arithmetic = LITE


def taken_apart(path: Path, images: np.ndarray, precision: str) -> IntegerFile:
    """The artefact at `path`, computed in `precision`, with its results for raw `images`. Raises Crash as
    `answers_aside` does."""
    return READERS[path.suffix](path, images, precision)


def _of_lite(path: Path, images: np.ndarray, precision: str) -> IntegerFile:
    graph = LiteGraph.of(path.read_bytes())
    floats = [
        name
        for name, each in graph.operations
        if name not in AT_THE_ENDS and any(graph.type_of(place) == "float32" for place in each.outputs)
    ]
    places = graph.results("int8")
    with scratch() as folder:
        whole = folder / "operations.tflite"
        write_bytes(whole, graph.telling(places))
        answers = answers_aside(whole, {IMAGES: images}, chunk=len(images)).values
    told = [(graph.range_of(place), answers[str(place)]) for place in places]
    told += [(graph.range_of(place), images) for place in graph.inputs if graph.type_of(place) == "int8"]
    results = [Told((float(step), zero), np.rint(values / step)) for (step, zero), values in told]
    return IntegerFile(list(_convolutions_of(graph)), floats, results)


def _convolutions_of(graph: LiteGraph) -> Iterable[Stored]:
    for name, each in graph.operations:
        if name in CONVOLUTIONS and graph.type_of(each.inputs[1]) in ("int8", "int4"):
            place = int(each.inputs[2]) if len(each.inputs) > 2 else -1
            kernel = graph.constant(int(each.inputs[1]))
            steps = np.asarray(graph.tensors[each.inputs[1]].quantization.scale)
            yield Stored(
                kernel if name == "CONV_2D" else kernel.transpose(3, 1, 2, 0),
                np.zeros(len(steps), np.int32) if place < 0 else graph.constant(place),
                steps,
            )


def _seen_aside(path: Path, images: np.ndarray, precision: str) -> IntegerFile:
    """By the runtime itself, in a process of its own."""
    with scratch() as folder:
        telling = folder / f"operations{path.suffix}"
        said = run_aside(executed.__file__, [path, telling, precision], name_of(path), LOOKED_AT_WITHIN)
        with np.load(io.BytesIO(said), allow_pickle=False) as found:
            seen = dict(found)
        answers = answers_aside(telling, {IMAGES: images}, precision, len(images)).values
    convolutions = [
        Stored(seen[f"{number}/kernel"].transpose(0, 2, 3, 1), seen[f"{number}/bias"], seen[f"{number}/steps"])
        for number in range(sum(name.endswith("/kernel") for name in seen))
    ]
    results = [Told((1.0, executed.LOWEST), images.astype(np.float32))]  # pixels that the file takes as integers
    for name, (step, zero, least, unit) in zip(seen["results"], seen["ranges"], strict=True):
        values = np.rint((answers[str(name)].astype(np.float32) - least) / unit) + executed.LOWEST - zero
        # channels come first in most tensors, last in what was not transposed yet
        for each in (values, values.transpose(0, 2, 3, 1)) if values.ndim == 4 else (values,):
            results.append(Told((step, int(zero)), each))
    unrounded = frozenset((float(step), int(zero)) for step, zero in seen["unrounded"])
    return IntegerFile(
        convolutions, [str(name) for name in seen["floats"]], results, unrounded, ARITHMETIC[path.suffix]
    )


READERS: dict[str, Callable[[Path, np.ndarray, str], IntegerFile]] = {
    ".tflite": _of_lite,
    ".onnx": _seen_aside,
    ".xml": _seen_aside,
}
