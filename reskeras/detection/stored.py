"""Files of images and annotations by name: bounded reading, sizes from headers, and their bytes in a graph."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import tensorflow as tf
from PIL import Image

from reskeras.data.batches import READERS
from reskeras.data.decode import LARGEST_IMAGE, read_image, read_stored
from reskeras.detection.objects import Read
from reskeras.errors import ReskerasError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")  # that TensorFlow decodes
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"}
LARGEST_FILE = 2**31 - 1  # bytes; TensorFlow counts those of a string in int32


@dataclass(frozen=True)
class StoredImage:
    """An image file whose header could be read: its height and width, and how many bytes it has."""

    path: Path
    size: tuple[int, int]
    bytes: int


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
        status = file.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            return None
        form, *size = header(file)
        if form == "BMP":
            read_image(file)  # not every BMP is decoded by TensorFlow, and the header does not say which
    except (OSError, ValueError, ReskerasError):
        return None
    return StoredImage(file, tuple(size), status.st_size)


def header(file: Path | BinaryIO) -> tuple[str, int, int]:
    """Format, height and width of an image. Raises ValueError for what is none, or too large."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height, form = image.width, image.height, image.format
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError("no image") from error
    if not 0 < height * width <= LARGEST_IMAGE:
        raise ValueError(f"{height} x {width} pixels")
    return form, height, width


def file_reader(images: list[StoredImage]) -> Read:
    """`Objects.read` for files; one that has changed its number of bytes since is an InvalidArgumentError."""
    paths = tf.constant([os.fsencode(image.path) for image in images], tf.string)
    sizes = tf.constant([image.bytes for image in images], tf.int32)
    return lambda index: read_stored(tf.gather(paths, index), tf.gather(sizes, index))
