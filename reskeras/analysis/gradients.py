"""Gradient norms of each unit on one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.analysis.tapped import batch_signature, run
from reskeras.graph.watched import as_tensors
from reskeras.plans.nodes import sequence_ops
from reskeras.plans.plan import Plan, Unit


def _cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    if labels.shape.rank == 2:
        return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, logits.dtype), logits)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def gradients(
    plan: Plan, weights: dict[str, np.ndarray], images: tf.Tensor, labels: tf.Tensor
) -> dict[str, tuple[float, float]]:
    """Gradient norms by unit: with respect to its weights, and with respect to its output.

    The loss is the mean cross-entropy of one batch of normalised `images` (n, height, width, channels), of each class
    by itself where they are multi-label, with batch norm in training mode; without weight decay and dropout.
    """
    tensors = as_tensors(weights)
    learned = {tuple(name.rsplit("/", 1)) for name in plan.weight_names()}

    @tf.function(input_signature=batch_signature(plan, labels), autograph=False)
    def norms(images: tf.Tensor, labels: tf.Tensor) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        streams: dict[str, tf.Tensor] = {}

        def watch(node: Any, parts: list[tf.Tensor], made: tf.Tensor) -> tf.Tensor:
            if isinstance(node, Unit):
                streams[node.name] = made
            return made

        with tf.GradientTape() as tape:
            chosen = {key: value for key, value in tensors.items() if key in learned}
            tape.watch(chosen)
            logits = run(plan, {**tensors, **chosen}, images, watch, batch_statistics=True)
            loss = tf.reduce_mean(_cross_entropy(labels, logits))
        of_weights, of_streams = tape.gradient(loss, (chosen, streams))
        names = {unit.name: {each.name for each in sequence_ops(unit.nodes)} for unit in plan.units}
        return {
            unit: (
                tf.linalg.global_norm([slope for (name, _), slope in of_weights.items() if name in inside]),
                tf.norm(of_streams[unit]),
            )
            for unit, inside in names.items()
        }

    return {
        unit: (float(of_weights), float(of_stream))
        for unit, (of_weights, of_stream) in norms.get_concrete_function()(images, labels).items()
    }
