"""Boxes end where their objects end, to a tenth of a pixel, after every augmentation: compared with masks of the
objects that went through the same as the images."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.shard_rows import Rows
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.recipes.recipe import recipe
from reskeras.tasks.detection.canvas import Placed, placed
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.drawn_boxes import Mark, cropped, enlarged
from reskeras.tasks.detection.feed import DetectionFeed, TrainingCanvases
from reskeras.tasks.detection.object_statistics import canvas_boxes
from reskeras.tasks.detection.objects import IGNORED, PADDING
from reskeras.tasks.detection.options import Options
from reskeras.tasks.detection.placing import LEAST_SEEN, in_view
from reskeras.training.strategy import open_replicas
from tests.tasks.detection.masks import SIZES, drawn, edges, masks, rectangles
from tests.tasks.detection.scenes import annotated

EXACT = 0.1  # pixels: a triangle's samples weigh an edge between pixels by up to 0.09 more or less than its area
UNBIASED = 0.01  # pixels, of the mean over many edges
SEEDS = 4
SCALE = {"scale": [0.5, 2.0]}
BOTH = {"flip": True, "flip_rows": True}
AUGMENTED = {
    "none": {"flip": False},
    "smaller": {"flip": False, "scale": [0.4, 0.9]},
    "larger": {"flip": False, "scale": [1.1, 2.5]},
    "mirrored": {"flip": True},
    "alternating": {"flip": "alternating"},
    "rows": {"flip": False, "flip_rows": True},
    "mirrored, rows": BOTH,
    "scaled, mirrored": {"flip": True, **SCALE},
    "scaled, alternating, rows": {"flip": "alternating", "flip_rows": True, **SCALE},
    "turned": {"flip": False, "rotate": 90},
    "half-turned, mirrored": {"flip": True, "rotate": 180},
    "all": {**BOTH, **SCALE, "rotate": 90},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return masks(tmp_path_factory.mktemp("masks") / "set")


def feed_of(source, augment, height=48, width=64):
    """A feed whose images are masks of 0..1."""
    whole = Preprocessing(height, width, 3, "per_channel", np.zeros(3, np.float32), np.full(3, 255, np.float32))
    chosen = recipe("detector", augment=augment, holdout=0.0)
    return DetectionFeed(chosen, source, whole, open_replicas("one"))


def batches_of(source, augment, **size):
    """All training images, augmented, for each of the seeds."""
    feed = feed_of(source, augment, **size)
    canvases = tf.function(TrainingCanvases(feed, Rows(0, feed.train.count, feed.train.count)), autograph=False)
    indices = tf.range(feed.train.count, dtype=tf.int64)
    for seed in range(SEEDS):
        inputs, _ = canvases(indices, tf.constant([seed, 7], tf.int32), tf.constant(seed))
        yield {name: values.numpy() for name, values in inputs.items()}


def compared(inputs):
    """Edges as measured less those of the boxes, (n, 4), NaN where not seen whole, and which boxes end at the window:
    of every object in view. Asserts that the others are not to be seen."""
    errors, ended = [], []
    for image, window, boxes, labels in zip(
        *(inputs[name] for name in ("image", "window", "boxes", "labels")), strict=True
    ):
        for channel in range(3):
            mask, box, label = image[..., channel], boxes[channel], labels[channel]
            assert label in (channel, IGNORED, PADDING)
            if label == PADDING:
                assert mask.max() < 0.6 and not box.any()
                continue
            assert (box[:2] >= window[:2]).all() and (box[2:] <= window[2:]).all() and (box[2:] > box[:2]).all()
            errors.append(edges(mask, window) - box)
            ended.append(box == window)
    return np.array(errors), np.array(ended)


@pytest.mark.sample(12)
@pytest.mark.parametrize("size", [(48, 64), (63, 47)])
@pytest.mark.parametrize("name", AUGMENTED)
def test_boxes_end_where_the_pixels_of_their_objects_end(source, name, size):
    height, width = size
    parts = map(compared, batches_of(source, AUGMENTED[name], height=height, width=width))
    errors, ended = (np.concatenate(each) for each in zip(*parts, strict=True))
    assert np.nanmax(np.abs(errors)) < EXACT
    assert (np.abs(np.nanmean(errors, axis=0)) < UNBIASED).all()
    measured = ~np.isnan(errors)
    assert (measured & ended).sum(axis=0).min() > 40 and (measured & ~ended).sum(axis=0).min() > 40


def test_watched_images_are_as_exact(source):
    dataset, count = feed_of(source, {"scale": [0.5, 2.0]}).watching()
    parts = [compared({name: values.numpy() for name, values in inputs.items()}) for inputs, _ in dataset.take(count)]
    errors = np.concatenate([errors for errors, _ in parts])
    assert len(errors) == 3 * source.test.count
    assert np.nanmax(np.abs(errors)) < EXACT and np.isnan(errors).mean() < 0.1


@pytest.mark.sample(2)
@pytest.mark.parametrize("augment", [{"colour": 0.3}, {"hue": 0.2}, {"lighting": 0.5}, {"erase": 1.0}])
def test_what_changes_colours_or_erases_moves_nothing(source, augment):
    pairs = (batches_of(source, {**BOTH, **SCALE, **more}) for more in ({}, augment))
    for plain, changed in zip(*pairs, strict=True):
        assert not np.array_equal(plain["image"], changed["image"])
        for name in ("window", "boxes", "labels"):
            np.testing.assert_array_equal(plain[name], changed[name])


def test_erased_are_rectangles_of_whole_pixels(source):
    """On a canvas that is white all over, so that all that is erased is seen."""
    feed = feed_of(source, {"flip": False, "erase": 1.0}, height=47, width=61)
    canvases = TrainingCanvases(feed, Rows(0, 8, 8))
    white = {"image": tf.ones([8, 47, 61, 3])}
    bordering = np.zeros(4, int)
    for seed in range(16):
        canvases.feed.loaded = lambda *_: {
            "image": 255 * white["image"],
            "parts": tf.tile([[[0.0, 0.0, 47.0, 61.0]]], [8, 1, 1]),
            "boxes": tf.zeros([8, 1, 4]),
            "labels": tf.fill([8, 1], PADDING),
        }
        inputs, _ = canvases(tf.range(8, dtype=tf.int64), tf.constant([seed, 3], tf.int32), tf.constant(0))
        for image in inputs["image"].numpy():
            erased = (image == 0).all(axis=-1)
            assert np.array_equal(erased, 1 - image[..., 0]) and 0.01 < erased.mean() < 0.42
            rows, columns = np.flatnonzero(erased.any(axis=1)), np.flatnonzero(erased.any(axis=0))
            assert erased.sum() == len(rows) * len(columns) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
            bordering += [rows[0] == 0, columns[0] == 0, rows[-1] == 46, columns[-1] == 60]
    assert bordering.min() > 0  # the first and the last pixels are erased as others are


@pytest.mark.parametrize("seed", range(8))
def test_objects_are_ignored_by_the_share_of_their_pixels_that_is_seen(seed):
    """At scale 1, where pixels can be counted."""
    generator = np.random.default_rng(seed)
    boxes = np.concatenate([rectangles(generator, 96, 128) for _ in range(8)])
    window = generator.integers(0, 40, 2)
    window = np.concatenate([window, window + generator.integers(20, 56, 2)])
    cut, labels = in_view(tf.constant(boxes, tf.float32), tf.range(24), tf.constant(window, tf.float32))
    for number, (top, left, bottom, right) in enumerate(boxes):
        mask = np.zeros((96, 128), bool)
        mask[top:bottom, left:right] = True
        seen = np.zeros_like(mask)
        seen[window[0] : window[2], window[1] : window[3]] = mask[window[0] : window[2], window[1] : window[3]]
        share = Fraction(int(seen.sum()), int(mask.sum()))
        wanted = PADDING if share == 0 else IGNORED if share < Fraction(str(LEAST_SEEN)) else number
        assert labels[number] == wanted
        rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
        expected = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1] if share else [0, 0, 0, 0]
        assert cut[number].numpy().tolist() == expected


@pytest.mark.parametrize(("share", "ignored"), [(3, True), (4, False)])
def test_an_object_seen_by_just_the_least_share_counts(share, ignored):
    boxes = tf.constant([[0, 0, 10, 10], [4, 20, 14, 30]], tf.float32)
    for box, window in zip(boxes, ([0, 10 - share, 50, 50], [14 - share, 0, 50, 50]), strict=True):
        _, labels = in_view(box[tf.newaxis], tf.constant([5]), tf.constant(window, tf.float32))
        assert labels.numpy().tolist() == [IGNORED if ignored else 5]


def test_images_cut_and_scaled_lose_what_their_masks_lose(source):
    """Labels follow the share of the mask's area that is left, measured in resampled pixels."""
    generator, near = np.random.default_rng(0), 0
    for turn in range(200):
        height, width = SIZES[turn % len(SIZES)]
        boxes = rectangles(generator, height, width)
        where, factor = tf.constant(generator.random(2), tf.float32), generator.uniform(1.2, 3)
        one = placed(tf.constant(drawn(height, width, boxes)), 48, 64, factor, where)
        moved = one.boxes(tf.constant(boxes, tf.float32))
        _, labels = in_view(moved, tf.range(3), one.window)
        for channel, label in enumerate(labels.numpy()):
            whole = np.prod((boxes[channel, 2:] - boxes[channel, :2]) * one.scale.numpy())
            share = one.pixels.numpy()[..., channel].sum() / 255 / whole
            near += 0.05 < share < 0.95
            if abs(share - LEAST_SEEN) > 0.05:  # of which blurred edges take some
                assert (label == channel) == (share > LEAST_SEEN)
    assert near > 50


@pytest.mark.sample(2)
@pytest.mark.parametrize("view", [0, 1, 2])
def test_found_boxes_are_brought_back_to_where_objects_end_in_images(view):
    """The canvases of inference, at each scale of a pyramid, and the way back."""
    spec = DetectorSpec.model_validate(
        {"backbone": {"family": "cifar", "depth": 8, "input_shape": [48, 64, 3]}, "classes": 3}
    )
    whole = Preprocessing(48, 64, 3, "per_channel", np.zeros(3, np.float32), np.ones(3, np.float32))
    detector = Detector(lower_detector(spec), None, whole, Options(scales=(0.6, 1.7)))
    generator, errors = np.random.default_rng(1), []
    for turn in range(48):
        height, width = SIZES[turn % len(SIZES)]
        boxes = rectangles(generator, height, width)
        one = Placed(*detector.place(tf.constant(drawn(height, width, boxes)), 0)[0][view])
        batch = Placed(*(part[tf.newaxis] for part in one.parts))
        found = np.stack([edges(one.pixels.numpy()[..., channel] / 255, one.window) for channel in range(3)])
        back = batch.in_image(tf.constant(found[np.newaxis], tf.float32)).numpy()[0]
        errors.append((back - boxes) * np.tile(one.scale, 2))
    assert np.nanmax(np.abs(errors)) < EXACT
    assert (np.abs(np.nanmean(errors, axis=(0, 1))) < UNBIASED).all()


def test_statistics_of_boxes_are_of_where_canvases_have_them():
    """Sizes whose scaled sides are halves in exact arithmetic, and above or below in float32."""
    sizes, box = [(112, 77), (11, 704), (13, 832), (37, 53), (53, 64)], np.float32([2, 3, 11, 50])
    objects = replace(annotated([[(*box, 0)]] * len(sizes)), sizes=np.array(sizes, np.int32))
    spec = {"backbone": {"family": "cifar", "depth": 8, "input_shape": [360, 480, 3]}, "classes": 1}
    found, _, _ = canvas_boxes(objects, lower_detector(DetectorSpec.model_validate(spec)))
    for size, moved in zip(sizes, found, strict=True):
        one = placed(tf.zeros([*size, 3], tf.uint8), 360, 480)
        np.testing.assert_allclose([moved], one.boxes(tf.constant([box])), rtol=1e-6)


@pytest.mark.parametrize("crop", [False, True])
def test_boxes_are_drawn_where_objects_end_in_enlarged_pictures(crop):
    generator, errors = np.random.default_rng(2), []
    for turn in range(64):
        height, width = SIZES[turn % len(SIZES)]
        boxes, side = rectangles(generator, height, width), int(generator.integers(90, 200))
        marks = [Mark(tuple(map(float, box)), "#d55e00") for box in boxes]
        pixels, around = drawn(height, width, boxes), marks[turn % 3].box
        picture, moved = cropped(pixels, marks, around, side) if crop else enlarged(pixels, marks, side)
        window = [0, 0, *picture.shape[:2]]
        for channel, mark in enumerate(moved):
            if not crop or channel == turn % 3:
                errors.append(edges(picture[..., channel] / 255, window) - mark.box)
    assert np.nanmax(np.abs(errors)) < 0.25  # of larger pixels
    assert (np.abs(np.nanmean(errors, axis=0)) < 0.05).all()
