"""Export of a detector: a SavedModel of image files, files for other runtimes, weights for torchvision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow as tf

from reskeras.artefacts import artefacts_of
from reskeras.data.decode import decode
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError, failure
from reskeras.export.exporter import Written
from reskeras.export.usage import IMAGES, Usage
from reskeras.files import move, remove
from reskeras.graph.fold import folded_parts
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import DetectorPlan
from reskeras.networks.resize import in_multiples
from reskeras.porting.back import KINDS as WEIGHT_KINDS
from reskeras.porting.back import write_weights
from reskeras.porting.fitted import TrainedNetwork
from reskeras.tasks.detection.average_precision import Detections, voc_precision
from reskeras.tasks.detection.boxes_export import BoxesExporter
from reskeras.tasks.detection.canvas import Placed, describe, on_canvas
from reskeras.tasks.detection.detection_proof import PRECISION, Find, answers, files_of
from reskeras.tasks.detection.detector_inference import BATCH, Detector
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.porting import detections_of
from reskeras.tasks.detection.served_detector import WINDOW, CanvasDetector, ServedDetector

# canvases of a served detector: each takes seconds and some 0.4 GiB when a server loads the graph
MOST_SERVED = 16


@dataclass(frozen=True)
class DetectorExporter(BoxesExporter):
    """Exports a detector, whose `weights` are those of `plan` by canonical name."""

    plan: DetectorPlan = field(kw_only=True)
    weights: Mapping[str, np.ndarray] = field(kw_only=True)
    preprocessing: Preprocessing = field(kw_only=True)
    task: ClassVar[str] = "detection"
    told: ClassVar[str] = "detectors"
    accuracy_of: ClassVar[str] = PRECISION
    what: ClassVar[str] = "Object detector"
    chunk: ClassVar[int] = BATCH

    def seen(self, images: Objects, batch: int | None = None) -> Detections:
        """As any exporter."""
        return answers(self.ask_keras, files_of(images), batch or BATCH)

    @cached_property
    def reference(self) -> Detections:
        """As any exporter. ReskerasError (status 1) when Keras finds nothing, which proves nothing."""
        found = self.seen(self.sample)
        if not len(found.image):
            raise failure(
                f"export: the detector finds nothing in {self.sample.count} test images, so its artefact cannot be "
                "verified; train it longer"
            )
        return found

    def accuracy(self, found: Detections) -> float:
        """Mean average precision at an overlap of 0.5, area."""
        return voc_precision(found, self.sample, tuple(self.classes)).map_area

    def served(self) -> ServedDetector:
        """As any exporter."""
        return ServedDetector(self.plan, self.weights, self.preprocessing, self.classes)

    @cached_property
    def folded(self) -> Detector:
        """The detector that is exported as a file."""
        return Detector(*folded_parts(self.plan, self.weights), self.preprocessing)

    def module(self, kind: str) -> CanvasDetector:
        """As any exporter of files."""
        return CanvasDetector(self.folded, self.classes, self.batch)

    @cached_property
    def canvases(self) -> Placed:
        """The sample on the canvas."""
        channels = self.plan.input_shape[-1]
        place = tf.function(
            lambda file: self.folded.place(decode(file, channels), 0)[0][0],
            input_signature=[tf.TensorSpec([], tf.string)],
            autograph=False,
        )
        rows = [place(tf.constant(file)) for file in files_of(self.sample)]
        return Placed(*(tf.stack(column) for column in zip(*rows, strict=True)))

    def inputs(self, count: int | None = None) -> dict[str, np.ndarray]:
        """As any exporter of files."""
        placed = self.canvases
        return {IMAGES: placed.pixels[:count].numpy(), WINDOW: placed.window[:count].numpy()}

    def detections(self, answers: Mapping[str, np.ndarray]) -> Detections:
        """As any exporter of boxes."""
        found = dict(answers) | {"boxes": self.canvases.in_image(tf.constant(answers["boxes"])).numpy()}
        rows = range(self.sample.count)
        return Detections.joined(
            [Detections.of({name: values[row] for name, values in found.items()}, row) for row in rows]
        )

    @property
    def usage(self) -> Usage:
        """As any exporter of files."""
        height, width, channels = *self.plan.canvas, self.plan.input_shape[-1]
        resize = self.plan.spec.resize
        how = describe(on_canvas(self.preprocessing, height, width), resize)
        sizing, _, normalisation = how.partition(", fill the rest with the mean, ")
        return Usage(
            f"{sizing} (bilinear{'' if resize and not resize.antialias else ', antialiased'}), put it into the upper "
            f"left corner of a canvas of {height}x{width}",
            channels,
            [normalisation, "detector", "non-maximum suppression"],
            self.classes,
            "Of each image count is how many objects are found; boxes has top, left, bottom, right in pixels of the "
            "canvas, by descending scores: divide by the scale, height and width each. labels are numbers of classes.",
            {WINDOW: "the part of the canvas that shows the image: 0, 0, height, width of the scaled image"},
        )

    @cached_property
    def ask_keras(self) -> Find:
        """Detections of the Keras model in image files; on several canvases one image after the other, so that a graph
        is made for those alone that an image takes."""
        detector = Detector(self.plan, self.weights, self.preprocessing)
        files_spec = [tf.TensorSpec([None], tf.string)]

        @cache
        def on(canvas: int) -> Callable[[tf.Tensor], Mapping[str, tf.Tensor]]:
            found = partial(detector.found, canvas=(canvas,))
            return tf.function(lambda files: found(files), input_signature=files_spec, autograph=False)

        def find(files: tf.Tensor) -> dict[str, np.ndarray]:
            if len(detector.canvases) == 1:
                return {name: values.numpy() for name, values in on(0)(files).items()}
            sizes = np.array([decode(file, self.plan.input_shape[-1]).shape[:2] for file in files])
            chosen = detector.canvases.chosen(sizes).numpy().tolist()
            rows = [on(canvas)(file[tf.newaxis]) for canvas, file in zip(chosen, files, strict=True)]
            return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

        return find


def check_files(spec: DetectorSpec, kinds: Sequence[str]) -> None:
    """ReskerasError (status 2) for `kinds` that are files and a detector with several canvases."""
    resize = spec.decided().resize
    count = len(resize.canvases or ()) if resize else 1
    files = [kind for kind in kinds if artefacts_of(DetectorExporter.task)[kind].batched]
    if files and count > 1:
        raise ReskerasError(
            f"to: {files[0]} has one canvas, and this detector has {count}; use serving, or train with one of "
            "resize.canvases"
        )


def check_served(spec: DetectorSpec) -> None:
    """ReskerasError (status 2) for a detector with more than MOST_SERVED canvases."""
    resize = spec.decided().resize
    count = len(resize.canvases or ()) if resize else 1
    if resize is None or count <= MOST_SERVED:
        return
    told = "train with fewer resize.canvases"
    if resize.multiple:
        made = {step: len(in_multiples(resize.sides, step)) for step in (128, 256, 512, 1024)}
        step = next((step for step, fewer in made.items() if fewer <= MOST_SERVED), 1024)
        told = f"train with resize.multiple={step}, or port with size_divisible={step}, which makes {made[step]}"
    raise ReskerasError(
        f"to: serving has a graph for each canvas, for at most {MOST_SERVED}, and this detector has {count}; {told}"
    )


def write_foreign(exporter: DetectorExporter, kind: str, place: Path) -> Written:
    """Weights for another library, verified in that library's detector."""
    final = exporter.folder / f"{exporter.name}-{kind}{WEIGHT_KINDS[kind].suffix}"
    path = place / final.name
    given = TrainedNetwork(exporter.plan.spec, exporter.weights, exporter.preprocessing, exporter.classes)
    ask, against = write_weights(given, kind, path)
    channels = exporter.plan.input_shape[-1]

    def find(files: tf.Tensor) -> dict[str, np.ndarray]:
        [image] = (decode(file, channels).numpy() for file in files)  # one at a time: a batch would share a canvas
        found = detections_of(ask(image.astype(np.float32)))
        boxes = {name: getattr(found, name)[np.newaxis] for name in ("boxes", "scores", "labels")}
        return {**boxes, "count": np.array([len(found.image)])}

    proof = exporter.proof(kind, path, answers(find, files_of(exporter.sample), batch=1))

    def publish_foreign() -> Path:
        remove(final)
        return move(path, final)

    return Written(path, replace(proof, against=against), publish_foreign)
