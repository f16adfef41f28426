"""What a run records of its data, so that all later work on the run divides and checks the same images."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reskeras.addresses import address_form, is_address
from reskeras.data.division import BY_POSITION
from reskeras.data.fingerprint import REORDERED, Fingerprint, Identified, fingerprint
from reskeras.data.layout import folded
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.readers import is_named, is_path_kind
from reskeras.strict_json import to_json
from reskeras.walk import counted_images

Known = Mapping[str, Any]  # provenance.json's data


def identity(source: Identified) -> tuple[dict[str, Any], Fingerprint]:
    """The facts in provenance.json that identify a source, and its fingerprint, whose entries are saved beside it."""
    found = fingerprint(source)
    kind, _, path = source.name.partition(":")
    here = is_path_kind(kind) and path and not is_address(path)
    place = {"place": f"{kind}:{Path(path).expanduser().absolute()}"} if here else {}
    nameless = source.given or ("" if is_named(source.name) else "a Source")
    given = {"given": nameless} if nameless else {}
    return {"division": source.division, "fingerprint": found.facts, **place, **given}, found


def given_again(path: Path, known: Known) -> ReskerasError:
    """The refusal to open the data of the run at `path` that a program handed over."""
    return ReskerasError(
        f"data: {path} was trained on {known['name']}, given in Python, and keeps their fingerprint but no images; "
        "give them again (data=..., as to reskeras.train), or other images with the same classes"
    )


def identified_name(source: Source) -> str:
    """A name that tells a source from others of its name, by its fingerprint."""
    return f"{source.name}-{hashlib.sha256(to_json(fingerprint(source).facts, None).encode()).hexdigest()[:8]}"


def kept_name(known: Known) -> str:
    """The name to open a run's data by: a folder given relative to the training's working directory is found from any
    other, unless it is gone there and exists here."""
    name, place = known["name"], known.get("place")
    kind, _, path = str(name).partition(":")
    if not is_path_kind(kind) or not isinstance(place, str) or Path(path).expanduser().is_absolute():
        return name
    return name if Path(path).exists() and not Path(place.partition(":")[2]).exists() else place


def division_of(known: Known) -> int:
    """The version of the rule by which a run's images were divided."""
    division = known.get("division", BY_POSITION)
    return division if isinstance(division, int) else BY_POSITION


def is_own(data: str | None, known: Known) -> bool:
    """Whether `data`, as typed, is what a run was trained on; a folder is the same however it is written."""
    name = known.get("name")
    if known.get("given"):  # whatever it was called, no name opens it
        return False
    return bool(known) and (data is None or data == name or _resolved_name(data) == _resolved_name(kept_name(known)))


def _resolved_name(name: Any) -> Any:
    kind, _, path = str(name).partition(":")
    if not is_path_kind(kind) or not path:
        return name
    return kind, address_form(path) if is_address(path) else Path(path).expanduser().resolve()


def changes(known: Known, file: Path, source: Identified) -> list[str] | None:
    """How a source differs from the one that a run keeps, in words; None where the run keeps no fingerprint."""
    facts = known.get("fingerprint")
    if not isinstance(facts, dict):
        return None
    return Fingerprint.load(facts, file).differences(fingerprint(source))


def check_unchanged(path: Path, known: Known, file: Path, source: Identified) -> str:
    """A note on the data of a resumed training, or ""; ReskerasError (status 2) if the data has changed since."""
    differences = changes(known, file, source)
    if differences is None:
        return f"resume: {path} has no fingerprint of its data, so changes to the data cannot be detected"
    if differences:
        raise ReskerasError(
            f"resume: the data of {path} has changed since its training began: "
            f"{', '.join(differences)}; restore it, or train anew with another --out"
        )
    return ""


def as_trained(source: Source, known: Known, classes: Sequence[str], file: Path) -> Source:
    """A run's own data, opened again: the classes in the run's order, and notes that the training did not give.

    Where the data has changed, images that the run was trained on are left out of the test. ReskerasError (status 2)
    when the classes are not those of the run.
    """
    strange = set(map(folded, source.classes)) ^ set(map(folded, classes))
    if strange:
        raise ReskerasError(
            f"data: the classes of {source.name} are not those the run was trained on; "
            f"they differ in {', '.join(sorted(strange)[:5])}"
        )
    source = source.matched(classes)
    known_notes = known.get("notes") or ()
    notes = [note for note in source.notes if note not in known_notes]
    differences = changes(known, file, source)
    if differences is None and source.name.startswith("folder:"):
        notes.append("the run has no fingerprint of its data; images are split as in versions without fingerprints")
    elif differences:
        notes.append(f"{source.name} has changed since training: {', '.join(differences)}")
        seen = _seen(source, known, file)
        if seen.all() and len(seen):
            raise ReskerasError(
                f"data: the run was trained on all {len(seen):,} images that {source.name} now has for testing; "
                "give --data with images that it has not seen"
            )
        if seen.any():
            source = replace(source, test=source.test.part("test", np.flatnonzero(~seen)))
            are = "is" if seen.sum() == 1 else "are"
            notes.append(f"{counted_images(int(seen.sum()))} that the run was trained on {are} excluded from the test")
    return replace(source, notes=tuple(notes))


def as_others(source: Source, known: Known, file: Path) -> Source:
    """Data given in Python to test a run on, which is not what it was trained on; a note says so, and which of its test
    images are."""
    seen = int(_seen(source, known, file).sum())
    some = f", but {seen:,} of them are among its test images" if seen else ""
    return replace(source, notes=(*source.notes, f"{source.name}: not the images that the run was trained on{some}"))


def is_same(source: Source, known: Known, file: Path) -> bool:
    """Whether data given in Python is what a run was trained on, in whatever order."""
    return changes(known, file, source) in ([], [REORDERED])


def _seen(source: Source, known: Known, file: Path) -> np.ndarray:
    """bool (n,): which test images the run was trained on; empty where that cannot be told."""
    facts = known.get("fingerprint")
    trained = Fingerprint.load(facts, file).entries.get("train") if isinstance(facts, dict) else None
    if trained is None or source.test.entries is None:
        return np.zeros(0, bool)
    return np.isin(source.test.entries, trained)
