"""Splits, preprocessings and augmentations that the tests of this room share."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from reskeras.data.decode import decode as decoded
from reskeras.data.pipeline import training_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Split
from reskeras.data.training_batch import TrainingBatch
from reskeras.documents.validation import validated
from reskeras.recipes.augment import AugmentSpec

SIZE = 16
STILL = {"pad_crop": 0, "flip": False}
KINDS = {
    "pad_crop": {"pad_crop": 3},
    "flip": {"pad_crop": 0, "flip": True},
    "alternating flip": {"pad_crop": 0, "flip": "alternating"},
    "random_resized_crop": {"random_resized_crop": {}},
    "shorter_side": {"shorter_side": [16, 24]},
    "rand_augment": {"rand_augment": {"operations": 2, "magnitude": 12}, **STILL},
    "increasing": {
        "rand_augment": {"magnitude": 21, "deviation": 1.5, "probability": 0.5, "increasing": True},
        **STILL,
    },
    "colour": {"colour": 0.4, **STILL},
    "hue": {"hue": 0.3, **STILL},
    "rotate": {"rotate": 90, **STILL},
    "lighting": {"lighting": 0.1, **STILL},
    "erase": {"erase": 0.7, **STILL},
    "mixup": {"mixup": 0.4, **STILL},
    "cutmix": {"cutmix": 1.0, **STILL},
    "everything": {
        "shorter_side": [18, 30],
        "rand_augment": {},
        "rotate": 90,
        "colour": 0.2,
        "hue": 0.1,
        "lighting": 0.1,
        "erase": 0.5,
        "mixup": 0.2,
        "cutmix": 1.0,
    },
}


def spec(**fields):
    """The AugmentSpec of these fields, validated as a file's would be."""
    return validated(AugmentSpec, fields)


def memory_split(pixels, labels):
    """uint8 `pixels` (n, height, width, channels) with their labels, as a split."""
    pixels, labels = tf.constant(pixels, tf.uint8), tf.constant(labels, tf.int32)
    return Split(
        "train",
        len(labels),
        lambda index: (tf.gather(pixels, index), tf.gather(labels, index)),
        label=lambda indices: tf.gather(labels, indices),
    )


def coloured(count=24, size=SIZE, channels=3, seed=0):
    """Random uint8 images of size x size whose label is their index below seven."""
    pixels = tf.constant(np.random.default_rng(seed).integers(0, 256, (count, size, size, channels)), tf.uint8)
    return Split("train", count, lambda index: (tf.gather(pixels, index), tf.cast(index % 7, tf.int32)))


def raw(size=SIZE, channels=3):
    """A preprocessing that leaves 0..255 as it is."""
    return Preprocessing(size, size, channels, "scale", np.zeros(channels, np.float32), np.ones(channels, np.float32))


def centred(size=SIZE, channels=3):
    """A preprocessing to -1..1."""
    ones = np.full(channels, 127.5, np.float32)
    return Preprocessing(size, size, channels, "scale", ones, ones)


def encoded(image, form, **options):
    """The bytes of a file of Pillow's `image`."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def encoded_split(images, format="JPEG", channels=3, **options):
    """Images (Pillow's) as a split that holds the bytes of files; label 0."""
    stored = tf.constant([encoded(image, format, **options) for image in images])

    def read(index):
        return tf.gather(stored, index), tf.constant(0)

    def decode(index):
        return decoded(tf.gather(stored, index), channels), tf.constant(0)

    return Split("train", len(images), decode, encoded=read)


def picture(width, height, seed=0):
    """A smooth coloured picture with some noise, as photographs are."""
    rng = np.random.default_rng(seed)
    down, along = np.mgrid[:height, :width] / 20
    waves = np.stack([np.sin(down + phase) + np.cos(along * (phase + 1)) for phase in range(3)], axis=-1)
    pixels = 128 + 50 * waves + rng.normal(0, 8, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def training_dataset(split, preprocessing, *, augment, seed=0, epochs=1, start_epoch=0, start_step=0, **batch):
    """The training batches of `epochs` from a position on; `batch` is for TrainingBatch."""
    loader = TrainingBatch(split, preprocessing, augment, seed=seed, **batch)
    return training_batches(loader, seed, range(start_epoch, epochs), start_step).map(loader.finished)


def batches(split, augment, preprocessing=None, **arguments):
    """Pairs (images, labels) of NumPy arrays."""
    defaults = {"batch_size": 12, "seed": 1, "epochs": 1, "mirror": True}
    dataset = training_dataset(split, preprocessing or centred(), augment=augment, **{**defaults, **arguments})
    return [tuple(part.numpy() for part in batch) for batch in dataset]
