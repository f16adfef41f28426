"""Provenance and exports of runs as sections of a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reskeras.export.proof import Proof
from reskeras.report.sections import Facts, Table


def trained_on(provenances: Iterable[Mapping[str, Any]]) -> str:
    """The lead of a page: each data set once."""
    data = dict.fromkeys(made.get("data", {}).get("label", "") for made in provenances)
    return f"Trained on {'; '.join(filter(None, data)) or 'unknown data'}"


def exports_of(proofs: Mapping[str, Sequence[Proof]]) -> list[Table]:
    """The tables of exports, by name of the run; empty without exports."""
    columns = [
        "artefact",
        "run",
        "verdict",
        "bytes",
        "largest difference",
        "agreement",
        "accuracy",
        "Keras accuracy",
        "metric",
        "p50, batch 1",
        "images/s",
        "batch",
    ]
    rows = []
    for name, known in proofs.items():
        for proof in known:
            speed = {timing.batch: timing for timing in proof.timings}
            largest = speed[max(speed)] if speed else None
            rows.append(
                [
                    proof.kind,
                    name,
                    proof.verdict.lower(),
                    f"{proof.bytes:,}",
                    f"{proof.difference:.1e}",
                    f"{proof.agreement:.2%}",
                    f"{proof.accuracy:.2%}",
                    f"{proof.keras_accuracy:.2%}",
                    proof.accuracy_of,
                    f"{speed[1].p50_ms:.2f} ms" if 1 in speed else "",
                    largest.rate if largest else "",
                    str(largest.batch) if largest else "",
                ]
            )
    caption = "Each artefact compared with the Keras model on the same images, and timed on the machine that made it."
    return [Table("Exports", columns, rows, caption), *_integers_of(proofs), *_trials_of(proofs)] if rows else []


def _integers_of(proofs: Mapping[str, Sequence[Proof]]) -> list[Table]:
    """The table of integer artefacts beside exact arithmetic, by name of the run; empty without any."""
    found = [
        (proof.kind, name, proof.integers.figures)
        for name, known in proofs.items()
        for proof in known
        if proof.integers
    ]
    if not found:
        return []
    rows = [[kind, name, *figures.values()] for kind, name, figures in found]
    caption = (
        "What integer artefacts compute, compared with the same arithmetic done exactly: their constants, "
        "each operation on the artefact's own inputs (the worst), and the logits of all images, in steps of the last "
        "integer."
    )
    return [Table("Integer arithmetic", ["artefact", "run", *found[0][2]], rows, caption)]


def _trials_of(proofs: Mapping[str, Sequence[Proof]]) -> list[Table]:
    """The table of what artefacts answer in other precisions, by name of the run; empty without any."""
    rows = [
        [
            proof.kind,
            name,
            trial.precision,
            trial.verdict.lower(),
            f"{trial.difference:.1e}",
            f"{trial.agreement:.2%}",
            trial.found,
        ]
        for name, known in proofs.items()
        for proof in known
        for trial in proof.trials
    ]
    columns = ["artefact", "run", "computed in", "verdict", "largest difference", "agreement", "where"]
    caption = "The same artefacts on the same images, computed in another precision, as some devices do."
    return [Table("Exports in other precisions", columns, rows, caption)] if rows else []


def provenance_of(made: Mapping[str, Any], path: str, of: str = "") -> Facts:
    """The provenance of the run at `path`; `of` is appended to the title."""
    pairs = [*provenance_facts(made), ("command", " ".join(map(str, made.get("command", [])))), ("folder", path)]
    return Facts(f"Provenance{of}", [(name, value) for name, value in pairs if value])


def _port_verified(ported: Mapping[str, Any]) -> str:
    """How a port was compared with its source; "" where that is not known."""
    proof = ported.get("proof")
    if not isinstance(proof, Mapping):
        return ""
    difference, against = proof.get("difference"), proof.get("against") or "the default network with these names"
    if isinstance(difference, float):
        return f"against {against}, largest relative difference {difference:.1e}"
    return f"no: {why}" if (why := proof.get("why_unproven")) else ""


def provenance_facts(made: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of what is known of how a run came to be, but for the command and the folder."""
    machine, data = made.get("machine", {}), made.get("data", {})
    images = data.get("fingerprint")
    pairs = [
        ("made", made.get("made")),
        ("data", data.get("label")),
        ("ported from", f"{ported['source']}, {ported['layout']}" if (ported := made.get("ported")) else None),
        ("port verified", _port_verified(ported) if ported else None),
        ("images", f"{data['train']:,} training, {data['test']:,} test" if "train" in data else None),
        ("data notes", "; ".join(data.get("notes", []))),
        ("fingerprint of the data", images.get("digest") if isinstance(images, Mapping) else None),
        ("started from", made.get("begun_from")),
        ("learnt from", made.get("teacher")),
        ("preprocessing", made.get("preprocessing")),
        ("seed", made.get("seed")),
        ("precision", made.get("precision")),
        ("training time", f"{made['training_seconds']:,.0f} s" if "training_seconds" in made else None),
        ("processor", f"{machine.get('processor')}, {machine.get('cpus')} cores" if machine else None),
        ("system", machine.get("system")),
        ("versions", ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items())),
        ("git revision", made.get("git_revision")),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]
