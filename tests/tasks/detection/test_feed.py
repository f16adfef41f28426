"""What a detector is fed: boxes that stay on their objects, and batches that (seed, epoch, step) alone decide."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import recipe
from reskeras.tasks.detection.feed import DetectionFeed
from reskeras.tasks.detection.objects import IGNORED, PADDING
from reskeras.tasks.detection.opening import open_objects
from reskeras.tasks.detection.placing import in_view
from reskeras.training.strategy import Replicas, open_replicas

PLAIN = Preprocessing(48, 64, 3, "per_channel", np.zeros(3, np.float32), np.ones(3, np.float32))
COLOURS = {"disc": (30, 60, 230), "square": (220, 60, 40)}


@pytest.fixture(scope="module")
def source(shapes):
    return open_objects(f"voc:{shapes}")


def feed(source, replicas=None, size=PLAIN, **fields):
    fields = {"batch_size": 4, **fields}
    return DetectionFeed(recipe("detector", **fields), source, size, replicas or open_replicas("one"))


def batches(fed, epoch=0, step=0, until=1):
    return [
        (tf.nest.map_structure(lambda each: each.numpy(), inputs), weights.numpy())
        for inputs, weights in fed.training(epoch, step, until)
    ]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(tf.nest.flatten(a), tf.nest.flatten(b), strict=True))


@pytest.mark.parametrize(
    "augment",
    [
        {"flip": False},
        {"flip": True},
        {"flip": "alternating"},
        {"flip": True, "flip_rows": True},
        {"scale": [0.5, 2.0], "flip": True},
    ],
)
def test_each_box_stays_on_its_object(source, augment):
    looked, cut = 0, 0
    for inputs, _ in batches(feed(source, augment=augment), until=3):
        for image, boxes, labels, window in zip(
            *(inputs[name] for name in ("image", "boxes", "labels", "window")), strict=True
        ):
            assert (boxes[labels == PADDING] == 0).all()
            for box, label in zip(boxes[labels >= 0], labels[labels >= 0], strict=True):
                assert (box[:2] >= window[:2]).all()
                assert (box[2:] <= window[2:]).all()
                if min(box[2] - box[0], box[3] - box[1]) < 6:
                    continue  # the end of one that is cut: its middle may be a disc's corner
                middle = image[int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)]
                expected = COLOURS[source.classes[label]]
                touches = np.isclose(box[:2], window[:2]).any() or np.isclose(box[2:], window[2:]).any()
                looked, cut = looked + 1, cut + touches
                assert touches or np.abs(middle - expected).max() < 25, (middle, expected)
    assert looked - cut > 30


def test_alternating_flips_mirror_every_image_in_every_other_epoch(source):
    seen = batches(feed(source, augment={"flip": "alternating"}), until=2)
    first, second = (
        {image.tobytes() for inputs, _ in part for image in inputs["image"][:, :, ::step]}
        for part, step in ((seen[:4], -1), (seen[4:], 1))
    )
    assert first == second and len(first) == 16
    plain = {image.tobytes() for image in feed(source).sample(100)}
    assert 0 < len(plain & second) < 16  # of each epoch some are mirrored


def test_scaled_images_differ_in_size(source):
    windows = np.concatenate(
        [inputs["window"] for inputs, _ in batches(feed(source, augment={"scale": [0.5, 2.0]}), until=4)]
    )
    heights = windows[:, 2] - windows[:, 0]
    assert heights.min() < 30
    assert (heights == 48).any()
    assert (windows[:, :2] >= 0).all()


def test_repeated_images_come_in_one_batch_scaled_differently(source):
    """A batch of four has two images, twice in this order."""
    still = batches(feed(source, augment={"flip": False, "repeats": 2}))
    moved = batches(feed(source, augment={"flip": False, "scale": [0.5, 2.0], "repeats": 2}))
    assert len(still) == feed(source).steps_per_epoch
    for inputs, _ in still:
        np.testing.assert_array_equal(inputs["image"][:2], inputs["image"][2:])
        np.testing.assert_array_equal(inputs["boxes"][:2], inputs["boxes"][2:])
        assert not np.array_equal(inputs["image"][0], inputs["image"][1])
    assert all(not np.array_equal(inputs["window"][:2], inputs["window"][2:]) for inputs, _ in moved)


def test_an_epoch_is_a_function_of_seed_and_epoch(source):
    fields = {"augment": {"scale": [0.7, 1.4], "colour": 0.2, "erase": 0.5, "flip": True}}
    once, again = batches(feed(source, **fields), until=2), batches(feed(source, **fields), until=2)
    assert same(once, again)
    assert not same(once[:4], once[4:])
    assert not same(once, batches(feed(source, **fields, seed=1), until=2))
    assert len({tuple(row) for inputs, _ in once for row in inputs["seed"].tolist()}) == 32  # every image its own draws


def test_the_middle_of_an_epoch_can_be_begun_at(source):
    whole = batches(feed(source), until=2)
    assert same(whole[2:], batches(feed(source), epoch=0, step=2, until=2))
    assert same(whole[5:], batches(feed(source), epoch=1, step=1, until=2))


def test_shards_of_a_batch_are_the_batch(source, monkeypatch):
    fields = {"augment": {"scale": [0.7, 1.4], "flip": True, "colour": 0.1, "lighting": 0.1}}
    whole = batches(feed(source, **fields))
    parts = []
    for worker in (0, 1):
        monkeypatch.setattr(Replicas, "dataset", lambda self, shard, rows, worker=worker: shard((worker, 2)))
        parts.append(batches(feed(source, **fields)))
    joined = [tf.nest.map_structure(lambda *halves: np.concatenate(halves), *pair) for pair in zip(*parts, strict=True)]
    assert same(whole, joined)


def test_a_batch_of_all_images_that_replicas_cannot_share_is_refused(source):
    """Fifteen images are left of sixteen: two replicas would each take seven, and what is left in the next step."""
    two = SimpleNamespace(num_replicas_in_sync=2)
    with pytest.raises(ReskerasError, match="batch_size: 15 images cannot be split evenly over 2 replicas"):
        feed(source, Replicas(two), batch_size=16, holdout=0.05).check()


def test_every_watched_image_is_seen_once(source):
    fed = feed(source)
    dataset, count = fed.watching()
    seen = [(inputs, weights.numpy()) for inputs, weights in dataset.take(count)]
    assert len(seen) == count == 2
    assert [weights.tolist() for _, weights in seen] == [[1, 1, 1, 1], [1, 1, 0, 0]]
    found = np.concatenate([inputs["boxes"].numpy() for inputs, _ in seen])[:6]
    for index in range(6):
        boxes, _, _ = source.test.rows(index)
        assert np.allclose(found[index, : len(boxes)], boxes)
    again, weights = next(iter(dataset.skip(count)))  # and then the first again
    assert np.array_equal(again["boxes"], seen[0][0]["boxes"]) and weights.numpy().tolist() == [1, 1, 1, 1]


def test_images_are_held_out_with_their_boxes(source):
    fed = feed(source, holdout=0.25)
    assert (fed.train.count, fed.watched.count, fed.watches) == (12, 4, "held-out")
    assert not set(fed.train.ids) & set(fed.watched.ids)


def test_some_images_are_used_of_every_class_the_seed_decides_which(source):
    few, more, other = (feed(source, images=count, seed=seed).train for count, seed in ((4, 0), (9, 0), (4, 1)))
    assert (few.count, more.count) == (4, 9)
    assert {*few.ids} < {*more.ids} < {*source.train.ids} and {*few.ids} != {*other.ids}
    assert all(feed(source, images=2, seed=seed).train.held(2).any(axis=0).all() for seed in range(8))
    fed = feed(source, images=8, holdout=0.25)
    assert (fed.train.count, fed.watched.count, fed.watches) == (6, 2, "held-out")
    assert {*fed.train.ids, *fed.watched.ids} == {*feed(source, images=8).train.ids}
    assert feed(source, images=16).train.ids == source.train.ids
    with pytest.raises(ReskerasError, match=r"images: 17 of the 16 training images requested; use 1 \(one\) to 16"):
        feed(source, images=17)


def test_of_an_object_that_is_cut_too_little_is_ignored():
    boxes = tf.constant([[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60], [0, 0, 0, 0]], tf.float32)
    labels, window = tf.constant([1, IGNORED, 0, PADDING]), tf.constant([0, 7, 40, 40], tf.float32)
    cut, kept = in_view(boxes, labels, window)
    assert kept.numpy().tolist() == [IGNORED, IGNORED, PADDING, PADDING]
    assert cut.numpy().tolist() == [[0, 7, 10, 10], [0, 7, 10, 10], [0, 0, 0, 0], [0, 0, 0, 0]]
    _, kept = in_view(boxes, labels, tf.constant([0, 5, 40, 40], tf.float32))
    assert kept.numpy()[0] == 1


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ({"mixup": 0.2}, "augment.mixup: not for detectors"),
        ({"pad_crop": 4}, "augment.pad_crop"),
        ({"random_resized_crop": {}}, "augment.random_resized_crop"),
        ({"rand_augment": {}}, "augment.rand_augment"),
    ],
)
def test_augmentation_for_classifiers_is_refused(source, augment, message):
    with pytest.raises(ReskerasError, match=message):
        feed(source, augment=augment).check()
