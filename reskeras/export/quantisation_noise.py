"""Quantisation noise by layer, from TensorFlow's quantisation debugger; and layers kept in float32."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import re
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from reskeras.engine import stderr_aside
from reskeras.errors import ReskerasError, unknown
from reskeras.export.inference import Inference
from reskeras.export.lite import LITE_KINDS, converter_of

DEBUGGED = ("int8", "int8-io")  # what the debugger supports
IMAGES = 50
LAST = "logits"
SCOPE = re.compile(r"inference(?:_\d+)?/(?P<layer>\w+)/")


@dataclass(frozen=True)
class LayerNoise:
    """A layer's output in a quantised network: its signal to quantisation noise ratio in `decibels`, higher is better.

    `error` is the root mean squared error, `step` the quantisation step (scale).
    """

    layer: str
    operation: str
    decibels: float
    error: float
    step: float
    tensor: str


def explain(inference: Inference, saved: Path, kind: str, images: np.ndarray) -> list[LayerNoise]:
    """The noise of every layer over raw `images`, noisiest first."""
    rows = _statistics(_debugger(saved, kind, images))
    known = _layers(inference.model)
    named = [(row, layers[0]) for row in rows if (layers := _layers_of_row(row, known))]
    power = _power(inference, {layer for _, layer in named}, images)
    found = []
    for row, layer in named:
        noise = float(row["mean_squared_error"])
        decibels = 10 * math.log10(power[layer] / noise) if noise > 0 and power.get(layer) else math.inf
        found.append(
            LayerNoise(layer, row["op_name"], decibels, math.sqrt(noise), float(row["scale"]), row["tensor_name"])
        )
    return sorted(found, key=lambda each: each.decibels)


def keeping_float(inference: Inference, saved: Path, kind: str, images: np.ndarray, layers: Sequence[str]) -> bytes:
    """A `.tflite` of `kind` in which `layers` compute in float32; ReskerasError (status 2) for unknown ones."""
    known = _layers(inference.model)
    by_layer: dict[str, list[str]] = {}
    for row in _statistics(_debugger(saved, kind, images)):
        for layer in _layers_of_row(row, known):
            by_layer.setdefault(layer, []).append(row["tensor_name"])
    for layer in layers:
        if layer not in by_layer:
            raise unknown("keep-float", layer, by_layer)
    kept = sorted({tensor for layer in layers for tensor in by_layer[layer]})
    with _quietly():
        return _debugger(saved, kind, images, kept).get_nondebug_quantized_model()


def check_debugged(kind: str) -> None:
    """ReskerasError (status 2) for a kind that the debugger does not support."""
    if kind not in DEBUGGED:
        raise ReskerasError(
            f"explain, keep-float: {kind} is not one of {', '.join(DEBUGGED)}, the kinds that "
            "TensorFlow's quantisation debugger supports"
        )


def _debugger(
    saved: Path, kind: str, images: np.ndarray, kept: Sequence[str] = ()
) -> tf.lite.experimental.QuantizationDebugger:
    check_debugged(kind)
    few = images[:IMAGES]
    with _quietly():
        return tf.lite.experimental.QuantizationDebugger(
            converter=converter_of(saved, LITE_KINDS[kind], images),
            debug_dataset=lambda: ([image[np.newaxis].astype(np.float32)] for image in few),
            debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=list(kept) or None),
        )


def _statistics(debugger: tf.lite.experimental.QuantizationDebugger) -> list[dict[str, str]]:
    held = io.StringIO()
    with _quietly():
        debugger.run()
        debugger.layer_statistics_dump(held)
    return list(csv.DictReader(io.StringIO(held.getvalue())))


def layers_of(tensor: str, known: Collection[str]) -> list[str]:
    """Canonical names of the layers in a tensor's name, where Keras has numbered them: `.../stage1_unit1_conv1_1/...`.

    Of layers fused into one operation, the last one in the graph comes first.
    """
    found = []
    for match in SCOPE.finditer(tensor):
        name = match["layer"]
        for candidate in (re.sub(r"_\d+$", "", name), name):
            if candidate in known and candidate not in found:
                found.append(candidate)
                break
    return found


def _layers_of_row(row: Mapping[str, str], known: Collection[str]) -> list[str]:
    """As `layers_of`; the tensor of the last dense layer is named after the signature's output."""
    return layers_of(row["tensor_name"], known) or [LAST] * (row["op_name"] == "FULLY_CONNECTED" and LAST in known)


def _layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    found: dict[str, keras.layers.Layer] = {}
    for layer in model.layers:
        found |= _layers(layer) if isinstance(layer, keras.Model) else {layer.name: layer}
    return found


def _power(inference: Inference, layers: set[str], images: np.ndarray) -> dict[str, float]:
    """Mean square of each layer's float32 output; of nested models, only of the outermost one's layers."""
    outer = {layer.name: layer for layer in inference.model.layers}
    asked = sorted(layers & outer.keys())
    tapped = keras.Model(inference.model.inputs, [outer[name].output for name in asked])
    answers = tapped(inference.preprocessing.normalise(images[:IMAGES]), training=False)
    return {name: float(np.mean(np.square(answer))) for name, answer in zip(asked, answers, strict=True)}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with stderr_aside(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the debugger uses an interpreter that TensorFlow calls deprecated
        yield
