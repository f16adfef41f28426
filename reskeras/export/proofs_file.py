"""The proofs of a run's artefacts in its export folder, report.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from reskeras.export.proof import Proof
from reskeras.files import write_json
from reskeras.stored import read_json

PROOFS_FILE = "report.json"


def read_proofs(folder: Path, model: str = "") -> list[Proof]:
    """The proofs in an export folder's report.json; a broken file is a ReskerasError (status 1).

    Those of another model than that with the digest `model` are stale; those that do not say which are not.
    """
    path = folder / PROOFS_FILE
    if not path.is_file():
        return []
    proofs = read_json(path, "report", dict[str, Proof]).values()
    return [
        replace(proof, path=_found(proof.path, folder), stale=bool(model and proof.model not in ("", model)))
        for proof in proofs
    ]


def write_proofs(folder: Path, proofs: Sequence[Proof], model: str = "") -> None:
    """Add `proofs` to report.json, replacing those of the same artefacts; `model` is as for `read_proofs`."""
    known = {proof.path: proof for proof in read_proofs(folder, model)} | {proof.path: proof for proof in proofs}
    rows = {path: proof.as_dict() for path, proof in known.items()}
    write_json(folder / PROOFS_FILE, rows)


def _found(path: str, folder: Path) -> str:
    """Where an artefact is now: its stored `path` may be of another directory, or older than a move of `folder`."""
    parts = Path(path).parts
    inside = [folder.joinpath(*parts[place + 1 :]) for place, part in enumerate(parts[:-1]) if part == folder.name]
    return next((str(each) for each in inside if each.exists()), path)
