"""LiteRT (`.tflite`) models of six kinds, converted by TensorFlow's converter and run by ai-edge-litert."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from reskeras.engine import stderr_aside
from reskeras.errors import ReskerasError, failure
from reskeras.evaluation.difference import TOLERANCE
from reskeras.export.lite_metadata import LiteTensor, tensors_of, with_metadata
from reskeras.export.proof import DIFFERENCE, DISAGREEMENT
from reskeras.export.serving import Servable, write_saved_model
from reskeras.files import scratch, write_bytes, write_json

LAYER = re.compile(r'"inference(?:_\d+)?/(?P<layer>\w+?)(?:_\d+)?/')  # Keras numbers repeated calls
OPERATION = re.compile(r"'?(?P<name>tf\.\w+)'? op")
Ops = tf.lite.OpsSet
LITE = "tflite"


@dataclass(frozen=True)
class LiteKind:
    """How one kind of `.tflite` is converted, and the `measure` and `tolerance` that it is verified by.

    weights: their stored type. activations: the type of activations; where it is not float32, their ranges are
    calibrated on images. io: the type of pixels and logits.
    """

    tolerance: float
    measure: str = DISAGREEMENT
    weights: str = "float32"
    activations: str = "float32"
    io: str = "float32"

    @property
    def measured(self) -> bool:
        """Whether it needs representative images for calibration."""
        return self.activations != "float32"


@dataclass(frozen=True)
class Usage:
    """How a program uses a `.tflite`: `sizing` brings an image to its size, `inside` is what the model then computes;
    `answer` explains its outputs where their names do not."""

    sizing: str
    channels: int
    inside: Sequence[str]
    classes: Sequence[str]
    answer: str = ""


LITE_KINDS = {
    "float32": LiteKind(TOLERANCE, DIFFERENCE),
    "float16": LiteKind(1e-2, DIFFERENCE, weights="float16"),
    "dynamic": LiteKind(0.02, weights="int8"),
    "int8": LiteKind(0.05, weights="int8", activations="int8"),
    "int8-io": LiteKind(0.05, weights="int8", activations="int8", io="int8"),
    "int16x8": LiteKind(0.02, weights="int8", activations="int16"),
}


def converter_of(saved: Path, kind: LiteKind, images: np.ndarray | None) -> tf.lite.TFLiteConverter:
    """The converter of a SavedModel to `kind`, restricted to builtin ops; `images` are raw representative images.

    It converts a SavedModel. From a concrete function with its model beside it, as the converter's documentation has
    it, uninitialised variables stay in the file, and the interpreter returns NaN (TensorFlow 2.21).
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [Ops.TFLITE_BUILTINS]
    if kind.weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind.weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind.measured:
        converter.target_spec.supported_ops = [
            Ops.TFLITE_BUILTINS_INT8
            if kind.activations == "int8"
            else Ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ]
        converter.representative_dataset = lambda: _one_by_one(() if images is None else images)
    if kind.io == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter


def _one_by_one(images: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for image in images:
        yield {"images": image[np.newaxis].astype(np.float32)}


def lite_kind(kind: str) -> str:
    """`int8` of `tflite-int8`; `float32` of `tflite`."""
    return kind.removeprefix(LITE).removeprefix("-") or "float32"


def write_lite_model(
    inference: Servable,
    path: Path,
    kind: str = "float32",
    images: np.ndarray | None = None,
    convert: Callable[[Path, LiteKind, np.ndarray | None], bytes] = lambda saved, kind, images: converter_of(
        saved, kind, images
    ).convert(),
    what: str = "Image classifier",
) -> Path:
    """Write `path`, a `.tflite` of `kind` with builtin ops only.

    `inference` takes float32 pixels; the file's metadata say `what` it is. Raises ReskerasError: status 1, naming the
    layer, when an operation has no builtin; status 2 when a kind needs images and there are none.
    """
    how = LITE_KINDS[kind]
    if how.measured and (images is None or not len(images)):
        raise ReskerasError(f"export: tflite: {kind} is calibrated on representative images, but there are none")
    with scratch() as folder:
        saved = write_saved_model(inference, folder, batches=(), signatures=["serving_default"])
        try:
            with stderr_aside():
                content = convert(saved, how, images)
        except ConverterError as error:
            raise failure(f"export: tflite: {_cause(str(error))}") from error
    write_bytes(path, with_metadata(content, path.stem, f"{what}, {kind}; made by reskeras.", inference.classes))
    return path


def _cause(message: str) -> str:
    """The operation without a builtin and its layer, or else the converter's message."""
    operation, layer = OPERATION.search(message), LAYER.search(message)
    if operation:
        where = f"layer {layer['layer']}" if layer else "an operation around the network"
        return (
            f"{where} needs {operation['name']}, which is not a LiteRT builtin operation; an interpreter on a "
            "phone would reject the file"
        )
    return f"the converter failed: {message.splitlines()[0][:200]}"


def describe(kind: str, file: Path, path: Path, usage: Usage) -> None:
    """Write to `path`, as JSON, how a program uses the `.tflite` at `file`: its inputs, outputs and classes."""
    given, told = tensors_of(file.read_bytes())
    [pixels] = given
    colours = "RGB" if usage.channels == 3 else "grey"
    steps = ["rotate the image as its EXIF tag says", usage.sizing, f"give pixels as {colours}, 0 to 255"]
    if pixels.scale is not None:
        steps.append(f"as {pixels.type}, clipped: round(pixel / {pixels.scale:.9g}) {pixels.zero_point:+d}")
    answer = f" {usage.answer}" if usage.answer else ""
    write_json(
        path,
        {
            "kind": kind,
            "signature": "serving_default",
            "use": f"{'; '.join(steps)}. Do not normalise: the model does.{answer}",
            "input": {**_facts(pixels), "range": [0, 255], "channels": colours},
            "inside": list(usage.inside),
            "outputs": [{"index": index, **_facts(tensor)} for index, tensor in enumerate(told)],
            "classes": list(usage.classes),
        },
        indent=1,
    )


def _facts(tensor: LiteTensor) -> dict[str, Any]:
    quantised = {"scale": tensor.scale, "zero_point": tensor.zero_point, "real": "(value - zero_point) * scale"}
    return {
        "name": tensor.name,
        "shape": ["batch", *tensor.shape[1:]],
        "type": tensor.type,
        "quantisation": None if tensor.scale is None else quantised,
    }
