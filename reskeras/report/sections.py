"""Building blocks of report pages, as plain data: facts, tables, plots and galleries."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

LARGEST_SVG = 400_000  # bytes; larger plots are embedded as PNG
LARGE, LARGE_DRAWING = 800, 390  # pixels; a plot, and a diagram with its smaller texts, that can be read on a phone
THUMBNAIL = 96  # pixels
QUALITY = 88  # of JPEGs


@dataclass(frozen=True)
class Facts:
    """Names and values, with `text` above them."""

    title: str
    pairs: Sequence[tuple[str, str]]
    text: str = ""
    kind: str = "facts"


@dataclass(frozen=True)
class Table:
    """A sortable table of texts; `caption` explains the figures, `notes` go below. Columns named in `sentences` hold
    prose, which is wrapped."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    notes: Sequence[str] = ()
    sentences: Sequence[str] = ()
    kind: str = "table"


@dataclass(frozen=True)
class Image:
    """An embedded image: `source` is a data URI, `alt` its alternative text."""

    source: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Plot:
    """One figure of that `width` in pixels; as wide as the page if that is less, except on phones if it is `large`: if
    its texts are too small to read at the width of a phone."""

    title: str
    image: Image
    width: int
    large: bool
    kind: str = "plot"


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side, each `size` pixels wide where the page is wide enough."""

    title: str
    images: Sequence[Image]
    text: str = ""
    size: int = THUMBNAIL
    kind: str = "gallery"


Section = Facts | Table | Plot | Gallery


@dataclass(frozen=True)
class Page:
    """A whole page; `lead` is the sentence under its title."""

    title: str
    lead: str
    sections: Sequence[Section]


def plot(title: str, figure: Any, alt: str, caption: str = "") -> Plot:
    """A matplotlib figure as a section: SVG, or PNG where that is too large."""

    def draw(kind: str) -> bytes:
        stream = io.BytesIO()
        figure.savefig(stream, format=kind)  # the same plot gives the same page
        return stream.getvalue()

    return _embedded(title, draw, alt, caption, LARGE)


def drawing(title: str, draw: Callable[[Path], Path], alt: str, caption: str = "") -> Plot:
    """The file that `draw` writes to a given path, as a section: SVG, or PNG where that is too large."""
    with TemporaryDirectory() as folder:
        return _embedded(
            title, lambda kind: draw(Path(folder) / f"drawing.{kind}").read_bytes(), alt, caption, LARGE_DRAWING
        )


def _embedded(title: str, draw: Callable[[str], bytes], alt: str, caption: str, widest: int) -> Plot:
    """What `draw` makes of a format, as a section; it is large if it is wider than `widest`."""
    data, kind = draw("svg"), "image/svg+xml"
    points = re.search(rb'<svg [^>]*\bwidth="([\d.]+)pt"', data)
    width = round(float(points[1]) * 96 / 72) if points else LARGE
    if len(data) > LARGEST_SVG:
        data, kind = draw("png"), "image/png"
    return Plot(title, Image(data_uri(data, kind), alt, caption), width, width > widest)


def thumbnail(pixels: np.ndarray, side: int = THUMBNAIL) -> str:
    """uint8 (height, width, channels) as a data URI, at most `side` pixels high and wide, small ones enlarged."""
    from PIL import Image as Picture

    picture = Picture.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    scale = side / max(picture.size)
    width, height = (max(round(length * scale), 1) for length in picture.size)
    picture = picture.resize((width, height), Picture.Resampling.NEAREST if scale > 1 else Picture.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return data_uri(stream.getvalue(), "image/png")


def photograph(picture: Any) -> str:
    """A Pillow image as a JPEG data URI, for images that are too large as PNG."""
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=QUALITY, subsampling=0)  # thin coloured lines stay sharp
    return data_uri(stream.getvalue(), "image/jpeg")


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
