"""What a report page is made of: facts, tables, plots and pictures, as plain data; of runs and suites alike."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

LARGEST_SVG = 400_000  # bytes; beyond, a plot goes in as PNG
THUMBNAIL = 96  # pixels
QUALITY = 88  # of JPEGs


@dataclass(frozen=True)
class Facts:
    """Names and values; `text` stands above them."""

    title: str
    pairs: Sequence[tuple[str, str]]
    text: str = ""
    kind: str = "facts"


@dataclass(frozen=True)
class Table:
    """Columns and rows of text, sortable; `caption` says what is counted, `notes` stand below. Columns named in
    `sentences` are to be read: their lines break."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    notes: Sequence[str] = ()
    sentences: Sequence[str] = ()
    kind: str = "table"


@dataclass(frozen=True)
class Image:
    """A picture in the page itself: `source` is a data URI, `alt` says what it shows to those who do not see it."""

    source: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Plot:
    """One figure, as wide as the page."""

    title: str
    image: Image
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
    """A matplotlib figure as a section."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg")  # the same plot gives the same page
    if stream.tell() > LARGEST_SVG:
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        return Plot(title, Image(data_uri(stream.getvalue(), "image/png"), alt, caption))
    return Plot(title, Image(data_uri(stream.getvalue(), "image/svg+xml"), alt, caption))


def drawing(title: str, draw: Any, alt: str, caption: str = "") -> Plot:
    """What `draw` writes into the file it is given, as a section: SVG, or PNG where that is too large."""
    with TemporaryDirectory() as folder:
        path = draw(Path(folder) / "drawing.svg")
        if path.stat().st_size <= LARGEST_SVG:
            return Plot(title, Image(data_uri(path.read_bytes(), "image/svg+xml"), alt, caption))
        return Plot(title, Image(data_uri(draw(Path(folder) / "drawing.png").read_bytes(), "image/png"), alt, caption))


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
    """A Pillow picture as a data URI, as JPEG: what is too large for PNG."""
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=QUALITY, subsampling=0)  # thin coloured lines stay sharp
    return data_uri(stream.getvalue(), "image/jpeg")


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a URI that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
