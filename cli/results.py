"""What evaluations, predictions and proofs look like when printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .output import Column, facts, short_bytes, table

if TYPE_CHECKING:
    from reskeras.evaluation.accuracy import Evaluation
    from reskeras.evaluation.prediction import Prediction
    from reskeras.export.proof import Proof


def echo_evaluation(result: Evaluation) -> None:
    """Accuracy, error and loss on a split."""
    rows = [("images", f"{result.images:,}", f"{result.data}, {result.split} split, {result.views}, float32"),
            ("accuracy", f"{result.top1:.2%}", f"top-1; error {1 - result.top1:.2%}")]
    if result.top5 is not None:
        rows.append(("top-5", f"{result.top5:.2%}", f"error {1 - result.top5:.2%}"))
    if result.undefined:
        rows.append(("undefined", f"{result.undefined:,}", "images without a finite score, counted as wrong"))
    facts([*rows, ("loss", f"{result.loss:.4f}", "cross-entropy, nats")])


def echo_classes(result: Evaluation) -> None:
    """A line for each class, and the commonest mistakes."""
    table([Column("class"), Column("images", right=True), Column("accuracy", right=True)],
          [(name, f"{count:,}", "" if accuracy is None else f"{accuracy:.2%}")
           for name, count, accuracy in result.by_class()])
    for true, taken, count in result.most_confused():
        click.echo(f"{true} taken for {taken}: {count:,}")


def echo_predictions(predictions: Sequence[Prediction]) -> None:
    """A line for each image and class, best first."""
    rows = [(prediction.path if rank == 0 else "", name, f"{probability:.2%}")
            for prediction in predictions for rank, (name, probability) in enumerate(prediction.top)]
    table([Column("image"), Column("class"), Column("probability", right=True)], rows)


def echo_proofs(proofs: Sequence[Proof]) -> None:
    """Each artefact beside the Keras model, on the same real images."""
    figures = ("size", "largest difference", "top-1 agreement", "accuracy", "of Keras", "images")
    columns = [Column("artefact"), Column("verdict"), *(Column(figure, right=True) for figure in figures)]
    rows = [(proof.kind, "agrees" if proof.holds else "REJECTED", short_bytes(proof.bytes),
             f"{proof.difference:.1e} (allowed {proof.tolerance:.0e})", f"{proof.agreement:.2%}",
             f"{proof.accuracy:.2%}", f"{proof.keras_accuracy:.2%}", str(proof.images)) for proof in proofs]
    table(columns, rows)
    width = max(len(proof.path) for proof in proofs)
    facts([(proof.kind, proof.path.ljust(width), "") for proof in proofs])
