"""Detections in COCO's results format, with ids of their own or those of an annotations file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from reskeras.errors import ReskerasError
from reskeras.printable import few
from reskeras.tasks.detection.annotations.coco_json import key, read_instances
from reskeras.tasks.detection.detections import Found, FrameDetections, ImageDetections, each_image

Id = int | str


@dataclass(frozen=True)
class CocoIds:
    """The ids that an annotations `file` gives to categories, by name, and to images, by their file names."""

    file: Path
    categories: Mapping[str, Id]
    images: Mapping[str, Sequence[tuple[PurePosixPath, Id]]]  # by the last part of their names

    @classmethod
    def of(cls, file: Path, classes: Sequence[str]) -> CocoIds:
        """The ids in a COCO instances file. ReskerasError: status 2 if it lacks one of `classes`, 1 if it is broken."""
        if not file.is_file():
            raise ReskerasError(f"annotations: file not found: {file}")
        try:
            instances = read_instances(file)
        except ReskerasError as error:  # raised by code that reads data sets
            raise ReskerasError(re.sub("^data:", "annotations:", str(error)), error.status) from error
        categories = {name: number for number, name in instances.names.items()}
        if missing := [name for name in classes if name not in categories]:
            raise ReskerasError(f"annotations: {file} has no category {few(missing)}; it has {few([*categories], 10)}")
        images: dict[str, list[tuple[PurePosixPath, Id]]] = {}
        for entry in instances.images:
            name, number = entry.get("file_name"), key(entry.get("id"))
            if isinstance(name, str) and number is not None:
                path = PurePosixPath(name)
                images.setdefault(path.name, []).append((path, number))
        return cls(file, categories, images)

    def image(self, path: str) -> Id:
        """The id of the image whose file name is how `path` ends. ReskerasError if there is none, or several."""
        parts = Path(path).absolute().parts
        ends = [
            (len(known.parts), number) for known, number in self.images.get(Path(path).name, []) if _ends(parts, known)
        ]
        best = [number for length, number in ends if length == max(ends)[0]] if ends else []
        if len(best) != 1:
            raise ReskerasError(f"annotations: {self.file} has {'several images' if best else 'no image'} for {path}")
        return best[0]


def _ends(parts: Sequence[str], known: PurePosixPath) -> bool:
    wanted = [part for part in known.parts if part not in (".", "/")]
    return list(parts[len(parts) - len(wanted) :]) == wanted


def coco_predictions(
    found: Sequence[Found], classes: Sequence[str], ids: CocoIds | None = None
) -> Iterator[dict[str, Any]]:
    """The detections in COCO's results format, as `coco_results`, with file and class names added.

    Without `ids` `category_id` counts the classes from 1, and `image_id` is the file's stem, as a number where it is
    one (as in COCO's own sets), so that pycocotools' loadRes takes the list beside annotations with such ids; of a
    video's frame it is the stem and the frame's number. Where two images would have the same it is their place in
    `found`.
    """
    categories = ids.categories if ids else {name: label for label, name in enumerate(classes, 1)}
    unique = ids is not None or _all_differ(found)
    for place, image in enumerate(each_image(found)):
        image_id = ids.image(image.path) if ids else _own_id(image) if unique else place
        for each in image.detections:
            top, left, bottom, right = each.box
            yield {
                "image_id": image_id,
                "file_name": Path(image.path).name,
                **({"frame": image.frame} if isinstance(image, FrameDetections) else {}),
                "category_id": categories[each.name],
                "category_name": each.name,
                "bbox": [left, top, right - left, bottom - top],
                "score": each.score,
            }


def _own_id(image: ImageDetections) -> Id:
    stem = Path(image.path).stem
    if isinstance(image, FrameDetections):
        return f"{stem}/{image.frame:06}"
    return int(stem) if stem.isascii() and stem.isdecimal() else stem


def _all_differ(found: Sequence[Found]) -> bool:
    """Whether no two images would have one id; the frames of a video differ among themselves."""
    own = [_own_id(each) if isinstance(each, ImageDetections) else (Path(each.path).stem,) for each in found]
    return len(set(own)) == len(own)
