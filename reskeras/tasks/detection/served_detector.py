"""A detector as what artefacts compute: from image files on for servers, from the pixels of a canvas on for files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from reskeras.data.preprocessing import Preprocessing
from reskeras.export.inference import Outputs
from reskeras.export.served_files import READ, checked_files, read_each
from reskeras.export.serving import SIGNATURES
from reskeras.export.usage import IMAGES
from reskeras.graph.fold import folded_parts
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.tasks.detection.canvas import Placed
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.served import ServedFinder, where_true

WINDOW = "window"


class ServedDetector(ServedFinder):
    """A detector: files to boxes, scores and class names. `weights` are those of `plan`, by canonical name; batch norm
    is folded into a directly preceding convolution."""

    def __init__(
        self,
        plan: DetectorPlan,
        weights: Mapping[str, np.ndarray],
        preprocessing: Preprocessing,
        classes: Sequence[str],
    ):
        detector = Detector(*folded_parts(plan, weights), preprocessing)
        super().__init__(detector.networks.parts.values(), classes, plan.canvas)
        self._detector = lambda: detector  # as a plain attribute its models would be saved a second time

    def __call__(self, image_bytes: tf.Tensor) -> Outputs:
        """Encoded JPEG or PNG files (B,) to detections by descending score: `boxes` (B, most, 4) top, left, bottom,
        right in pixels of the image, `scores` (B, most), `classes` (B, most) names, and their number `count` (B,); the
        rest is zeros and empty names. `status` (B,) is as in `told`.
        """
        images, chosen, status = self._read(image_bytes)
        detector = self._detector()
        return self.told(detector.found_on_each(images, chosen) if self._several else detector.found_on(images), status)

    def features(self, image_bytes: tf.Tensor) -> Outputs:
        """The shared map (B, h, w, C) that regions are pooled from, `features`, with a neck those of each stride, such
        as `features4`; and `status` (B,). Zeros where that is not `ok`.

        A detector with several canvases has maps of several sizes: `cells` (B, 2), or `cells4`, are the rows and
        columns of an image's, and the rest is zeros.
        """
        images, chosen, status = self._read(image_bytes)
        detector, was_read = self._detector(), tf.equal(status, READ)
        levels = detector.plan.levels()
        strides = [""] if len(levels) == 1 else [f"{level.stride:g}" for level in levels]
        if self._several:
            maps, cells = detector.features_on_each(images, chosen)
            told = {"features": maps, "cells": cells}
        else:
            told = {"features": detector.features_on(images[0])}
        return {
            **{
                f"{name}{stride}": where_true(was_read, each)
                for name, values in told.items()
                for stride, each in zip(strides, values, strict=True)
            },
            "status": status,
        }

    @property
    def _several(self) -> bool:
        return len(self._detector().canvases) > 1

    def _read(self, image_bytes: tf.Tensor) -> tuple[list[Placed], tf.Tensor, tf.Tensor]:
        """The images on canvases, the numbers of the canvases that they take, and their status."""
        detector = self._detector()
        (views, chosen), status = read_each(
            checked_files(image_bytes),
            detector.plan.input_shape[-1],
            lambda image: detector.place(image, None if self._several else 0),
        )
        return [Placed(*parts) for parts in views], chosen, status


class CanvasDetector(tf.Module):
    """A detector with one canvas from its pixels on, for artefacts that are files; `batch` canvases at a time, or any
    number. Batch norm is folded."""

    def __init__(self, detector: Detector, classes: Sequence[str], batch: int | None = None):
        super().__init__()
        self.classes, self.batch = tuple(classes), batch
        self._detector = lambda: detector  # as a plain attribute its models would be saved a second time
        self.kept = [variable.value for part in detector.networks.parts.values() for variable in part.weights]

    def signatures(self, names: Sequence[str] = SIGNATURES) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The one signature."""
        plan = self._detector().plan
        images = tf.TensorSpec([self.batch, *plan.canvas, plan.input_shape[-1]], tf.float32, name=IMAGES)
        window = tf.TensorSpec([self.batch, 4], tf.float32, name=WINDOW)
        call = tf.function(self.__call__, autograph=False)
        return {"serving_default": call.get_concrete_function(images, window)}

    def example(self, batch: int) -> dict[str, dict[str, tensor_pb2.TensorProto]]:
        """No requests: nothing serves it."""
        return {}

    def __call__(self, images: tf.Tensor, window: tf.Tensor) -> Outputs:
        """Canvases (B, height, width, channels), pixels 0 to 255, and the part of each that shows the image (B, 4), to
        detections by descending score: `boxes` (B, most, 4) top, left, bottom, right in pixels of the canvas, `scores`
        (B, most), `labels` int32 (B, most), and their number `count` (B,); the rest is zeros of label -1.
        """
        found = self._detector().found_on([Placed(images, window, tf.ones([1, 2]), tf.zeros([1, 2]))])
        return {name: found[name] for name in ("boxes", "scores", "labels", "count")}
