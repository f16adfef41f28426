"""Resampling equals TensorFlow's own to the bit, and Pillow's but for its rounding."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data.resample import INTERPOLATIONS, resampled
from tests.data.images import picture

SIZES = [((61, 47), (24, 32)), ((24, 40), (60, 33)), ((50, 20), (50, 20)), ((1, 300), (7, 5)), ((3, 3), (1, 1))]


@pytest.mark.parametrize(("stored", "size"), SIZES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_whole_image_equals_tensorflows_resize(stored, size, dtype):
    pixels = np.random.default_rng(0).integers(0, 256, (*stored, 3)).astype(dtype)
    expected = tf.image.resize(pixels, size, antialias=True)
    np.testing.assert_array_equal(resampled(tf.constant(pixels), size), expected)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("scale", "translation"), [((0.5, 0.9), (0.0, 0.0)), ((1.7, 0.3), (-3.5, 2.25))])
def test_scaled_and_moved_it_equals_tensorflows_op(interpolation, channels, scale, translation):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 52, channels), np.uint8)
    expected = tf.raw_ops.ScaleAndTranslate(
        images=pixels[np.newaxis],
        size=[30, 25],
        scale=scale,
        translation=translation,
        kernel_type=INTERPOLATIONS[interpolation][0],
        antialias=True,
    )[0]
    found = resampled(tf.constant(pixels), (30, 25), tf.constant(scale), translation, interpolation)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_it_equals_pillows_but_for_rounding(interpolation):
    image = picture(90, 70)
    kernel = {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "lanczos": "LANCZOS"}[interpolation]
    theirs = np.asarray(image.resize((33, 28), Image.Resampling[kernel])).astype(np.float32)
    ours = resampled(tf.constant(np.asarray(image)), (28, 33), interpolation=interpolation)
    assert np.abs(np.clip(ours, 0, 255) - theirs).max() <= 1
