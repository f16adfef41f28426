"""A multi-label set in little: two of scikit-learn's digits side by side, labelled by the digits that are there."""

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from reskeras.data.division import divided_by_position
from reskeras.data.purpose import Purpose
from reskeras.data.source import Source, Split
from reskeras.readers import CLASSES, READERS, Reader

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def pairs(count, digits, seed):
    """uint8 images (count, 8, 16, 1) of pairs of these digits, by number, and labels uint8 (count, 10)."""
    data, draws = load_digits(), np.random.default_rng(seed)
    images = np.round(data.images * 255 / 16).astype(np.uint8)
    both = digits[draws.integers(0, len(digits), (count, 2))]
    labels = np.zeros((count, 10), np.uint8)
    np.put_along_axis(labels, data.target[both], 1, axis=1)
    return np.concatenate(images[both].transpose(1, 0, 2, 3), axis=2)[..., None], labels


def split_of(name, images, labels):
    """They as a split."""
    pixels, targets = tf.constant(images), tf.constant(labels)
    return Split(
        name,
        len(labels),
        lambda index: (tf.gather(pixels, index), tf.gather(targets, index)),
        label=lambda index: tf.gather(targets, index),
        label_shape=labels.shape[1:],
    )


def known():
    """Add the set to the table of sources, as `pairs:N`."""
    if not any(reader.kind == "pairs" for reader in READERS):
        READERS.append(Reader("pairs:N", CLASSES, "tests.tasks.multilabel.pairs:open_pairs"))


def open_pairs(count, purpose=Purpose()):
    """`pairs:N`: N training images, and 400 of other digits for test."""
    train, test = divided_by_position(load_digits().target, 0.2)
    splits = split_of("train", *pairs(int(count), train, 1)), split_of("test", *pairs(400, test, 2))
    return Source("pairs", "pairs of digits", NAMES, 1, *splits, mirror=False, multi_label=True, facts={"pairs": count})
