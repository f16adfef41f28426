"""LiteRT (`.tflite`) models of seven kinds, converted by TensorFlow's converter and run by ai-edge-litert."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from reskeras.engine import stderr_aside
from reskeras.errors import FAILED, ReskerasError
from reskeras.evaluation.difference import TOLERANCE
from reskeras.export.lite_metadata import with_metadata
from reskeras.export.proof import DIFFERENCE, DISAGREEMENT
from reskeras.export.serving import Convertible, save
from reskeras.export.usage import signature_of
from reskeras.files import scratch, write_bytes

LAYER = re.compile(r'"inference(?:_\d+)?/(?P<layer>\w+?)(?:_\d+)?/')  # Keras numbers repeated calls
OPERATION = re.compile(r"'?(?P<name>tf\.\w+)'? op")
Ops = tf.lite.OpsSet
LITE = "tflite"


class NotConverted(ReskerasError):
    """A network that TensorFlow's converter makes no `.tflite` of, for the reason `why`."""

    def __init__(self, why: str):
        super().__init__(f"export: tflite: {why}", FAILED)
        self.why = why


@dataclass(frozen=True)
class LiteKind:
    """How one kind of `.tflite` is converted, and the `measure` and `tolerance` that it is verified by.

    weights: their stored type. activations: the type of activations; where it is not float32, their ranges are
    calibrated on images. io: the type of pixels and logits. Those with 8-bit activations are converted from the
    network's integer form, whose kernels have so many `bits`.
    """

    tolerance: float
    measure: str = DISAGREEMENT
    weights: str = "float32"
    activations: str = "float32"
    io: str = "float32"
    bits: int | None = None

    @property
    def measured(self) -> bool:
        """Whether it needs representative images for calibration."""
        return self.activations != "float32"


LITE_KINDS = {
    "float32": LiteKind(TOLERANCE, DIFFERENCE),
    "float16": LiteKind(1e-2, DIFFERENCE, weights="float16"),
    "dynamic": LiteKind(0.02, weights="int8"),
    "int8": LiteKind(0.05, weights="int8", activations="int8", bits=8),
    "int8-io": LiteKind(0.05, weights="int8", activations="int8", io="int8", bits=8),
    "int8-w4": LiteKind(0.1, weights="int4", activations="int8", bits=4),
    "int16x8": LiteKind(0.02, weights="int8", activations="int16"),
}


def converter_of(
    saved: Path, kind: LiteKind, images: np.ndarray | None, batch: int | None = None
) -> tf.lite.TFLiteConverter:
    """The converter of a SavedModel to `kind`, restricted to builtin ops; `images` are raw representative images, and
    `batch` is how many the SavedModel takes at a time, None for any number.

    It converts a SavedModel. From a concrete function with its model beside it, as the converter's documentation has
    it, uninitialised variables stay in the file, and the interpreter returns NaN (TensorFlow 2.21).
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [Ops.TFLITE_BUILTINS]
    if kind.weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind.weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind.measured and not kind.bits:
        converter.target_spec.supported_ops = [Ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
        converter.representative_dataset = lambda: _batches([] if images is None else images, batch)
    if kind.io == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter


def _batches(images: Sequence[np.ndarray] | np.ndarray, batch: int | None) -> Iterator[dict[str, np.ndarray]]:
    """The images one by one, or `batch` at a time, the last filled up with the first."""
    step = batch or 1
    for start in range(0, len(images), step):
        chosen = [images[place % len(images)] for place in range(start, start + step)]
        yield {"images": np.stack(chosen).astype(np.float32)}


def lite_kind(kind: str) -> str:
    """`int8` of `tflite-int8`; `float32` of `tflite`."""
    return kind.removeprefix(LITE).removeprefix("-") or "float32"


def write_lite_model(
    inference: Convertible,
    path: Path,
    kind: str = "float32",
    images: np.ndarray | None = None,
    what: str = "Image classifier",
) -> Path:
    """Write `path`, a `.tflite` of `kind` with builtin ops only.

    `inference` takes float32 pixels; the file's metadata say `what` it is. Raises ReskerasError: status 1, naming the
    layer, when an operation has no builtin; status 2 when a kind needs images and there are none.
    """
    how = LITE_KINDS[kind]
    if how.measured and not how.bits and (images is None or not len(images)):
        raise ReskerasError(f"export: tflite: {kind} is calibrated on representative images, but there are none")
    functions = inference.signatures(["serving_default"])
    size = signature_of(functions["serving_default"])[0][0].shape[0]
    with scratch() as folder:
        saved = save(inference, folder, functions)
        try:
            with stderr_aside():
                content = converter_of(saved, how, images, None if size < 0 else size).convert()
        except ConverterError as error:
            raise NotConverted(_cause(str(error))) from error
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
