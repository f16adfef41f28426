"""Repeated augmentation: the same images several times in a batch, changed differently each time."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.batches import ReadAhead
from reskeras.data.epoch_order import EpochOrder
from reskeras.data.pipeline import first_broken_in_training, training_batches
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Split
from reskeras.data.training_batch import TrainingBatch
from tests.data.images import coloured, raw, spec


class Indices:
    """A loader whose batches are the indices that it gets."""

    def __init__(self, count, batch_size, shard=(0, 1)):
        self.count, self.rows, self.read_ahead = count, Rows.shard(batch_size, *shard), ReadAhead(1, 1, 1)

    def __call__(self, indices, seed, epoch):
        return indices


def indices(count, batch_size, repeats, seed=0, epochs=range(1), start=0, shard=(0, 1)):
    order = EpochOrder(count, batch_size, repeats)
    dataset = training_batches(Indices(count, batch_size, shard), seed, epochs, start, order)
    return np.array([batch.numpy() for batch in dataset])


def timms_stream(order, repeats, length):
    """The indices that timm's RepeatAugSampler gives to all replicas together, as its documentation describes it: the
    shuffled images, each repeated in place, cut to the length of the epoch."""
    return np.repeat(order, repeats)[:length]


@pytest.mark.parametrize(("count", "batch_size", "repeats"), [(96, 12, 3), (100, 16, 3), (50, 8, 4), (21, 10, 2)])
def test_each_batch_has_the_images_of_timms_stream(count, batch_size, repeats):
    once = indices(count, batch_size, 1, seed=5)
    several = indices(count, batch_size, repeats, seed=5)
    assert several.shape == once.shape  # an epoch keeps its length
    expected = timms_stream(once.ravel(), repeats, once.size).reshape(once.shape)
    np.testing.assert_array_equal(np.sort(several, axis=1), np.sort(expected, axis=1))
    counts = np.bincount(several.ravel(), minlength=count)
    assert set(counts) - {0, repeats} <= {once.size % repeats}
    assert (counts > 0).sum() == -(-once.size // repeats)


@pytest.mark.parametrize("replicas", [3, 4, 6])
def test_no_replica_has_an_image_twice_where_there_are_as_many_as_repeats(replicas):
    for shard in range(replicas):
        for batch in indices(240, 24, 3, shard=(shard, replicas)):
            assert len(set(batch)) == len(batch)


def test_shards_one_after_the_other_are_the_whole_stream_with_repeats_too():
    parts = [indices(100, 20, 3, shard=(index, 4)) for index in range(4)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), indices(100, 20, 3))


def test_epochs_and_positions_within_them_are_functions_of_the_seed_alone():
    whole = indices(60, 12, 3, epochs=range(3))
    np.testing.assert_array_equal(whole, indices(60, 12, 3, epochs=range(3)))
    np.testing.assert_array_equal(whole[7:], indices(60, 12, 3, epochs=range(1, 3), start=2))
    assert set(whole[:5].ravel()) != set(whole[5:10].ravel())
    assert not np.array_equal(whole, indices(60, 12, 3, seed=1, epochs=range(3)))


def test_every_repeat_is_augmented_differently():
    whole = coloured(24)
    split = Split("train", 24, lambda index: (whole.decode(index)[0], tf.cast(index, tf.int32)))
    loader = TrainingBatch(split, raw(), spec(repeats=3), mirror=True, batch_size=12)
    images, labels = next(iter(training_batches(loader, 1, range(1), 0, EpochOrder(24, 12, 3)).map(loader.finished)))
    for label in set(labels.numpy()):
        seen = {image.tobytes() for image, own in zip(images.numpy(), labels.numpy(), strict=True) if own == label}
        assert len(seen) == 3


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_broken_image_is_found_where_the_training_reads_it(repeats):
    order = indices(24, 6, repeats, seed=2)
    last = order[3, 5]  # a later one is broken too, and must not be found
    broken = tf.constant([order[1, 4], last], tf.int64)

    def decode(index):
        with tf.control_dependencies([tf.debugging.Assert(~tf.reduce_any(index == broken), ["spoiled"])]):
            return tf.zeros([4, 4, 3], tf.uint8), tf.constant(0)

    split = Split("train", 24, decode)
    assert first_broken_in_training(split, split, 2, 0, 1, EpochOrder(24, 6, repeats)) == f"image {order[1, 4]}"
