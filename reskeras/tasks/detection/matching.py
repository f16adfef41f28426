"""Assignment of anchors or regions to objects (arXiv:1506.01497, section 3.1.2)."""

from __future__ import annotations

import tensorflow as tf

from reskeras.tasks.detection.boxes import coverage
from reskeras.tasks.detection.objects import IGNORED

POSITIVE, NEGATIVE, NEITHER = 1, 0, -1
IGNORED_SHARE = 0.5  # share of a box inside an ignored object, above which it is not background either


def matched(
    overlaps: tf.Tensor, real: tf.Tensor, positive: float, negative: float, best: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """(index, kind), both int32 (B, N), of N anchors by their overlaps (B, N, G) with G >= 1 rows of objects.

    Only rows that are `real`, bool (B, G), count. `index` is the row of highest overlap, the first of ties, and 0
    without real rows. `kind` is POSITIVE for overlaps of at least `positive`, NEGATIVE below `negative`, else NEITHER.
    With `best` all anchors with the highest overlap (above 0) of a row are POSITIVE as well and assigned to that row,
    even where they overlap another one more; of several such rows, to the one of highest overlap.
    """
    overlaps = tf.where(real[:, tf.newaxis, :], overlaps, -1.0)
    index = tf.argmax(overlaps, axis=-1, output_type=tf.int32)
    highest = tf.reduce_max(overlaps, axis=-1)
    found = highest >= positive
    if best:
        summit = tf.reduce_max(overlaps, axis=1, keepdims=True)
        first = (overlaps == summit) & (summit > 0)
        chosen = tf.reduce_any(first, axis=-1)
        index = tf.where(chosen, tf.argmax(tf.where(first, overlaps, -1.0), axis=-1, output_type=tf.int32), index)
        found |= chosen
    kind = tf.where(found, POSITIVE, tf.where(highest < negative, NEGATIVE, NEITHER))
    return index, kind


def in_ignored(boxes: tf.Tensor, objects: tf.Tensor, labels: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """Whether boxes (B, N, 4) or (N, 4) that are not POSITIVE lie in an ignored object, bool (B, N)."""
    share = tf.where((labels == IGNORED)[:, tf.newaxis], coverage(boxes, objects), 0.0)
    return (tf.reduce_max(share, axis=-1) > IGNORED_SHARE) & (kind != POSITIVE)
