"""Plain images: ordinary JPEGs and PNGs, which a graph can decode without inspecting their bytes.

Inspecting them in the graph costs as much as decoding a 32x32 image, so sources do it once, when they are opened.
"""

from __future__ import annotations

from collections.abc import Iterable

from reskeras.data.orientation import JPEG_EXIF, PNG_EXIF

JPEG, PNG = "jpeg", "png"
PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PNG_DEPTH = 24  # the place of the byte that tells the bits of a channel
START, APP1, SCAN = 0xD8, 0xE1, 0xDA
FRAMES = (0xC0, 0xC1, 0xC2)  # baseline, extended, progressive


def plain_format(data: bytes, most_pixels: int) -> str | None:
    """JPEG or PNG for such an image of at most `most_pixels`, with 8 bits per channel and without EXIF; else None.

    In a JPEG, EXIF is searched for before the pixels; in a PNG anywhere.
    """
    if data.startswith(PNG_START) and len(data) > PNG_DEPTH:
        width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))
        sound = data[PNG_DEPTH] <= 8 and width * height <= most_pixels and PNG_EXIF not in data
        return PNG if sound else None
    return JPEG if _is_plain_jpeg(data, most_pixels) else None


def one_plain_format(formats: Iterable[str | None]) -> str | None:
    """The plain format that all `formats` agree on; None if they differ, or there is none."""
    found: set[str | None] = set()
    for each in formats:
        found.add(each)
        if each is None or len(found) > 1:
            return None
    return found.pop() if found else None


def _is_plain_jpeg(data: bytes, most_pixels: int) -> bool:
    """Walk the markers up to the pixels; what does not follow the standard is not plain."""
    place, pixels = 2, 0
    if data[:2] != bytes([0xFF, START]):
        return False
    while place + 10 < len(data) and data[place] == 0xFF:
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == SCAN:
            return 0 < pixels <= most_pixels
        if marker in FRAMES:
            height, width = (int.from_bytes(data[at : at + 2], "big") for at in (place + 5, place + 7))
            pixels = max(pixels, height * width)
        exif = marker == APP1 and data.startswith(JPEG_EXIF, place + 4)
        if exif or marker < FRAMES[0] or 0xD0 <= marker <= 0xD9 or length < 2:
            return False
        place += 2 + length
    return False
