"""Survey of a source: images per class, their sizes, and problems to expect in training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.batches import READERS, mapped, pipeline_options, read_batches
from reskeras.data.class_labels import counts_by_class
from reskeras.data.layout import in_words
from reskeras.data.orientation import UPRIGHT, orientation_of
from reskeras.data.source import Source, Split
from reskeras.data.windows import shape_of
from reskeras.printable import counted, few

COUNTED = 200_000  # labels that are read of a split; of more, an evenly spaced sample
MEASURED = 2_000  # images whose size is read
COMPARED = 60_000  # images of a split that are compared with the other split
COMPARED_BYTES = 2_000_000_000  # of each split
FEW = 10
UNEQUAL = 10  # times as many images in the largest class as in the smallest
NAMED = 5
BATCH = 256
DECODED = 3_000_000_000  # pixel values of each split that are decoded in search of broken images
FILES = 16  # files in memory at once, times READERS


@dataclass(frozen=True)
class Sizes:
    """(height, width) in pixels, the smallest and largest by area, of `measured` training images."""

    measured: int
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]
    different: int


@dataclass(frozen=True)
class Several:
    """Of multi-label images: how many classes a training image has on average, and at most, and how many images of
    each split (training, test) have none. Estimates where not all labels are counted."""

    mean: float
    most: int
    none: tuple[int, int]

    @classmethod
    def of(cls, train: np.ndarray, test: np.ndarray, counts: tuple[int, int]) -> Several:
        """Of labels uint8 (n, classes) of splits of `counts` images."""
        per_image = [labels.sum(axis=1) for labels in (train, test)]
        shares = [float((each == 0).mean()) for each in per_image]
        return cls(
            round(float(per_image[0].mean()), 4),
            int(per_image[0].max()),
            (round(shares[0] * counts[0]), round(shares[1] * counts[1])),
        )


@dataclass(frozen=True)
class Survey:
    """A source in figures. `counted` is how many labels of each split the counts by class were made from: where
    it is less than the split, they are estimates. `shared` test images are also training images, of those
    `compared` (training, test), byte for byte as stored; and of the same `turned` (training, test) are turned by their
    EXIF orientation, as viewers show them. `divided` says where the test images come from, `origins` the same for the
    other splits, `several` is about multi-label images."""

    data: str
    channels: int
    mirror: bool
    divided: str
    train: int
    test: int
    counted: tuple[int, int]
    classes: dict[str, tuple[int, int]]
    sizes: Sizes
    compared: tuple[int, int]
    shared: int
    turned: tuple[int, int]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    validation: int = 0
    origins: dict[str, str] = field(default_factory=dict)
    several: Several | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        classes = [{"name": name, "train": train, "test": test} for name, (train, test) in self.classes.items()]
        return {**asdict(self), "classes": classes}


def survey(source: Source[Split]) -> Survey:
    """Count, measure and compare the images of `source`; the work is bounded however many there are.

    Raises ReskerasError: status 1 when an image cannot be read, 2 for a source without training images.
    """
    training = source.training_images("data")
    labels = [labels_of(split) for split in (training, source.test)]
    train, test = (
        _by_class(found, split, len(source.classes))
        for (_, found), split in zip(labels, (training, source.test), strict=True)
    )
    classes = {name: (int(own), int(other)) for name, own, other in zip(source.classes, train, test, strict=True)}
    warnings = list(_class_warnings(classes))
    looked_at, broken = unreadable(training)
    warnings += _unreadable_warning(training, looked_at, broken)
    warnings += _unreadable_warning(source.test, *unreadable(source.test))
    sound = training.part("train", np.setdiff1d(np.arange(training.count), broken))
    contents = [list(_contents(split)) for split in (training, source.test)]
    digests = [[digest for digest, _ in each] for each in contents]
    turned_training, turned_test = (sum(orientation != UPRIGHT for _, orientation in each) for each in contents)
    turned = turned_training, turned_test
    trained = set(digests[0])
    shared = sum(digest in trained for digest in digests[1])
    if shared:
        are = "is also a training image" if shared == 1 else "are also training images"
        warnings.append(
            f"{shared:,} of {counted(len(digests[1]), 'test image')} {are}, byte for byte: "
            "accuracy on them is meaningless"
        )
    return Survey(
        data=source.label,
        channels=source.channels,
        mirror=source.mirror,
        divided=source.divided,
        train=training.count,
        test=source.test.count,
        counted=(len(labels[0][0]), len(labels[1][0])),
        classes=classes,
        sizes=sizes_of(sound),
        compared=(len(digests[0]), len(digests[1])),
        shared=shared,
        turned=turned,
        notes=(*source.notes, *_turned_note(turned, sum(map(len, digests)))),
        warnings=tuple(warnings),
        validation=source.validation.count if source.validation else 0,
        origins=dict(source.origins),
        several=(
            Several.of(labels[0][1], labels[1][1], (training.count, source.test.count)) if source.multi_label else None
        ),
    )


def labels_of(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """At most COUNTED evenly spaced indices, and the labels there: int32 (n,) or uint8 (n, classes)."""
    indices = spaced(split, COUNTED)

    def load(batch: tf.Tensor) -> tf.Tensor:
        stored = split.fetch(batch)
        if split.label is not None:
            return split.label(stored)
        return mapped(lambda one: split.decode(one)[1], stored, split.label_spec, 1)

    return indices, np.concatenate([batch.numpy() for batch in read_batches(split, indices, BATCH, READERS, load)])


def unreadable(split: Split) -> tuple[int, np.ndarray]:
    """The number of images decoded (all, unless they have more than DECODED pixel values) and the indices of unreadable
    ones. Nothing is decoded of a split whose images were checked when it was opened, or are not stored as files."""
    if split.checked or split.encoded is None or not split.count:
        return 0, np.empty(0, np.int64)
    order = np.random.default_rng(0).permutation(split.count)  # so that a part of them is a sample

    def decoded(place: tf.Tensor, stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return place, tf.size(split.decode(stored)[0], tf.int64)

    dataset = (
        tf.data.Dataset.range(split.count)
        .batch(FILES)
        .map(lambda places: (places, split.fetch(tf.gather(tf.constant(order), places))), READERS, deterministic=True)
    )
    dataset = dataset.unbatch().map(decoded, READERS, deterministic=True).ignore_errors().batch(BATCH)
    sound, pixels = np.zeros(split.count, bool), 0
    for places, sizes in dataset.with_options(pipeline_options()).as_numpy_iterator():
        sound[places] = True
        pixels += sizes.sum()
        if pixels > DECODED:
            break
    else:
        return split.count, np.sort(order[~sound])
    last = int(places[-1]) + 1
    return last, np.sort(order[:last][~sound[:last]])


def _unreadable_warning(split: Split, looked_at: int, broken: np.ndarray) -> Iterator[str]:
    if len(broken):
        named = few(broken.tolist(), NAMED, split.where)
        yield (
            f"{len(broken):,} of {looked_at:,} {in_words(split.name)} images checked cannot be read, and will stop "
            f"training: {named}"
        )


def spaced(split: Split, most: int) -> np.ndarray:
    """At most `most` evenly spaced indices, int64, rising."""
    return np.unique(np.linspace(0, split.count - 1, min(most, split.count)).astype(np.int64))


def sizes_of(split: Split) -> Sizes:
    """Sizes of at most MEASURED evenly spaced images; of JPEGs only the headers are decoded."""
    indices = spaced(split, MEASURED)

    def shape(stored: tf.Tensor) -> tf.Tensor:
        if split.encoded is None:
            return tf.shape(split.decode(stored)[0])[:2]
        return shape_of(split.encoded(stored)[0])

    def load(batch: tf.Tensor) -> tf.Tensor:
        return mapped(shape, split.fetch(batch), tf.TensorSpec([2], tf.int32), 1)

    return size_range(np.concatenate([batch.numpy() for batch in read_batches(split, indices, FILES, READERS, load)]))


def size_range(shapes: np.ndarray) -> Sizes:
    """Of images of heights and widths (n, 2)."""
    by_area = shapes[np.argsort(shapes.astype(np.int64).prod(axis=1), kind="stable")]
    return Sizes(
        len(shapes),
        _pair(by_area[0]),
        _pair(np.median(shapes, axis=0)),
        _pair(by_area[-1]),
        different=len(np.unique(shapes, axis=0)),
    )


def _pair(shape: np.ndarray) -> tuple[int, int]:
    height, width = map(int, shape)
    return height, width


def _contents(split: Split) -> Iterator[tuple[bytes, int]]:
    """SHA-256 of what is stored of each image (its pixels where that is all there is), and its EXIF orientation,
    within the bounds."""

    def content(stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if split.encoded is not None:
            data = split.encoded(stored)[0]
            return data, orientation_of(data)
        return tf.io.serialize_tensor(split.decode(stored)[0]), tf.constant(UPRIGHT)

    def load(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return mapped(content, split.fetch(batch), (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)), 1)

    read = 0
    for batch in read_batches(split, spaced(split, COMPARED), FILES, READERS, load):
        for data, orientation in zip(*(part.numpy() for part in batch), strict=True):
            read += len(data)
            yield hashlib.sha256(data).digest(), int(orientation)
        if read > COMPARED_BYTES:
            return


def _turned_note(turned: tuple[int, int], of: int) -> Iterator[str]:
    if count := sum(turned):
        said = (
            "is rotated by its EXIF tag, as in image viewers"
            if count == 1
            else "are rotated by their EXIF tags, as in image viewers"
        )
        yield f"{count:,} of {of:,} images {said}"


def _by_class(labels: np.ndarray, split: Split, classes: int) -> np.ndarray:
    counts = counts_by_class(labels, classes)
    return np.round(counts * (split.count / len(labels))).astype(int)


def _class_warnings(classes: dict[str, tuple[int, int]]) -> Iterator[str]:
    counts = {name: train for name, (train, _) in classes.items()}
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] > UNEQUAL * counts[least]:
        yield (
            f"classes are very unbalanced: {counts[most]:,} training images of {most} and {counts[least]:,} of "
            f"{least}; accuracy mostly reflects the large ones"
        )
    if small := [name for name, count in counts.items() if count < FEW]:
        yield (f"fewer than {FEW} training images of {counted(len(small), 'class', 'classes')}: {few(small, NAMED)}")
    if untested := [name for name, (_, test) in classes.items() if not test]:
        yield f"no test image of {few(untested, NAMED)}"
