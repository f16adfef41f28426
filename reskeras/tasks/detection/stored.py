"""Files of images and annotations by name: bounded reading, sizes from headers, and their bytes in a graph."""

from __future__ import annotations

import io
import mmap
import os
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from reskeras.data.batches import READERS
from reskeras.data.decode import LARGEST_IMAGE, read_image, read_stored
from reskeras.data.image_opener import opened_image
from reskeras.data.orientation import PNG_EXIF, UPRIGHT, orientation_of
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.objects import Read

LEAST_TURNED = 5  # orientations from here on exchange height and width


@dataclass(frozen=True)
class Header:
    """What the header of an image says: Pillow's name of its format, its height and width as shown, and its EXIF
    orientation, by which it is turned to be shown."""

    format: str
    size: tuple[int, int]
    orientation: int

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width as stored."""
        return self.size[::-1] if self.orientation >= LEAST_TURNED else self.size


@dataclass(frozen=True)
class StoredImage:
    """An image file whose header could be read, and how many bytes it has."""

    path: Path
    header: Header
    bytes: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as shown."""
        return self.header.size


def look_at(files: Iterable[Path]) -> dict[Path, StoredImage]:
    """Those of `files` that are images, by their headers (about 0.1 ms each); nothing is decoded but BMP.

    A file that is missing, of another format or larger than LARGEST_IMAGE is not in the answer. One whose
    pixels are broken behind a sound header is.
    """
    files = list(dict.fromkeys(files))
    # Pillow warns of what is then refused by name; filters are the process's, not a thread's, so set them here
    with warnings.catch_warnings(), ThreadPoolExecutor(READERS) as pool:
        warnings.simplefilter("ignore")
        return {file: found for file, found in zip(files, pool.map(_look, files), strict=True) if found}


def _look(file: Path) -> StoredImage | None:
    try:
        size, found = file.stat().st_size, header(file)
        if found.format == "BMP":
            read_image(file)  # not every BMP is decoded by TensorFlow, and the header does not say which
    except (OSError, ValueError, ReskerasError):
        return None
    return StoredImage(file, found, size)


def header(file: Path | bytes) -> Header:
    """The header of an image file, or of its bytes. Raises ReskerasError (status 1) for what is none, or too large."""
    with opened_image(io.BytesIO(file) if isinstance(file, bytes) else file, LARGEST_IMAGE) as image:
        size, kind = (image.height, image.width), image.format or ""
        tagged = _mentions(file, PNG_EXIF) if kind == "PNG" else "exif" in image.info
    orientation = UPRIGHT
    if tagged:
        orientation = int(orientation_of(file if isinstance(file, bytes) else file.read_bytes()))
    return Header(kind, size[::-1] if orientation >= LEAST_TURNED else size, orientation)


def _mentions(file: Path | bytes, mark: bytes) -> bool:
    """Whether `mark` is anywhere in a file, which is not read into memory for that."""
    if isinstance(file, bytes):
        return mark in file
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(mark) >= 0


def file_reader(images: list[StoredImage]) -> Read:
    """`Objects.read` for files; one that has changed its number of bytes since is an InvalidArgumentError."""
    paths = tf.constant([os.fsencode(image.path) for image in images], tf.string)
    sizes = tf.constant([image.bytes for image in images], tf.int32)
    return lambda index: read_stored(tf.gather(paths, index), tf.gather(sizes, index))
