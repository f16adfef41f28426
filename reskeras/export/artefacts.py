"""Export of a run: write each artefact aside, prove it on real images, then publish or reject it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reskeras.data.pipeline import evaluation_images
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source
from reskeras.errors import failure, unknown
from reskeras.evaluation.views import forward
from reskeras.export.inference import Inference
from reskeras.export.lite import lite_logits, write_lite_model
from reskeras.export.proof import Proof, prove
from reskeras.export.serving import publish, saved_model_logits, write_saved_model
from reskeras.graph.load import load_model
from reskeras.runs import RunFolder, write_atomically

SAMPLE = 256  # real images that an artefact is proven on
REPORT_FILE = "report.json"


@dataclass(frozen=True)
class Kind:
    """How one kind of artefact is written (aside), asked, and given its final name."""

    write: Callable[[Inference, Path, str], Path]
    logits: Callable[[Path, np.ndarray], np.ndarray]
    publish: Callable[[Path, Path, str], Path]


def _publish_file(written: Path, folder: Path, name: str) -> Path:
    return written.replace(folder / f"{name}.tflite")


KINDS: dict[str, Kind] = {
    "serving": Kind(
        write=lambda inference, folder, name: write_saved_model(inference, folder / name),
        logits=saved_model_logits,
        publish=lambda written, folder, name: publish(written, folder / name),
    ),
    "tflite": Kind(
        write=lambda inference, folder, name: write_lite_model(inference, folder / f"{name}.tflite"),
        logits=lite_logits,
        publish=_publish_file,
    ),
}


def check_kinds(kinds: Sequence[str]) -> None:
    """ReskerasError (status 2) for a kind that there is not."""
    for kind in kinds:
        if kind not in KINDS:
            raise unknown("to", kind, KINDS)


def export_run(run: RunFolder, kinds: Sequence[str], source: Source, name: str) -> list[Proof]:
    """Export `run` as each of `kinds`, proven on test images of `source`; the proofs also go to report.json.

    An artefact that differs from the Keras model by more than its tolerance is kept aside as `rejected`,
    after which the others are still made. Raises ReskerasError (status 1) at the end if any was.
    """
    check_kinds(kinds)
    model, preprocessing = load_model(run.model_file), Preprocessing.load(run.preprocessing_file)
    images, labels = evaluation_images(source.test, preprocessing, SAMPLE)
    reference = forward(model)(preprocessing.normalise(images)).numpy()
    inference = Inference(model, preprocessing)
    run.export_folder.mkdir(exist_ok=True)
    proofs = []
    for kind in kinds:
        proofs.append(_export(KINDS[kind], kind, inference, run.export_folder, name, images, labels, reference))
    rows = {proof.path: proof.as_dict() for proof in proofs}
    report = run.export_folder / REPORT_FILE
    known = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
    write_atomically(report, json.dumps({**known, **rows}, indent=2) + "\n")
    if rejected := [proof for proof in proofs if not proof.holds]:
        listed = ", ".join(f"{proof.path} differs by {proof.difference:.2g}" for proof in rejected)
        raise failure(f"export: rejected, because not the model within {rejected[0].tolerance:g}: {listed}")
    return proofs


def _export(
    kind: Kind, kind_name: str, inference: Inference, folder: Path, name: str,
    images: np.ndarray, labels: np.ndarray, reference: np.ndarray,
) -> Proof:
    written = kind.write(inference, folder, name)
    proof = prove(kind_name, str(written), _size(written), kind.logits(written, images), reference, labels)
    if proof.holds:
        final = kind.publish(written, folder, name)
    else:
        final = folder / "rejected" / f"{name}-{kind_name}"
        shutil.rmtree(final, ignore_errors=True)
        final.parent.mkdir(exist_ok=True)
        written.replace(final)
    return replace(proof, path=str(final))


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size
