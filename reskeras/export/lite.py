"""LiteRT (`.tflite`): converted by TensorFlow's converter, run by ai-edge-litert."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.python.convert_phase import ConverterError

from reskeras.engine import stderr_aside
from reskeras.errors import failure
from reskeras.export.inference import Inference


def write_lite_model(inference: Inference, path: Path) -> Path:
    """A float32 `.tflite` of builtin ops alone, beside `path` until it is proven."""
    function = tf.function(inference, input_signature=[inference.signature]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], inference)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    target = path.with_name(f".{path.name}.writing")
    try:
        with stderr_aside():
            target.write_bytes(converter.convert())
    except ConverterError as error:
        raise failure(f"tflite: the converter failed: {str(error).splitlines()[0][:200]}") from error
    return target


def lite_logits(path: Path, images: np.ndarray) -> np.ndarray:
    """What the `.tflite` at `path` answers for raw `images`, all in one batch."""
    with stderr_aside():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_path=str(path))
        runner = interpreter.get_signature_runner()
    return runner(images=images.astype(np.float32))["logits"]
