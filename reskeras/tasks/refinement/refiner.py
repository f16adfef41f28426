"""Inference of a refiner: a localiser's best boxes of some classes of each image, scored anew and moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
import tensorflow as tf

from reskeras.data.decode import decode
from reskeras.data.preprocessing import Preprocessing
from reskeras.graph.weights import places, write
from reskeras.networks.refiner_plan import RefinerPlan
from reskeras.tasks.detection.boxes import clipped, decoded, vanished
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.localiser import Located
from reskeras.tasks.refinement.model import Networks
from reskeras.tasks.refinement.warping import warped


class Refiner:
    """A refiner's networks with `weights` by canonical name, in float32. Without weights, `load` some first."""

    def __init__(self, plan: RefinerPlan, weights: Mapping[str, np.ndarray] | None, preprocessing: Preprocessing):
        self.plan, self.preprocessing = plan, preprocessing
        self.networks = Networks(plan)
        if weights is not None:
            self.load(weights)

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take these weights."""
        for part in self.networks.parts.values():
            write(part, {name: weights[name] for name in places(part)})

    def judged(
        self,
        split: Objects,
        labels: np.ndarray,
        candidates: Located,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> Located:
        """The `candidates`, boxes (n, k, count, 4) of classes int32 `labels` (n, k) in the images of `split`, in the
        same order with new scores and places. `progress` gets the images done, of how many."""
        scores, boxes = [], []
        for image in range(split.count):
            asked = tf.constant(labels[image]), tf.constant(candidates.boxes[image])
            found = self._one(split.read(tf.constant(image, tf.int64)), *asked)
            scores.append(found[0].numpy())
            boxes.append(found[1].numpy())
            progress(image + 1, split.count)
        return Located(np.stack(scores), np.stack(boxes))

    @cached_property
    def _one(self) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Scores (k, count) and boxes (k, count, 4) of classes int32 (k,) by candidates (k, count, 4) in one image
        file; traced once."""
        spec = tf.TensorSpec
        return tf.function(
            self.on,
            input_signature=[spec([], tf.string), spec([None], tf.int32), spec([None, None, 4])],
            autograph=False,
        )

    def on(self, file: tf.Tensor, labels: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores (k, count) and boxes (k, count, 4), clipped to the image, of one image file."""
        return self.in_image(decode(file, self.plan.input_shape[-1]), labels, boxes)

    def in_image(self, image: tf.Tensor, labels: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As `on`, of one uint8 (h, w, channels); the regions of one class at a time are in memory."""
        spec = tf.TensorSpec
        return tf.map_fn(
            lambda row: self._of_class(image, *row),
            (labels, boxes),
            fn_output_signature=(spec(boxes.shape[1:2]), spec(boxes.shape[1:])),
            parallel_iterations=1,
        )

    def _of_class(self, image: tf.Tensor, label: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores (count,) and boxes (count, 4) of one class, a scalar int32. A box that is moved out of the image, or
        shrunk to nothing, stays where it was and has score 0."""
        (height, width, channels), spec = self.plan.input_shape, self.plan.spec
        regions = tf.map_fn(
            lambda box: warped(image, box, height, width),
            boxes,
            fn_output_signature=tf.TensorSpec([height, width, channels]),
        )
        logits, deltas = self.networks(self.preprocessing.normalise(regions))
        scores = tf.gather(tf.cast(logits, tf.float32), label, axis=1)
        moves = tf.reshape(tf.cast(deltas, tf.float32), [-1, spec.boxes, 4])
        moves = tf.gather(moves, label if spec.per_class else 0, axis=1)
        moved = clipped(decoded(moves * tf.constant(spec.deviations), boxes), tf.shape(image)[:2])
        gone = vanished(moved)
        return tf.where(gone, 0.0, tf.sigmoid(scores)), tf.where(gone[:, tf.newaxis], boxes, moved)


def best_of(judged: Located, labels: np.ndarray, classes: int) -> Located:
    """For every class of `labels` (n, k) its likeliest box, as a Located of one box for each of so many `classes`:
    zeros for the others."""
    count = len(labels)
    scores, boxes = np.zeros((count, classes, 1), np.float32), np.zeros((count, classes, 1, 4), np.float32)
    rows, best = np.arange(count)[:, np.newaxis], judged.scores.argmax(axis=2)
    places = np.arange(labels.shape[1])[np.newaxis]
    scores[rows, labels, 0] = judged.scores[rows, places, best]
    boxes[rows, labels, 0] = judged.boxes[rows, places, best]
    return Located(scores, boxes)
