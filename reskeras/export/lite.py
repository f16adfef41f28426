"""LiteRT (`.tflite`): converted by TensorFlow's converter, run by ai-edge-litert."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from reskeras.engine import stderr_aside
from reskeras.errors import failure
from reskeras.export.inference import Inference
from reskeras.export.serving import write_saved_model


def write_lite_model(inference: Inference, path: Path) -> Path:
    """A float32 `.tflite` of builtin ops alone, in a hidden file beside `path` until it is proven.

    Converted by way of a SavedModel: from a concrete function the converter leaves variables in the
    file that nothing initialises, and the interpreter answers NaN (TensorFlow 2.21).
    """
    target = path.with_name(f".{path.stem}.writing.tflite")
    with tempfile.TemporaryDirectory() as folder:
        saved = write_saved_model(inference, Path(folder))
        try:
            with stderr_aside():
                converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=["serving_default"])
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
                target.write_bytes(converter.convert())
        except ConverterError as error:
            raise failure(f"tflite: the converter failed: {str(error).splitlines()[0][:200]}") from error
    return target


def lite_logits(path: Path, images: np.ndarray) -> np.ndarray:
    """What the `.tflite` at `path` answers for raw `images`, all in one batch."""
    with stderr_aside():  # the interpreter announces its delegate
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
        return runner(images=images.astype(np.float32))["logits"]
