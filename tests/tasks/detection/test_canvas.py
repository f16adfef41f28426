"""Images on canvases: where they lie, how large they are, and boxes that go with them."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.resample import resampled
from reskeras.tasks.detection import canvas
from reskeras.tasks.detection.canvas import inside, normalised, placed


def picture(height, width, box):
    """A black image with a white box."""
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left, bottom, right = box
    pixels[top:bottom, left:right] = 255
    return pixels


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (60, 80, (0, 0, 60, 80)),
        (30, 40, (0, 0, 60, 80)),
        (120, 80, (0, 0, 60, 40)),
        (10, 80, (0, 0, 10, 80)),
        (600, 800, (0, 0, 60, 80)),
        (1, 200, (0, 0, 1, 80)),
    ],
)
def test_an_image_is_scaled_to_fit_into_the_upper_left_corner(height, width, expected):
    one = placed(tf.zeros([height, width, 3], tf.uint8), 60, 80)
    assert one.window.numpy().tolist() == list(expected)
    assert one.pixels.shape == (60, 80, 3)


@pytest.mark.parametrize(("height", "width"), [(1, 5000), (5000, 1), (50, 70), (200, 31)])
@pytest.mark.parametrize(("factor", "where"), [(1.0, (0.0, 0.0)), (0.5, (0.3, 0.9)), (1.9, (0.5, 0.2))])
def test_no_more_is_computed_than_is_seen(monkeypatch, height, width, factor, where):
    """The op takes as many numbers as it gives rows, times the columns of the image: of a strip gigabytes."""
    asked = []
    monkeypatch.setattr(canvas, "resampled", lambda image, *how: asked.append(how) or resampled(image, *how))
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))
    one = placed(image, 60, 80, factor, tf.constant(where))
    [(size, scale, _)] = asked
    assert size.numpy().tolist() == (one.window[2:] - one.window[:2]).numpy().tolist()
    expected = resampled(image, (60, 80), scale, one.corner)
    assert np.allclose(one.pixels, tf.where(inside(one.window, 60, 80), expected, 0.0), atol=0.05)


@pytest.mark.parametrize("factor", [1.0, 0.5, 1.7])
@pytest.mark.parametrize("where", [(0.0, 0.0), (0.5, 0.25), (1.0, 1.0)])
def test_a_box_goes_where_its_pixels_go(factor, where):
    box = (40, 60, 80, 100)
    one = placed(tf.constant(picture(120, 160, box)), 60, 80, factor, tf.constant(where))
    moved = one.boxes(tf.constant([box], tf.float32)).numpy()[0]
    bright = one.pixels.numpy()[..., 0] > 127
    seen = np.clip(np.round(moved), 0, [60, 80, 60, 80]).astype(int)
    expected = np.zeros((60, 80), bool)
    expected[seen[0] : seen[2], seen[1] : seen[3]] = True
    assert (bright != expected).sum() <= 2 * (np.ptp(seen[::2]) + np.ptp(seen[1::2]))  # half a pixel at the edges


def test_halving_is_what_pillow_halves():
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    ours = placed(tf.constant(pixels), 60, 80).pixels.numpy()
    theirs = np.asarray(Image.fromarray(pixels).resize((80, 60), Image.Resampling.BILINEAR), np.float32)
    assert np.abs(ours - theirs).max() <= 1  # Pillow rounds


def test_what_shows_no_image_is_the_mean():
    preprocessing = Preprocessing(8, 8, 3, "per_channel", np.float32([100, 50, 25]), np.float32([2, 4, 5]))
    window = tf.constant([[2.0, 0.0, 6.0, 5.0]])
    canvas = normalised(tf.fill([1, 8, 8, 3], 200.0), window, preprocessing).numpy()[0]
    assert (canvas[2:6, :5] == np.float32([50, 37.5, 35])).all()
    assert np.count_nonzero(canvas) == 4 * 5 * 3
    assert inside(window, 8, 8).numpy().sum() == 20
