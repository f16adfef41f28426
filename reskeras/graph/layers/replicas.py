"""What layers must synchronise, or keep distinct, when several replicas train one model."""

from __future__ import annotations

import tensorflow as tf

MIXER = 0x3C6EF372  # spreads small replica numbers over the bits of a seed


def mean_over_replicas(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Each of `values`, averaged over the replicas that run this step; itself when there is one.

    Moving statistics are kept on every replica: updated from each one's own batch they would silently drift apart.
    """
    context = tf.distribute.get_replica_context()
    if not values or context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)


def replica_seed(seed: tf.Tensor) -> tf.Tensor:
    """int32 seeds of this replica's own: the first replica's are `seed` itself."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    return tf.bitwise.bitwise_xor(seed, tf.cast(context.replica_id_in_sync_group, tf.int32) * MIXER)
