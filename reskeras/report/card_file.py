"""The file of a model card, README.md: replaced as long as it is as it was written, kept once somebody edits it."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from reskeras.addresses import named
from reskeras.errors import ReskerasError
from reskeras.files import write_text
from reskeras.stored import read_text

KEPT = "kept: it was written or edited by someone; move it away for a new one"
_SEAL = re.compile(r"\n<!-- Written by reskeras, which replaces it unless it is edited: ([0-9a-f]{64}) -->\n*\Z")


def write_card(text: str, path: Path) -> bool:
    """Write a card unless `path` is a file that is not as it was written here; whether it was written."""
    if not is_replaceable(path):
        return False
    write_text(path, sealed(text))
    return True


def is_replaceable(path: Path) -> bool:
    """Whether nothing is lost by writing a card to `path`: there is none, or one that nobody has edited."""
    if not path.exists() and not path.is_symlink():
        return True
    if not path.is_file():
        return False
    try:
        found = read_text(path, "card").replace("\r\n", "\n")  # as Git may leave it
    except ReskerasError:
        return False
    seal = _SEAL.search(found)
    return seal is not None and seal[1] == _digest(found[: seal.start()])


def sealed(text: str) -> str:
    """A card with its digest at the end, in a comment that no reader shows."""
    text = named(text).rstrip("\n") + "\n"  # as it is written
    return f"{text}\n<!-- Written by reskeras, which replaces it unless it is edited: {_digest(text)} -->\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
