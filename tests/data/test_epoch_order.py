"""Batches of one group each: every image once in an epoch, as a function of the epoch's seed alone."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.batches import ReadAhead
from reskeras.data.epoch_order import GroupedOrder
from reskeras.data.pipeline import first_broken_in_training, training_batches
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Split

LARGER = ((1, 2), (), ())  # group 0 may be in batches of the others


def seeded(seed):
    return tf.constant([seed, 7], tf.int32)


def orders():
    """Groups of every size: none, fewer than a batch, whole batches, with and without a rest."""
    generator = np.random.default_rng(0)
    for counts in ((9, 14, 6), (4, 8, 4), (3, 0, 0), (5, 0, 3), (0, 1, 1), (1, 7, 0), (11, 2, 13)):
        yield GroupedOrder(sum(counts), 4, groups=generator.permutation(np.repeat([0, 1, 2], counts)), others=LARGER)


@pytest.mark.parametrize("order", orders(), ids=lambda order: str(np.bincount(order.groups, minlength=3)))
def test_every_image_counts_once_in_a_batch_of_a_group_that_may_have_it(order):
    images, groups, real = (each.numpy() for each in order.batches(seeded(3)))
    assert images.shape == real.shape == (order.steps, 4) and groups.shape == (order.steps,)
    assert Counter(images[real == 1].tolist()) == Counter(range(order.count))
    for row, group in zip(images, groups, strict=True):
        assert {group, *order.groups[row]} <= {group, 0} if group else set(order.groups[row]) == {0}
    assert set(np.unique(real)) <= {0.0, 1.0} and (real.max(axis=1) == 1).all()
    # at most one batch of a group is filled up, and none where its images could be with others
    for group in np.unique(groups):
        assert (real[groups == group].min(axis=1) == 0).sum() <= 1
    assert order.steps <= order.count // 4 + len(np.unique(order.groups))


def test_epochs_differ_in_order_and_in_who_is_with_others():
    order = GroupedOrder(30, 4, groups=np.repeat([0, 1, 2], [9, 15, 6]), others=LARGER)
    epochs = [[each.numpy() for each in order.batches(seeded(seed))] for seed in range(4)]
    moved = {tuple(sorted(image for image in images[groups > 0].ravel() if image < 9)) for images, groups, _ in epochs}
    assert len(moved) > 1
    assert len({tuple(groups) for _, groups, _ in epochs}) > 1
    again = order.batches(seeded(0))
    assert all((one == other.numpy()).all() for one, other in zip(epochs[0], again, strict=True))


def test_with_repeats_an_epoch_is_as_long_of_fewer_images():
    order = GroupedOrder(24, 4, 3, groups=np.repeat([0, 1], [8, 16]), others=((1,), ()))
    images, _, real = (each.numpy() for each in order.batches(seeded(1)))
    assert images.shape == (6, 4) and real.min() == 1
    counts = Counter(images.ravel().tolist())
    assert set(counts.values()) <= {1, 2, 3} and len(counts) < 12


class Told:
    """A loader whose batches are what it gets."""

    def __init__(self, count, shard=(0, 1)):
        self.count, self.rows, self.read_ahead = count, Rows.shard(4, *shard), ReadAhead(1, 1, 1)

    def __call__(self, indices, seed, epoch, *more):
        return indices, seed, *more


def stream(order, epochs=range(2), start=0, shard=(0, 1)):
    batches = training_batches(Told(order.count, shard), 5, epochs, start, order)
    return [[each.numpy() for each in batch] for batch in batches]


def test_the_stream_goes_on_from_any_step_and_its_shards_have_one_group():
    order = GroupedOrder(23, 4, groups=np.arange(23) % 3, others=LARGER)
    whole = stream(order)
    assert len(whole) == 2 * order.steps
    for start in (1, order.steps - 1):
        rest = stream(order, start=start)
        assert all(
            (a == b).all()
            for one, other in zip(whole[start:], rest, strict=True)
            for a, b in zip(one, other, strict=True)
        )
    halves = [stream(order, shard=(part, 2)) for part in range(2)]
    for (images, _, group, real), *parts in zip(whole, *halves, strict=True):
        assert (np.concatenate([part[0] for part in parts]) == images).all()
        assert (np.concatenate([part[3] for part in parts]) == real).all()
        assert [part[2] for part in parts] == [group, group]


def test_a_broken_image_is_sought_in_the_order_of_the_groups():
    order = GroupedOrder(23, 4, groups=np.arange(23) % 3, others=LARGER)
    read = stream(order, range(1))
    broken = int(read[2][0][1])

    def decode(index):
        with tf.control_dependencies([tf.debugging.Assert(index != broken, ["spoiled"])]):
            return tf.zeros([4, 4, 3], tf.uint8), tf.constant(0)

    split = Split("train", 23, decode)
    assert first_broken_in_training(split, split, 5, 0, 2, order) == f"image {broken}"


def test_groups_of_one_size_are_shuffled_each_by_itself():
    order = GroupedOrder(32, 4, groups=np.repeat([0, 1], 16), others=((), ()))
    images, groups, _ = (each.numpy() for each in order.batches(seeded(1)))
    zero, one = ({frozenset((row % 16).tolist()) for row in images[groups == group]} for group in (0, 1))
    assert zero != one
