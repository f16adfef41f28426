"""Images and labels in memory to a Source: labels read, classes named, images divided and fingerprinted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.class_labels import counts_by_class
from reskeras.data.division import divided
from reskeras.data.fingerprint import entries, order_of
from reskeras.data.layout import folded, in_words
from reskeras.data.purpose import Purpose
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError, shown, unknown
from reskeras.printable import counted, is_utf8
from reskeras.walk import counted_images, listed

TEST_SHARE = 0.2
MOST_CLASSES = 1_000_000

Pixels = np.ndarray | list[np.ndarray]  # uint8 (n, height, width, channels), or images of several sizes


@dataclass(frozen=True)
class Part:
    """One split: `pixels`, and `labels` as `read_labels` gives them, with what messages call the two."""

    pixels: Pixels = field(repr=False)
    labels: np.ndarray = field(repr=False)
    named: tuple[str, str]

    @property
    def described(self) -> str:
        """`x_test and y_test`, or `the test dataset`."""
        images, labels = self.named
        return images if labels.startswith(images) else f"{images} and {labels}"


@dataclass(frozen=True)
class InMemory:
    """Labelled images in memory, which `source` makes a Source of; the same ones may be opened for several purposes.

    `given` says what they were in Python, such as `arrays`; it is "" for a file, which can be read again. `classes` are
    the names of the classes, None where the labels have to tell them.
    """

    name: str
    given: str
    train: Part
    test: Part | None = None
    validation: Part | None = None
    classes: tuple[str, ...] | None = None
    mirror: bool = True
    notes: tuple[str, ...] = ()
    label: str = ""

    def source(self, purpose: Purpose) -> Source[Split]:
        """The source, for training or for testing: then of one part all images are for test.

        Without test images one in five is held out, chosen by a hash of its pixels. ReskerasError (status 2) where
        labels and classes contradict each other.
        """
        testing = purpose.testing is not None
        classes, labels = _labelled(self.numbered_by(purpose.testing or ()))
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        splits = {
            name: _split(name, part.pixels, labels[name], self.name) for name, part in parts.items() if part is not None
        }
        origins = {name: part.described for name, part in parts.items() if part is not None}
        how, notes = origins.get("test", ""), [*self.notes]
        if testing and self.test is None:
            splits = {"test": replace(splits["train"], name="test")}
            how = "all images"
        elif self.test is None:
            splits["train"], splits["test"] = self._held_out(splits["train"], labels["train"])
            how = "a fixed sample of about 20% of each class"
        if not testing:
            notes += [*_absent(classes, labels["train"]), _told(self.label or self.name, splits, how)]
        return Source(
            name=self.name,
            label=self.label or self.name,
            classes=classes,
            channels=_channels(self.train.pixels),
            train=splits.get("train"),
            test=splits["test"],
            mirror=self.mirror,
            notes=tuple(notes),
            divided=how,
            validation=None if testing else splits.get("validation"),
            origins={name: origins[name] for name in ("train", "validation") if name in origins and name in splits},
            division=purpose.division,
            facts={"order": order_of(splits)},
            multi_label=self.train.labels.ndim == 2,
            given=self.given,
        )

    def numbered_by(self, classes: Sequence[str]) -> InMemory:
        """The same, whose labels are numbers of `classes`, those of a run, if they are numbers without names."""
        if self.classes or not classes or self.train.labels.dtype.kind == "U":
            return self
        return replace(self, classes=tuple(classes))

    def _held_out(self, split: Split, labels: np.ndarray) -> tuple[Split, Split]:
        """Training and test images of `split`, by a hash of their pixels: they stay where they are when others come
        and go, and equal images are on the same side."""
        for_training, for_test = divided(split.keys(), labels, TEST_SHARE)
        if not len(for_test):
            raise ReskerasError(
                f"data: {self.train.described} has one image per class; at least two are needed, one for testing"
            )
        return split.part("train", for_training), split.part("test", for_test)


def read_labels(given: Any, count: int, named: tuple[str, str]) -> np.ndarray:
    """The labels of `count` images: int64 (n,), names (n,) or uint8 (n, classes) of 0 and 1, which are multi-label.

    ReskerasError (status 2) for anything else; `named` is what messages call images and labels.
    """
    images, name = named
    try:
        labels = np.asarray(given)
    except ValueError as error:
        raise ReskerasError(f"data: {name} has entries of different lengths") from error
    if labels.ndim == 2 and labels.shape[1] == 1:  # as keras.datasets has them
        labels = labels[:, 0]
    if labels.ndim not in (1, 2) or (labels.ndim == 2 and not labels.shape[1]):
        raise ReskerasError(
            f"data: {name} has shape {labels.shape}; labels have shape (n,), or (n, classes) with 0 and 1"
        )
    if len(labels) != count:
        raise ReskerasError(
            f"data: {images} has {counted_images(count)}, but {name} has {counted(len(labels), 'label')}"
        )
    if labels.dtype.kind in "USO" and labels.ndim == 1:
        return _names(labels, name)
    if labels.dtype.kind not in "buif":
        raise ReskerasError(f"data: {name} has dtype {labels.dtype}; labels are numbers, names, or rows of 0 and 1")
    if labels.ndim == 2:
        _refuse(~((labels == 0) | (labels == 1)).all(axis=1), labels, name, "rows of labels hold only 0 and 1")
        return labels.astype(np.uint8)
    if labels.dtype.kind == "f":
        _refuse(~(np.isfinite(labels) & (labels == np.rint(labels))), labels, name, "labels are whole numbers")
    _refuse(
        (labels < 0) | (labels >= MOST_CLASSES), labels, name, f"labels are class numbers, 0 to {MOST_CLASSES - 1:,}"
    )
    return labels.astype(np.int64)


def check_classes(classes: Iterable[str]) -> tuple[str, ...]:
    """Names of classes as given; ReskerasError for what is no name of one."""
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise ReskerasError(f"classes: {shown(classes)}: should be a list of names")
    classes = list(classes)
    if not classes or not all(isinstance(name, str) for name in classes):
        raise ReskerasError(f"classes: {shown(classes)}: should be a list of names")
    for name in classes:
        if name.splitlines() != [name] or not name.strip() or not is_utf8(name):
            raise ReskerasError(f"classes: {shown(name)} is not a valid class name")
    names = tuple(map(folded, classes))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ReskerasError(f"classes: {shown(twice[0])} is named twice")
    return names


def _names(labels: np.ndarray, name: str) -> np.ndarray:
    """Names (n,) as text in Unicode's composed form."""
    found = []
    for index, each in enumerate(labels.tolist()):
        try:
            text = each.decode() if isinstance(each, bytes) else each
        except UnicodeDecodeError:
            text = None
        if not isinstance(text, str) or text.splitlines() != [text] or not text.strip() or not is_utf8(text):
            raise ReskerasError(f"data: {name}[{index}] is {shown(each)}, which is not a valid class name")
        found.append(folded(text))
    return np.array(found)


def _refuse(wrong: np.ndarray, labels: np.ndarray, name: str, rule: str) -> None:
    if wrong.any():
        index = int(wrong.argmax())
        raise ReskerasError(f"data: {name}[{index}] is {shown(labels[index].tolist())}; {rule}")


def _labelled(data: InMemory) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Names of the classes, and the labels of each part by them: int32 (n,) or uint8 (n, classes)."""
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    present = {name: part for name, part in parts.items() if part is not None}
    first, own = data.train.named[1], data.train.labels
    for part in present.values():
        if part.labels.ndim != own.ndim or (part.labels.dtype.kind == "U") != (own.dtype.kind == "U"):
            raise ReskerasError(f"data: {part.named[1]} has {_kind(part.labels)}, but {first} has {_kind(own)}")
        if own.ndim == 2 and part.labels.shape[1] != own.shape[1]:
            raise ReskerasError(
                f"data: {part.named[1]} has {counted(part.labels.shape[1], 'class', 'classes')}, but {first} has "
                f"{own.shape[1]:,}"
            )
    if own.dtype.kind == "U":
        classes = data.classes or tuple(sorted(set(own.tolist())))
        places = {name: index for index, name in enumerate(classes)}
        for part in present.values():
            for name in part.labels.tolist():
                if name not in places:
                    raise unknown(f"data: class in {part.named[1]}", name, classes)
        return classes, {
            key: np.array([places[name] for name in part.labels.tolist()], np.int32) for key, part in present.items()
        }
    if own.ndim == 2 and not own.any():
        raise ReskerasError(f"data: {first} has no 1 in any row, so no image of any class to learn from")
    count = own.shape[1] if own.ndim == 2 else int(own.max()) + 1
    classes = data.classes or tuple(map(str, range(count)))
    if own.ndim == 2 and len(classes) != count:
        raise ReskerasError(f"data: {first} has {counted(count, 'class', 'classes')}, but {len(classes):,} are named")
    for part in present.values() if own.ndim == 1 else ():
        known = "there are" if data.classes else f"{first} has"
        _refuse(part.labels >= len(classes), part.labels, part.named[1], f"{known} {len(classes)} classes, from 0")
    return classes, {
        key: part.labels if own.ndim == 2 else part.labels.astype(np.int32) for key, part in present.items()
    }


def _kind(labels: np.ndarray) -> str:
    if labels.ndim == 2:
        return "rows of 0 and 1"
    return "names" if labels.dtype.kind == "U" else "numbers"


def _absent(classes: Sequence[str], labels: np.ndarray) -> Iterator[str]:
    """A note where classes have no training images."""
    counts = counts_by_class(labels, len(classes))
    if absent := [name for name, count in zip(classes, counts, strict=True) if not count]:
        yield f"no training image of {len(absent)} of {len(classes)} classes: {listed(absent)}"


def _told(name: str, splits: dict[str, Split], how: str) -> str:
    counts = [f"{split.count:,} {in_words(key)}" for key, split in splits.items()]
    return f"{name}: {', '.join(counts[:-1])} and {counts[-1]} images; test: {how}"


def _channels(pixels: Pixels) -> int:
    return int(pixels[0].shape[-1])


def _split(name: str, pixels: Pixels, labels: np.ndarray, source: str) -> Split:
    """Images in memory, as tensors on the CPU: a GPU has better uses for its memory."""
    contents = [int.from_bytes(_digest(image), "little") for image in pixels]
    with tf.device("CPU"):
        targets = tf.constant(labels)
        if isinstance(pixels, np.ndarray):
            images = tf.constant(pixels)

            def image_at(index: tf.Tensor) -> tf.Tensor:
                return tf.gather(images, index)

        else:
            stored = tf.constant([image.tobytes() for image in pixels])
            shapes, channels = tf.constant([image.shape for image in pixels]), _channels(pixels)

            def image_at(index: tf.Tensor) -> tf.Tensor:
                image = tf.reshape(tf.io.decode_raw(tf.gather(stored, index), tf.uint8), tf.gather(shapes, index))
                return tf.ensure_shape(image, [None, None, channels])

    return Split(
        name,
        len(labels),
        lambda index: (image_at(index), tf.gather(targets, index)),
        label=lambda indices: tf.gather(targets, indices),
        where=lambda index: f"{name} image {index} of {source}",
        checked=True,
        entries=entries([f"{content:016x}" for content in contents], contents, labels),
        label_shape=labels.shape[1:],
    )


def _digest(image: np.ndarray) -> bytes:
    """64 bits of a hash of an image's pixels and shape."""
    total = hashlib.blake2b(f"{image.shape}".encode(), digest_size=8)
    total.update(np.ascontiguousarray(image).data)
    return total.digest()
