"""Shards of training and evaluation: together they are what one process would have read."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.pipeline import evaluation_batches, training_batches
from reskeras.data.source import Split
from reskeras.data.training_batch import TrainingBatch
from reskeras.errors import ReskerasError
from tests.data.images import KINDS, batches, centred, coloured, encoded_split, picture, spec

UNMIXED = {
    **{name: fields for name, fields in KINDS.items() if name not in ("mixup", "cutmix")},
    "everything": {key: value for key, value in KINDS["everything"].items() if key not in ("mixup", "cutmix")},
}


@pytest.mark.sample(4)
@pytest.mark.parametrize("kind", UNMIXED)
@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_shards_one_after_the_other_are_the_whole_batch_bit_for_bit(kind, count):
    augment, split = spec(**UNMIXED[kind]), coloured(30)
    whole = batches(split, augment, classes=7, label_smoothing=0.1)
    shards = [batches(split, augment, classes=7, label_smoothing=0.1, shard=(index, count)) for index in range(count)]
    for step, (images, labels) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([shard[step][0] for shard in shards]), images)
        np.testing.assert_array_equal(np.concatenate([shard[step][1] for shard in shards]), labels)


def test_shards_of_encoded_images_are_the_whole_batch_too():
    split = encoded_split([picture(40 + index, 30, index) for index in range(8)])
    augment = spec(random_resized_crop={})
    whole = batches(split, augment, batch_size=8)[0][0]
    halves = [batches(split, augment, batch_size=8, shard=(index, 2))[0][0] for index in range(2)]
    np.testing.assert_array_equal(np.concatenate(halves), whole)


def test_only_a_shards_own_rows_are_decoded():
    decoded, whole = [], coloured(24)

    def watched(index):
        tf.py_function(lambda value: decoded.append(int(value)), [index], [])
        return whole.decode(index)

    batches(Split("train", 24, watched), spec(pad_crop=0), shard=(1, 3))
    assert len(decoded) == 8


@pytest.mark.parametrize("mix", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_replicas_of_one_process_mix_as_if_each_had_a_process_of_its_own(mix):
    split, augment = coloured(24), spec(**mix)
    together = TrainingBatch(split, centred(), augment, mirror=True, batch_size=12, replicas=2, classes=7)
    parts = training_batches(together, 1, range(1)).rebatch(6).map(together.finished)
    alone = [batches(split, augment, classes=7, shard=(index, 2)) for index in range(2)]
    for place, (images, labels) in enumerate(parts):
        expected, mixed = alone[place % 2][place // 2]
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, mixed)


def test_shards_mix_their_own_rows_and_differently():
    split = coloured(24)
    mixed = [
        batches(split, spec(mixup=1.0, pad_crop=0, flip=False), classes=24, shard=(index, 2))[0] for index in range(2)
    ]
    plain = [batches(split, spec(pad_crop=0, flip=False), classes=24, shard=(index, 2))[0] for index in range(2)]
    for (_, labels), (_, own) in zip(mixed, plain, strict=True):
        present = own.sum(axis=0) > 0
        assert labels[:, ~present].max() == 0
    weights = [np.sort(labels.max(axis=1)) for _, labels in mixed]
    assert not np.allclose(weights[0], weights[1])


def test_a_batch_that_cannot_be_shared_out_is_refused_with_both_numbers():
    for wanted in (
        lambda: batches(coloured(), spec(), batch_size=10, shard=(0, 3)),
        lambda: evaluation_batches(coloured(), centred(), 10, shard=(0, 3)),
    ):
        with pytest.raises(ReskerasError, match="batch_size: 10 images cannot be divided evenly among 3") as caught:
            wanted()
        assert caught.value.status == 2
    with pytest.raises(ValueError, match="shard 3 of 3"):
        batches(coloured(), spec(), shard=(3, 3))


@pytest.mark.parametrize("images", [23, 24, 3])
def test_evaluation_shards_have_equally_many_full_batches_and_count_each_image_once(images):
    split, count = coloured(images), 4
    shards = [list(evaluation_batches(split, centred(), 8, shard=(index, count))) for index in range(count)]
    assert {len(shard) for shard in shards} == {-(-images // 8)}
    assert {tuple(batch[0].shape) for shard in shards for batch in shard} == {(2, 16, 16, 3)}
    expected, labels = (part.numpy() for part in next(iter(evaluation_batches(split, centred(), 1000))))
    rows = [
        [
            np.concatenate([shards[index][step][part].numpy() for index in range(count)])
            for step in range(len(shards[0]))
        ]
        for part in range(3)
    ]
    pixels, seen, weights = (np.concatenate(part) for part in rows)
    assert weights.dtype == np.float32 and weights.sum() == images
    np.testing.assert_array_equal(pixels[weights == 1], expected)
    np.testing.assert_array_equal(seen[weights == 1], labels)
    np.testing.assert_array_equal(pixels[weights == 0], np.broadcast_to(expected[-1], pixels[weights == 0].shape))


def test_evaluation_labels_are_one_hot_when_classes_are_given():
    split = coloured(10)
    plain, hot = (list(evaluation_batches(split, centred(), 4, classes=classes)) for classes in (None, 7))
    for (images, labels), (same, targets) in zip(plain, hot, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(targets, np.eye(7, dtype=np.float32)[labels.numpy()])
    [(_, targets, weights), *_] = evaluation_batches(split, centred(), 4, classes=7, shard=(0, 2))
    assert (targets.shape, targets.dtype, weights.shape) == ((2, 7), tf.float32, (2,))
