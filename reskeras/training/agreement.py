"""Workers of one training check that they were started alike, before any of them writes or computes anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from reskeras.documents.changes import changes
from reskeras.errors import ReskerasError, shown
from reskeras.training.strategy import Replicas

MOST_TOLD = 3  # differences
LIBRARIES = ("reskeras", "tensorflow", "keras")


def check_agreement(replicas: Replicas, facts: Callable[[], Mapping[str, Any]]) -> None:
    """Raise the same ReskerasError (status 2) on every worker when `facts()`, plain data, differs between them; it
    names the fields and values. A collective: all workers must call it. A single worker is not asked for its facts."""
    if replicas.workers == 1:
        return
    libraries = {f"version of {name}": version(name) for name in LIBRARIES}
    told = replicas.told_by_all(json.dumps({**facts(), **libraries}, sort_keys=True))
    first, *others = [json.loads(text) for text in told]
    differences: dict[str, str] = {}
    for worker, other in enumerate(others, 1):
        for each in changes(first, other):
            told_so = f"{each.field} is {shown(each.before)} on worker 0 and {shown(each.after)} on worker {worker}"
            differences.setdefault(each.field, told_so)
    if differences:
        more = f", and {len(differences) - MOST_TOLD} more fields differ" if len(differences) > MOST_TOLD else ""
        found = "; ".join(list(differences.values())[:MOST_TOLD])
        raise ReskerasError(
            f"workers: {found}{more}; start all workers of a training with the same command, code and data"
        )
