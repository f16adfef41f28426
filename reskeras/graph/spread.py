"""Inference on all GPUs: each computes its share of a batch's rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def inference_devices() -> list[str]:
    """The devices to share batches out to: all GPUs, where there are several."""
    gpus = [f"/gpu:{index}" for index in range(len(tf.config.list_physical_devices("GPU")))]
    return gpus if len(gpus) > 1 else []


def spread(function: Callable[..., Any], devices: Sequence[str]) -> Callable[..., Any]:
    """`function`, with the rows of its tensors shared out evenly to `devices`; without devices, `function` itself.

    It maps tensors (n, ...) to a nest of tensors (n, ...), each row by itself, and runs in a graph, where the shares
    are computed at the same time. Weights are read where they are and copied to the other devices.
    """
    if not devices:
        return function

    def shared(*rows: tf.Tensor) -> Any:
        count, parts = tf.shape(rows[0])[0], len(devices)
        results = []
        for index, device in enumerate(devices):
            first, last = count * index // parts, count * (index + 1) // parts
            with tf.device(device):
                results.append(function(*(each[first:last] for each in rows)))
        return tf.nest.map_structure(lambda *shares: tf.concat(shares, axis=0), *results)

    return shared
