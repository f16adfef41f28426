"""Where a `.tflite` goes wrong in float16: its operations one by one, in float16 and in float32."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

import numpy as np

from reskeras.export.aside import Crash, answers_aside
from reskeras.export.lite_graph import LiteGraph
from reskeras.export.runtimes import HalfLiteModel
from reskeras.files import scratch, write_bytes

MOST_IMAGES, MOST_BYTES = 8, 2**29  # that all results of the operations are looked at for
ROUNDING = 2.0**-11  # of float16, relative


def layer_at_fault(path: Path, inputs: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray]) -> str:
    """The layer, or the output, of the `.tflite` at `path` whose result in float16 is the first that is not finite, or
    else the one that adds most to the error; "" where its operations cannot be looked at. `answers` are those in
    float16 for `inputs`."""
    graph = LiteGraph.of(path.read_bytes())
    results = graph.results("float32")
    size = 4 * sum(abs(prod(map(int, graph.tensors[place].shape))) for place in results)
    count = int(np.clip(MOST_BYTES // max(size, 1), 1, MOST_IMAGES))
    few = {name: values[_worst(answers)[:count]] for name, values in inputs.items()}
    told = graph.outputs
    with scratch() as folder:
        whole = folder / "operations.tflite"
        write_bytes(whole, graph.telling(results))
        try:
            exact = answers_aside(whole, few, chunk=count).values
            half = answers_aside(whole, few, HalfLiteModel.precision, count).values
        except Crash:
            return ""
    errors = {place: _error(half[str(place)], exact[str(place)]) for place in results}
    broken = [place for place in results if not np.isfinite(errors[place])]
    place = broken[0] if broken else max(_growth(graph, errors), key=lambda each: each[1])[0]
    return told.get(place) or layer_of(graph.tensors[place].name.decode())


def layer_of(tensor: str) -> str:
    """The layer in the name of a tensor such as `inference_1/stem_relu_1/Relu;inference_1/stem_conv_1/BiasAdd`, without
    Keras' number; of layers fused into one operation the last. A name without a layer is returned as it is."""
    *scopes, _ = tensor.partition(";")[0].split("/")
    return re.sub(r"_\d+$", "", scopes[-1]) if scopes else tensor


def _worst(answers: Mapping[str, np.ndarray]) -> np.ndarray:
    """The images in an order that begins with those whose answers are not finite."""
    sound = [np.isfinite(values.reshape(len(values), -1)).all(axis=1) for values in answers.values()]
    return np.argsort(np.all(sound, axis=0), kind="stable")


def _error(half: np.ndarray, exact: np.ndarray) -> float:
    """The relative error in float16, infinite where it alone is not finite."""
    if not np.isfinite(half).all():
        return float("inf") if np.isfinite(exact).all() else 0.0
    return float(np.sqrt(np.mean((half - exact) ** 2)) / max(float(np.sqrt(np.mean(exact**2))), 1e-30))


def _growth(graph: LiteGraph, errors: Mapping[int, float]) -> Iterator[tuple[int, float]]:
    """Each operation's result, and by what factor its error exceeds that of what it takes."""
    for _, operation in graph.operations:
        before = max((errors.get(place, 0.0) for place in operation.inputs), default=0.0)
        for place in operation.outputs:
            if place in errors:
                yield place, errors[place] / max(before, ROUNDING)
