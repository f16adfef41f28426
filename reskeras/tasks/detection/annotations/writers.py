"""The formats that annotated images can be written in: where images go, and the files with their boxes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np

from reskeras.documents.document import to_yaml
from reskeras.files import write_json, write_text
from reskeras.tasks.detection.cleaning import Annotated

PIXEL_DIGITS, SHARE_DIGITS = 2, 6  # after the point
THIN = (
    "{} box is left out, too thin for the digits of the format",
    "{} boxes are left out, too thin for the digits of the format",
)


@dataclass(frozen=True)
class Named:
    """An image with the objects that are written, under the name of its `file`; `lost` has the others."""

    file: str
    image: Annotated
    lost: Annotated


class Writer(ABC):
    """A format: what its splits are called, what it cannot say, and how it is written.

    `unsaid` are notes in singular and plural by what they count: `difficult` objects, `crowd`s, `ignored` objects that
    are lost, and boxes that are too `thin`.
    """

    splits: ClassVar[Mapping[str, str]] = {"train": "train", "validation": "val", "test": "test"}
    ignores: ClassVar[bool] = True  # whether objects can be marked as ignored
    unsaid: ClassVar[Mapping[str, tuple[str, str]]]

    @abstractmethod
    def numbers(self, image: Annotated) -> np.ndarray:
        """The four numbers of each box as they are written, float64 (k, 4)."""

    @abstractmethod
    def thick(self, image: Annotated) -> np.ndarray:
        """Which boxes, bool (k,), are not empty as they are written."""

    def kept(self, image: Annotated) -> np.ndarray:
        """Which objects, bool (k,), can be written."""
        return self.thick(image) & (self.ignores | ~image.ignored)

    @abstractmethod
    def tolerance(self, size: tuple[int, int]) -> float:
        """By how many pixels a corner may move by rounding, in an image of `size`."""

    @abstractmethod
    def image(self, part: str, file: str) -> PurePosixPath:
        """Where the image file of a split goes in the folder."""

    @abstractmethod
    def write(self, folder: Path, parts: Mapping[str, list[Named]], classes: tuple[str, ...]) -> None:
        """Write the annotations of all splits."""


def part_name(split: str, parts: Mapping[str, Any], writer: Writer) -> str:
    """What a format calls a split. YOLO's trainers ask for val, so test images are val where there are no others."""
    if isinstance(writer, Yolo) and split == "test" and "validation" not in parts:
        split = "validation"
    return writer.splits[split]


class Voc(Writer):
    """Pascal VOC: Annotations/, JPEGImages/, ImageSets/Main/; corners are inclusive pixels, counted from 1."""

    unsaid: ClassVar[Mapping[str, tuple[str, str]]] = {
        "crowd": (
            "{} crowd is written as a difficult object, which is ignored as well: VOC has no crowds",
            "{} crowds are written as difficult objects, which are ignored as well: VOC has no crowds",
        ),
        "thin": (
            "{} box of at most one pixel is left out: VOC's corners are whole pixels, which would coincide",
            "{} boxes of at most one pixel are left out: VOC's corners are whole pixels, which would coincide",
        ),
    }

    def numbers(self, image: Annotated) -> np.ndarray:
        """ymin, xmin, ymax, xmax."""
        return np.round(image.boxes + np.array([1, 1, 0, 0]), PIXEL_DIGITS)

    def thick(self, image: Annotated) -> np.ndarray:
        """All but boxes of a pixel."""
        numbers = self.numbers(image)
        return np.all(numbers[:, 2:] > numbers[:, :2], axis=1)

    def tolerance(self, size: tuple[int, int]) -> float:
        """Half the last digit."""
        return 0.5001 * 10**-PIXEL_DIGITS

    def image(self, part: str, file: str) -> PurePosixPath:
        """JPEGImages/FILE."""
        return PurePosixPath("JPEGImages", file)

    def write(self, folder: Path, parts: Mapping[str, list[Named]], classes: tuple[str, ...]) -> None:
        """An XML for each image, and a list for each split."""
        for part, named in parts.items():
            for each in named:
                write_text(folder / "Annotations" / f"{_stem(each)}.xml", self._xml(each))
            if len(parts) > 1:
                lines = "".join(f"{_stem(each)}\n" for each in named)
                write_text(folder / "ImageSets" / "Main" / f"{part}.txt", lines)

    def _xml(self, each: Named) -> str:
        root = Element("annotation")
        SubElement(root, "folder").text = "JPEGImages"
        SubElement(root, "filename").text = each.file
        size = SubElement(root, "size")
        for side, number in zip(("width", "height", "depth"), (*each.image.size[::-1], 3), strict=True):
            SubElement(size, side).text = str(number)
        SubElement(root, "segmented").text = "0"
        numbers = self.numbers(each.image).tolist()
        for name, ignored, box in zip(each.image.names, each.image.ignored, numbers, strict=True):
            found = SubElement(root, "object")
            SubElement(found, "name").text = name
            SubElement(found, "difficult").text = str(int(ignored))
            corners = SubElement(found, "bndbox")
            for place in (1, 0, 3, 2):
                SubElement(corners, ("ymin", "xmin", "ymax", "xmax")[place]).text = f"{box[place]:.12g}"
        indent(root)
        return tostring(root, encoding="unicode") + "\n"


class Coco(Writer):
    """COCO: annotations/instances_SPLIT.json and the images in SPLIT/; left, top, width and height in pixels."""

    unsaid: ClassVar[Mapping[str, tuple[str, str]]] = {
        "difficult": (
            "{} difficult object is written as a crowd, which is ignored as well: COCO has no difficult objects",
            "{} difficult objects are written as crowds, which are ignored as well: COCO has no difficult objects",
        ),
        "thin": THIN,
    }

    def numbers(self, image: Annotated) -> np.ndarray:
        """Left, top, width, height."""
        top, left, bottom, right = image.boxes.T
        return np.round(np.stack([left, top, right - left, bottom - top], axis=1), PIXEL_DIGITS)

    def thick(self, image: Annotated) -> np.ndarray:
        """All that have a width and a height."""
        return np.all(self.numbers(image)[:, 2:] > 0, axis=1)

    def tolerance(self, size: tuple[int, int]) -> float:
        """Half the last digit of the corner, and as much of the side."""
        return 1.0001 * 10**-PIXEL_DIGITS

    def image(self, part: str, file: str) -> PurePosixPath:
        """SPLIT/FILE."""
        return PurePosixPath(part, file)

    def write(self, folder: Path, parts: Mapping[str, list[Named]], classes: tuple[str, ...]) -> None:
        """A JSON for each split; ids count from 1."""
        numbered = {name: number for number, name in enumerate(classes, 1)}
        for part, named in parts.items():
            images: list[dict[str, Any]] = []
            objects: list[dict[str, Any]] = []
            for number, each in enumerate(named, 1):
                height, width = each.image.size
                images.append({"id": number, "file_name": each.file, "width": int(width), "height": int(height)})
                rows = zip(each.image.names, each.image.ignored, self.numbers(each.image).tolist(), strict=True)
                objects += [
                    {
                        "id": len(objects) + place,
                        "image_id": number,
                        "category_id": numbered[str(name)],
                        "bbox": box,
                        "area": round(box[2] * box[3], 2 * PIXEL_DIGITS),
                        "iscrowd": int(ignored),
                        "segmentation": [],
                    }
                    for place, (name, ignored, box) in enumerate(rows, 1)
                ]
            data = {
                "info": {"description": f"{part}, written by reskeras"},
                "images": images,
                "annotations": objects,
                "categories": [
                    {"id": number, "name": name, "supercategory": name} for name, number in numbered.items()
                ],
            }
            write_json(folder / "annotations" / f"instances_{part}.json", data, indent=None)


class Yolo(Writer):
    """YOLO: data.yaml, images/SPLIT/ and labels/SPLIT/; centre, width and height as shares of the image's sides."""

    ignores: ClassVar[bool] = False
    unsaid: ClassVar[Mapping[str, tuple[str, str]]] = {
        "ignored": (
            "{} object to ignore, difficult or a crowd, is left out: YOLO has no mark for it",
            "{} objects to ignore, difficult or crowds, are left out: YOLO has no mark for them",
        ),
        "thin": THIN,
    }

    def numbers(self, image: Annotated) -> np.ndarray:
        """Centre x, centre y, width, height."""
        top, left, bottom, right = (image.boxes / [*image.size, *image.size]).T
        centres = np.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], axis=1)
        return np.round(centres, SHARE_DIGITS)

    def thick(self, image: Annotated) -> np.ndarray:
        """All that have a width and a height."""
        return np.all(self.numbers(image)[:, 2:] > 0, axis=1)

    def tolerance(self, size: tuple[int, int]) -> float:
        """Half the last digit of the centre, and of half the side."""
        return 0.7501 * 10**-SHARE_DIGITS * max(size)

    def image(self, part: str, file: str) -> PurePosixPath:
        """images/SPLIT/FILE."""
        return PurePosixPath("images", part, file)

    def write(self, folder: Path, parts: Mapping[str, list[Named]], classes: tuple[str, ...]) -> None:
        """A file of labels for each image, empty for background, and data.yaml."""
        numbered = {name: number for number, name in enumerate(classes)}
        for part, named in parts.items():
            for each in named:
                rows = zip(each.image.names, self.numbers(each.image).tolist(), strict=True)
                lines = [
                    f"{numbered[str(name)]} {' '.join(f'{share:.{SHARE_DIGITS}f}' for share in box)}\n"
                    for name, box in rows
                ]
                write_text(folder / "labels" / part / f"{_stem(each)}.txt", "".join(lines))
        places = {part: f"images/{part}" for part in parts}
        write_text(folder / "data.yaml", to_yaml({**places, "nc": len(classes), "names": list(classes)}))


def _stem(each: Named) -> str:
    return PurePosixPath(each.file).stem


WRITERS: dict[str, Writer] = {"voc": Voc(), "coco": Coco(), "yolo": Yolo()}
