"""Sources and splits: images and labels by index, and how a split is divided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import tensorflow as tf

from reskeras.data.decode import with_channels
from reskeras.data.division import DIVISION
from reskeras.data.layout import folded, in_words
from reskeras.errors import ReskerasError, unknown
from reskeras.printable import short_repr
from reskeras.walk import listed

Fetch = Callable[[tf.Tensor], tf.Tensor]
Decode = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Encoded = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Label = Callable[[tf.Tensor], tf.Tensor]
Where = Callable[[int], str]


@dataclass(frozen=True)
class Split:
    """`count` labelled images, read in two steps that both run in a graph.

    `fetch` maps int64 indices (n,) below `count` to the stored form of each image, a tensor of n elements: one call per
    batch, because a call into Python costs more than decoding a small image. By default the index is the stored form.
    `decode` maps one stored element to (uint8 image (height, width, channels), int32 label); only the channels are
    static. For images stored as files or parts of files, `encoded` maps it to (scalar string: the bytes of one JPEG,
    PNG, ..., int32 label), so that a window can be decoded alone. `label`, optional too, maps n stored elements to
    int32 labels (n,) without decoding images. `where` says in messages where the image at an index is stored: a file,
    the number of a record. `checked`: every image was decoded when the data was opened; `plain`: the plain format that
    all `encoded` images were found to have then, see plain.py. `entries` identifies each image, where that is
    possible: an array (n,) of fingerprint.ENTRY.

    `label_shape` is () for images of one class each, as above. It is (classes,) for multi-label images, which are of
    any number of classes: wherever a label is an int32 above, it is then a uint8 vector (classes,) of 0 and 1.
    """

    name: str
    count: int
    decode: Decode
    fetch: Fetch = tf.identity
    encoded: Encoded | None = None
    label: Label | None = None
    where: Where = "image {}".format
    checked: bool = False
    plain: str | None = None
    entries: np.ndarray | None = field(default=None, repr=False)
    label_shape: tuple[int, ...] = ()

    @property
    def label_spec(self) -> tf.TensorSpec:
        """Shape and dtype of one image's label."""
        return tf.TensorSpec(self.label_shape, tf.uint8 if self.label_shape else tf.int32)

    def example(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The image and label at one int64 index."""
        return self.decode(self.fetch(index[tf.newaxis])[0])

    def names(self, indices: Sequence[int] | np.ndarray | None = None) -> list[str]:
        """The names of the images at `indices`, or of all."""
        places = np.arange(self.count) if indices is None else np.asarray(indices, np.int64)
        return [self.where(index) for index in places.tolist()]

    def keys(self) -> list[str]:
        """A key for each image, wherever the data lies: a hash of its name, or the number of its record."""
        found = range(self.count) if self.entries is None else self.entries["name"].tolist()
        return [str(each) for each in found]

    def part(self, name: str, indices: np.ndarray) -> Split:
        """The images at `indices`, as a split of their own."""
        chosen, indices = tf.constant(indices, tf.int64), np.asarray(indices, np.int64)
        return replace(
            self,
            name=name,
            count=len(indices),
            fetch=lambda places: self.fetch(tf.gather(chosen, places)),
            where=lambda place: self.where(int(indices[place])),
            entries=None if self.entries is None else self.entries[indices],
        )

    def with_channels(self, channels: int) -> Split:
        """The same images with 1 or 3 channels: grey repeated three times, colour converted to luminance, as
        `predict` reads files. `encoded` is dropped, because the stored bytes have other channels."""

        def decode(stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            image, label = self.decode(stored)
            return with_channels(image, channels), label

        return replace(self, decode=decode, encoded=None)

    def relabelled(self, labels: Sequence[int], classes: int) -> Split:
        """The same images, where label i becomes `labels[i]` of so many `classes`."""
        change = (
            _several_changed(labels, classes) if self.label_shape else partial(tf.gather, tf.constant(labels, tf.int32))
        )

        def changed(read: Decode) -> Decode:
            def load(stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                data, label = read(stored)
                return data, change(label)

            return load

        encoded, own = self.encoded, self.label
        return replace(
            self,
            decode=changed(self.decode),
            encoded=encoded and changed(encoded),
            label=own and (lambda stored: change(own(stored))),
            label_shape=self.label_shape and (classes,),
        )


def _several_changed(labels: Sequence[int], classes: int) -> Label:
    """Maps uint8 (..., len(labels)) to uint8 (..., classes): column i becomes column `labels[i]`, others are 0."""
    origins = np.full(classes, len(labels))  # of each new column; the last is a column of zeros
    origins[list(labels)] = np.arange(len(labels))
    columns = tf.constant(origins, tf.int32)

    def change(label: tf.Tensor) -> tf.Tensor:
        return tf.gather(tf.concat([label, tf.zeros_like(label[..., :1])], axis=-1), columns, axis=-1)

    return change


class Images(Protocol):
    """Protocol of splits, whatever is annotated in their images."""

    @property
    def name(self) -> str:
        """What the split is called, such as `train`."""

    @property
    def count(self) -> int:
        """How many images it has."""

    @property
    def entries(self) -> np.ndarray | None:
        """What identifies each image, where that is possible: an array (n,) of fingerprint.ENTRY."""

    def part(self, name: str, indices: np.ndarray) -> Self:
        """The images at `indices`, as a split of their own."""

    def relabelled(self, labels: Sequence[int], classes: int) -> Self:
        """The same images, where label i becomes `labels[i]` of so many `classes`."""


AnySplit = TypeVar("AnySplit", bound=Images)


@dataclass(frozen=True)
class Source(Generic[AnySplit]):
    """Training and test images with the names of their classes.

    `name` is as typed, `label` the title of results on it; `mirror`: whether a mirrored image keeps its class; `notes`
    are for the user: skipped files, how the split was made; `divided` says in a few words where the test images come
    from, `origins` the same for the other splits, by name. `places` are all that the notes on annotations count: what
    happened, where, and how often. `validation` is what a training watches, if the data has it
    besides test images. `division` is the version of the rule by which images are held back from training. `facts`
    distinguish the data from other data of the same name, as plain data. `multi_label`: whether images are of any
    number of classes, see Split. `given` is what data was that has no name to open it by, such as `arrays`.
    `data_dir` is the folder of prepared sets that it was opened with.

    Data that was opened for testing may have no training images: `train` is None then.
    """

    name: str
    label: str
    classes: tuple[str, ...]
    channels: int
    train: AnySplit | None
    test: AnySplit
    mirror: bool = True
    notes: tuple[str, ...] = ()
    divided: str = ""
    validation: AnySplit | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    division: int = DIVISION
    facts: Mapping[str, Any] = field(default_factory=dict)
    multi_label: bool = False
    given: str = ""
    data_dir: str | Path | None = None
    places: tuple[tuple[str, str, int], ...] = field(default=(), repr=False)

    def splits(self) -> dict[str, AnySplit]:
        """The splits that there are, by name: train, validation, test."""
        found = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in found.items() if split is not None}

    def training_images(self, use: str) -> AnySplit:
        """The training images; where there are none, a ReskerasError (status 2) that begins with `use`, such as
        "recalibrate"."""
        if self.train is None:
            raise ReskerasError(
                f"{use}: needs training images, but {self.name} was opened for testing and has none; "
                "omit --data, or use data that has some"
            )
        return self.train

    def matched(self, classes: Sequence[str]) -> Source[AnySplit]:
        """The source with its classes in the order of `classes`; a note lists those that it lacks.

        Raises ReskerasError (status 2) for a class that is not among them.
        """
        if list(self.classes) == list(classes):
            return self
        places = {folded(name): index for index, name in enumerate(classes)}
        for name in self.classes:
            if folded(name) not in places:
                raise unknown(f"data: class of {self.name}", name, classes)
        labels = [places[folded(name)] for name in self.classes]
        absent = [name for index, name in enumerate(classes) if index not in set(labels)]
        notes = self.notes
        if absent:
            notes += (f"{self.name} has no images of {len(absent)} of the {len(classes)} classes: {listed(absent)}",)
        splits: dict[str, Any] = {name: split.relabelled(labels, len(classes)) for name, split in self.splits().items()}
        return replace(self, classes=tuple(classes), notes=notes, **splits)

    def with_channels(self: Source[Split], channels: int) -> Source[Split]:
        """The same images for a network with 1 or 3 input channels."""
        if channels == self.channels:
            return self
        read = "colour images, read as grey" if channels == 1 else "grey images, read as three equal channels"
        splits: dict[str, Any] = {name: split.with_channels(channels) for name, split in self.splits().items()}
        return replace(self, channels=channels, notes=(*self.notes, f"{self.name} has {read}"), **splits)

    def __repr__(self) -> str:
        return short_repr(
            self,
            self.name,
            f"{len(self.classes):,} classes",
            *(f"{split.count:,} {in_words(name)} images" for name, split in self.splits().items()),
        )


def unsaid_mirror(what: str) -> str:
    """The note on images that must not be mirrored, written as `what`, which has no place for that."""
    return (
        f"these images must not be mirrored, but {what} has no field for that: to train on it, set augment.flip to "
        "false in the recipe"
    )
