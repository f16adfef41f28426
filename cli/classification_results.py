"""Printed output of evaluations, predictions and proofs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reskeras.quantities import short_bytes

from .cards import echo_files
from .output import echo, facts
from .tables import Column, table

NOISIEST = 15
SPARE = {"threads": 2, "loading": 1, "memory": 1}  # columns that a narrow terminal does without
NONE = (("none", None),)  # instead of the classes of an image that has none

if TYPE_CHECKING:
    from reskeras.evaluation.accuracy import Evaluation
    from reskeras.evaluation.prediction import Prediction
    from reskeras.export.proof import Proof
    from reskeras.export.quantisation_noise import LayerNoise
    from reskeras.tasks.classification.run import ClassifierRun


def echo_evaluation(result: Evaluation, run: ClassifierRun | None = None) -> None:
    """Print accuracy, error and loss on a split."""
    rows = [
        ("images", f"{result.images:,}", f"{result.data}, {result.split} split, {result.views}, float32"),
        ("accuracy", f"{result.top1:.2%}", f"top-1; error {1 - result.top1:.2%}"),
    ]
    if result.top5 is not None:
        rows.append(("top-5", f"{result.top5:.2%}", f"error {1 - result.top5:.2%}"))
    if result.undefined:
        rows.append(("undefined", f"{result.undefined:,}", "images without a finite score, counted as wrong"))
    facts([*rows, ("loss", f"{result.loss:.4f}", "cross-entropy, nats")])


def echo_classes(result: Evaluation) -> None:
    """Print a line for each class, and the most common confusions."""
    table(
        [Column("class"), Column("images", right=True), Column("accuracy", right=True)],
        [
            (name, f"{count:,}", "" if accuracy is None else f"{accuracy:.2%}")
            for name, count, accuracy in result.by_class()
        ],
    )
    for true, taken, count in result.most_confused():
        echo(f"{true} classified as {taken}: {count:,}")


def echo_predictions(predictions: Sequence[Prediction]) -> None:
    """Print a line for each image and class, best first; `none` for an image of no class."""
    rows = [
        (prediction.path if rank == 0 else "", name, "" if probability is None else f"{probability:.2%}")
        for prediction in predictions
        for rank, (name, probability) in enumerate(prediction.top or NONE)
    ]
    table([Column("image"), Column("class"), Column("probability", right=True)], rows)


def echo_proofs(proofs: Sequence[Proof], *beside: tuple[str, str, str]) -> None:
    """Print each artefact compared with the Keras model on the same images, its timings on this machine, and where it
    is; also the lines of what is `beside` them, for `echo_files`."""
    from reskeras.report.exports import interval_told

    of = proofs[0].accuracy_of
    agreement, accuracy = ("top-1 agreement", "accuracy") if of == "top-1" else ("agreement", of)
    figures = ("size", "largest difference", agreement, accuracy, f"Keras {accuracy}", "images")
    columns = [Column("artefact"), Column("verdict"), *(Column(figure, right=True) for figure in figures)]
    table(
        columns,
        [
            (
                proof.kind,
                proof.verdict,
                short_bytes(proof.bytes),
                f"{proof.difference:.1e}{_allowed(proof, 'difference')}",
                f"{proof.agreement:.2%}{_allowed(proof, 'disagreement')}",
                f"{proof.accuracy:.2%}{interval_told(proof.interval)}",
                f"{proof.keras_accuracy:.2%}",
                str(proof.images),
            )
            for proof in proofs
        ],
    )
    _echo_integers(proofs)
    _echo_trials(proofs)
    echo_speeds(proofs)
    verified = [f"verified against {proof.against}" if proof.against else "" for proof in proofs]
    echo_files([*((proof.kind, proof.path, remark) for proof, remark in zip(proofs, verified, strict=True)), *beside])


def echo_measured(proofs: Sequence[Proof], folder: Path) -> None:
    """Print size, accuracy and speed of the artefacts in an export folder, and where the figures are."""
    from reskeras.report.exports import PICTURE_FILE, TABLE_FILE, change_told, interval_told

    accuracy = "accuracy" if proofs[0].accuracy_of == "top-1" else proofs[0].accuracy_of
    figures = ("size", accuracy, f"beside Keras' {accuracy}, points", "images")
    table(
        [Column("artefact"), Column("verdict"), *(Column(figure, right=True) for figure in figures)],
        [
            (
                proof.kind,
                proof.verdict,
                short_bytes(proof.bytes),
                f"{proof.accuracy:.2%}{interval_told(proof.interval)}",
                change_told(proof) or f"{100 * (proof.accuracy - proof.keras_accuracy):+.2f}",
                f"{proof.images:,}",
            )
            for proof in proofs
        ],
    )
    echo_speeds(proofs)
    files = [("table", folder / TABLE_FILE), ("plot", folder / PICTURE_FILE)]
    echo_files([(name, str(path), "") for name, path in files if path.exists()])


def echo_speeds(proofs: Sequence[Proof]) -> None:
    """Print how fast artefacts are, in processes of their own, and what memory they need; nothing where none was
    measured."""
    from reskeras.report.exports import slower_told, speed_table

    titles, rows = speed_table(proofs)
    if rows:
        echo()
        table([Column(title, right=place > 1, spare=SPARE.get(title, 0)) for place, title in enumerate(titles)], rows)
        for said in slower_told(proofs):
            echo(said)
        echo()


def _echo_integers(proofs: Sequence[Proof]) -> None:
    """Print how integer artefacts compare with the exact arithmetic of integers."""
    found = [(proof.kind, proof.integers.figures) for proof in proofs if proof.integers]
    if found:
        echo()
        titles = list(found[0][1])
        columns = [Column("compared with exact integers"), *(Column(title, right=True) for title in titles)]
        table(columns, [(kind, *figures.values()) for kind, figures in found])


def _echo_trials(proofs: Sequence[Proof]) -> None:
    """Print how artefacts answer in other precisions, and where it begins if they answer otherwise."""
    rows = [
        (
            proof.kind,
            trial.precision,
            trial.verdict,
            f"{trial.difference:.1e}",
            f"{trial.agreement:.2%} (min {trial.least_agreement:.0%})",
            trial.found,
        )
        for proof in proofs
        for trial in proof.trials
    ]
    if rows:
        echo()
        figures = (Column("largest difference", right=True), Column("agreement", right=True))
        where = [Column("where")] if any(row[-1] for row in rows) else []
        columns = [Column("artefact"), Column("computed in"), Column("verdict"), *figures, *where]
        table(columns, [row[: len(columns)] for row in rows])
        if not any(proof.speed for proof in proofs):
            echo()


def _allowed(proof: Proof, measure: str) -> str:
    """The tolerance, to print beside the figure that it applies to."""
    if measure == "difference":
        return f" (max {proof.tolerance:.0e})" if proof.measure == measure else ""
    least = 1 - proof.tolerance if proof.measure == measure else proof.least_agreement
    return f" (min {least:.0%})" if least else ""


def echo_noise(layers: Sequence[LayerNoise]) -> None:
    """Print the noisiest layers of a quantised network."""
    table(
        [
            Column("layer"),
            Column("operation"),
            Column("signal/noise", right=True),
            Column("error", right=True),
            Column("step", right=True),
        ],
        [
            (each.layer, each.operation.lower(), f"{each.decibels:.1f} dB", f"{each.error:.3g}", f"{each.step:.3g}")
            for each in layers[:NOISIEST]
        ],
    )
