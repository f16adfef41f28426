"""Printed output about model cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .output import facts


def echo_files(files: Sequence[tuple[str, str, str]]) -> None:
    """Print lines of a label, a path and a remark, the paths one below the other."""
    width = max(len(path) for _, path, _ in files)
    facts([(label, path.ljust(width), remark) for label, path, remark in files])


def card_fact(folder: Path) -> tuple[str, str, str]:
    """Where the card in a folder of a run is, and whether it is as it was written, for `echo_files`."""
    from reskeras.report.card_file import KEPT, is_replaceable
    from reskeras.runs import CARD_FILE

    path = folder / CARD_FILE
    if not path.exists():
        return "card", "none", f"{folder} cannot be written to"
    return "card", str(path), "" if is_replaceable(path) else KEPT
