"""Image files: the formats that are read, the one way in which Pillow opens them, and why another file is refused.

`Image.open` tries every plug-in that Pillow has, whatever a file is called: an EPS named x.png starts Ghostscript.
Nothing else in the project opens an image with Pillow.
"""

from __future__ import annotations

import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from reskeras.errors import ReskerasError, failure
from reskeras.printable import is_utf8

FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF")  # that TensorFlow decodes
READ = "supported are JPEG, PNG, BMP, WebP and GIF"
LARGEST_FILE = 2**31 - 1  # bytes; TensorFlow counts those of a string in int32
HEAD = 1024  # bytes by which other kinds of files are recognised
BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)  # what Pillow raises

# what files begin with: those that are read, and others, with words for them
OURS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WebP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{12}[\x0c-\x7c]\x00\x00\x00",
}
OTHERS = {
    "a TIFF": rb"II[*+]\x00|MM\x00[*+]",
    "a HEIF or AVIF": rb"....ftyp(?:hei|hev|mif1|msf1|avi[fs])",
    "a JPEG 2000": rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51",
    "a JPEG XL": rb"\x00\x00\x00\x0cJXL |\xff\x0a",
    "PostScript": rb"%!PS|\xc5\xd0\xd3\xc6",
    "a PDF": rb"%PDF-",
    "a Photoshop file": rb"8BPS",
    "an icon": rb"\x00\x00[\x01\x02]\x00",
    "a portable bitmap": rb"P[1-7]\s",
    "an OpenEXR image": rb"\x76\x2f\x31\x01",
    "a DICOM image": rb".{128}DICM",
    "a NumPy array": rb"\x93NUMPY",
    "a ZIP archive": rb"PK\x03\x04",
    "a video": rb"....ftyp|RIFF....AVI |\x1a\x45\xdf\xa3",
    "an SVG": rb"\s*(?:<\?xml[^>]*>)?(?:\s|<![^>]*>)*<svg",
    "a web page": rb"(?i:\s*<(?:!doctype html|html))",
    "a Git LFS pointer, not the file itself": rb"version https://git-lfs",
}


class PixelBudget:
    """Bounds the images that threads decode at the same time: `most` pixels in total."""

    def __init__(self, most: int):
        self._free, self._changed = most, threading.Condition()

    @contextmanager
    def spent(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels`, at most the whole budget, are free; they are released when the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


@contextmanager
def opened_image(file: str | Path | BinaryIO, most: int) -> Iterator[Image.Image]:
    """An image with its header read, of at most `most` pixels.

    Raises ReskerasError (status 1) for what is no regular file, no image of FORMATS, or too large; and for whatever
    Pillow finds broken before the block ends.
    """
    name = getattr(file, "name", "an image") if hasattr(file, "read") else file
    try:
        if not hasattr(file, "read"):
            _check_file(Path(file))
        with Image.open(file, formats=FORMATS) as image:
            pixels = image.width * image.height
            if not 0 < pixels <= most:
                raise failure(
                    f"image: {name} has {pixels} pixels, more than {most}" if pixels else f"image: {name} has no pixels"
                )
            if image.format == "WEBP" and getattr(image, "is_animated", False):
                raise failure(
                    f"image: {name} is an animated WebP, which TensorFlow cannot decode; save one frame as PNG"
                )
            yield image
    except ReskerasError:
        raise
    except Image.DecompressionBombError as error:  # far more than `most`, of which Pillow opens none
        raise failure(f"image: {name} has more than {most} pixels") from error
    except BROKEN as error:
        raise failure(f"image: {name} {why_unread(file, error)}") from error


def _check_file(file: Path) -> None:
    """Raise OSError or ReskerasError where opening would block or reading would not fit."""
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise failure(f"image: {file} is not a regular file")
    if status.st_size > LARGEST_FILE:
        raise failure(f"image: {file} is larger than {LARGEST_FILE:,} bytes")


def why_unread(file: str | Path | BinaryIO, error: Exception) -> str:
    """What is wrong with a file that was refused by `error`, phrased to follow its name."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    if not is_utf8(str(file)):  # TensorFlow takes it for no path
        return "has a name that is not UTF-8; rename it"
    try:
        head = _head(file)
    except OSError as unread:
        return f"cannot be read: {unread.strerror}"
    if ours := _kind(head, OURS):
        return f"is a broken {ours}"
    return f"is {_kind(head, OTHERS) or ('not an image' if head else 'empty')}; {READ}"


def _head(file: str | Path | BinaryIO) -> bytes:
    if isinstance(file, str | Path):
        with open(file, "rb") as opened:
            return opened.read(HEAD)
    file.seek(0)
    return file.read(HEAD)


def _kind(head: bytes, kinds: dict[str, bytes]) -> str | None:
    """The key of `kinds` whose files begin so; None where there is none."""
    return next((kind for kind, begins in kinds.items() if re.match(begins, head, re.DOTALL)), None)
