"""Assignment of anchors or regions to objects (arXiv:1506.01497, section 3.1.2), in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

from reskeras.tasks.detection.boxes import coverage
from reskeras.tasks.detection.objects import IGNORED

POSITIVE, NEGATIVE, NEITHER = 1, 0, -1
IGNORED_SHARE = 0.5  # share of a box inside an ignored object, above which it is not background either
MOST_PAIRS = 2**26  # numbers of an image, of a box and an object each, that are in memory at once: 256 MiB

Of = TypeVar("Of", bound=Any)  # tensors
Overlaps = Callable[[slice], tf.Tensor]


class _Nearest(NamedTuple):
    """For each of N boxes, all (B, N): its highest overlap, the object that this is with, and likewise among the
    objects that no box overlaps more; -1 and any object without one."""

    highest: tf.Tensor
    index: tf.Tensor
    best: tf.Tensor
    best_index: tf.Tensor


def matched(
    overlaps: Overlaps,
    count: int,
    real: tf.Tensor,
    positive: float,
    negative: float,
    best: bool,
    most_pairs: int = MOST_PAIRS,
) -> tuple[tf.Tensor, tf.Tensor]:
    """(index, kind), both int32 (B, N), of `count` anchors, N, by their overlaps with G >= 1 rows of objects;
    `overlaps` gives those with a slice of the rows, (B, N, rows). At most `most_pairs` are in memory at once.

    Only rows that are `real`, bool (B, G), count. `index` is the row of highest overlap, the first of ties, and 0
    without real rows. `kind` is POSITIVE for overlaps of at least `positive`, NEGATIVE below `negative`, else NEITHER.
    With `best` all anchors with the highest overlap (above 0) of a row are POSITIVE as well and assigned to that row,
    even where they overlap another one more; of several such rows, to the one of highest overlap.
    """

    def nearest(rows: slice) -> _Nearest:
        shares = tf.where(real[:, tf.newaxis, rows], overlaps(rows), -1.0)
        summit = tf.reduce_max(shares, axis=1, keepdims=True)
        first = tf.where((shares == summit) & (summit > 0), shares, -1.0) if best else shares
        return _Nearest(*_highest(shares, rows.start), *_highest(first, rows.start))

    found = _by_rows(count, real.shape[1], nearest, _nearer, most_pairs)
    index, positives = found.index, found.highest >= positive
    if best:
        chosen = found.best > 0
        index, positives = tf.where(chosen, found.best_index, index), positives | chosen
    return index, tf.where(positives, POSITIVE, tf.where(found.highest < negative, NEGATIVE, NEITHER))


def in_ignored(
    boxes: tf.Tensor, objects: tf.Tensor, labels: tf.Tensor, kind: tf.Tensor, most_pairs: int = MOST_PAIRS
) -> tf.Tensor:
    """Whether boxes (B, N, 4) or (N, 4) that are not POSITIVE lie in an ignored object, bool (B, N)."""

    def share(rows: slice) -> tf.Tensor:
        ignored = (labels[:, rows] == IGNORED)[:, tf.newaxis]
        return tf.reduce_max(tf.where(ignored, coverage(boxes, objects[:, rows]), 0.0), axis=-1)

    shares = _by_rows(boxes.shape[-2], labels.shape[1], share, tf.maximum, most_pairs)
    return (shares > IGNORED_SHARE) & (kind != POSITIVE)


def _by_rows(count: int, rows: int, of: Callable[[slice], Of], join: Callable[[Of, Of], Of], most_pairs: int) -> Of:
    """`of` all `rows` of objects, joined of parts that make at most `most_pairs` pairs with `count` boxes."""
    step = max(most_pairs // count, 1)
    found = of(slice(0, min(step, rows)))
    if step >= rows:
        return found

    def more(start: tf.Tensor, joined: Of) -> tuple[tf.Tensor, Of]:
        return start + step, join(joined, of(slice(start, start + step)))

    _, found = tf.while_loop(lambda start, _: start < rows, more, (tf.constant(step), found), parallel_iterations=1)
    return found


def _highest(shares: tf.Tensor, start: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
    """The highest of `shares` (B, N, rows) and its row, the first of ties, counted from `start`: (B, N) each."""
    return tf.reduce_max(shares, axis=-1), tf.argmax(shares, axis=-1, output_type=tf.int32) + start


def _nearer(one: _Nearest, other: _Nearest) -> _Nearest:
    """Of objects and those behind them; the first of ties."""
    nearer, better = other.highest > one.highest, other.best > one.best
    return _Nearest(
        tf.where(nearer, other.highest, one.highest),
        tf.where(nearer, other.index, one.index),
        tf.where(better, other.best, one.best),
        tf.where(better, other.best_index, one.best_index),
    )
