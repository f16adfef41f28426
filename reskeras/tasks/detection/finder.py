"""Finds objects with a detector: in image files, and in pixels, such as frames of a video; whole or in tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.decode import decode_file
from reskeras.data.video import Frame, Video
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.detections import ImageDetections, VideoDetections, listed
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.objects import CHANNELS
from reskeras.tasks.detection.options import Tiling
from reskeras.tasks.detection.tiles import Tile, View, merged, tiles_of

Broken = Callable[[str, ReskerasError], None]
Progress = Callable[[int, int], None]
Canvas = tuple[int, ...]
Size = tuple[int, int]
JOINED = 256  # frames whose detections are copied together
NOTHING = Detections(
    np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros((0, 4), np.float32)
)


class Finder:
    """Finds objects of `classes` with a `detector`; with `tiling` also in tiles of larger images."""

    def __init__(self, detector: Detector, classes: Sequence[str], tiling: Tiling | None = None):
        self.detector, self.classes, self.tiling = detector, tuple(classes), tiling

    def in_files(self, paths: Sequence[str | Path], broken: Broken | None = None) -> list[ImageDetections]:
        """The detections in image files, in order.

        EXIF orientations are applied. Every file is decoded before the first one is processed: ReskerasError names one
        that is missing (status 2) or cannot be read (1); with `broken`, which is called with the path and the error,
        the others are still processed.
        """
        known = readable(paths, broken, self._size)
        look = self._in_tiles_of if self.tiling else self._in_whole
        return [
            ImageDetections(str(path), size, listed(found, self.classes))
            for (path, size), found in zip(known, look(known), strict=True)
        ]

    def in_frames(
        self, video: Video, take: Callable[[Frame, Detections], None], progress: Progress = lambda done, of: None
    ) -> VideoDetections:
        """The detections in a video. `take` gets every frame in order, with its own: few are held at a time."""
        times: list[float] = []
        parts, rows = [NOTHING], [NOTHING]
        for frame, found in self._looked(video.frames()):
            take(frame, found)
            times.append(float(frame.time))
            rows.append(replace(found, image=np.full(len(found.scores), frame.number, np.int32)))
            if len(rows) == JOINED:  # what rows are views of are whole batches, mostly of padding
                parts, rows = [*parts, Detections.joined(rows)], [NOTHING]
            progress(len(times), max(video.count, len(times)))
        every = Detections.joined([*parts, *rows])
        return VideoDetections(str(video.path), video.size, float(video.rate), self.classes, np.array(times), every)

    def _size(self, path: str | Path) -> Size:
        size = size_of(path)
        if self.tiling:
            tiles_of(size, self.tiling)  # refuses too many
        return size

    def _in_whole(self, known: Sequence[tuple[str | Path, Size]]) -> list[Detections]:
        """In whole image files, those that take the same canvas together."""
        found: dict[int, Detections] = {}
        sizes = np.reshape([size for _, size in known], (-1, 2))
        for canvas, places in self.detector.by_canvas(sizes).items():
            find = tf.function(partial(self.detector.found, canvas=canvas), autograph=False)
            for start in range(0, len(places), self.detector.batch):
                chosen = places[start : start + self.detector.batch].tolist()
                batch = [Path(known[place][0]).read_bytes() for place in chosen]
                found.update(zip(chosen, _rows(find(tf.constant(self._filled(batch))), len(chosen)), strict=True))
        return [found[place] for place in range(len(known))]

    def _in_tiles_of(self, known: Sequence[tuple[str | Path, Size]]) -> Iterator[Detections]:
        for path, _ in known:
            yield self._in_tiles(decode_file(path, CHANNELS).numpy())

    def _looked(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Detections]]:
        """Each frame with the detections in it, a batch at a time."""
        while chosen := list(islice(frames, self.detector.batch)):
            images = [frame.pixels for frame in chosen]
            yield from zip(chosen, map(self._in_tiles, images) if self.tiling else self._together(images), strict=True)

    def _in_tiles(self, image: np.ndarray) -> Detections:
        """In an image, uint8 (h, w, 3), by its tiles and as a whole."""
        height, width, _ = image.shape
        whole = 0, 0, height, width
        assert self.tiling is not None
        tiles = tiles_of((height, width), self.tiling)
        views = [_view(whole, *self._together([image]))]
        for start in range(0, len(tiles) if len(tiles) > 1 else 0, self.detector.batch):
            chosen = tiles[start : start + self.detector.batch]
            parts = [image[top:bottom, left:right] for top, left, bottom, right in chosen]
            views += map(_view, chosen, self._together(parts))
        limits = self.detector.spec.detections
        return merged(views, (height, width), limits.overlap, limits.class_agnostic)

    def _together(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """In images of one size, uint8 (h, w, 3), at most a batch of them."""
        [canvas] = self.detector.by_canvas(np.array([images[0].shape[:2]]))
        return _rows(self._finder(canvas)(tf.constant(np.stack(self._filled(images)))), len(images))

    @cached_property
    def _finder(self) -> Callable[[Canvas], Callable[[tf.Tensor], dict[str, tf.Tensor]]]:
        pixels = tf.TensorSpec([self.detector.batch, None, None, CHANNELS], tf.uint8)
        return cache(
            lambda canvas: tf.function(
                partial(self.detector.found, canvas=canvas), input_signature=[pixels], autograph=False
            )
        )

    def _filled(self, batch: Sequence[Any]) -> list[Any]:
        """The batch at its full size, so that there is one graph for all of a canvas: the last is repeated."""
        return [*batch, *[batch[-1]] * (self.detector.batch - len(batch))]


def size_of(path: str | Path) -> Size:
    """Height and width of an image file as displayed; ReskerasError as `decode_file`."""
    height, width, _ = decode_file(path, CHANNELS).shape
    return height, width


def readable(
    paths: Sequence[str | Path], broken: Broken | None, size: Callable[[str | Path], Size] = size_of
) -> list[tuple[str | Path, Size]]:
    """The files that can be read, with their sizes. ReskerasError for others; or `broken` is called with the path and
    the error."""
    known = []
    for path in paths:
        try:
            known.append((path, size(path)))
        except ReskerasError as error:
            if broken is None:
                raise
            broken(str(path), error)
    return known


def _rows(answers: Mapping[str, tf.Tensor], count: int) -> list[Detections]:
    """The finite detections in each of the first `count` images of a batch."""
    outputs = {name: values.numpy() for name, values in answers.items()}
    return [Detections.of({name: values[row] for name, values in outputs.items()}, 0).finite() for row in range(count)]


def _view(tile: Tile, found: Detections) -> View:
    """Detections in a tile, in pixels of the image."""
    corner = np.array([*tile[:2], *tile[:2]], np.float32)
    return View(tile, found.boxes + corner, found.scores, found.labels)
