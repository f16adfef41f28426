"""SavedModel for TensorFlow Serving: `export/<model>/<version>/`, and beside it what a server is started with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from reskeras.export.server_files import BATCHES, next_version, write_server_files
from reskeras.files import make_folder, move, write_text

SIGNATURES = ("serving_default", "bytes", "features")
WARMUP_FILE = "tf_serving_warmup_requests"


class Servable(Protocol):
    """A tf.Module that is served: names of its classes, what it answers to, and how it is asked."""

    classes: tuple[str, ...]

    # no property: saving looks at every attribute of a tf.Module, and would trace the functions once more
    def signatures(self, names: Sequence[str] = SIGNATURES) -> Mapping[str, tf.types.experimental.ConcreteFunction]:
        """What a server offers, or those of SIGNATURES that are named."""

    def example(self, batch: int) -> Mapping[str, Mapping[str, tensor_pb2.TensorProto]]:
        """A request of `batch` images to each signature."""


def write_saved_model(
    inference: Servable, folder: Path, model: str = "model", batches: Sequence[int] = BATCHES,
    signatures: Sequence[str] = SIGNATURES,
) -> Path:
    """A SavedModel of these signatures in a new folder below `folder`, a workspace; `publish` gives it its version.

    Class names are its asset, one a line. It brings a request of each size of `batches` to each signature, which a
    server answers to itself before it is ready, so that no client waits for a graph that is optimised.
    """
    target, names = folder / "saved_model", folder / "assets" / "classes.txt"
    write_text(names, "\n".join(inference.classes) + "\n")
    inference.class_names = tf.saved_model.Asset(str(names))  # type: ignore[attr-defined]  # any tf.Module takes one
    tf.saved_model.save(inference, str(target), signatures=inference.signatures(signatures))
    if batches:
        _write_warmup(inference, target, model, batches)
    return target


def publish(target: Path, folder: Path, batches: Sequence[int] = BATCHES) -> Path:
    """Give a finished SavedModel the next version number, by a rename: a polling server never sees a part.

    Beside it goes how a server is started, which makes `batches` of requests that come together.
    """
    version = folder / str(next_version(folder))
    move(target, version)
    write_server_files(folder, batches)
    return version


def saved_model_logits(path: Path, images: np.ndarray) -> np.ndarray:
    """What the SavedModel at `path` answers for raw `images`, through its `serving_default` signature."""
    return SavedModel(path)(images)


class SavedModel:
    """A SavedModel loaded once, as a function from raw images to logits."""

    def __init__(self, path: Path):
        self._loaded = tf.saved_model.load(str(path))
        self._serve = self._loaded.signatures["serving_default"]
        self._type = self._serve.structured_input_signature[1]["images"].dtype

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """float32 logits of a batch."""
        return self._serve(images=tf.cast(images, self._type))["logits"].numpy()


def _write_warmup(inference: Servable, target: Path, model: str, batches: Sequence[int]) -> None:
    """Requests to each signature as PredictionLog records."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    folder = target / "assets.extra"
    make_folder(folder)
    with tf.io.TFRecordWriter(str(folder / WARMUP_FILE)) as records:
        for batch in batches:
            for signature, tensors in inference.example(batch).items():
                request = predict_pb2.PredictRequest()
                request.model_spec.name, request.model_spec.signature_name = model, signature
                for name, tensor in tensors.items():
                    request.inputs[name].CopyFrom(tensor)
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                records.write(log.SerializeToString())
