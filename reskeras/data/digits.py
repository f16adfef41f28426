"""`digits`: 1,797 handwritten digits of 8x8 pixels that come with scikit-learn; no network is needed."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from reskeras.data.division import divided_by_position
from reskeras.data.purpose import Purpose
from reskeras.data.source import Source, Split

TEST_SHARE = 0.2


def open_digits(name: str = "digits", purpose: Purpose = Purpose()) -> Source[Split]:
    """The digits as uint8 (8, 8, 1), one in five of each class for test, always the same ones, whatever
    the purpose."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = tf.constant(np.round(digits.images * 255 / 16).astype(np.uint8)[..., None])
    labels = tf.constant(digits.target.astype(np.int32))
    everything = Split(
        "all",
        len(digits.target),
        lambda index: (tf.gather(images, index), tf.gather(labels, index)),
        label=lambda index: tf.gather(labels, index),
        where="digits[{}]".format,
    )
    train, test = divided_by_position(digits.target, TEST_SHARE)
    return Source(
        name=name,
        label="digits",
        classes=tuple(str(digit) for digit in range(10)),
        channels=1,
        train=everything.part("train", train),
        test=everything.part("test", test),
        mirror=False,  # a mirrored 2 is not a 2
        notes=(f"scikit-learn digits: {len(train):,} training and {len(test)} test images, split by class",),
        divided="a fixed 20% of each class",
    )
