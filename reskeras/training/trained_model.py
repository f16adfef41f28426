"""The model during training: Keras' training step, an evaluation that masks padding, and fixes for several workers.

Overrides private methods of Keras 3.15's trainer; setup.py bounds the version.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import reduce_per_replica

from reskeras.graph.layers.replicas import average_together, collected


class TrainedModel(keras.Model):
    """A functional model whose evaluation ignores rows of weight 0, and which trains on several workers.

    Under MultiWorkerMirroredStrategy stock `fit` fails (keras issue 20585): it builds from per-replica values, which it
    cannot reduce, and concatenates scalars of all workers along an axis that they do not have. Call `prepare` before
    `fit`, unless batches are finished already.
    """

    _finished: Callable[..., Any] = staticmethod(lambda *batch: batch)
    xla_between_reductions = False
    several_sizes = False  # whether the images of one batch may have another size than those of the next

    def prepare(self, finished: Callable[..., Any], *batch: Any) -> None:
        """Build optimiser and metrics now instead of in the first step, so that a checkpoint can be restored.

        `batch` is a batch as tf.TensorSpec, of images and labels, in whatever structure the model takes. `finished`
        makes such a batch of the parts of one that is trained on, on the device, at the beginning of each step.
        """
        self._finished = finished
        self._symbolic_build(
            data_batch=tf.nest.map_structure(
                lambda spec: tf.zeros([1 if size is None else size for size in spec.shape], spec.dtype), batch
            )
        )

    def begin_size(self, finished: Callable[..., Any]) -> None:
        """Train on batches that `finished` makes; where it is not the one until now, they have another size, for which
        a step of its own is compiled. In a step for any size TensorFlow would know no height and width."""
        if finished is not self._finished:
            self._finished, self.train_function = finished, None

    def at_size(self, x: Any) -> keras.Model:
        """The model, of the same weights, that takes images of the size of those in `x`: by default this one."""
        return self

    def track_loss(self, loss: tf.Tensor, x: Any, y: Any) -> None:
        """Take the mean loss of a training batch into the one of the epoch."""
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(tf.nest.flatten(x)[0])[0])

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Keras' step on the finished batch, with two changes for several replicas: the batch-norm statistics of all
        layers are averaged in one reduction, and `xla_between_reductions` compiles the forward and backward pass alone,
        because XLA cannot compile the reductions."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(self._finished(*data))
        with collected() as updates:

            def computed() -> tuple[Any, ...]:
                return *self._gradients(x, y, weights), [statistics for statistics, _ in updates]

            if self.xla_between_reductions:  # a function of its own on each replica, whose variables it captures
                computed = tf.function(computed, autograph=False, jit_compile=True)
            outputs, loss, gradients, statistics = computed()
        self.track_loss(loss, x, y)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        average_together([(each, use) for each, (_, use) in zip(statistics, updates, strict=True)])
        return self.compute_metrics(x, y, outputs, sample_weight=weights)

    def _gradients(self, x: Any, y: Any, weights: Any) -> tuple[Any, tf.Tensor, list[tf.Tensor]]:
        """(outputs, mean loss of this replica's images, gradients of the trainable weights)."""
        with tf.GradientTape() as tape:
            outputs = self.at_size(x)(x, training=True)
            loss = self._compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weights, training=True)
            scaled = self.optimizer.scale_loss(loss)
        loss *= self.distribute_strategy.num_replicas_in_sync  # Keras has divided by it
        return outputs, loss, tape.gradient(scaled, self.trainable_weights)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Loss and metrics of a batch (images, labels), or (images, labels, weights), where weight 0 is padding."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        logits = self(images, training=False)
        if weights is not None:
            labels, logits = (tf.boolean_mask(rows, weights > 0) for rows in (labels, logits))
        rows = tf.cast(tf.shape(labels)[0], tf.float32)
        loss = self._compute_loss(x=images, y=labels, y_pred=logits, training=False)
        loss *= self.distribute_strategy.num_replicas_in_sync  # Keras has divided by it
        # a replica that got only padding has no loss
        self._loss_tracker.update_state(tf.math.multiply_no_nan(loss, tf.minimum(rows, 1.0)), sample_weight=rows)
        return self.compute_metrics(images, labels, logits)

    def evaluate(self, *args: Any, _use_cached_eval_dataset: bool = False, **kwargs: Any) -> Any:
        """Keras' evaluation. Those of a training have one iterator, over watched images without end: Keras would begin
        another for each, which takes TensorFlow up to half a second."""
        if _use_cached_eval_dataset:
            self._eval_epoch_iterator.reset = lambda: None
        return super().evaluate(*args, _use_cached_eval_dataset=_use_cached_eval_dataset, **kwargs)

    def _over_workers(self) -> bool:
        strategy = self.distribute_strategy
        return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and (
            strategy.extended._in_multi_worker_mode()
        )

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Do nothing: `prepare` has built it; Keras would draw a batch of the data, or fail on several workers."""

    def _make_function(self, step_function: Any) -> Any:
        def reshaped(data: Any) -> Any:
            return tf.nest.map_structure(lambda value: tf.reshape(value, (1,)), step_function(data))

        step = reshaped if self._over_workers() else step_function
        if not self.several_sizes:
            return super()._make_function(step)

        # Keras' function draws the batch inside, where its size is unknown; this one is compiled for each size
        @tf.function(autograph=False)
        def on_batch(data: Any) -> Any:
            outputs = self.distribute_strategy.run(step, args=(data,))
            return reduce_per_replica(outputs, self.distribute_strategy, reduction="auto")

        return lambda iterator: on_batch(next(iterator))
