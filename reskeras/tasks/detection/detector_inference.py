"""Inference of a detector: image files of any size to detections, with the options of v1 appendix A."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import tensorflow as tf

from reskeras.data.batches import ReadAhead
from reskeras.data.broken import named_failures
from reskeras.data.decode import decode
from reskeras.data.pipeline import ordered_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.shard_rows import Rows
from reskeras.graph.spread import inference_devices, spread
from reskeras.graph.weights import places, write
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.boxes import areas
from reskeras.tasks.detection.canvas import Placed, normalised, on_canvas, placed
from reskeras.tasks.detection.model import Maps, Networks
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.options import Options
from reskeras.tasks.detection.select import region_boxes, selected

BATCH = 4
RECALLED = 1000  # proposals per image that recall is measured with
REFINED_OVERLAP, VOTES = 0.3, 0.5  # v1 appendix A; the overlap of voters is that of its source (arXiv:1505.01749)

Found = dict[str, tf.Tensor]


class Detector:
    """A detector's networks with `weights` by canonical name, in float32, and its detections in image files. Without
    weights, `load` some first."""

    def __init__(
        self,
        plan: DetectorPlan,
        weights: Mapping[str, np.ndarray] | None,
        preprocessing: Preprocessing,
        options: Options = Options(),
    ):
        self.plan, self.spec, self.preprocessing, self.options = plan, plan.spec, preprocessing, options
        self.networks = Networks(plan, any_size=bool(options.scales))
        if weights is not None:
            self.load(weights)

    def load(self, weights: Mapping[str, np.ndarray]) -> None:
        """Take these weights."""
        for part in self.networks.parts.values():
            write(part, {name: weights[name] for name in places(part)})

    def found(self, files: tf.Tensor, proposals: int = 0) -> Found:
        """Detections in encoded image files, strings (B,): as `selected` returns, with `boxes` in pixels of the images;
        and `proposals` (B, P, 4), likewise, with their `objectness` (B, P). Runs in a graph.

        The detector classifies its own number of proposals; `proposals`, if larger, is how many are returned.
        """
        return self.found_on([self._canvas(files, factor) for factor in (1.0, *self.options.scales)], proposals)

    def found_on(self, images: Sequence[Placed], proposals: int = 0) -> Found:
        """As `found`, for images on canvases: at scale 1, then at each of the options' scales."""
        first = images[0]
        features = self.networks.features(self._normalised(first))
        anchors = self.networks.anchors(features)
        testing = self.spec.proposals.testing
        # NMS is greedy, so the first of many proposals are the same as of few
        before = self.spec.proposals.before_testing or 0
        every, objectness = self.networks.proposals(anchors, first.window, max(testing, proposals), before)
        regions = every[:, :testing]
        pyramid = [(one, self.networks.features(self._normalised(one))) for one in images[1:]]
        boxes, scores = self._classified(features, regions, first, pyramid)
        overlap = votes = None
        if self.options.refine:
            again = self._classified(features, _likeliest(boxes, scores), first, pyramid)
            boxes, scores = (tf.concat(pair, axis=1) for pair in zip((boxes, scores), again, strict=True))
            overlap, votes = REFINED_OVERLAP, VOTES
        told = selected(boxes, scores, self.spec, overlap, votes)
        return told | {
            "boxes": _in_image(told["boxes"], first),
            "proposals": _in_image(every, first),
            "objectness": objectness,
        }

    def features(self, files: tf.Tensor) -> Maps:
        """The maps (B, h, w, C) that heads run on, of image files, strings (B,). Runs in a graph."""
        return self.features_on(self._canvas(files, 1.0))

    def features_on(self, image: Placed) -> Maps:
        """As `features`, for images on canvases."""
        return self.networks.features(self._normalised(image))

    def place(self, image: tf.Tensor, factor: float = 1.0) -> Placed:
        """uint8 (h, w, channels) on a canvas `factor` times as large as the detector's."""
        height, width, _ = self.plan.input_shape
        return placed(image, round(height * factor), round(width * factor))

    def _classified(
        self, features: Maps, regions: tf.Tensor, first: Placed, pyramid: list[tuple[Placed, Maps]]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes (B, R, C, 4) and probabilities (B, R, C) of regions (B, R, 4) of the first canvas."""
        if pyramid:
            pooled = self._maxout(features, regions, first, pyramid)
        else:
            pooled = self.networks.pooled(features, regions, first.window)
        logits, deltas = self.networks.told(pooled, regions)
        return region_boxes(regions, logits, deltas, first.window, self.spec)

    def _maxout(
        self, features: Maps, regions: tf.Tensor, first: Placed, pyramid: list[tuple[Placed, Maps]]
    ) -> tf.Tensor:
        """The element-wise maximum of each region's features at its two scales."""
        maps, logs = [], []
        for one, found in pyramid:
            ratio = tf.tile(one.scale / first.scale, [1, 2])[:, tf.newaxis]
            pooled = found[: len(self.plan.ends)]
            maps.append(self.networks.maps_on(*one.pixels.shape[1:3])([*pooled, regions * ratio]))
            side = tf.sqrt(tf.maximum(areas(regions * ratio), 1.0))
            logs.append(tf.abs(tf.math.log(side / self.options.canonical)))
        off = tf.reshape(tf.stack(logs, axis=-1), [-1, len(maps)])
        # sides grow with the scale, so that the two nearest scales are adjacent
        chosen = tf.math.top_k(-off, 2).indices
        stacked = tf.stack(maps, axis=1)
        whole = self.networks.whole(features, first.window)
        pair = [
            self.networks.of_maps(tf.gather(stacked, chosen[:, place], batch_dims=1), whole, regions)
            for place in (0, 1)
        ]
        return tf.maximum(*pair)

    def _canvas(self, files: tf.Tensor, factor: float) -> Placed:
        """Files on canvases that are `factor` times as large."""
        height, width, channels = self.plan.input_shape
        spec = tf.TensorSpec
        return Placed(
            *tf.map_fn(
                lambda data: self.place(decode(data, channels), factor).parts,
                files,
                fn_output_signature=(
                    spec([round(height * factor), round(width * factor), channels]),
                    spec([4]),
                    spec([2]),
                    spec([2]),
                ),
            )
        )

    def _normalised(self, image: Placed) -> tf.Tensor:
        return normalised(image.pixels, image.window, on_canvas(self.preprocessing, *image.pixels.shape[1:3]))

    @cached_property
    def _looking(self) -> tuple[Callable[[tf.Tensor], Found], Sequence[str]]:
        """What finds objects and proposals in a batch of files, and the devices that it is divided among."""
        counted, devices = min(RECALLED, self.spec.proposals.before_testing or 0), inference_devices()
        return tf.function(spread(lambda files: self.found(files, counted), devices), autograph=False), devices

    def look(
        self, split: Objects, progress: Callable[[int, int], None] = lambda done, of: None
    ) -> tuple[Detections, list[np.ndarray]]:
        """Detections in every image of `split`, and each image's proposals float32 (r, 4), best first.

        There are up to RECALLED proposals, so that recall can be measured beyond those that the detector classifies.
        `progress` gets the images done, of how many.
        """
        rows: list[tuple[np.ndarray, ...]] = []
        proposals: list[np.ndarray] = []

        def load(indices: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return tf.map_fn(split.read, indices, fn_output_signature=tf.TensorSpec([], tf.string)), weights

        find, devices = self._looking
        images = Rows.shard(min(BATCH * max(len(devices), 1), split.count), 0, 1)
        read_ahead = ReadAhead.of(images.count, self.plan.input_shape)
        batches = ((find(files), weights) for files, weights in ordered_batches(load, split.count, images, read_ahead))
        for answers, weights in named_failures(batches, split.images(), range(split.count), images.count):
            found = {name: values.numpy() for name, values in answers.items()}
            for row in range(int(weights.numpy().sum())):
                kept = slice(0, found["count"][row])
                rows.append(
                    (
                        np.full(found["count"][row], len(proposals), np.int32),
                        *(found[name][row, kept] for name in ("labels", "scores", "boxes")),
                    )
                )
                proposals.append(found["proposals"][row, found["objectness"][row] > 0])
            progress(len(proposals), split.count)
        return Detections(*(np.concatenate(column) for column in zip(*rows, strict=True))), proposals


def _likeliest(boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """The box (B, R, 4) of each region's most likely class; zeros for padding."""
    best = tf.gather(boxes, tf.argmax(scores, axis=-1), batch_dims=2)
    return tf.where(tf.reduce_max(scores, axis=-1, keepdims=True) > 0, best, 0.0)


def _in_image(boxes: tf.Tensor, first: Placed) -> tf.Tensor:
    """Boxes (B, N, 4) on the canvas, converted to pixels of the images; rows of zeros stay zeros."""
    scale, corner = (tf.tile(numbers, [1, 2])[:, tf.newaxis] for numbers in (first.scale, first.corner))
    real = tf.reduce_any(boxes != 0, axis=-1, keepdims=True)
    return tf.where(real, (boxes - corner) / scale, 0.0)
