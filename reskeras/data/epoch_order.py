"""Which images each batch of an epoch has: a function of the epoch's seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import tensorflow as tf

from reskeras.recipes.recipe import steps_per_epoch

# folded into an epoch's seed to shuffle its batches; what is below shuffles each group, 0 and above is of each batch
BATCHES = -1


@dataclass(frozen=True)
class EpochOrder:
    """`count` images in shuffled batches; the rest of an epoch that does not fill a batch is left out.

    With `repeats` an epoch is as long, of fewer images, each of them as often as `_order` says.
    """

    count: int
    batch_size: int
    repeats: int = 1

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return steps_per_epoch(self.count, self.batch_size)

    def batches(self, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """What each batch of the epoch with this seed, int32 (2,), has: images, int64 (steps, batch_size)."""
        order = tf.cast(_order(self.count, self.batch_size, self.repeats, seed), tf.int64)
        return (tf.reshape(order[: self.steps * self.batch_size], [self.steps, self.batch_size]),)


@dataclass(frozen=True, eq=False)
class GroupedOrder(EpochOrder):
    """As EpochOrder, in batches of one group each, and every image once in an epoch (`repeats` apart).

    `groups` int (count,) is each image's group. The images of group g that do not fill a batch may also be in a batch
    of one of the groups `others[g]`, all of which are larger numbers; which images these are differs from epoch to
    epoch, how many does not. The last batch of a group that still lacks images is filled up with some of the same
    group, which do not count.
    """

    groups: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    others: Sequence[Sequence[int]] = ()

    @cached_property
    def members(self) -> dict[int, np.ndarray]:
        """The images of each group that has any, by ascending number."""
        return by_group(self.groups)

    @cached_property
    def layout(self) -> dict[int, tuple[int, int, int | None]]:
        """By group: how many images come to it, its whole batches, and the group that takes the rest, if any does."""
        rows, come = {}, {group: len(images) for group, images in self.members.items()}
        for group in come:
            whole, rest = divmod(come[group], self.batch_size)
            heir = next((other for other in self.others[group] if other in come), None) if rest else None
            rows[group] = come[group], whole, heir
            if heir is not None:
                come[heir] += rest
        return rows

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        return sum(
            whole if heir is not None else -(-come // self.batch_size) for come, whole, heir in self.layout.values()
        )

    def batches(self, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """As in EpochOrder; then the group of each batch, int32 (steps,), and which of its images count, float32
        (steps, batch_size): 1, or 0 for those that fill it up."""
        size = self.batch_size
        left: dict[int, list[tf.Tensor]] = {group: [] for group in self.members}
        images, groups, real = [], [], []
        for group, (come, whole, heir) in self.layout.items():
            own = self.members[group]
            order = _order(
                len(own), size, self.repeats, tf.random.experimental.stateless_fold_in(seed, BATCHES - 1 - group)
            )
            order = tf.concat([*left[group], tf.gather(tf.constant(own, tf.int64), order)], axis=0)
            if heir is not None:
                left[heir].append(order[whole * size :])
            steps = whole if heir is not None else -(-come // size)
            place = np.arange(steps * size)
            images.append(tf.gather(order, place % come))
            groups.append(np.full(steps, group, np.int32))
            real.append((place < come).astype(np.float32).reshape(-1, size))
        turns = shuffled(self.steps, tf.random.experimental.stateless_fold_in(seed, BATCHES))
        every = tf.reshape(tf.concat(images, 0), [-1, size]), np.concatenate(groups), np.concatenate(real)
        return tuple(tf.gather(each, turns) for each in every)


def by_group(groups: np.ndarray) -> dict[int, np.ndarray]:
    """The places, ascending int64, of each number in `groups` (n,), by ascending number."""
    return {int(group): np.flatnonzero(groups == group) for group in np.unique(groups)}


def _order(count: int, batch_size: int, repeats: int, seed: tf.Tensor) -> tf.Tensor:
    """The images of an epoch in the order in which they are read: `count` indices, a batch after the other.

    With `repeats`, repeated augmentation (arXiv:1901.09335): the shuffled images, each `repeats` times in a row, are
    cut into batches until the epoch is as long as without. A batch has the first appearance of each of its images,
    then the second ones, and so on: replicas have a contiguous part of a batch, so that where there are at least as
    many of them as repeats none has an image twice, as in timm's RepeatAugSampler. The order does not depend on how
    many replicas there are. An image whose appearances do not fit into a batch goes on in the next one.
    """
    order = shuffled(count, seed)
    if repeats == 1:
        return order
    place = tf.range(count, dtype=tf.int64)
    # within a batch by appearance, which is the place modulo repeats, and otherwise as they come
    rank = (place // batch_size * repeats + place % repeats) * batch_size + place % batch_size
    return tf.gather(order, tf.argsort(rank, stable=True) // repeats)


def shuffled(count: int, seed: tf.Tensor) -> tf.Tensor:
    """A permutation of 0..count-1 that depends on `seed` alone."""
    return tf.argsort(tf.random.stateless_uniform([count], seed, maxval=None, minval=None, dtype=tf.int64), stable=True)
