"""Export of a classifier: SavedModel, LiteRT and weights for other libraries, each compared with the Keras model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, cast

import keras
import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError
from reskeras.evaluation.difference import TOLERANCE, relative_difference
from reskeras.evaluation.heads import SOFTMAX, Head
from reskeras.evaluation.views import forward
from reskeras.export.aside import Answers
from reskeras.export.exporter import NOISE_SAMPLE, Written, check_place, size_of
from reskeras.export.file_kinds import FileExporter, file_kind
from reskeras.export.inference import Inference
from reskeras.export.integer_proof import prove_integers
from reskeras.export.integers import IntegerInference, Integers
from reskeras.export.lite import LITE, LITE_KINDS, lite_kind, write_lite_model
from reskeras.export.portable import INTEGER_KINDS, INTEGER_TOLERANCE
from reskeras.export.proof import DIFFERENCE, DISAGREEMENT, Proof, prove
from reskeras.export.quantisation_noise import LayerNoise, explain
from reskeras.export.runtimes import open_model
from reskeras.export.samples import REPRESENTATIVE, images_of_each_class
from reskeras.export.serving import Convertible, publish, write_saved_model
from reskeras.export.usage import IMAGES, Usage
from reskeras.files import move, remove
from reskeras.graph.integer_rounding import Arithmetic, Rounded
from reskeras.graph.load import load_model
from reskeras.graph.weights import read
from reskeras.networks.any_network import AnyNetwork
from reskeras.plans.integers import KERNEL_BITS
from reskeras.porting.back import KINDS as WEIGHT_KINDS
from reskeras.porting.back import write_weights
from reskeras.porting.fitted import TrainedNetwork
from reskeras.runs import RunFolder

CHUNK = 100
EXACT = 50  # images at a time in exact arithmetic
Ask = Callable[[np.ndarray], np.ndarray]


def is_measured(kind: str) -> bool:
    """Whether a kind needs representative images for calibration."""
    return bool(kernel_bits(kind)) or (lite_kind(kind) in LITE_KINDS and LITE_KINDS[lite_kind(kind)].measured)


@dataclass(frozen=True)
class ClassifierExporter(FileExporter):
    """Exports a classifier and verifies each artefact on real images.

    `pixels` is the input dtype of the served model, uint8 or float32; `representative` the number of training images
    for calibration, `keep_float` the layers that int8 kinds keep in float32.
    """

    spec: AnyNetwork
    model: keras.Model
    preprocessing: Preprocessing
    classes: Sequence[str]
    source: Source[Split]
    pixels: str = "uint8"
    representative: int = REPRESENTATIVE
    keep_float: tuple[str, ...] = ()
    task: ClassVar[str] = "classification"
    head: ClassVar[Head] = SOFTMAX
    what: ClassVar[str] = "Image classifier"
    proved: ClassVar[Callable[..., Proof]] = staticmethod(prove)

    @classmethod
    def of(cls, run: RunFolder, source: Source[Split], name: str, **request: Any) -> ClassifierExporter:
        """The exporter of a run's best model; `request` are the other fields."""
        spec = cast(AnyNetwork, run.spec())  # runs of other tasks are exported by their own
        preprocessing = Preprocessing.load(run.preprocessing_file, spec.lower().input_shape)
        check_place(run.export_folder)
        request |= {"digest": run.digest()}
        return cls(
            run.export_folder, name, spec, load_model(run.model_file), preprocessing, run.classes(), source, **request
        )

    @cached_property
    def sample(self) -> tuple[np.ndarray, np.ndarray]:
        """Real images 0..255 and their labels."""
        return images_of_each_class(self.source.test, self.preprocessing, self.images)

    @cached_property
    def ask_keras(self) -> Ask:
        """Logits of the Keras model for raw images 0..255."""
        run = forward(self.model)
        return lambda images: run(self.preprocessing.normalise(images)).numpy()

    @cached_property
    def reference(self) -> np.ndarray:
        """The logits of the Keras model on the sample."""
        return in_chunks(self.ask_keras, self.sample[0])

    def given(self, kind: str, count: int) -> dict[str, np.ndarray]:
        """As any exporter; all kinds take the same pixels."""
        return self.inputs(count)

    def noise(self, proof: Proof) -> float | None:
        """In terms of `difference`; None where the agreement decides."""
        if proof.measure != DIFFERENCE:
            return None
        alone = [self.ask_keras(image[None]) for image in self.sample[0][:NOISE_SAMPLE]]
        return relative_difference(np.concatenate(alone), self.reference[:NOISE_SAMPLE])

    def proof(
        self, kind: str, path: Path, logits: np.ndarray, tolerance: float = TOLERANCE, measure: str = DIFFERENCE
    ) -> Proof:
        """The proof that compares an artefact's `logits` with the reference."""
        proof = self.proved(kind, str(path), size_of(path), logits, self.reference, self.sample[1])
        return replace(proof, tolerance=self.tolerances.get(kind, tolerance), measure=measure)

    def proof_of(self, kind: str, path: Path, answers: Answers) -> Proof:
        """As any exporter of files."""
        logits = answers.values["logits"]
        proof = self.proof(kind, path, logits, *_criterion(kind))
        if bits := kernel_bits(kind):
            file = path / Path(file_kind(kind, self.name).file).name if path.is_dir() else path
            given = self.integers(bits), self.sample[0], logits, bits, partial(self.exact, bits), answers.precision
            proof = replace(proof, integers=prove_integers(file, *given))
        return proof

    def exact(self, bits: int, arithmetic: Arithmetic) -> Rounded:
        """The exact answers of the integer form for the sample."""
        if (known := (bits, arithmetic)) not in self._answers:
            form = self.integers(bits)
            starts = range(0, len(self.sample[0]), EXACT)
            found = [form.logits(self.sample[0][start : start + EXACT], None, arithmetic) for start in starts]
            self._answers[known] = replace(found[0], values=np.concatenate([each.values for each in found]))
        return self._answers[known]

    def nothing(self, kind: str, path: Path) -> Proof:
        """As any exporter of files."""
        return self.proof(kind, path, np.full_like(self.reference, np.nan), *_criterion(kind))

    def inputs(self, count: int | None = None) -> dict[str, np.ndarray]:
        """As any exporter of files."""
        return {IMAGES: self.sample[0][:count]}

    def inference(self, pixels: str, guarded: bool, batch: int | None = None) -> Inference:
        """The model from raw pixels to logits and classes."""
        preprocessing, head = self.preprocessing, self.head
        return Inference(
            self.spec.lower(), self.model, preprocessing, self.classes, pixels, guarded=guarded, head=head, batch=batch
        )

    def module(self, kind: str) -> Convertible:
        """As any exporter of files; a `.tflite` takes float32."""
        pixels = "float32" if kind.startswith(LITE) else self.pixels
        if bits := kernel_bits(kind):
            return IntegerInference(self.integers(bits), self.classes, self.head, self.batch, pixels)
        return self.inference(pixels, guarded=False, batch=self.batch)

    def write_lite(self, kind: str, path: Path) -> None:
        """As any exporter of files; calibrated, and with layers kept in float, where that is asked for."""
        lite = lite_kind(kind)
        measured = LITE_KINDS[lite].measured and not LITE_KINDS[lite].bits
        write_lite_model(self.module(kind), path, lite, self.representatives if measured else None, self.what)

    def integers(self, bits: int) -> Integers:
        """The network in its integer form, with kernels of `bits`."""
        if bits not in self._forms:
            plan, weights = self.spec.lower(), read(self.model)
            if self.spec.quantise:
                self._forms[bits] = Integers.trained(plan, weights, self.preprocessing)
            else:
                images = self.representatives
                self._forms[bits] = Integers.of(plan, weights, self.preprocessing, images, bits, self.keep_float)
        return self._forms[bits]

    @property
    def usage(self) -> Usage:
        """As any exporter of files."""
        preprocessing = self.preprocessing
        sizing, _, normalisation = preprocessing.describe().partition(" centre, ")
        how = preprocessing.framing.interpolation
        return Usage(
            f"{sizing.replace(f' ({how})', '')} centre ({how}, antialiased)",
            preprocessing.channels,
            [normalisation, "network", self.head.name],
            self.classes,
        )

    @cached_property
    def _forms(self) -> dict[int, Integers]:
        return {}

    @cached_property
    def _answers(self) -> dict[tuple[int, Arithmetic], Rounded]:
        return {}

    @cached_property
    def representatives(self) -> np.ndarray:
        """The training images for calibration, of each class alike."""
        return images_of_each_class(self.source.training_images("to"), self.preprocessing, self.representative)[0]

    def explain(self, kind: str) -> list[LayerNoise]:
        """Quantisation noise of each layer of an int8 kind, noisiest first."""
        return explain(self.integers(bits_of(kind, "explain")), self.representatives)


def write_served(exporter: ClassifierExporter, kind: str, place: Path) -> Written:
    """A SavedModel."""
    path = write_saved_model(exporter.inference(exporter.pixels, guarded=True), place, exporter.name)
    logits = open_model(path).all_of(exporter.inputs(), CHUNK)["logits"]
    return Written(path, exporter.proof(kind, path, logits), lambda: publish(path, exporter.folder / exporter.name))


def write_foreign(exporter: ClassifierExporter, kind: str, place: Path) -> Written:
    """Weights for another library, verified in that library's network."""
    final = exporter.folder / f"{exporter.name}-{kind}{WEIGHT_KINDS[kind].suffix}"
    path, normalise = place / final.name, exporter.preprocessing.normalise
    given = TrainedNetwork(exporter.spec, read(exporter.model), exporter.preprocessing, exporter.classes)
    ask, against = write_weights(given, kind, path)
    proof = exporter.proof(kind, path, in_chunks(lambda images: ask(normalise(images).numpy()), exporter.sample[0]))

    def publish_foreign() -> Path:
        remove(final)
        return move(path, final)

    return Written(path, replace(proof, against=against), publish_foreign)


def kernel_bits(kind: str) -> int | None:
    """The bits of an integer kind's kernels; None for others."""
    if kind in INTEGER_KINDS:
        return INTEGER_KINDS[kind]
    return LITE_KINDS[lite_kind(kind)].bits if lite_kind(kind) in LITE_KINDS else None


def bits_of(kind: str, field: str) -> int:
    """Those of `kind`; ReskerasError (status 2), of `field`, where that is not of integers."""
    if bits := kernel_bits(kind):
        return bits
    known = [*(f"{LITE}-{name}" for name, each in LITE_KINDS.items() if each.bits), *INTEGER_KINDS]
    raise ReskerasError(f"{field}: {kind} is not one of {', '.join(known)}")


def check_integer_kinds(kinds: Sequence[str], quantised: str | None, keep_float: Sequence[str]) -> None:
    """ReskerasError (status 2) for kinds that a network trained on `quantised` integers does not have, and for layers
    to keep in float32 where kinds are not of integers, or the network is."""
    for kind in kinds:
        if quantised and kernel_bits(kind) != KERNEL_BITS[quantised]:
            raise ReskerasError(
                f"to: {kind}: the run was trained as {quantised}; use --to tflite-{quantised}, or export the run that "
                "it began from"
            )
        if keep_float:
            bits_of(kind, "keep-float")
    if quantised and keep_float:
        raise ReskerasError(f"keep-float: {keep_float[0]}: the run was trained as {quantised}, all of it")


def _criterion(kind: str) -> tuple[float, str]:
    """Tolerance and measure of a kind that is a file."""
    if kind in INTEGER_KINDS:
        return INTEGER_TOLERANCE, DISAGREEMENT
    if not kind.startswith(LITE):
        return TOLERANCE, DIFFERENCE
    how = LITE_KINDS[lite_kind(kind)]
    return how.tolerance, how.measure


def in_chunks(ask: Ask, images: np.ndarray) -> np.ndarray:
    """The outputs of `ask` for all images, CHUNK at a time."""
    return np.concatenate([ask(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)])
