"""Provenance of runs as a section of a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reskeras.printable import counted
from reskeras.report.sections import Facts


def trained_on(provenances: Iterable[Mapping[str, Any]]) -> str:
    """The lead of a page: each data set once."""
    data = dict.fromkeys(made.get("data", {}).get("label", "") for made in provenances)
    return f"Trained on {'; '.join(filter(None, data)) or 'unknown data'}"


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
        ("processor", f"{machine.get('processor')}, {counted(machine.get('cpus', 1), 'core')}" if machine else None),
        ("system", machine.get("system")),
        ("versions", ", ".join(f"{name} {version}" for name, version in made.get("versions", {}).items())),
        ("git revision", made.get("git_revision")),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]
