"""Inference of a detector: image files of any size to detections, with the options of v1 appendix B."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.batches import ReadAhead
from reskeras.data.broken import named_failures
from reskeras.data.decode import decode, with_channels
from reskeras.data.epoch_order import by_group
from reskeras.data.pipeline import ordered_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.shard_rows import Rows
from reskeras.graph.spread import inference_devices, spread
from reskeras.graph.weights import places, write
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.networks.resize import Canvas
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.canvas import Canvases, Placed, normalised, on_canvas, placed, views
from reskeras.tasks.detection.ensemble import judged, proposed
from reskeras.tasks.detection.model import Maps, Networks
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.options import Options
from reskeras.tasks.detection.recall import Proposed
from reskeras.tasks.detection.seen import Seen
from reskeras.tasks.detection.select import selected

BATCH = 4  # images at once of a single detector
RECALLED = 1000  # proposals per image that recall is measured with
REFINED_OVERLAP, VOTES = 0.3, 0.5  # v1 appendix B; the overlap of voters is that of its source (arXiv:1505.01749)

Found = dict[str, tf.Tensor]


class Detector:
    """A detector's networks with `weights` by canonical name, in float32, and its detections in image files. Without
    weights, `load` some first.

    `order` renumbers its classes: class i of its detections is class `order[i]` of its networks. With `others`, of the
    same classes in the same order, it is the first of an ensemble (`ensemble`), each of which has its own canvas,
    preprocessing and scales; the number, overlap and lowest score of the detections, and `options.refine`, are the
    first's. With `only`, the numbers of some classes, boxes of others are left out before any suppresses another.
    """

    def __init__(
        self,
        plan: DetectorPlan,
        weights: Mapping[str, np.ndarray] | None,
        preprocessing: Preprocessing,
        options: Options = Options(),
        order: Sequence[int] | None = None,
        others: Sequence[Detector] = (),
        only: Sequence[int] | None = None,
    ):
        self.order, self.members, self.only = order, (self, *others), only
        self.plan, self.spec, self.preprocessing, self.options = plan, plan.spec, preprocessing, options
        self.views, self.canvases = views(Canvases.of(plan), options)
        self.networks = Networks(plan, any_size=len(self.views) > 1 or len(self.canvases) > 1)
        if weights is not None:
            self.load(weights)

    @property
    def batch(self) -> int:
        """Images at once: of an ensemble fewer, since it classifies the regions of all detectors."""
        return max(BATCH // len(self.members), 1)

    @property
    def proposals_before(self) -> int:
        """The most proposals that an image can have."""
        return sum(each.spec.proposals.tested * len(each.plan.levels()) for each in self.members)

    @property
    def strides(self) -> tuple[float, ...]:
        """The strides of the maps that it proposes from; none if those of an ensemble differ."""
        first, *others = (tuple(level.stride for level in each.plan.levels()) for each in self.members)
        return first if all(other == first for other in others) else ()

    @property
    def proposals_tested(self) -> int:
        """How many proposals of an image are classified."""
        return sum(each.spec.proposals.testing for each in self.members)

    def describe(self) -> str:
        """How it looks at images, in a few words."""
        several = [f"ensemble of {len(self.members)} detectors"] if len(self.members) > 1 else []
        return ", ".join([*several, self.options.describe()])

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take these weights."""
        for part in self.networks.parts.values():
            write(part, {name: weights[name] for name in places(part)})

    def found(self, images: tf.Tensor, proposals: int = 0, canvas: tuple[int, ...] | None = None) -> Found:
        """Detections in encoded image files, strings (B,), or pixels uint8 (B, h, w, 3): as `selected` returns, with
        `boxes` in pixels of the images; and `proposals` (B, P, 4), likewise, with their `objectness` (B, P) and the
        places of the `maps` (B, P) that they are of. Runs in a graph.

        The detector classifies its own number of proposals; `proposals`, if larger, is how many are returned. Each
        image takes its own of `canvases`; or all take the same, numbers `canvas`, one of each of `members`, as
        `by_canvas` says, which is faster. Where an ensemble has several, they must be given.
        """
        if canvas is None and max(self._counts) > 1:
            if len(self.members) > 1:
                raise ValueError("canvas: an ensemble of detectors with several canvases needs those of the images")
            return self.found_on_each(*self.placed(images), proposals)
        seen: list[Seen] = []
        for each, number in zip(self.members, canvas or (0,) * len(self.members), strict=True):
            # one after the other, so that the layers of one network at a time take memory
            with tf.control_dependencies([each for one in seen[-1:] for each in one.features]):
                seen.append(each.seen(each.placed(images, number)[0]))
        return self.found_in(seen, proposals)

    def by_canvas(self, sizes: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
        """The images, by their place in `sizes` (n, 2), that take the same canvases: their numbers, one of each of
        `members`."""
        chosen = [each.canvases.chosen(sizes).numpy() for each in self.members]
        groups = by_group(np.ravel_multi_index(chosen, self._counts))
        return {
            tuple(int(number) for number in np.unravel_index(group, self._counts)): images
            for group, images in groups.items()
        }

    @property
    def _counts(self) -> tuple[int, ...]:
        """How many canvases each of `members` has."""
        return tuple(len(each.canvases) for each in self.members)

    def placed(self, images: tf.Tensor, canvas: int | None = None) -> tuple[list[Placed], tf.Tensor]:
        """The images that `found` takes, as `place` places each of them. Runs in a graph."""
        spec, channels = tf.TensorSpec, self.plan.input_shape[-1]
        pixels = decode if images.dtype == tf.string else with_channels
        views, chosen = tf.map_fn(
            lambda image: self.place(pixels(image, channels), canvas),
            images,
            fn_output_signature=(
                tuple((spec([*size, channels]), spec([4]), spec([2]), spec([2])) for size in self._sizes(canvas)),
                spec([], tf.int32),
            ),
        )
        return [Placed(*parts) for parts in views], chosen

    def place(self, image: tf.Tensor, canvas: int | None = None) -> tuple[tuple[tuple[tf.Tensor, ...], ...], tf.Tensor]:
        """uint8 (h, w, channels) on canvases: the parts of a Placed for each of `views`, on its canvas of number
        `canvas`, or in the corner of one that holds all of them; and the number of the canvas that it takes, int32."""
        pairs = zip(self.views, self._sizes(canvas), strict=True)
        images = tuple(placed(image, *size, sides=view.sides, resampling=view.resampling).parts for view, size in pairs)
        return images, self.canvases.chosen(tf.shape(image)[:2])

    def _sizes(self, canvas: int | None) -> list[Canvas]:
        return [each.hull if canvas is None else each.shapes[canvas] for each in self.views]

    def found_on_each(self, images: Sequence[Placed], chosen: tf.Tensor, proposals: int = 0) -> Found:
        """As `found`, for images in the corners of canvases that hold every one: at scale 1, then at each of the
        options' scales; `chosen` int32 (B,) is the number of the canvas that an image takes."""
        most, count = self.spec.detections.most, max(self.spec.proposals.testing, proposals)
        spec = tf.TensorSpec
        shapes = {
            "boxes": spec([most, 4]),
            "scores": spec([most]),
            "labels": spec([most], tf.int32),
            "count": spec([], tf.int32),
            "proposals": spec([count, 4]),
            "objectness": spec([count]),
            "maps": spec([count], tf.int32),
        }
        return self._each(images, chosen, lambda row: self.found_on(row, proposals), shapes)

    def _each(
        self, images: Sequence[Placed], chosen: tf.Tensor, apply: Callable[[list[Placed]], Any], shapes: Any
    ) -> Any:
        """`apply` to each image by itself, cut to the canvas that it takes, whose size is then known."""

        def on(canvas: int, parts: Sequence[tuple[tf.Tensor, ...]]) -> Any:
            row = [
                Placed(pixels[tf.newaxis, :height, :width], *(each[tf.newaxis] for each in rest))
                for (height, width), (pixels, *rest) in zip(self._sizes(canvas), parts, strict=False)
            ]
            return tf.nest.map_structure(lambda values: values[0], apply(row))

        def one(row: tuple[Any, tf.Tensor]) -> Any:
            parts, canvas = row
            return tf.switch_case(canvas, [partial(on, number, parts) for number in range(len(self.canvases))])

        return tf.map_fn(
            one, ([each.parts for each in images], chosen), fn_output_signature=shapes, parallel_iterations=1
        )

    def found_on(self, images: Sequence[Placed], proposals: int = 0) -> Found:
        """As `found`, by this detector alone, for images on canvases of one size: at scale 1, then at each of the
        options' scales."""
        return self.found_in([self.seen(images)], proposals)

    def found_in(self, seen: Sequence[Seen], proposals: int = 0) -> Found:
        """As `found`, for images as they are seen by each of `members`."""
        first = seen[0].first
        regions, every, objectness, maps = proposed(seen, proposals)
        boxes, scores = judged(seen, regions)
        overlap = votes = None
        if self.options.refine:
            again = judged(seen, _likeliest(boxes, scores))
            boxes, scores = (tf.concat(pair, axis=1) for pair in zip((boxes, scores), again, strict=True))
            overlap, votes = REFINED_OVERLAP, VOTES
        if self.only is not None:
            wanted = tf.reduce_any(tf.range(scores.shape[2])[:, tf.newaxis] == self.only, axis=1)
            scores = tf.where(wanted, scores, 0.0)
        told = selected(boxes, scores, self.spec, overlap, votes)
        return told | {
            "boxes": first.in_image(told["boxes"]),
            "proposals": first.in_image(every),
            "objectness": objectness,
            "maps": maps,
        }

    def seen(self, images: Sequence[Placed]) -> Seen:
        """Images on canvases of one size, at scale 1, then at each of the options' scales, with their maps."""
        first, *others = ((one, self.features_on(one)) for one in images)
        return Seen(self, self.networks.at(*images[0].pixels.shape[1:3]), *first, others)

    def features_on_each(self, images: Sequence[Placed], chosen: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """The maps (B, h, w, C) that heads run on, of images as for `found_on_each`, zeros beyond an image's canvas;
        and how many rows and columns of cells of each map its canvas has, int32 (B, 2)."""
        levels = [self.plan.at(*canvas).levels() for canvas in self.views[0].shapes]
        shapes = [tuple(map(max, *(level.shape for level in each))) for each in zip(*levels, strict=True)]

        def padded(row: list[Placed]) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
            maps = self.features_on(row[0])
            cells = [tuple(each.shape[1:3]) for each in maps]
            padding = [
                [[0, 0], *([0, whole - own] for whole, own in zip(shape, size, strict=False)), [0, 0]]
                for shape, size in zip(shapes, cells, strict=True)
            ]
            return [*map(tf.pad, maps, padding)], [tf.constant([each]) for each in cells]

        spec = tf.TensorSpec
        found = [spec(shape) for shape in shapes], [spec([2], tf.int32) for _ in shapes]
        return self._each(images, chosen, padded, found)

    def features_on(self, image: Placed) -> Maps:
        """The maps (B, h, w, C) that heads run on, of images on canvases of one size."""
        return self.networks.features(self._normalised(image))

    def _normalised(self, image: Placed) -> tf.Tensor:
        return normalised(image.pixels, image.window, on_canvas(self.preprocessing, *image.pixels.shape[1:3]))

    @cached_property
    def _finder(self) -> Callable[[tuple[int, ...]], Callable[[tf.Tensor], Found]]:
        """What finds objects, and up to RECALLED proposals, in a batch of files whose images take canvases, by their
        numbers; shared out to the devices of `inference_devices`."""
        counted, devices = min(RECALLED, self.proposals_before), inference_devices()
        return cache(
            lambda canvas: tf.function(
                spread(partial(self.found, proposals=counted, canvas=canvas), devices), autograph=False
            )
        )

    def look(
        self, split: Objects, progress: Callable[[int, int], None] = lambda done, of: None
    ) -> tuple[Detections, list[Proposed]]:
        """Detections in every image of `split`, and each image's proposals, best first.

        There are up to RECALLED proposals, so that recall can be measured beyond those that the detector classifies.
        `progress` gets the images done, of how many.
        """
        rows: dict[int, Detections] = {}
        proposals: dict[int, Proposed] = {}
        for canvas, images in self.by_canvas(split.sizes).items():
            part = split if len(images) == split.count else split.part(split.name, images)
            for image, found in zip(images, self._looked(part, canvas), strict=True):
                rows[image] = Detections.of(found, image)
                real = found["objectness"] > 0
                proposals[image] = Proposed(found["proposals"][real], found["maps"][real])
                progress(len(rows), split.count)
        order = range(split.count)
        return Detections.joined([rows[image] for image in order]), [proposals[image] for image in order]

    def _looked(self, split: Objects, canvas: tuple[int, ...]) -> Iterator[dict[str, np.ndarray]]:
        """What is found in each image of `split`, all of which take the same canvases."""

        def load(indices: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.map_fn(split.read, indices, fn_output_signature=tf.TensorSpec([], tf.string)), weights

        images = Rows.shard(min(self.batch * max(len(inference_devices()), 1), split.count), 0, 1)
        read_ahead = ReadAhead.of(images.count, self.plan.input_shape)
        files = ordered_batches(load, split.count, images, read_ahead)
        find = self._finder(canvas)
        batches = ((find(batch), weights) for batch, weights in files)
        for answers, weights in named_failures(batches, split.images(), range(split.count), images.count):
            found = {name: values.numpy() for name, values in answers.items()}
            for row in range(int(weights.numpy().sum())):
                yield {name: values[row] for name, values in found.items()}


def _likeliest(boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """The box (B, R, 4) of each region's most likely class; zeros for padding."""
    best = tf.gather(boxes, tf.argmax(scores, axis=-1), batch_dims=2)
    return tf.where(tf.reduce_max(scores, axis=-1, keepdims=True) > 0, best, 0.0)
