"""Image files of annotated data sets: sizes and orientations from headers, and reading of their bytes in a graph."""

from __future__ import annotations

import io
import mmap
import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from reskeras.data.batches import READERS
from reskeras.data.broken import reading_failure
from reskeras.data.decode import LARGEST_IMAGE, read_image, read_stored
from reskeras.data.image_opener import opened_image
from reskeras.data.orientation import PNG_EXIF, UPRIGHT, orientation_of
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.objects import Read

LEAST_TURNED = 5  # EXIF orientations from here on swap height and width


@dataclass(frozen=True)
class Header:
    """The header of an image: Pillow's name of its format, its height and width as displayed, and its EXIF orientation,
    which is applied for display."""

    format: str
    size: tuple[int, int]
    orientation: int

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width as stored."""
        return self.size[::-1] if self.orientation >= LEAST_TURNED else self.size


@dataclass(frozen=True)
class StoredImage:
    """An image file with a valid header, and its size in bytes."""

    path: Path
    header: Header
    bytes: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width as shown."""
        return self.header.size


def look_at(files: Iterable[Path]) -> dict[Path, StoredImage]:
    """Those of `files` that are images, by their headers (about 0.1 ms each); only BMP is decoded.

    Files that are missing, of another format or larger than LARGEST_IMAGE are left out. Files with a valid header and
    broken pixels are included.
    """
    files = list(dict.fromkeys(files))
    # Pillow warns about files that are refused anyway; filters are per process, not per thread, so they are set here
    with warnings.catch_warnings(), ThreadPoolExecutor(READERS) as pool:
        warnings.simplefilter("ignore")
        return {file: found for file, found in zip(files, pool.map(_look, files), strict=True) if found}


def _look(file: Path) -> StoredImage | None:
    try:
        size, found = file.stat().st_size, header(file)
        if found.format == "BMP":
            read_image(file)  # TensorFlow does not decode every BMP, and the header does not tell
    except (OSError, ValueError, ReskerasError):
        return None
    return StoredImage(file, found, size)


def header(file: Path | bytes) -> Header:
    """The header of an image file, or of its bytes. ReskerasError (status 1) for anything else, or if too large."""
    with opened_image(io.BytesIO(file) if isinstance(file, bytes) else file, LARGEST_IMAGE) as image:
        size, kind = (image.height, image.width), image.format or ""
        tagged = _mentions(file, PNG_EXIF) if kind == "PNG" else "exif" in image.info
    orientation = UPRIGHT
    if tagged:
        orientation = int(orientation_of(file if isinstance(file, bytes) else file.read_bytes()))
    return Header(kind, size[::-1] if orientation >= LEAST_TURNED else size, orientation)


def _mentions(file: Path | bytes, mark: bytes) -> bool:
    """Whether `mark` occurs in a file, without reading it into memory."""
    if isinstance(file, bytes):
        return mark in file
    with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(mark) >= 0


def file_reader(images: list[StoredImage]) -> Read:
    """`Objects.read` for files; a file whose size has changed since raises InvalidArgumentError."""
    paths = tf.constant([os.fsencode(image.path) for image in images], tf.string)
    sizes = tf.constant([image.bytes for image in images], tf.int32)
    return lambda index: read_stored(tf.gather(paths, index), tf.gather(sizes, index))


def stored_bytes(read: Read, count: int) -> Iterator[bytes]:
    """The bytes of the first `count` images by `Objects.read`, in order. ReskerasError (status 1) that names the first
    one that cannot be read."""
    try:
        yield from tf.data.Dataset.range(count).map(read).as_numpy_iterator()
    except tf.errors.OpError as error:
        raise reading_failure(error) from error
