"""Export of a detector: a SavedModel that takes image files and names what is in them, proven, then published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.errors import unknown
from reskeras.export.artefacts import NOISE_SAMPLE, SERVING, check_place, export_each, set_aside, size_of
from reskeras.export.inference import Outputs
from reskeras.export.proof import Proof
from reskeras.export.served_files import READ, checked_files, grey_file, read_each
from reskeras.export.server_files import DETECTOR_BATCHES
from reskeras.export.serving import SIGNATURES, publish, write_saved_model
from reskeras.export.timing import timed
from reskeras.files import workspace
from reskeras.graph.fold import folded
from reskeras.graph.load import load_model
from reskeras.graph.weights import read
from reskeras.runs import RunFolder
from reskeras.spec.detector import DetectorPlan, lower_detector
from reskeras.tasks.detection.canvas import Placed
from reskeras.tasks.detection.detector import Detector
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.proof import TOLERANCE, Find, answers, compared, files_of, prove_detector, sample_of

KINDS = (SERVING,)
TIMED = (1, 4)


def check_detector_kinds(kinds: Sequence[str]) -> None:
    """ReskerasError (status 2) for what detectors are not exported as."""
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("to", kind, KINDS, "detectors")


class ServedDetector(tf.Module):
    """A detector in one function with a free batch size: files to boxes, scores and names of classes, float32.

    `weights` are those of `plan`, by canonical name; batch norm is folded into the convolution before it, wherever one
    stands there. An empty batch is answered with an INVALID_ARGUMENT that says so, a file that is no image with a
    `status` of its own.
    """

    def __init__(self, plan: DetectorPlan, weights: Mapping[str, np.ndarray], preprocessing: Preprocessing,
                 classes: Sequence[str]):
        super().__init__()
        self.classes = tuple(classes)
        detector = Detector(*folded_detector(plan, weights), preprocessing)
        self._detector = lambda: detector  # in an attribute of its own its models would be saved a second time
        self.kept = [variable.value for part in detector.networks.parts.values() for variable in part.weights]

    def signatures(self, names: Sequence[str] = SIGNATURES) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """What a server offers, or those of it that are named; `serving_default` goes by the name of `bytes` too."""
        files = tf.TensorSpec([None], tf.string, name="image_bytes")
        found = tf.function(self.__call__, autograph=False).get_concrete_function(files)
        features = tf.function(self.features, autograph=False).get_concrete_function(files)
        return {name: features if name == "features" else found for name in names}

    def example(self, batch: int) -> dict[str, dict[str, tensor_pb2.TensorProto]]:
        """A request of `batch` grey images to each signature."""
        files = tf.make_tensor_proto(grey_file(*self._detector().plan.input_shape[:2]), shape=[batch])
        return {name: {"image_bytes": files} for name in ("serving_default", "bytes", "features")}

    def __call__(self, image_bytes: tf.Tensor) -> Outputs:
        """Whole JPEG or PNG files (B,) to what is found in each, the surest first: `boxes` (B, most, 4) top, left,
        bottom, right in pixels of the image, `scores` (B, most), `classes` (B, most) names, and how many, `count` (B,);
        beyond these are zeros and empty names.

        `status` (B,) is `ok`, or says why a file could not be read; in such a row nothing is found, and the rows
        beside it are what they are without it.
        """
        images, status = self._read(image_bytes)
        found = self._detector().found_on([images])
        was_read = tf.equal(status, READ)
        named = found["labels"] >= 0
        names = tf.gather(tf.constant([*self.classes, ""]), tf.where(named, found["labels"], len(self.classes)))
        return {"boxes": _where(was_read, found["boxes"]), "scores": _where(was_read, found["scores"]),
                "count": _where(was_read, found["count"]), "classes": _where(was_read, names), "status": status}

    def features(self, image_bytes: tf.Tensor) -> Outputs:
        """The map (B, h, w, C) of whole images that regions are cut from, and `status` (B,); zeros where that is not
        `ok`."""
        images, status = self._read(image_bytes)
        return {"features": _where(tf.equal(status, READ), self._detector().features_on(images)), "status": status}

    def _read(self, image_bytes: tf.Tensor) -> tuple[Placed, tf.Tensor]:
        detector = self._detector()
        parts, status = read_each(checked_files(image_bytes), detector.plan.input_shape[-1],
                                  lambda image: detector.place(image).parts)
        return Placed(*parts), status


def _where(rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`values` (B, ...) in the rows (B,) that are true, zeros or empty strings in the others."""
    rows = tf.reshape(rows, [-1, *[1] * (values.shape.rank - 1)])
    return tf.where(rows, values, tf.zeros_like(values))


def folded_detector(
    plan: DetectorPlan, weights: Mapping[str, np.ndarray],
) -> tuple[DetectorPlan, dict[str, np.ndarray]]:
    """`graph.fold.folded` of each part."""
    parts, left = {}, dict(weights)
    for name, part in plan.parts.items():
        parts[name], left = folded(part, left)
    return replace(plan, **parts), left


class SavedDetector:
    """A SavedModel loaded once, as a function from files to what it finds; a name that is no class has the label -1."""

    def __init__(self, path: Path, classes: Sequence[str]):
        self._loaded = tf.saved_model.load(str(path))
        self._serve = self._loaded.signatures["serving_default"]
        self._labels = {name.encode(): label for label, name in enumerate(classes)}

    def __call__(self, files: tf.Tensor | np.ndarray) -> dict[str, np.ndarray]:
        """boxes (B, most, 4), scores (B, most), labels int32 (B, most) and count (B,) of files (B,)."""
        found = {name: values.numpy() for name, values in self._serve(image_bytes=tf.constant(files)).items()}
        labels = [[self._labels.get(name, -1) for name in row] for row in found.pop("classes")]
        return found | {"labels": np.array(labels, np.int32)}


def export_detector(
    run: RunFolder, kinds: Sequence[str], source: Source[Objects], name: str,
    tolerances: Mapping[str, float] | None = None, timing: bool = True,
    tell: Callable[[str], None] = lambda note: None,
) -> list[Proof]:
    """Export `run` as each of `kinds`, proven on test images of `source`; the proofs also go to report.json.

    As `export.artefacts.export_run`: what differs from the Keras detector is kept aside and a ReskerasError (status 1).
    """
    check_detector_kinds([*kinds, *(tolerances or {})])
    check_place(run.export_folder)
    exporter = DetectorExporter(run, source, name, tolerances or {}, timing)
    return export_each(run.export_folder, kinds, exporter.export, tell)


class DetectorExporter:
    """A run's best detector, real images, and what it finds in them."""

    def __init__(self, run: RunFolder, source: Source[Objects], name: str, tolerances: Mapping[str, float],
                 timing: bool):
        self.folder, self.name, self.tolerances, self.timing = run.export_folder, name, tolerances, timing
        self.classes, self.sample = run.classes(), sample_of(source.test)
        plan = lower_detector(run.spec())
        self.given = plan, read(load_model(run.model_file)), Preprocessing.load(
            run.preprocessing_file, plan.input_shape)
        find = tf.function(Detector(*self.given).found, input_signature=[tf.TensorSpec([None], tf.string)],
                           autograph=False)
        self.ask_keras: Find = lambda files: {name: values.numpy() for name, values in find(files).items()}
        self.reference = answers(self.ask_keras, files_of(self.sample))

    def export(self, kind: str) -> Proof:
        """The SavedModel: written, proven, and given its version, or kept aside as rejected."""
        served = ServedDetector(*self.given, self.classes)
        with workspace(self.folder) as place:
            written = write_saved_model(served, place, self.name, DETECTOR_BATCHES)
            ask = SavedDetector(written, self.classes)
            proof = prove_detector(kind, str(written), size_of(written), answers(ask, files_of(self.sample)),
                                   self.reference, self.sample, self.classes, self.tolerances.get(kind, TOLERANCE))
            if self.timing:
                some = np.array(self._some(max(TIMED)), object)
                proof = replace(proof, timings=tuple(timed(ask, some, batch) for batch in TIMED))
            if not proof.holds:
                aside = set_aside(written, self.folder, f"{self.name}-{kind}")
                return replace(proof, path=str(aside), keras_noise=self._noise())
            return replace(proof, path=str(publish(written, self.folder / self.name, DETECTOR_BATCHES)))

    def _noise(self) -> float:
        """How far Keras is from itself when it looks at images one at a time."""
        count = min(NOISE_SAMPLE, self.sample.count)
        alone = answers(self.ask_keras, self._some(count), batch=1)
        return compared(alone, self.reference.part(self.reference.image < count), self.sample.sizes)[0]

    def _some(self, count: int) -> list[bytes]:
        return list(files_of(self.sample.part("some", np.arange(min(count, self.sample.count)))))
