"""Sources and splits: images and labels by index, and how a split is divided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from reskeras.printable import short_repr

Fetch = Callable[[tf.Tensor], tf.Tensor]
Decode = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Encoded = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Label = Callable[[tf.Tensor], tf.Tensor]
Where = Callable[[int], str]


@dataclass(frozen=True)
class Split:
    """`count` labelled images, read in two steps that both run in a graph.

    `fetch` takes int64 indices (n,) below `count` to what is stored of each, a tensor of n elements: one
    call for a batch, because a call into Python costs more than decoding a small image. Without it the
    indices are what is stored. `decode` takes one such element to (uint8 image (height, width, channels),
    int32 label); only the channels are static. Where images are stored as files or parts of files, `encoded`
    takes it to (scalar string: the bytes of one JPEG, PNG, ..., int32 label), so that a window can be decoded
    alone. `label` takes n such elements to int32 labels (n,) without decoding an image; it is optional too. `where`
    says for a person where the image at an index is stored: a file, the number of a record. `checked` says that every
    image was decoded when the data was opened.
    """

    name: str
    count: int
    decode: Decode
    fetch: Fetch = tf.identity
    encoded: Encoded | None = None
    label: Label | None = None
    where: Where = "image {}".format
    checked: bool = False

    def example(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The image and label at one int64 index."""
        return self.decode(self.fetch(index[tf.newaxis])[0])

    def part(self, name: str, indices: np.ndarray) -> Split:
        """The images at `indices`, as a split of their own."""
        chosen = tf.constant(indices, tf.int64)
        return replace(self, name=name, count=len(indices), fetch=lambda places: self.fetch(tf.gather(chosen, places)),
                       where=lambda place: self.where(int(indices[place])))

    def with_channels(self, channels: int) -> Split:
        """The same images with so many channels, 1 or 3: grey as three equal channels, colour as its luminance, as
        `predict` reads files. What is stored is not told by `encoded` any more: it has other channels."""

        def decode(stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image, label = self.decode(stored)
            return (tf.image.rgb_to_grayscale if channels == 1 else tf.image.grayscale_to_rgb)(image), label

        return replace(self, decode=decode, encoded=None)


@dataclass(frozen=True)
class Source:
    """Training and test images with their class names.

    `name` is as typed, `label` how results on it are called; `mirror` says whether a mirrored image keeps
    its class; `notes` are for the user: files skipped, how the split was made; `divided` says in a few words
    where the test images come from.
    """

    name: str
    label: str
    classes: tuple[str, ...]
    channels: int
    train: Split
    test: Split
    mirror: bool = True
    notes: tuple[str, ...] = ()
    divided: str = ""

    def with_channels(self, channels: int) -> Source:
        """The same images for a network of so many input channels, 1 or 3."""
        if channels == self.channels:
            return self
        read = "coloured images, read as grey" if channels == 1 else "grey images, read as three equal channels"
        return replace(self, channels=channels, train=self.train.with_channels(channels),
                       test=self.test.with_channels(channels), notes=(*self.notes, f"{self.name} has {read}"))

    def __repr__(self) -> str:
        return short_repr(self, self.name, f"{len(self.classes):,} classes", f"{self.train.count:,} training images",
                          f"{self.test.count:,} test images")


def split_off(split: Split, share: float, seed: int) -> tuple[Split, Split | None]:
    """`split` without, and only, a random `share` of its images, the same for the same seed."""
    kept, held = held_indices(split.count, share, seed)
    return (split.part(split.name, kept), split.part("held-out", held)) if len(held) else (split, None)


def held_indices(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices below `count`, sorted: those to keep, and a random `share` to hold out, the same for the same seed."""
    held = round(count * share)
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])


def split_by_class(labels: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and test: of each class the same `share` for test, drawn once and for all."""
    generator, test = np.random.default_rng(1512_03385), []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        wanted = min(max(round(len(members) * share), 1), len(members) - 1)
        test.append(generator.permutation(members)[:wanted])
    test_indices = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), test_indices), test_indices
