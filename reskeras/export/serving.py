"""SavedModels for TensorFlow Serving: `export/<model>/<version>/`, with the server's configuration next to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from reskeras.export.server_files import BATCHES, next_version, write_server_files
from reskeras.files import make_folder, move, write_text

SIGNATURES = ("serving_default", "bytes", "features")
WARMUP_FILE = "tf_serving_warmup_requests"


class Convertible(Protocol):
    """A tf.Module that can be converted to an artefact: its class names and signatures."""

    classes: tuple[str, ...]

    # not a property: saving reads every attribute of a tf.Module, which would trace the functions again
    def signatures(self, names: Sequence[str] = SIGNATURES) -> Mapping[str, tf.types.experimental.ConcreteFunction]:
        """The functions, restricted to `names`."""


class Servable(Convertible, Protocol):
    """One that can be served: it has example requests, too."""

    def example(self, batch: int) -> Mapping[str, Mapping[str, tensor_pb2.TensorProto]]:
        """A request of `batch` images to each signature."""


def write_saved_model(
    inference: Servable,
    folder: Path,
    model: str = "model",
    batches: Sequence[int] = BATCHES,
    signatures: Sequence[str] = SIGNATURES,
) -> Path:
    """Write a SavedModel with these signatures below `folder`, a workspace; `publish` gives it a version.

    It contains warm-up requests for each signature and each size of `batches`, which a server runs before it reports
    ready, so that no client waits for graph optimisation.
    """
    target = save(inference, folder, inference.signatures(signatures))
    if batches:
        _write_warmup(inference, target, model, batches)
    return target


def save(inference: Convertible, folder: Path, functions: Mapping[str, tf.types.experimental.ConcreteFunction]) -> Path:
    """Write a SavedModel with these signatures below `folder`; class names are an asset, one per line."""
    target, names = folder / "saved_model", folder / "assets" / "classes.txt"
    write_text(names, "\n".join(inference.classes) + "\n")
    inference.class_names = tf.saved_model.Asset(str(names))  # type: ignore[attr-defined]  # any tf.Module takes one
    tf.saved_model.save(inference, str(target), signatures=functions)
    return target


def publish(target: Path, folder: Path, batches: Sequence[int] = BATCHES) -> Path:
    """Move a finished SavedModel to the next version number, by a rename: a polling server never sees it half-written.

    The server's configuration is written next to it, for batches of the sizes `batches`.
    """
    version = folder / str(next_version(folder))
    move(target, version)
    write_server_files(folder, batches)
    return version


def _write_warmup(inference: Servable, target: Path, model: str, batches: Sequence[int]) -> None:
    """Write the warm-up requests of each signature as PredictionLog records."""
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
