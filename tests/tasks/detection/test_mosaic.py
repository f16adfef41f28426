"""Mosaics: boxes end where the pixels of their objects end in the part of the canvas that their image has, and what is
drawn follows (seed, epoch, step) alone."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.pipeline import _fold
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.shard_rows import Rows
from reskeras.errors import ReskerasError
from reskeras.recipes.augment import MosaicSpec
from reskeras.recipes.recipe import recipe
from reskeras.tasks.detection import feed as feed_module
from reskeras.tasks.detection.boxes import turned
from reskeras.tasks.detection.feed import DetectionFeed
from reskeras.tasks.detection.mosaic import CUT, mosaics
from reskeras.tasks.detection.object_feed import TILES
from reskeras.tasks.detection.objects import IGNORED, PADDING
from reskeras.tasks.detection.opening import open_objects
from reskeras.tasks.detection.placing import LEAST_SEEN
from reskeras.training.strategy import Replicas, open_replicas
from tests.tasks.detection.masks import edges, masks

SIZE = 80, 112
WHOLE = Preprocessing(*SIZE, 3, "per_channel", np.zeros(3, np.float32), np.full(3, 255, np.float32))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Images whose channels are the masks of three objects each."""
    return masks(tmp_path_factory.mktemp("masks") / "set")


def feed_of(source, augment, replicas=None, **fields):
    fields = {"holdout": 0.0, "batch_size": 8, **fields}
    return DetectionFeed(recipe("detector", augment=augment, **fields), source, WHOLE, replicas or open_replicas("one"))


def batches(fed, epoch=0, step=0, until=1):
    return [{name: values.numpy() for name, values in inputs.items()} for inputs, _ in fed.training(epoch, step, until)]


def same(ours, theirs):
    return len(ours) == len(theirs) and all(
        np.array_equal(one[name], other[name]) for one, other in zip(ours, theirs, strict=True) for name in one
    )


@pytest.mark.parametrize("augment", [{"flip": False}, {"flip": True, "flip_rows": True, "rotate": 90}])
def test_boxes_end_where_their_objects_end_in_their_part_of_the_canvas(source, augment, monkeypatch):
    finished = feed_module._finished

    def with_parts(preprocessing, inputs, weights):
        return finished(preprocessing, inputs, weights)[0] | {"parts": inputs["parts"]}, weights

    monkeypatch.setattr(feed_module, "_finished", with_parts)
    fed = feed_of(source, {"mosaic": {"scale": [0.4, 1.2]}, **augment})
    batch = tf.function(feed_module.TrainingCanvases(fed, Rows(0, 24, 24)), autograph=False)
    errors, kinds = [], []
    for seed in range(3):
        inputs, _ = batch(tf.range(24, dtype=tf.int64), tf.constant([seed, 5]), tf.constant(0))
        for image, window, boxes, labels, of_tiles in zip(
            *(inputs[name].numpy() for name in ("image", "window", "boxes", "labels", "parts")), strict=True
        ):
            outside = image.copy()
            for part in of_tiles.astype(int):
                outside[part[0] : part[2], part[1] : part[3]] = 0
            assert not outside.any() and boxes.shape == (3 * TILES, 4)
            assert window.tolist() == [*of_tiles[:, :2].min(axis=0), *of_tiles[:, 2:].max(axis=0)]
            for tile, part in enumerate(of_tiles):
                top, left, bottom, right = part.astype(int)
                alone = np.zeros_like(image)
                alone[top:bottom, left:right] = image[top:bottom, left:right]
                for channel in range(3):
                    label, box = labels[3 * tile + channel], boxes[3 * tile + channel]
                    assert label in (channel, IGNORED, PADDING)
                    kinds.append(min(label, 0))
                    if label == PADDING:
                        assert alone[..., channel].max() < 0.6 and not box.any()
                        continue
                    assert (box[:2] >= part[:2]).all() and (box[2:] <= part[2:]).all()
                    errors.append(edges(alone[..., channel], part) - box)
    errors = np.array(errors)
    assert (~np.isnan(errors)).sum() > 800 and np.nanmax(np.abs(errors)) < 0.1
    assert all(kinds.count(kind) > 20 for kind in (0, IGNORED, PADDING))


def test_objects_with_too_little_left_are_ignored(source):
    """By the area of the box in its image, scaled, and on the canvas."""
    fed = feed_of(source, {"flip": False, "mosaic": {}})
    tiles = mosaics(
        {"index": tf.zeros([64, 1], tf.int64), "factor": tf.ones([64, 1]), "where": tf.zeros([64, 1, 2])},
        MosaicSpec(),
        source.train.count,
        SIZE,
        tf.constant([1, 2]),
        Rows(0, 64, 64),
        tf.constant(True),
    )
    loaded = tf.function(lambda tiles: fed.loaded(fed.train, tiles), autograph=False)(tiles)
    inputs = {name: values.numpy() for name, values in loaded.items()}
    judged = {True: 0, False: 0}
    for row, index in enumerate(tiles["index"].numpy()):
        for tile, image in enumerate(index):
            boxes, _, _ = source.train.rows(image)
            height, width = source.train.sizes[image]
            scale = tiles["factor"][row, tile].numpy() * min(SIZE[0] / height, SIZE[1] / width)
            for place, box in enumerate(boxes):
                left = inputs["boxes"][row, 3 * tile + place]
                share = np.prod(left[2:] - left[:2]) / (np.prod(box[2:] - box[:2]) * scale**2)
                if abs(share - LEAST_SEEN) > 0.05 and share > 0:  # sides are rounded to whole pixels
                    judged[bool(share > LEAST_SEEN)] += 1
                    assert (inputs["labels"][row, 3 * tile + place] == place) == (share > LEAST_SEEN)
    assert min(judged.values()) > 30


def test_canvases_are_cut_anywhere_in_the_middle_and_partners_are_any_images():
    alone = {"index": tf.zeros([4000, 1], tf.int64), "factor": tf.ones([4000, 1]), "where": tf.zeros([4000, 1, 2])}
    size, rows = (100, 200), Rows(0, 4000, 4000)
    tiles = mosaics(alone, MosaicSpec(probability=0.3), 7, size, tf.constant([3, 4]), rows, tf.constant(True))
    several, parts = tiles["several"].numpy(), tiles["part"].numpy()
    assert 0.27 < several.mean() < 0.33
    np.testing.assert_array_equal(parts[~several], np.broadcast_to([0, 0, *size], parts[~several].shape))
    areas = np.prod(parts[several][..., 2:] - parts[several][..., :2], axis=-1)
    assert (areas.sum(axis=1) == 100 * 200).all() and areas.min() > 0
    lines = parts[several][:, 0, 2:] / size
    assert lines.min() >= CUT[0] and lines.max() <= CUT[1]
    assert np.allclose(lines.mean(axis=0), 0.5, atol=0.02) and np.allclose(lines.std(axis=0), 0.6 / 12**0.5, atol=0.01)
    assert (tiles["index"][:, 0] == 0).numpy().all()
    counts = np.bincount(tiles["index"][:, 1:].numpy().ravel(), minlength=7)
    assert counts.min() > 0.93 * 12000 / 7 and len(counts) == 7
    factors = tiles["factor"].numpy()
    assert (factors[~several] == 1).all() and 0.5 <= factors[several].min() < 0.52 and 1.45 < factors.max() <= 1.5


@pytest.mark.slow
def test_mosaics_follow_seed_epoch_and_step_alone(source, monkeypatch):
    augment = {"mosaic": {"probability": 0.7}, "flip": True, "rotate": 90}
    once = batches(feed_of(source, augment), until=2)
    assert same(once[4:], batches(feed_of(source, augment), epoch=1, step=1, until=2))
    assert not same(once[:3], once[3:])
    parts = []
    for worker in (0, 1):
        monkeypatch.setattr(Replicas, "dataset", lambda self, shard, rows, worker=worker: shard((worker, 2)))
        parts.append(batches(feed_of(source, augment)))
    joined = [{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in zip(*parts, strict=True)]
    assert same(once[:3], joined)
    assert not same(parts[1], batches(feed_of(source, augment, seed=1)))


def test_the_last_epochs_have_no_mosaics(source):
    augment = {"flip": True, "scale": [0.7, 1.4]}
    some = batches(feed_of(source, {**augment, "mosaic": {"except_last": 2}}, epochs=3), until=3)
    plain = batches(feed_of(source, augment, epochs=3), until=3)
    for step, (ours, theirs) in enumerate(zip(some, plain, strict=True)):
        as_without = np.array_equal(ours["image"], theirs["image"]) and np.array_equal(ours["window"], theirs["window"])
        assert as_without == (step >= 3)
        assert ours["boxes"].shape[1] == TILES * theirs["boxes"].shape[1]
        if step >= 3:
            np.testing.assert_array_equal(ours["boxes"][:, :3], theirs["boxes"])
            assert (ours["labels"][:, 3:] == PADDING).all()


@pytest.mark.parametrize(("epochs", "told"), [(3, "3 leaves none of 3 epochs with mosaics"), (1, "of 1 epoch with")])
def test_a_training_without_epochs_with_mosaics_is_refused(source, epochs, told):
    with pytest.raises(ReskerasError, match=f"augment.mosaic.except_last: .*{told}"):
        feed_of(source, {"mosaic": {"except_last": 3}}, epochs=epochs).check()


def test_a_partner_that_cannot_be_read_is_named(source):
    """An epoch has whole batches only: the image that is left out may still be in a mosaic."""
    fed = feed_of(source, {"mosaic": {}}, batch_size=23)
    [batch] = fed.order.batches(_fold(0, tf.constant(0)))[0].numpy()
    [left] = set(range(24)) - set(batch.tolist())
    whole = source.train.read

    def read(index):
        return tf.where(tf.equal(index, left), b"no image", whole(index))

    spoilt = replace(source, train=replace(source.train, read=read))
    assert feed_of(spoilt, {}, batch_size=23).broken_image(0, 0) is None
    told = feed_of(spoilt, {"mosaic": {}}, batch_size=23).broken_image(0, 0)
    assert f"image {source.train.ids[left]} of train" in told


@pytest.mark.parametrize("quarters", range(4))
def test_the_box_of_a_turned_mask_is_the_turned_box(quarters):
    generator = np.random.default_rng(quarters)
    for _ in range(50):
        height, width = generator.integers(5, 40, 2)
        top, left = generator.integers(0, [height, width])
        box = np.array([top, left, generator.integers(top, height) + 1, generator.integers(left, width) + 1])
        mask = np.zeros((height, width), bool)
        mask[box[0] : box[2], box[1] : box[3]] = True
        rows, columns = (np.flatnonzero(np.rot90(mask, quarters).any(axis=axis)) for axis in (1, 0))
        found = turned(tf.constant([box], tf.float32), tf.constant(quarters), tf.constant(height), tf.constant(width))
        assert found[0].numpy().tolist() == [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]


def test_turned_images_still_fit_their_canvas_where_there_are_several(tmp_path):
    """Of images of one size on canvases of both directions, those that are turned are seen whole, smaller."""
    from reskeras.tasks.detection.canvas import Canvases
    from tests.tasks.detection.shapes import shapes_folder

    wide = open_objects(f"voc:{shapes_folder(tmp_path / 'wide', train=16, test=2)}")
    chosen = recipe("detector", augment={"flip": False, "rotate": 90}, batch_size=16)
    canvases = Canvases(((48, 48), (48, 64), (64, 48)), (48.0, 64.0))
    pixels = Preprocessing(64, 64, 3, "per_channel", np.zeros(3, np.float32), np.ones(3, np.float32))
    fed = DetectionFeed(chosen, wide, pixels, open_replicas("one"), canvases)
    sizes = set()
    for inputs in batches(fed, until=2):
        assert inputs["image"].shape[1:3] == (48, 64)
        assert (inputs["labels"] != IGNORED).all()
        sizes |= {(float(bottom - top), float(right - left)) for top, left, bottom, right in inputs["window"]}
    assert sizes == {(48, 64), (48, 36)}
