"""Export of localisers, alone or with a refiner: what they find is compared with the Keras models' answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar, cast

import numpy as np
import tensorflow as tf

from reskeras.data.preprocessing import Preprocessing
from reskeras.export.lite import LITE
from reskeras.export.usage import IMAGES, Usage
from reskeras.graph.fold import folded_parts
from reskeras.networks.localiser_plan import LocaliserPlan
from reskeras.networks.refiner_plan import RefinerPlan
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.boxes_export import BoxesExporter
from reskeras.tasks.detection.canvas import Placed
from reskeras.tasks.detection.detection_proof import files_of
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.localiser import Localiser, Located
from reskeras.tasks.localisation.rule import OVERLAP, covered
from reskeras.tasks.localisation.served import OF_LOCALISERS, CropLocaliser, ServedLocaliser
from reskeras.tasks.localisation.stages import Stages
from reskeras.tasks.refinement.refiner import Refiner

COARSE = "8-bit integers are too coarse for boxes; use tflite or tflite-float16"
RIGHT_BOXES = "right boxes"


@dataclass(frozen=True)
class Weighted:
    """A plan with its weights by canonical name, and the preprocessing of its images."""

    plan: LocaliserPlan | RefinerPlan
    weights: Mapping[str, np.ndarray]
    preprocessing: Preprocessing

    def folded(self) -> Weighted:
        """The same function with batch norm folded into a directly preceding convolution."""
        return Weighted(*folded_parts(self.plan, self.weights), self.preprocessing)

    @property
    def parts(self) -> tuple:
        """The arguments of a Localiser and of a Refiner."""
        return self.plan, self.weights, self.preprocessing


@dataclass(frozen=True)
class LocaliserExporter(BoxesExporter):
    """Exports a localiser on the centre crop."""

    localiser: Weighted = field(kw_only=True)
    task: ClassVar[str] = "localisation"
    batches: ClassVar[tuple[int, ...]] = (1, 32)
    told: ClassVar[str] = "localisers"
    accuracy_of: ClassVar[str] = RIGHT_BOXES
    what: ClassVar[str] = "Image localiser"
    signatures: ClassVar[tuple[str, ...]] = OF_LOCALISERS
    impossible: ClassVar[Mapping[str, str]] = MappingProxyType({f"{LITE}-int": COARSE, f"{LITE}-dynamic": COARSE})

    @cached_property
    def stages(self) -> Stages:
        """The Keras models."""
        return Stages(Localiser(*self.localiser.parts))

    @cached_property
    def folded(self) -> Localiser:
        """The localiser that is exported."""
        return Localiser(*self.localiser.folded().parts)

    def seen(self, images: Objects, batch: int | None = None) -> Detections:
        """As any exporter."""
        stages, step = self.stages, batch or images.count
        parts = []
        for start in range(0, images.count, step):
            rows = np.arange(start, min(start + step, images.count))
            located, wanted = stages.likeliest(images.part(images.name, rows))
            found = boxes_of(located, wanted)
            parts.append(replace(found, image=found.image + np.int32(start)))
        return Detections.joined(parts)

    def accuracy(self, found: Detections) -> float:
        """The share of right boxes where the class is given; a class without a box is wrong."""
        true = self.sample.held(len(self.classes))
        boxes = np.zeros((*true.shape, 4), np.float32)
        boxes[found.image, found.labels] = np.where(np.isfinite(found.boxes), found.boxes, 0)
        right = covered(self.sample, boxes)[true] >= OVERLAP
        return float(right.mean()) if len(right) else 0.0

    def served(self) -> ServedLocaliser:
        """As any exporter."""
        return ServedLocaliser(self.folded, self.classes)

    @cached_property
    def crops(self) -> Placed:
        """The centre crops of the sample."""
        plan, found = self.folded.plan, self.folded
        place = tf.function(
            lambda files: found.place(files, plan.canvas, plan.sides).parts,
            input_signature=[tf.TensorSpec([1], tf.string)],
            autograph=False,
        )
        rows = [place(tf.constant([file])) for file in files_of(self.sample)]
        return Placed(*(tf.concat(column, axis=0) for column in zip(*rows, strict=True)))

    def module(self, kind: str) -> CropLocaliser:
        """As any exporter of files."""
        return CropLocaliser(self.folded, self.classes, self.batch)

    def inputs(self, count: int | None = None) -> dict[str, np.ndarray]:
        """As any exporter of files."""
        return {IMAGES: self.crops.pixels[:count].numpy()}

    def detections(self, answers: Mapping[str, np.ndarray]) -> Detections:
        """As any exporter of boxes."""
        boxes = self.crops.in_image(tf.constant(answers["boxes"])).numpy()[:, :, np.newaxis]
        found = Located(answers["scores"][..., np.newaxis], boxes)
        return boxes_of(found, np.ones(found.scores.shape[:2], bool))

    @property
    def usage(self) -> Usage:
        """As any exporter of files."""
        plan = cast(LocaliserPlan, self.localiser.plan)
        height, width, channels = plan.input_shape
        _, _, normalisation = self.localiser.preprocessing.describe().partition(" centre, ")
        return Usage(
            f"scale to a shorter side of {plan.spec.shorter} pixels (bilinear, antialiased), crop {height}x{width} "
            "from the centre",
            channels,
            [normalisation, "localiser", "the best box of each class"],
            self.classes,
            "For each class, scores holds the probability of its best box, and boxes that box: top, left, bottom, "
            "right in pixels of the crop; add the crop's place in the scaled image and divide by the scale. best is "
            "the number of the class with the highest score; where a classifier says the class, use the box of that "
            "class.",
        )


@dataclass(frozen=True)
class RefinerExporter(LocaliserExporter):
    """Exports a refiner and the localiser whose boxes it judges as one."""

    refiner: Weighted = field(kw_only=True)
    task: ClassVar[str] = "refinement"
    batches: ClassVar[tuple[int, ...]] = (1, 4)
    told: ClassVar[str] = "refiners"
    impossible: ClassVar[Mapping[str, str]] = MappingProxyType(
        {LITE: "LiteRT has no operation that cuts boxes out of an image at any scale; export the localiser alone"}
    )

    @cached_property
    def stages(self) -> Stages:
        """The Keras models."""
        return Stages(Localiser(*self.localiser.parts), (Refiner(*self.refiner.parts),))

    def served(self) -> ServedLocaliser:
        """As any exporter."""
        return ServedLocaliser(self.folded, self.classes, Refiner(*self.refiner.folded().parts))


def boxes_of(located: Located, wanted: np.ndarray) -> Detections:
    """The best boxes of the classes that are `wanted`, bool (n, C)."""
    image, label = np.nonzero(wanted)
    rows = located.scores[image, label, 0], located.boxes[image, label, 0]
    return Detections(image.astype(np.int32), label.astype(np.int32), *rows)
