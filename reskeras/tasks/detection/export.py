"""Export of a detector as a SavedModel that maps image files to detections; verified, then published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from reskeras.data.decode import decode
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.export.exporter import NOISE_SAMPLE, Exporter, Written, check_place, size_of
from reskeras.export.inference import Outputs
from reskeras.export.proof import Proof
from reskeras.export.served_files import READ, checked_files, grey_file, read_each
from reskeras.export.server_files import DETECTOR_BATCHES
from reskeras.export.serving import SIGNATURES, publish, write_saved_model
from reskeras.files import move, remove
from reskeras.graph.fold import folded
from reskeras.graph.load import load_model
from reskeras.graph.weights import read
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import DetectorPlan, lower_detector
from reskeras.networks.resize import in_multiples
from reskeras.porting.back import KINDS as WEIGHT_KINDS
from reskeras.porting.back import write_weights
from reskeras.porting.fitted import TrainedNetwork
from reskeras.runs import RunFolder
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.canvas import Placed
from reskeras.tasks.detection.detection_proof import (
    TOLERANCE,
    Find,
    answers,
    compared,
    files_of,
    prove_detector,
    sample_of,
)
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.porting import detections_of

# canvases of a served detector: each takes seconds and some 0.4 GiB when a server loads the graph
MOST_SERVED = 16


class ServedDetector(tf.Module):
    """A detector in one function with a free batch size: files to boxes, scores and class names, float32.

    `weights` are those of `plan`, by canonical name; batch norm is folded into a directly preceding convolution. An
    empty batch raises INVALID_ARGUMENT with the reason; files that are not images are reported in `status`.
    """

    def __init__(
        self,
        plan: DetectorPlan,
        weights: Mapping[str, np.ndarray],
        preprocessing: Preprocessing,
        classes: Sequence[str],
    ):
        super().__init__()
        self.classes = tuple(classes)
        detector = Detector(*folded_detector(plan, weights), preprocessing)
        self._detector = lambda: detector  # as a plain attribute its models would be saved a second time
        self.kept = [variable.value for part in detector.networks.parts.values() for variable in part.weights]

    def signatures(self, names: Sequence[str] = SIGNATURES) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """The signatures for serving, restricted to `names`; `bytes` is the same as `serving_default`."""
        files = tf.TensorSpec([None], tf.string, name="image_bytes")
        found = tf.function(self.__call__, autograph=False).get_concrete_function(files)
        features = tf.function(self.features, autograph=False).get_concrete_function(files)
        return {name: features if name == "features" else found for name in names}

    def example(self, batch: int) -> dict[str, dict[str, tensor_pb2.TensorProto]]:
        """A request of `batch` grey images to each signature."""
        files = tf.make_tensor_proto(grey_file(*self._detector().plan.input_shape[:2]), shape=[batch])
        return {name: {"image_bytes": files} for name in ("serving_default", "bytes", "features")}

    def __call__(self, image_bytes: tf.Tensor) -> Outputs:
        """Encoded JPEG or PNG files (B,) to detections by descending score: `boxes` (B, most, 4) top, left, bottom,
        right in pixels of the image, `scores` (B, most), `classes` (B, most) names, and their number `count` (B,); the
        rest is zeros and empty names.

        `status` (B,) is `ok`, or says why a file could not be read; such a row has no detections and does not affect
        other rows.
        """
        images, chosen, status = self._read(image_bytes)
        detector = self._detector()
        found = detector.found_on_each(images, chosen) if self._several else detector.found_on(images)
        was_read = tf.equal(status, READ)
        named = found["labels"] >= 0
        names = tf.gather(tf.constant([*self.classes, ""]), tf.where(named, found["labels"], len(self.classes)))
        return {
            "boxes": _where(was_read, found["boxes"]),
            "scores": _where(was_read, found["scores"]),
            "count": _where(was_read, found["count"]),
            "classes": _where(was_read, names),
            "status": status,
        }

    def features(self, image_bytes: tf.Tensor) -> Outputs:
        """The shared map (B, h, w, C) that regions are pooled from, `features`, with a neck those of each stride, such
        as `features4`; and `status` (B,). Zeros where that is not `ok`.

        A detector with several canvases has maps of several sizes: `cells` (B, 2), or `cells4`, are the rows and
        columns of an image's, and the rest is zeros.
        """
        images, chosen, status = self._read(image_bytes)
        detector, was_read = self._detector(), tf.equal(status, READ)
        levels = detector.plan.levels()
        strides = [""] if len(levels) == 1 else [f"{level.stride:g}" for level in levels]
        if self._several:
            maps, cells = detector.features_on_each(images, chosen)
            told = {"features": maps, "cells": cells}
        else:
            told = {"features": detector.features_on(images[0])}
        return {
            **{
                f"{name}{stride}": _where(was_read, each)
                for name, values in told.items()
                for stride, each in zip(strides, values, strict=True)
            },
            "status": status,
        }

    @property
    def _several(self) -> bool:
        return len(self._detector().canvases) > 1

    def _read(self, image_bytes: tf.Tensor) -> tuple[list[Placed], tf.Tensor, tf.Tensor]:
        """The images on canvases, the numbers of the canvases that they take, and their status."""
        detector = self._detector()
        (views, chosen), status = read_each(
            checked_files(image_bytes),
            detector.plan.input_shape[-1],
            lambda image: detector.place(image, None if self._several else 0),
        )
        return [Placed(*parts) for parts in views], chosen, status


def _where(rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`values` (B, ...) in the rows (B,) that are true, zeros or empty strings in the others."""
    rows = tf.reshape(rows, [-1, *[1] * (values.shape.rank - 1)])
    return tf.where(rows, values, tf.zeros_like(values))


def folded_detector(
    plan: DetectorPlan, weights: Mapping[str, np.ndarray]
) -> tuple[DetectorPlan, dict[str, np.ndarray]]:
    """Plan and weights with batch norm folded, by `graph.fold.folded` for each part."""
    parts: dict[str, Any] = {}
    left = dict(weights)
    for name, part in plan.parts.items():
        parts[name], left = folded(part, left)
    return plan.with_parts(parts), left


class SavedDetector:
    """A SavedModel loaded once, as a function from files to detections; unknown class names get the label -1."""

    def __init__(self, path: Path, classes: Sequence[str]):
        self._loaded = tf.saved_model.load(str(path))
        self._serve = self._loaded.signatures["serving_default"]
        self._labels = {name.encode(): label for label, name in enumerate(classes)}

    def __call__(self, files: tf.Tensor | np.ndarray) -> dict[str, np.ndarray]:
        """boxes (B, most, 4), scores (B, most), labels int32 (B, most) and count (B,) of files (B,)."""
        found = {name: values.numpy() for name, values in self._serve(image_bytes=tf.constant(files)).items()}
        labels = [[self._labels.get(name, -1) for name in row] for row in found.pop("classes")]
        return found | {"labels": np.array(labels, np.int32)}


@dataclass(frozen=True)
class DetectorExporter(Exporter):
    """Exports a detector and verifies it on the real images of `sample`."""

    plan: DetectorPlan
    weights: Mapping[str, np.ndarray]
    preprocessing: Preprocessing
    classes: Sequence[str]
    sample: Objects
    task: ClassVar[str] = "detection"
    batches: ClassVar[tuple[int, ...]] = (1, 4)
    told: ClassVar[str] = "detectors"

    @classmethod
    def of(cls, run: RunFolder, source: Source[Objects], name: str, **request: Any) -> DetectorExporter:
        """The exporter of a run's best model, with test images of `source`; `request` are the other fields."""
        plan = lower_detector(cast(DetectorSpec, run.spec()))  # runs of other tasks are exported by their own
        preprocessing = Preprocessing.load(run.preprocessing_file, plan.input_shape)
        check_place(run.export_folder)
        return cls(
            run.export_folder,
            name,
            plan,
            read(load_model(run.model_file)),
            preprocessing,
            run.classes(),
            sample_of(source.test),
            **request,
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

    @cached_property
    def reference(self) -> Detections:
        """Detections of the Keras model in the sample."""
        return answers(self.ask_keras, files_of(self.sample))

    def some(self, count: int) -> np.ndarray:
        """The first files of the sample."""
        few = self.sample.part("some", np.arange(min(count, self.sample.count)))
        return np.array(list(files_of(few)), object)

    def noise(self, proof: Proof) -> float:
        """In terms of the difference of partners."""
        few = self.some(NOISE_SAMPLE)
        alone = answers(self.ask_keras, few, batch=1)
        return compared(alone, self.reference.part(self.reference.image < len(few)), self.sample.sizes)[0]


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


def write_served(exporter: DetectorExporter, kind: str, place: Path) -> Written:
    """A SavedModel."""
    served = ServedDetector(exporter.plan, exporter.weights, exporter.preprocessing, exporter.classes)
    path = write_saved_model(served, place, exporter.name, DETECTOR_BATCHES)
    ask = SavedDetector(path, exporter.classes)
    proof = prove_detector(
        kind,
        str(path),
        size_of(path),
        answers(ask, files_of(exporter.sample)),
        exporter.reference,
        exporter.sample,
        exporter.classes,
        exporter.tolerances.get(kind, TOLERANCE),
    )
    return Written(path, proof, lambda: publish(path, exporter.folder / exporter.name, DETECTOR_BATCHES), ask)


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

    proof = prove_detector(
        kind,
        str(path),
        size_of(path),
        answers(find, files_of(exporter.sample), batch=1),
        exporter.reference,
        exporter.sample,
        exporter.classes,
        exporter.tolerances.get(kind, TOLERANCE),
    )

    def publish_foreign() -> Path:
        remove(final)
        return move(path, final)

    return Written(path, replace(proof, against=against), publish_foreign)
