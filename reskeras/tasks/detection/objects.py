"""Annotated images of a split: flat arrays of boxes, with access from Python and from a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import tensorflow as tf

from reskeras.data.decode import decode
from reskeras.data.division import name_hash
from reskeras.data.fingerprint import entries
from reskeras.data.source import Split
from reskeras.printable import short_repr

PADDING = -1  # the label of a row without an object
IGNORED = -2  # the label of an ignored object: detecting it is neither right nor wrong
CHANNELS = 3

Read = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True, eq=False)
class Objects:
    """The images of one split and the boxes in them.

    `ids` names each image: COCO's number, or the stem of its file. `sizes` int32 (n, 2) are heights and widths in
    pixels. Rows `starts[i]` to `starts[i + 1]` (int64 (n + 1,)) of the following belong to image i: `boxes` float32
    (total, 4), top, left, bottom, right in pixels of the image as displayed, inside it and not empty; `labels` int32
    (total,), the true class, also of ignored objects; `ignored` bool (total,), difficult objects and crowds; `crowd`
    bool (total,), the crowds among them. `read` maps a scalar int64 index to the bytes of the image's file, a scalar
    string, in a graph.
    """

    name: str
    ids: tuple[int | str, ...]
    sizes: np.ndarray
    starts: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray
    crowd: np.ndarray
    read: Read

    def __repr__(self) -> str:
        return short_repr(self, self.name, f"{self.count:,} images", f"{len(self.labels):,} objects")

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.ids)

    @cached_property
    def most(self) -> int:
        """The largest number of boxes of an image, at least 1: the rows of padded tensors."""
        return max(int(np.diff(self.starts).max(initial=0)), 1)

    @cached_property
    def entries(self) -> np.ndarray:
        """What identifies each image and its annotations: an array (n,) of fingerprint.ENTRY."""

        def content(index: int) -> int:
            place = slice(self.starts[index], self.starts[index + 1])
            told = (self.sizes[index], self.boxes[place], self.labels[place], self.ignored[place], self.crowd[place])
            return name_hash(b"".join(np.ascontiguousarray(each).tobytes() for each in told).hex())

        contents = [content(index) for index in range(self.count)]
        return entries([str(each) for each in self.ids], contents, np.zeros(self.count, np.int32))

    def rows(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes float32 (k, 4), labels int32 (k,) and ignored bool (k,) of one image."""
        place = slice(self.starts[index], self.starts[index + 1])
        return self.boxes[place], self.labels[place], self.ignored[place]

    def part(self, name: str, indices: np.ndarray) -> Objects:
        """The images at `indices` (n,), in that order, as a split of their own."""
        indices = np.asarray(indices, np.int64)
        counts = np.diff(self.starts)[indices]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.repeat(self.starts[:-1][indices] - starts[:-1], counts) + np.arange(starts[-1])
        chosen, read = tf.constant(indices), self.read
        return replace(
            self,
            name=name,
            ids=tuple(self.ids[index] for index in indices),
            sizes=self.sizes[indices],
            starts=starts,
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            ignored=self.ignored[rows],
            crowd=self.crowd[rows],
            read=lambda index: read(tf.gather(chosen, index)),
        )

    def relabelled(self, labels: Sequence[int], classes: int) -> Objects:
        """The same objects, where label i becomes `labels[i]` of so many `classes`."""
        return replace(self, labels=np.asarray(labels, np.int32)[self.labels])

    def in_graph(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes float32 (most, 4) and labels int32 (most,) of the image at a scalar int64 index.

        The image's rows come first; ignored objects have the label IGNORED, rows of padding a box of zeros and the
        label PADDING.
        """
        starts, boxes, labels = self._constants
        start, end = tf.gather(starts, index), tf.gather(starts, index + 1)
        places = start + tf.range(self.most, dtype=tf.int64)
        padding = tf.constant(len(self.labels), tf.int64)  # the row after the last one
        places = tf.where(places < end, places, padding)
        return tf.gather(boxes, places), tf.gather(labels, places)

    @cached_property
    def _constants(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Starts, boxes and labels with a padding row at the end; graphs capture these tensors, not copies."""
        boxes = np.concatenate([self.boxes, np.zeros((1, 4), np.float32)])
        labels = np.append(np.where(self.ignored, IGNORED, self.labels), PADDING).astype(np.int32)
        with tf.init_scope():
            return tf.constant(self.starts), tf.constant(boxes), tf.constant(labels)

    def images(self) -> Split:
        """The same images as a Split, all with label 0, for code that needs images only."""

        def encoded(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self.read(index), tf.constant(0)

        def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return decode(self.read(index), CHANNELS), tf.constant(0)

        return Split(
            self.name,
            self.count,
            load,
            encoded=encoded,
            label=lambda indices: tf.zeros(tf.shape(indices), tf.int32),
            where=lambda index: f"image {self.ids[index]} of {self.name}",
        )


def held(split: Objects, classes: int) -> np.ndarray:
    """Which classes each image holds, bool (n, classes); ignored objects do not count."""
    found, owner = np.zeros((split.count, classes), bool), np.repeat(np.arange(split.count), np.diff(split.starts))
    found[owner[~split.ignored], split.labels[~split.ignored]] = True
    return found
