"""Bytes that are no readable JPEG or PNG, each with the status that a served model answers."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

NO_IMAGE, TOO_LARGE, BROKEN = "neither a JPEG nor a PNG", "more than 64,000,000 pixels", "broken or cut off"


def image_file(kind, side=64, mode="RGB"):
    """Noise as a file of this kind."""
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    held = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(held, kind)
    return held.getvalue()


def png_of(width, height, colours=2):
    """A PNG that says it is so large, with no pixels in it."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def jpeg_of(width, height):
    """A JPEG whose header says that it is so large."""
    data = image_file("JPEG", 8)
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def _cut(kind):
    data = image_file(kind)
    return data[: len(data) // 2]


def _flipped(kind):
    """A bit of the pixels changed, which a PNG's check sums tell."""
    data = bytearray(image_file(kind))
    data[len(data) // 2] ^= 0x10
    return bytes(data)


def _archive():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("image.png", image_file("PNG"))
    return held.getvalue()


UNREADABLE = {
    "text": (b"no image at all", NO_IMAGE),
    "nothing": (b"", NO_IMAGE),
    "zeros": (bytes(1000), NO_IMAGE),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", NO_IMAGE),
    "zip": (_archive(), NO_IMAGE),
    "gif": (image_file("GIF"), NO_IMAGE),
    "bmp": (image_file("BMP"), NO_IMAGE),
    "webp": (image_file("WEBP"), NO_IMAGE),
    "png header": (b"\x89PNG\r\n\x1a\n", BROKEN),
    "png without pixels": (png_of(8, 8), BROKEN),
    "png of nothing": (png_of(0, 0), BROKEN),
    "png of negative size": (png_of(2**32 - 1, 2**32 - 1), BROKEN),
    "huge png": (png_of(100_000, 100_000), TOO_LARGE),
    "huge jpeg": (jpeg_of(60_000, 60_000), TOO_LARGE),
    "cut png": (_cut("PNG"), BROKEN),
    "cut jpeg": (_cut("JPEG"), BROKEN),
    "flipped png": (_flipped("PNG"), BROKEN),
    "jpeg header": (b"\xff\xd8\xff", BROKEN),
    "broken jpeg": (b"\xff\xd8\xff" + bytes(20), BROKEN),
    "jpeg of nothing": (jpeg_of(0, 0), BROKEN),
}
