"""Mean and deviation are those over all images at once, to the last bit, and are measured a few images at a time."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split

PEAK = """
import sys
import numpy as np
from reskeras.data.preprocessing import Preprocessing
import tensorflow as tf
from reskeras.data.source import Split
pool = tf.constant(np.random.default_rng(0).integers(0, 256, (16, 224, 224, 3), dtype=np.uint8))
split = Split("train", 500, lambda index: (pool[index % 16], tf.constant(0)))
Preprocessing.fit(split.part("few", np.arange(2)), 224, 224, 3, "per_channel")
def status(field):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field)) * 1024
before = status("VmRSS")
open("/proc/self/clear_refs", "w").write("5")  # begin a new peak
Preprocessing.fit(split, 224, 224, 3, "per_channel")
print(status("VmHWM") - before)
"""


@pytest.mark.parametrize("kind", ["per_pixel_mean", "per_channel"])
@pytest.mark.parametrize("read", [1, 4000, 4 << 20])
def test_it_equals_numpy_over_all_images_at_once(monkeypatch, kind, read):
    monkeypatch.setattr("reskeras.data.preprocessing.READ", read)
    images = np.random.default_rng(1).integers(0, 256, (601, 9, 7, 3), dtype=np.uint8)
    held = tf.constant(images)
    found = Preprocessing.fit(Split("train", 601, lambda index: (held[index], tf.constant(0))), 9, 7, 3, kind)
    axes = 0 if kind == "per_pixel_mean" else (0, 1, 2)
    np.testing.assert_allclose(found.mean, images.mean(axis=axes, dtype=np.float64), rtol=1e-6)
    expected = np.ones(3) if kind == "per_pixel_mean" else images.astype(np.float64).std(axis=axes)
    np.testing.assert_allclose(found.std, expected, rtol=1e-6)


def test_a_channel_that_hardly_varies_is_not_blown_up():
    images = np.full((40, 5, 5, 3), 7, np.uint8)  # a channel that is constant, one almost so, one that varies
    images[::2, ..., 1] += 1
    images[::2, ..., 2] += 6
    held = tf.constant(images)
    split = Split("train", 40, lambda index: (held[index], tf.constant(0)))
    found = Preprocessing.fit(split, 5, 5, 3, "per_channel")
    assert found.std.tolist() == [1.0, 1.0, 3.0]
    assert np.abs(found.normalise(images)).max() == 1.0


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc")
def test_500_images_of_224_pixels_take_less_memory_than_a_fifth_of_them():
    told = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True).stdout
    assert int(told) < 100 * 224 * 224 * 3 * 8  # as float64; all 500 as bytes are 75 MB
