"""Cleaning of annotations, common to all formats; everything that is dropped or clipped is counted in notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from unicodedata import category

import numpy as np

from reskeras.data.division import BY_POSITION, DIVISION, divided
from reskeras.data.orientation import UPRIGHT, turned_boxes
from reskeras.data.purpose import Purpose
from reskeras.data.source import Source
from reskeras.errors import ReskerasError, shown
from reskeras.tasks.detection.image_headers import Header
from reskeras.tasks.detection.objects import CHANNELS, Objects, Read
from reskeras.tasks.detection.tally import MOST_BOXES, NAMED, Tally

MOST_CLASSES = 10_000
LONGEST = 100  # characters of a name
SLACK = 1e-3  # pixels; boxes that exceed the image by less, from rounding, are not counted as clipped
NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}  # control characters, surrogates, line separators
TEST_SHARE = 0.2


@dataclass(frozen=True)
class Annotated:
    """One image with its annotations as read.

    `where` is its name in notes, `stored` what its bytes are read with. `boxes` float64 (k, 4) are top, left, bottom,
    right in pixels, NaN where the file has no number; `names` are the k classes, None where missing; `ignored` and
    `crowd` bool (k,). `part` is the split that the set itself has the image in, train, validation or test, if any;
    `format` is Pillow's name of the format of an image that is no file.
    """

    id: int | str
    where: str
    stored: Any
    size: tuple[int, int]
    boxes: np.ndarray
    names: tuple[str | None, ...]
    ignored: np.ndarray
    crowd: np.ndarray
    part: str = ""
    format: str = ""

    def only(self, kept: np.ndarray) -> Annotated:
        """The image with the objects where `kept` bool (k,) is true."""
        return replace(
            self,
            boxes=self.boxes[kept],
            ignored=self.ignored[kept],
            crowd=self.crowd[kept],
            names=tuple(name for name, keep in zip(self.names, kept, strict=True) if keep),
        )


@dataclass(frozen=True)
class AnnotatedSet:
    """A set of annotated images as its files say.

    `reader` makes `Objects.read` from images' `stored`. `classes` None: those of the cleaned training images, sorted.
    `divided` says in words what divides the set into `train` and `test`; empty where nothing does, and all are `train`.
    `tally` has what its reader left out, `remarks` what is to be said of the division.
    """

    name: str
    label: str
    classes: tuple[str, ...] | None
    train: list[Annotated]
    test: list[Annotated]
    divided: str
    reader: Callable[[list[Any]], Read]
    mirror: bool = True
    facts: Mapping[str, Any] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    remarks: tuple[str, ...] = ()

    def source(self, purpose: Purpose) -> Source[Objects]:
        """The source of its cleaned images, see `cleaned_source`."""
        return cleaned_source(self, self.tally, purpose)


def printable(name: str) -> str:
    """`name`, from an untrusted file, made safe for a terminal: unprintable characters are escaped."""
    letters = (
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name[:LONGEST]
    )
    return "".join(letters) + ("..." if len(name) > LONGEST else "")


def class_name(value: object) -> str | None:
    """A class name with whitespace stripped; None for invalid ones: it must fit on one line of UTF-8 text."""
    name = value.strip() if isinstance(value, str) else ""
    return name if 0 < len(name) <= LONGEST and not {*map(category, name)} & NO_TEXT else None


def cleaned(images: Iterable[Annotated], tally: Tally) -> list[Annotated]:
    """The images with valid boxes: empty ones, those without finite numbers or a class, and those wholly outside the
    image are dropped, those that exceed the image are clipped. Images with more than MOST_BOXES are dropped, and those
    of whose objects none is left: they are no background."""
    kept = []
    for image in images:
        if len(image.names) > MOST_BOXES:
            tally.add("crowded", image.where)
        elif not image.names:
            kept.append(image)
        elif (one := _cleaned(image, tally)).names:
            kept.append(one)
        else:
            tally.add("spoilt", image.where)
    return kept


def _cleaned(image: Annotated, tally: Tally) -> Annotated:
    boxes = image.boxes
    named = np.array([name is not None for name in image.names])
    complete = named & np.isfinite(boxes).all(axis=1)
    real = complete & _some_area(boxes)
    cut = np.clip(boxes, 0, [*image.size, *image.size])
    inside = real & _some_area(cut.astype(np.float32))  # the dtype that they are stored in
    over = inside & (np.abs(cut - boxes) > SLACK).any(axis=1)
    for kind, found in (
        ("classless", ~named),
        ("incomplete", named & ~complete),
        ("flat", complete & ~real),
        ("outside", real & ~inside),
        ("cut", over),
    ):
        tally.add(kind, image.where, found.sum())
    return replace(image, boxes=cut).only(inside)


def as_shown(
    boxes: np.ndarray, said: tuple[float, float] | None, image: Header, where: str, tally: Tally
) -> np.ndarray:
    """Boxes (k, 4) of an annotation in pixels of the image as displayed, with its EXIF orientation applied.

    Annotation tools display images with their orientation applied, so boxes normally refer to that; but if the size
    (height, width) in the annotation is that of the image as stored and not as displayed, its boxes are rotated too.
    """
    tally.add("turned", where, image.orientation != UPRIGHT)
    if said is None or said == image.size:
        return boxes
    if said != image.stored:
        tally.add("resized", where)
        return boxes
    tally.add("sideways", where)
    return turned_boxes(boxes, image.stored, image.orientation)


def _some_area(boxes: np.ndarray) -> np.ndarray:
    return np.all(boxes[:, 2:] > boxes[:, :2], axis=1)


def apart(train: list[Annotated], test: list[Annotated], tally: Tally) -> list[Annotated]:
    """The training images that are not also test images."""
    held = {image.stored for image in test}
    for image in train:
        if image.stored in held:
            tally.add("shared", image.where)
    return [image for image in train if image.stored not in held]


def divided_by(purpose: Purpose, images: list[Annotated], tally: Tally) -> tuple[list[Annotated], list[Annotated], str]:
    """Training images, test images, and how they were split, in words; opened for testing, all are test images."""
    if purpose.testing is not None:
        tally.said.append(f"no separate test images: testing on all {len(images):,}")
        return [], images, "all images"
    return one_in_five(images, tally, purpose.division)


def one_in_five(
    images: list[Annotated], tally: Tally, division: int = DIVISION
) -> tuple[list[Annotated], list[Annotated], str]:
    """Training images, test images, and how they were split, in words: by a hash of each image's name."""
    if len(images) < 2:
        return images, [], ""
    labels = np.zeros(len(images), np.int32)
    if division == BY_POSITION:
        held = min(max(round(len(images) * TEST_SHARE), 1), len(images) - 1)
        order = np.random.default_rng(1506_01497).permutation(len(images))
        parts, how = (np.sort(order[held:]), np.sort(order[:held])), "a fixed 20% of the images"
    else:
        parts = divided([image.where for image in images], labels, TEST_SHARE)
        how = "a fixed sample of about 20% of the images"
    train, test = ([images[index] for index in part] for part in parts)
    tally.said.append(f"no test images: {len(test):,} of {len(images):,} images are held out for testing")
    return train, test, how


def _check_pixels(found: AnnotatedSet) -> None:
    """ReskerasError where all boxes are shares of their images."""
    boxes = [image.boxes for image in (*found.train, *found.test) if len(image.boxes)]
    numbers = np.concatenate(boxes) if boxes else np.empty((0, 4))
    numbers = numbers[np.isfinite(numbers).all(axis=1)]
    if len(numbers) and numbers.min() >= 0 and numbers.max() <= 1:
        raise ReskerasError(
            f"data: every box of {found.name} lies between 0 and 1, as a share of the image; boxes should be in pixels"
        )


def check_once(found: AnnotatedSet) -> None:
    """ReskerasError where two annotations of one split are of the same image: each has half of its objects, or both
    have all."""
    for images in (found.train, found.test):
        seen: dict[Any, Annotated] = {}
        for image in images:
            if (other := seen.setdefault(image.stored, image)) is not image:
                both = f"{other.where} and {image.where}" if other.where != image.where else f"{image.where}, twice,"
                raise ReskerasError(
                    f"data: {found.name} has an image with two annotations, {both} of ids {shown(other.id)} and "
                    f"{shown(image.id)}; keep one of them"
                )


def cleaned_source(found: AnnotatedSet, tally: Tally, purpose: Purpose) -> Source[Objects]:
    """The source of a set's cleaned images, divided where the set does not divide them. Opened for testing, the classes
    are those of the detector, and there may be no training images.

    Raises ReskerasError (status 2) when there are no images or objects to train on, or no images to test on, for boxes
    that are not in pixels, and for an image that is annotated twice.
    """
    _check_pixels(found)
    check_once(found)
    tally.said += found.remarks
    name, divided = found.name, found.divided
    train, test = cleaned(apart(found.train, found.test, tally), tally), cleaned(found.test, tally)
    if not divided:
        train, test, divided = divided_by(purpose, train, tally)
    classes = found.classes
    if classes is None:
        classes = tuple(sorted({name for image in train for name in image.names if name is not None}))
    if purpose.testing is not None:
        classes = tuple(purpose.testing)
        _check_known_class(name, test, classes, tally)
    for images, what in ((train, "training"), (test, "test")):
        if not images and not (what == "training" and purpose.testing is not None):
            raise ReskerasError(f"data: {name} has no annotated image for {what} that can be read" + _why(tally))
    if len(classes) > MOST_CLASSES:
        raise ReskerasError(f"data: {name} has {len(classes):,} classes, more than {MOST_CLASSES:,}")
    if odd := [each for each in classes if class_name(each) != each]:
        raise ReskerasError(f"data: {name} has a class {shown(odd[0])}, which is not a valid class name")
    learned = _objects("train", train, classes, found.reader, tally) if train else None
    held = _objects("test", test, classes, found.reader, tally)
    if learned and purpose.testing is None and (not len(learned.labels) or learned.ignored.all()):
        raise ReskerasError(f"data: {name} has no object to learn from in its training images" + _why(tally))
    return Source(
        name=name,
        label=found.label,
        classes=classes,
        channels=CHANNELS,
        train=learned,
        test=held,
        mirror=found.mirror,
        notes=tally.notes(),
        places=tally.every_place(),
        divided=divided,
        division=purpose.division,
        facts=found.facts,
    )


def _check_known_class(name: str, test: list[Annotated], classes: tuple[str, ...], tally: Tally) -> None:
    """ReskerasError when no test image has an object of the `classes` that the run was trained on."""
    if not any(each in classes for image in test for each in image.names):
        found = sorted({each for image in test for each in image.names if each})
        raise ReskerasError(
            f"data: {name} has no object of the classes that the run was trained on"
            + (f"; its classes are {', '.join(found[:NAMED])}" if found else "")
            + _why(tally)
        )


def _why(tally: Tally) -> str:
    return "".join(f"; {note}" for note in tally.notes()[:NAMED])


def _objects(
    name: str, images: list[Annotated], classes: tuple[str, ...], reader: Callable[[list[Any]], Read], tally: Tally
) -> Objects:
    index: dict[str | None, int] = {each: label for label, each in enumerate(classes)}
    known = [_known(image, index, tally) for image in images]
    crowd, ignored = (
        np.concatenate([getattr(image, key) for image in known]).astype(bool) for key in ("crowd", "ignored")
    )
    counts = [len(image.names) for image in known]
    for image in known:
        own = np.asarray(image.crowd, bool)
        tally.add("background", image.where, not image.names)
        tally.add("crowd", image.where, own.sum())
        tally.add("difficult", image.where, (np.asarray(image.ignored, bool) & ~own).sum())
    return Objects(
        name=name,
        ids=tuple(image.id for image in known),
        sizes=np.array([image.size for image in known], np.int32),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=np.concatenate([image.boxes for image in known]).astype(np.float32),
        labels=np.array([index[each] for image in known for each in image.names], np.int32),
        ignored=ignored | crowd,
        crowd=crowd,
        read=reader([image.stored for image in known]),
    )


def _known(image: Annotated, index: Mapping[str | None, int], tally: Tally) -> Annotated:
    """`image` without the objects of classes that are not in `index`."""
    kept = np.array([name in index for name in image.names], bool)
    for name in (name for name, keep in zip(image.names, kept, strict=True) if not keep):
        tally.add("strange", f"{image.where} ({printable(str(name))})")
    return image if kept.all() else image.only(kept)
