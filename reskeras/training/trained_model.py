"""The model while it trains: Keras' own steps, a masked evaluation, and what `fit` lacks for several workers.

Uses private methods of Keras 3.15 (setup.py bounds the version); nothing else in reskeras does.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class TrainedModel(keras.Model):
    """A functional model whose evaluation counts only rows of weight above 0, and which trains on several workers.

    Under MultiWorkerMirroredStrategy stock `fit` fails (keras issue 20585): it builds from values of all replicas,
    which it cannot reduce, and joins scalars of all workers along an axis that they do not have. Call `prepare`
    before `fit`.
    """

    def prepare(self, *batch: Any) -> None:
        """Make optimiser and metrics now and not in the first step, so that a state can be put into them.

        `batch` is a batch in tf.TensorSpec: of images and labels, whatever the model takes.
        """
        self._symbolic_build(data_batch=tf.nest.map_structure(
            lambda spec: tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype), batch))

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Loss and metrics of a batch (images, labels), or (images, labels, weights), where weight 0 is padding."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        logits = self(images, training=False)
        if weights is not None:
            labels, logits = (tf.boolean_mask(rows, weights > 0) for rows in (labels, logits))
        rows = tf.cast(tf.shape(labels)[0], tf.float32)
        loss = self._compute_loss(x=images, y=labels, y_pred=logits, training=False)
        loss *= self.distribute_strategy.num_replicas_in_sync  # Keras divided by it
        # a replica that got nothing but padding has no loss
        self._loss_tracker.update_state(tf.math.multiply_no_nan(loss, tf.minimum(rows, 1.0)), sample_weight=rows)
        return self.compute_metrics(images, labels, logits)

    def _over_workers(self) -> bool:
        strategy = self.distribute_strategy
        return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and (
            strategy.extended._in_multi_worker_mode())

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Nothing: `prepare` did it, and Keras' way draws a batch of the data, or fails over several workers."""

    def _make_function(self, step_function: Any) -> Any:
        if not self._over_workers():
            return super()._make_function(step_function)

        def step(data: Any) -> Any:
            return tf.nest.map_structure(lambda value: tf.reshape(value, (1,)), step_function(data))

        return super()._make_function(step)
