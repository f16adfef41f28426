"""Writes what is found in images and videos to files: drawn, in COCO's format, as YOLO's text, and cropped."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reskeras.data.decode import decode_file
from reskeras.data.video import Frame, Video, written_video
from reskeras.errors import ReskerasError
from reskeras.files import (
    atomic_folder,
    check_place,
    is_there,
    local_path,
    make_folder,
    place_of,
    remove,
    write_json_list,
)
from reskeras.printable import printable
from reskeras.runs import place_for
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.coco_predictions import CocoIds, coco_predictions
from reskeras.tasks.detection.detections import (
    Detection,
    Found,
    FrameDetections,
    ImageDetections,
    VideoDetections,
    each_image,
    listed,
)
from reskeras.tasks.detection.drawn_boxes import draw_boxes, found_marks
from reskeras.tasks.detection.mistakes import SURE
from reskeras.tasks.detection.objects import CHANNELS

if TYPE_CHECKING:
    from PIL import Image as Picture

DETECTIONS_FILE, CLASSES_FILE = "detections.json", "classes.txt"
LONGEST = 100  # characters of a class in the name of its folder


@dataclass(frozen=True)
class Places:
    """Where predictions are written, besides being returned.

    `out`: a new folder with every image drawn at its own size (NAME-detections.png), every video likewise
    (NAME-detections.mp4), and the rows of `coco` as detections.json. `coco`: a file in COCO's results format, with the
    ids of `annotations`, a COCO instances file, if given. `yolo`: a new folder as `write_yolo` has it. `crops`: a new
    folder with a picture of every object that is drawn, in a folder of its class.
    """

    out: Path | None = None
    coco: Path | None = None
    annotations: Path | None = None
    yolo: Path | None = None
    crops: Path | None = None

    def __post_init__(self) -> None:
        """Raise ReskerasError where a folder is there already, or what is written cannot be."""
        folders: dict[Path, str] = {}
        for name, field, path in (
            ("out", "out", self.out),
            ("yolo", "yolo", self.yolo),
            ("save-crops", "crops", self.crops),
        ):
            if path is None:
                continue
            if is_there(place := place_of(path, name), name):
                raise ReskerasError(f"{name}: {place} already exists; name a new folder")
            path = place_for(path, "") if name == "out" else place
            if other := folders.get(path.absolute()):
                raise ReskerasError(f"{name}: {path} is also given for {other}; name another folder")
            folders[path.absolute()] = name
            object.__setattr__(self, field, path)
        for path in (self.yolo, self.crops, self.coco):
            if path is not None:
                check_place(path)
        if self.annotations is not None and self.coco is None:
            raise ReskerasError("annotations: the ids are for --coco FILE, which is not given")

    def writing(
        self, files: Sequence[str], classes: Sequence[str], wanted: Sequence[str], score: float | None
    ) -> Writing:
        """What writes to them as long as its block runs; boxes of `score` or more, by default SURE, are drawn and
        cropped. ReskerasError where the annotations lack one of the `files` or of the `wanted` classes."""
        ids = None
        if self.annotations is not None:
            ids = CocoIds.of(local_path(self.annotations, "annotations"), wanted)
            for path in files:
                ids.image(path)
        return Writing(self, tuple(classes), SURE if score is None else score, ids)


class _NothingFoundIn(Exception):
    """Ends the blocks of folders that are not wanted."""


class Writing:
    """Writes to `places` what is found of `classes`, each image and video as it comes; all is there, or nothing, when
    the block ends: nothing as well where no file could be read."""

    def __init__(self, places: Places, classes: Sequence[str], score: float, ids: CocoIds | None):
        self.places, self.classes, self.score, self.ids = places, classes, score, ids
        self.names = {CLASSES_FILE.partition(".")[0]}  # of no image, since YOLO's text of it would have the same
        self.named: list[str] = []
        self.finished = False
        self.of_classes = _folder_names(classes)

    def __enter__(self) -> Writing:
        with ExitStack() as stack:
            self.out, self.crops = (
                stack.enter_context(atomic_folder(path)) if path else None
                for path in (self.places.out, self.places.crops)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *raised: Any) -> None:
        nothing = raised[0] is None and not self.finished
        self._stack.__exit__(*((_NothingFoundIn, _NothingFoundIn(), None) if nothing else raised))

    def image(self, found: ImageDetections) -> None:
        """An image's pictures."""
        name = self._name(found.path)
        if self.out or self.crops:
            pixels, sure = decode_file(found.path, CHANNELS).numpy(), found.above(self.score).detections
            if self.out:
                self._drawn(pixels, sure).save(self.out / f"{name}-detections.png")
            self._crop(pixels, sure, name)

    @contextmanager
    def video(self, video: Video) -> Iterator[Callable[[Frame, Detections], None]]:
        """What takes the frames of a video, with their detections. Its files go again if the block fails."""
        name = self._name(str(video.path))
        path = self.out / f"{name}-detections.mp4" if self.out else None
        try:
            with written_video(path, video) if path else nullcontext() as draw:

                def take(frame: Frame, found: Detections) -> None:
                    sure = listed(found.part(found.scores >= self.score), self.classes)
                    if draw:
                        draw(np.asarray(self._drawn(frame.pixels, sure)), frame.time)
                    self._crop(frame.pixels, sure, f"{name}/{frame.number:06}")

                yield take
        except BaseException:
            self.named.pop()
            for made in [path, *(self.crops.glob(f"*/{name}") if self.crops else [])]:
                if made is not None:
                    remove(made)
            raise

    def finish(self, found: Sequence[Found]) -> None:
        """The files that hold all of it: `found` are the images, then the videos, as they came; of none there is
        nothing to write."""
        if not found:
            return
        self.finished = True
        if self.out:
            write_json_list(self.out / DETECTIONS_FILE, coco_predictions(found, self.classes, self.ids), indent=1)
        if self.places.yolo:
            write_yolo(found, self.named, self.classes, self.places.yolo)
        if self.places.coco:
            write_json_list(self.places.coco, coco_predictions(found, self.classes, self.ids))

    def _name(self, path: str) -> str:
        self.named.append(_own_name(Path(path).stem, self.names))
        return self.named[-1]

    def _drawn(self, pixels: np.ndarray, sure: Iterable[Detection]) -> Picture.Image:
        return draw_boxes(pixels, found_marks(sure, self.classes))

    def _crop(self, pixels: np.ndarray, sure: Iterable[Detection], name: str) -> None:
        """A picture of each object, CLASS/NAME-NUMBER.png: the pixels that its box touches."""
        from PIL import Image

        for number, each in enumerate(sure if self.crops else (), 1):
            top, left = (max(math.floor(side), 0) for side in each.box[:2])
            bottom, right = (math.ceil(side) for side in each.box[2:])
            part = pixels[top:bottom, left:right]
            if self.crops and part.size:
                place = self.crops / self.of_classes[each.label] / f"{name}-{number}.png"
                make_folder(place.parent)
                Image.fromarray(np.ascontiguousarray(part)).save(place)


def write_yolo(found: Sequence[Found], names: Sequence[str], classes: Sequence[str], folder: Path) -> None:
    """Write the new folder `folder`: NAME.txt for every image, NAME/000012.txt for every frame of a video, whose lines
    are an object's class by number, its box as shares of the image (centre x and y, width, height) and its score; and
    classes.txt, the names of the classes in order."""
    with atomic_folder(folder) as beside:
        (beside / CLASSES_FILE).write_text("".join(f"{printable(name)}\n" for name in classes), encoding="utf-8")
        for each, name in zip(found, names, strict=True):
            if isinstance(each, VideoDetections):
                (beside / name).mkdir()
            for image in each_image([each]):
                place = f"{name}/{image.frame:06}" if isinstance(image, FrameDetections) else name
                (beside / f"{place}.txt").write_text("".join(_yolo_lines(image)), encoding="utf-8")


def _yolo_lines(image: ImageDetections) -> Iterator[str]:
    height, width = image.size
    for each in image.detections:
        top, left, bottom, right = np.clip(np.array(each.box) / [height, width, height, width], 0, 1)
        numbers = ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top, each.score)
        yield f"{each.label} {' '.join(f'{number:.6f}' for number in numbers)}\n"


def _folder_names(classes: Sequence[str]) -> list[str]:
    """A folder name for each class: without what file systems refuse, and different ignoring case."""
    taken: set[str] = set()
    return [
        _own_name(re.sub(r'[/\\:*?"<>|]', "_", printable(name)).strip(". ")[:LONGEST] or "_", taken) for name in classes
    ]


def _own_name(stem: str, taken: set[str]) -> str:
    """`stem`, numbered if it is taken, ignoring case."""
    name, number = stem, 2
    while name.casefold() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.casefold())
    return name
