"""Inference on all GPUs: each computes its share of a batch's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def inference_devices() -> list[str]:
    """The devices to share batches out to: all GPUs, where there are several."""
    gpus = [f"/gpu:{index}" for index in range(len(tf.config.list_physical_devices("GPU")))]
    return gpus if len(gpus) > 1 else []


def spread(function: Callable[[tf.Tensor], Any], devices: Sequence[str]) -> Callable[[tf.Tensor], Any]:
    """`function`, with the rows of its tensor shared out evenly to `devices`; without devices, `function` itself.

    It maps a tensor (n, ...) to a nest of tensors (n, ...), each row by itself, and runs in a graph, where the shares
    are computed at the same time. Weights are read where they are and copied to the other devices.
    """
    if not devices:
        return function

    def shared(rows: tf.Tensor) -> Any:
        count, parts = tf.shape(rows)[0], len(devices)
        results = []
        for index, device in enumerate(devices):
            with tf.device(device):
                results.append(function(rows[count * index // parts : count * (index + 1) // parts]))
        return tf.nest.map_structure(lambda *shares: tf.concat(shares, axis=0), *results)

    return shared
