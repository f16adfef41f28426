"""What served models that find boxes have in common: whole image files in, boxes, scores and class names out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from reskeras.export.inference import Outputs
from reskeras.export.served_files import READ, grey_file
from reskeras.export.serving import SIGNATURES
from reskeras.networks.resize import Canvas

FILES = "image_bytes"  # the input of served models
Function = tuple[Callable[..., Outputs], tuple[tf.TensorSpec, ...]]


class ServedFinder(tf.Module):
    """Finds boxes in image files, in functions with a free batch size, float32.

    `parts` are the networks that it computes with, `canvas` the size of the images of example requests. An empty batch
    raises INVALID_ARGUMENT with the reason; files that are not images are reported in `status`.
    """

    def __init__(self, parts: Iterable[keras.Model], classes: Sequence[str], canvas: Canvas):
        super().__init__()
        self.classes, self._canvas = tuple(classes), canvas
        self.kept = [variable.value for part in parts for variable in part.weights]  # a tf.Module saves what it holds

    def offered(self) -> dict[str, Function]:
        """The function of each signature and what it takes; `bytes` is the same as `serving_default`."""
        files = (tf.TensorSpec([None], tf.string, name=FILES),)
        return {
            "serving_default": (self.__call__, files),
            "bytes": (self.__call__, files),
            "features": (self.features, files),
        }

    def signatures(self, names: Sequence[str] = SIGNATURES) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The signatures for serving, restricted to `names`."""
        traced = cache(lambda call, asked: tf.function(call, autograph=False).get_concrete_function(*asked))
        offered = self.offered()
        return {name: traced(*offered[name]) for name in names}

    def example(self, batch: int) -> dict[str, dict[str, tensor_pb2.TensorProto]]:
        """A request of `batch` grey images to each signature."""
        files = tf.make_tensor_proto(grey_file(*self._canvas), shape=[batch])
        return {name: {FILES: files} for name in SIGNATURES}

    def __call__(self, image_bytes: tf.Tensor) -> Outputs:
        """Encoded JPEG or PNG files (B,) to what `told` says."""
        raise NotImplementedError

    def features(self, image_bytes: tf.Tensor) -> Outputs:
        """Encoded JPEG or PNG files (B,) to the maps that boxes are found on."""
        raise NotImplementedError

    def told(self, found: Outputs, status: tf.Tensor) -> Outputs:
        """What is answered of `boxes` (B, n, 4), `scores` (B, n), `labels` (B, n), negative for padding, and `count`
        (B,), those that are found: these, with `classes` (B, n), names, in place of labels.

        `status` (B,) is `ok`, or says why a file could not be read; such a row has zeros and empty names, and does not
        affect other rows.
        """
        was_read, labels = tf.equal(status, READ), found["labels"]
        names = tf.gather(tf.constant([*self.classes, ""]), tf.where(labels >= 0, labels, len(self.classes)))
        return {
            **{name: where_true(was_read, found[name]) for name in ("boxes", "scores", "count")},
            "classes": where_true(was_read, names),
            "status": status,
        }


def where_true(rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`values` (B, ...) in the rows (B,) that are true, zeros or empty strings in the others."""
    rows = tf.reshape(rows, [-1, *[1] * (values.shape.rank - 1)])
    return tf.where(rows, values, tf.zeros_like(values))


class SavedFinder:
    """A SavedModel loaded once, as a function from files to boxes; unknown class names get the label -1."""

    def __init__(self, path: Any, classes: Sequence[str]):
        self._loaded = tf.saved_model.load(str(path))
        self._serve = self._loaded.signatures["serving_default"]
        self._labels = {name.encode(): label for label, name in enumerate(classes)}

    def __call__(self, files: tf.Tensor | np.ndarray) -> dict[str, np.ndarray]:
        """boxes (B, most, 4), scores (B, most), labels int32 (B, most) and count (B,) of files (B,)."""
        found = {name: values.numpy() for name, values in self._serve(**{FILES: tf.constant(files)}).items()}
        labels = [[self._labels.get(name, -1) for name in row] for row in found.pop("classes")]
        return found | {"labels": np.array(labels, np.int32)}
