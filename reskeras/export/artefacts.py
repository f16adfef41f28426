"""Export of a run: write each artefact aside, prove it on real images, then publish or reject it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.engine import stderr_aside
from reskeras.errors import ReskerasError, failure, unknown
from reskeras.evaluation.difference import TOLERANCE, relative_difference
from reskeras.evaluation.views import forward
from reskeras.export.inference import Inference
from reskeras.export.lite import LITE_KINDS, REPRESENTATIVE, describe, write_lite_model
from reskeras.export.lite_model import LiteCrash, LiteModel, logits_aside
from reskeras.export.noise import LayerNoise, check_debugged, explain, keeping_float
from reskeras.export.proof import DIFFERENCE, Proof, prove, write_proofs
from reskeras.export.samples import images_of_each_class
from reskeras.export.serving import SavedModel, publish, write_saved_model
from reskeras.export.timing import BATCHES, timed
from reskeras.files import make_folder, move, remove, scratch, workspace
from reskeras.graph.load import load_model
from reskeras.graph.weights import read
from reskeras.porting.back import KINDS as WEIGHT_KINDS
from reskeras.porting.back import write_weights
from reskeras.porting.fitted import Given
from reskeras.runs import RunFolder

SAMPLE = 1000  # real images that an artefact is proven on, of each class alike
CHUNK = 100
NOISE_SAMPLE = 8  # images that Keras is asked one at a time
SERVING, LITE = "serving", "tflite"
Ask = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Request:
    """What to export beside the kinds: the server's pixel type, tolerances by kind, how many representative images,
    and layers that int8 kinds keep in float."""

    pixels: str = "uint8"
    tolerances: Mapping[str, float] = field(default_factory=dict)
    representative: int = REPRESENTATIVE
    keep_float: tuple[str, ...] = ()
    timing: bool = True


def kind_names() -> list[str]:
    """All kinds: `serving`, `tflite` (which is float32), `tflite-int8` and so on, and weights for other libraries."""
    return [SERVING, LITE, *(f"{LITE}-{kind}" for kind in LITE_KINDS if kind != "float32"), *WEIGHT_KINDS]


def check_kinds(kinds: Sequence[str]) -> None:
    """ReskerasError (status 2) for a kind that there is not."""
    for kind in kinds:
        if kind not in kind_names():
            raise unknown("to", kind, kind_names())


def is_measured(kind: str) -> bool:
    """Whether a kind needs images to measure ranges on."""
    return lite_kind(kind) in LITE_KINDS and LITE_KINDS[lite_kind(kind)].measured


def lite_kind(kind: str) -> str:
    """`int8` of `tflite-int8`; `float32` of `tflite`."""
    return kind.removeprefix(LITE).removeprefix("-") or "float32"


def export_run(
    run: RunFolder, kinds: Sequence[str], source: Source, name: str, request: Request = Request(),
    tell: Callable[[str], None] = lambda note: None,
) -> list[Proof]:
    """Export `run` as each of `kinds`, proven on test images of `source`; the proofs also go to report.json.

    An artefact that differs from the Keras model by more than its tolerance is kept aside as `rejected`.
    """
    check_kinds(kinds)
    check_kinds(list(request.tolerances))
    if request.keep_float:
        for kind in kinds:
            check_debugged(lite_kind(kind))
    check_place(run.export_folder)
    return export_each(run.export_folder, kinds, Exporter(run, source, name, request).export, tell)


def export_each(
    folder: Path, kinds: Sequence[str], export: Callable[[str], Proof], tell: Callable[[str], None],
) -> list[Proof]:
    """Each of `kinds`, one that is named twice once, made in `folder` by `export`, and the proofs in its report.json.

    Raises ReskerasError (status 1) at the end, when all have been made, if any was rejected.
    """
    make_folder(folder)
    proofs = []
    for kind in dict.fromkeys(kinds):
        tell(kind)
        proofs.append(export(kind))
    write_proofs(folder, proofs)
    if rejected := [proof for proof in proofs if not proof.holds]:
        raise failure("export: rejected, because not the model: " + ", ".join(proof.objection for proof in rejected))
    return proofs


class Exporter:
    """A run's best model, real images, and what the model answers to them, for any number of artefacts."""

    def __init__(self, run: RunFolder, source: Source, name: str, request: Request):
        self.folder, self.source, self.name, self.request = run.export_folder, source, name, request
        self.spec, self.classes = run.spec(), run.classes()
        self.plan = self.spec.lower()
        self.model = load_model(run.model_file)
        self.preprocessing = Preprocessing.load(run.preprocessing_file, self.plan.input_shape)
        self.images, self.labels = images_of_each_class(source.test, self.preprocessing, SAMPLE)
        run_model = forward(self.model)
        self.ask_keras: Ask = lambda images: run_model(self.preprocessing.normalise(images)).numpy()
        self.reference = in_chunks(self.ask_keras, self.images)

    def export(self, kind: str) -> Proof:
        """One artefact: written, proven, and given its name, or kept aside as rejected."""
        with workspace(self.folder) as place:
            return self._export_weights(kind, place) if kind in WEIGHT_KINDS else self._export_model(kind, place)

    def _export_model(self, kind: str, place: Path) -> Proof:
        lite = None if kind == SERVING else lite_kind(kind)
        inference = Inference(self.plan, self.model, self.preprocessing, self.classes,
                              self.request.pixels if lite is None else "float32", guarded=lite is None)
        if lite is None:
            written = write_saved_model(inference, place, self.name)
            ask, tolerance, measure = SavedModel(written), TOLERANCE, DIFFERENCE
            logits, crash = in_chunks(ask, self.images), None
        else:
            written = self._write_lite(inference, kind, lite, place)
            ask, tolerance, measure = None, LITE_KINDS[lite].tolerance, LITE_KINDS[lite].measure
            logits, crash = self._lite_logits(written)
        proof = prove(kind, str(written), size_of(written), logits, self.reference, self.labels,
                      self.request.tolerances.get(kind, tolerance), measure, crash)
        if self.request.timing and crash is None:
            ask = ask or LiteModel(written, stderr_aside)
            proof = replace(proof, timings=tuple(timed(ask, self.images, batch) for batch in BATCHES))
        if not proof.holds:
            noise = None if crash else self._noise(measure)
            return replace(proof, path=str(self._set_aside(written, kind)), keras_noise=noise)
        if lite is None:
            return replace(proof, path=str(publish(written, self.folder / self.name)))
        describe(inference, lite, written, self._file(kind).with_suffix(".json"))
        return replace(proof, path=str(move(written, self._file(kind))))

    def _lite_logits(self, written: Path) -> tuple[np.ndarray, str | None]:
        """What a `.tflite` answers, and why it does not: then the logits are not numbers."""
        try:
            return logits_aside(written, self.images), None
        except LiteCrash as error:
            return np.full_like(self.reference, np.nan), str(error)

    def _export_weights(self, kind: str, place: Path) -> Proof:
        """Weights for another library, proven by that library's network."""
        final = self.folder / f"{self.name}-{kind}{WEIGHT_KINDS[kind].suffix}"
        written = place / final.name
        given = Given(self.spec, read(self.model), self.preprocessing, self.classes)
        ask, against = write_weights(given, kind, written)
        logits = in_chunks(lambda images: ask(self.preprocessing.normalise(images).numpy()), self.images)
        proof = replace(prove(kind, str(final), size_of(written), logits, self.reference, self.labels,
                              self.request.tolerances.get(kind, TOLERANCE)), against=against)
        if not proof.holds:
            return replace(proof, path=str(self._set_aside(written, kind)), keras_noise=self._noise(DIFFERENCE))
        remove(final)
        return replace(proof, path=str(move(written, final)))

    def explain(self, kind: str) -> list[LayerNoise]:
        """How noisy each layer of an int8 kind is, the noisiest first."""
        lite = lite_kind(kind)
        check_debugged(lite)
        inference = Inference(self.plan, self.model, self.preprocessing, self.classes, "float32", guarded=False)
        with scratch() as folder:
            saved = write_saved_model(inference, folder, batches=(), signatures=["serving_default"])
            return explain(inference, saved, lite, self._representative(lite))

    def _noise(self, measure: str) -> float | None:
        if measure != DIFFERENCE:
            return None
        alone = [self.ask_keras(image[None]) for image in self.images[:NOISE_SAMPLE]]
        return relative_difference(np.concatenate(alone), self.reference[:NOISE_SAMPLE])

    def _write_lite(self, inference: Inference, kind: str, lite: str, place: Path) -> Path:
        images, file = self._representative(lite), place / self._file(kind).name
        if not self.request.keep_float:
            return write_lite_model(inference, file, lite, images)
        return write_lite_model(inference, file, lite, images, lambda saved, _, images: keeping_float(
            inference, saved, lite, images, self.request.keep_float))

    def _representative(self, lite: str) -> np.ndarray | None:
        if not LITE_KINDS[lite].measured:
            return None
        train = self.source.training_images("to")
        return images_of_each_class(train, self.preprocessing, self.request.representative)[0]

    def _file(self, kind: str) -> Path:
        return self.folder / f"{self.name}{kind.removeprefix(LITE)}.tflite"

    def _set_aside(self, written: Path, kind: str) -> Path:
        return set_aside(written, self.folder, f"{self.name}-{kind}")


def set_aside(written: Path, folder: Path, name: str) -> Path:
    """Where a rejected artefact of an export folder now is: no server looks there."""
    final = folder / "rejected" / name
    remove(final)
    return move(written, final)


def in_chunks(ask: Ask, images: np.ndarray) -> np.ndarray:
    """What `ask` gives for all images, some at a time."""
    return np.concatenate([ask(images[start : start + CHUNK]) for start in range(0, len(images), CHUNK)])


def size_of(path: Path) -> int:
    """Bytes of a file, or of a folder's files."""
    return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size


def check_place(folder: Path) -> None:
    """ReskerasError (status 2) unless an export folder can be written to."""
    place = folder if folder.exists() else folder.parent
    if not os.access(place, os.W_OK) or (folder.exists() and not folder.is_dir()):
        raise ReskerasError(f"export: {folder} is no folder to write in")
