"""SavedModel for TensorFlow Serving: `export/<model>/<version>/`, and beside it what a server is started with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from reskeras.export.server import BATCHING_CONFIG, MODELS_CONFIG
from reskeras.files import make_folder, move, write_text

WARMED = (1, 8)  # batch sizes of the requests that a server answers to itself before it is ready
WARMUP_FILE = "tf_serving_warmup_requests"
BATCHES = (1, 2, 4, 8, 16, 32)  # that a server makes of requests that come together
WAIT_MICROSECONDS = 2000


class Servable(Protocol):
    """A tf.Module that is served: names of its classes, what it answers to, and how it is asked."""

    classes: tuple[str, ...]

    @property
    def signatures(self) -> Mapping[str, tf.types.experimental.ConcreteFunction]:
        """What a server offers, by name."""

    def example(self, batch: int) -> Mapping[str, Mapping[str, tf.Tensor]]:
        """A request of so many images to each signature."""


def next_version(folder: Path) -> int:
    """One more than the highest version under `folder`."""
    versions = [int(entry.name) for entry in folder.glob("*") if entry.name.isdigit()] if folder.is_dir() else []
    return max(versions, default=0) + 1


def write_saved_model(
    inference: Servable, folder: Path, model: str = "model", warmed: Sequence[int] = WARMED,
) -> Path:
    """A SavedModel in a new folder below `folder`, a workspace; `publish` gives it its version.

    Class names are its asset, one a line. It brings requests of `warmed` images for the server's own use.
    """
    target, names = folder / "saved_model", folder / "assets" / "classes.txt"
    write_text(names, "\n".join(inference.classes) + "\n")
    inference.class_names = tf.saved_model.Asset(str(names))
    tf.saved_model.save(inference, str(target), signatures=inference.signatures)
    if warmed:
        _write_warmup(inference, target, model, warmed)
    return target


def publish(target: Path, folder: Path, batches: Sequence[int] = BATCHES) -> Path:
    """Give a finished SavedModel the next version number, by a rename: a polling server never sees a part.

    Beside it goes how a server is started, which makes `batches` of requests that come together.
    """
    version = folder / str(next_version(folder))
    move(target, version)
    write_text(folder.parent / MODELS_CONFIG, models_config(folder))
    write_text(folder.parent / BATCHING_CONFIG, batching_config(batches))
    return version


def models_config(folder: Path) -> str:
    """What `tensorflow_model_server --model_config_file` reads: this model, by its highest version."""
    from google.protobuf import text_format
    from tensorflow_serving.config import model_server_config_pb2

    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=folder.name, base_path=str(folder.absolute()), model_platform="tensorflow")
    return text_format.MessageToString(config)


def batching_config(batches: Sequence[int] = BATCHES) -> str:
    """What `--batching_parameters_file` reads: requests that come together are answered together."""
    sizes = "".join(f"allowed_batch_sizes {{ value: {size} }}\n" for size in batches)
    return (f"max_batch_size {{ value: {batches[-1]} }}\nbatch_timeout_micros {{ value: {WAIT_MICROSECONDS} }}\n"
            f"num_batch_threads {{ value: {os.cpu_count() or 1} }}\n{sizes}")


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


def _write_warmup(inference: Servable, target: Path, model: str, warmed: Sequence[int]) -> None:
    """Requests to each signature as PredictionLog records, so that the first real one does not wait for tracing."""
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    folder = target / "assets.extra"
    make_folder(folder)
    with tf.io.TFRecordWriter(str(folder / WARMUP_FILE)) as records:
        for batch in warmed:
            for signature, tensors in inference.example(batch).items():
                request = predict_pb2.PredictRequest()
                request.model_spec.name, request.model_spec.signature_name = model, signature
                for name, tensor in tensors.items():
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(tensor))
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                records.write(log.SerializeToString())
