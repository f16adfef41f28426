"""Inference of a detector: image files of any size to detections, with the options of v1 appendix B."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from reskeras.tasks.detection.ensemble import judged, proposed
from reskeras.tasks.detection.model import Maps, Networks
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.options import Options
from reskeras.tasks.detection.select import region_boxes, selected

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
    first's.
    """

    def __init__(
        self,
        plan: DetectorPlan,
        weights: Mapping[str, np.ndarray] | None,
        preprocessing: Preprocessing,
        options: Options = Options(),
        order: Sequence[int] | None = None,
        others: Sequence[Detector] = (),
    ):
        self.order, self.members = order, (self, *others)
        self.plan, self.spec, self.preprocessing, self.options = plan, plan.spec, preprocessing, options
        self.networks = Networks(plan, any_size=bool(options.scales))
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

    def found(self, files: tf.Tensor, proposals: int = 0) -> Found:
        """Detections in encoded image files, strings (B,): as `selected` returns, with `boxes` in pixels of the images;
        and `proposals` (B, P, 4), likewise, with their `objectness` (B, P). Runs in a graph.

        The detector classifies its own number of proposals; `proposals`, if larger, is how many are returned.
        """
        seen: list[Seen] = []
        for each in self.members:
            # one after the other, so that the layers of one network at a time take memory
            with tf.control_dependencies([each for one in seen[-1:] for each in one.features]):
                seen.append(each.seen([each._canvas(files, factor) for factor in (1.0, *each.options.scales)]))
        return self._found(seen, proposals)

    def found_on(self, images: Sequence[Placed], proposals: int = 0) -> Found:
        """As `found`, by this detector alone, for images on canvases: at scale 1, then at each of the scales."""
        return self._found([self.seen(images)], proposals)

    def _found(self, seen: Sequence[Seen], proposals: int) -> Found:
        first = seen[0].first
        regions, every, objectness = proposed(seen, proposals)
        boxes, scores = judged(seen, regions)
        overlap = votes = None
        if self.options.refine:
            again = judged(seen, _likeliest(boxes, scores))
            boxes, scores = (tf.concat(pair, axis=1) for pair in zip((boxes, scores), again, strict=True))
            overlap, votes = REFINED_OVERLAP, VOTES
        told = selected(boxes, scores, self.spec, overlap, votes)
        return told | {
            "boxes": first.in_image(told["boxes"]),
            "proposals": first.in_image(every),
            "objectness": objectness,
        }

    def seen(self, images: Sequence[Placed]) -> Seen:
        """Images on canvases, at scale 1, then at each of the options' scales, with their feature maps."""
        first, *rest = images
        features = self.networks.features(self._normalised(first))
        return Seen(self, first, features, [(one, self.networks.features(self._normalised(one))) for one in rest])

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
        boxes, scores = region_boxes(regions, logits, deltas, first.window, self.spec)
        if self.order is not None:
            boxes, scores = (tf.gather(each, self.order, axis=2) for each in (boxes, scores))
        return boxes, scores

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
        counted, devices = min(RECALLED, self.proposals_before), inference_devices()
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
        images = Rows.shard(min(self.batch * max(len(devices), 1), split.count), 0, 1)
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


@dataclass(frozen=True)
class Seen:
    """A batch of images as one detector sees them: on its canvas with their maps (B, h, w, C), and on larger and
    smaller canvases, each with its own."""

    detector: Detector
    first: Placed
    features: Maps
    pyramid: list[tuple[Placed, Maps]]

    def proposals(self, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The `count` best proposals (B, count, 4) on the canvas, and their probabilities (B, count)."""
        networks, before = self.detector.networks, self.detector.spec.proposals.tested
        return networks.proposals(networks.anchors(self.features), self.first.window, count, before)

    def classified(self, regions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Boxes (B, R, C, 4) and probabilities (B, R, C) of regions (B, R, 4) of the canvas."""
        return self.detector._classified(self.features, regions, self.first, self.pyramid)
