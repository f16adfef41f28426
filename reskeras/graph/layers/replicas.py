"""What layers must synchronise, or keep distinct, when several replicas train one model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tensorflow as tf

MIXER = 0x3C6EF372  # spreads small replica numbers over the bits of a seed


Use = Callable[[list[tf.Tensor]], None]
Update = tuple[list[tf.Tensor], Use]  # what is averaged, and what then uses it


class _Waiting(threading.local):
    """The updates that layers of this thread have asked for; None outside of `collected`."""

    updates: list[Update] | None = None


_waiting = _Waiting()


def with_mean_over_replicas(values: list[tf.Tensor], use: Use) -> None:
    """Call `use` with `values` (float32) averaged over the replicas that run this step: now, or if in a block of
    `collected`, when its updates are averaged.

    Moving statistics are kept on every replica: updated from each one's own batch they would silently drift apart.
    """
    context = tf.distribute.get_replica_context()
    if not values or context is None or context.num_replicas_in_sync == 1:
        use(values)
    elif _waiting.updates is None:
        use(context.all_reduce(tf.distribute.ReduceOp.MEAN, values))
    else:
        _waiting.updates.append((values, use))


def sum_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """The sum of `values` over the replicas that run this step, through which gradients flow."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


@contextmanager
def collected() -> Iterator[list[Update]]:
    """What the layers in the block have to average, for `average_together`: one reduction instead of one per layer."""
    updates: list[Update] = []
    _waiting.updates = updates
    try:
        yield updates
    finally:
        _waiting.updates = None


def average_together(updates: list[Update]) -> None:
    """Average what was collected over the replicas that run this step in one reduction, and have it used."""
    if not updates:
        return
    values = [value for each, _ in updates for value in each]
    packed = tf.concat([tf.reshape(value, [-1]) for value in values], axis=0)
    means = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, packed)
    parts = iter(tf.split(means, [tf.size(value) for value in values]))
    for each, use in updates:
        shapes = (value.shape if value.shape.is_fully_defined() else tf.shape(value) for value in each)
        use([tf.reshape(next(parts), shape) for shape in shapes])


def replica_seed(seed: tf.Tensor) -> tf.Tensor:
    """int32 seeds of this replica's own: the first replica's are `seed` itself."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    return tf.bitwise.bitwise_xor(seed, tf.cast(context.replica_id_in_sync_group, tf.int32) * MIXER)
