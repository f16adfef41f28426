"""Parses a Pascal VOC annotation file, which is untrusted, to plain data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from reskeras.bounded import read_bounded
from reskeras.tasks.detection.cleaning import class_name

LARGEST_XML = 10_000_000  # bytes
CORNERS = ("ymin", "xmin", "ymax", "xmax")
DATUMARO = ("database", "annotation", "image")  # of <source>


@dataclass(frozen=True)
class Annotation:
    """The content of an annotation: the image's file name and size (height, width), None where missing, and its k
    objects: `boxes` float64 (k, 4) top, left, bottom, right in continuous pixels (NaN where a number is missing),
    `names` (None where missing) and `difficult` bool (k,)."""

    filename: str | None
    size: tuple[float, float] | None
    boxes: np.ndarray
    names: tuple[str | None, ...]
    difficult: np.ndarray


def read_annotation(file: Path) -> Annotation:
    """The annotation in `file`.

    VOC's corners are inclusive pixels, counted from 1: (xmin, xmax) = (1, 10) covers 0 to 10. Equal corners would be a
    box of one pixel; annotation tools write them for a mere click, so they are kept as an empty box. CVAT, which
    exports by Datumaro, writes continuous corners counted from 0 instead, and three times Unknown as the source, by
    which it is recognised. Raises ValueError with a short reason for a file that is not an annotation or cannot be
    read.
    """
    try:
        root = _tree(read_bounded(file, LARGEST_XML))
    except OSError as error:
        raise ValueError(error.strerror or "unreadable") from error
    except (expat.ExpatError, LookupError) as error:  # LookupError for unknown encodings
        raise ValueError("not XML") from error
    if root.tag != "annotation":
        raise ValueError("no <annotation>")
    objects = root.findall("object")
    boxes = np.array([[_number(each.find(f"bndbox/{corner}")) for corner in CORNERS] for each in objects], np.float64)
    boxes = boxes.reshape(-1, 4)
    low, high = boxes[:, :2], boxes[:, 2:]
    if not all(_text(root.find(f"source/{part}")) == "Unknown" for part in DATUMARO):
        low = np.where(high > low, low - 1, low)
    boxes = np.concatenate([low, high], axis=1)
    height, width = (_number(root.find(f"size/{side}")) for side in ("height", "width"))
    filename = _text(root.find("filename"))
    return Annotation(
        filename=filename or None,
        size=(height, width) if height > 0 and width > 0 else None,
        boxes=boxes,
        names=tuple(class_name(_text(each.find("name"))) for each in objects),
        difficult=np.array([_number(each.find("difficult")) == 1 for each in objects], bool),
    )


def _tree(data: bytes) -> Element:
    """The root of an XML document. One with a DOCTYPE, which may declare entities, is refused by the parser itself, in
    any encoding."""
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ValueError("it has a DOCTYPE")

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(data, True)
    return builder.close()


def _text(element: Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _number(element: Element | None) -> float:
    try:
        return float(_text(element))
    except ValueError:
        return float("nan")
