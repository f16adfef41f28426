"""Workers of one training check that they were started alike, before any of them writes or computes anything."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from reskeras.documents.changes import changes
from reskeras.errors import ReskerasError, shown
from reskeras.launch.cluster import Cluster
from reskeras.printable import counted

if TYPE_CHECKING:
    from reskeras.training.strategy import Replicas

MOST_TOLD = 3  # differences
LIBRARIES = ("reskeras", "tensorflow", "keras")


def introduction(here: Cluster, gpus: int) -> str:
    """What a worker says before TensorFlow starts, for `check_equal`: workers of other versions, of another cluster or
    with other numbers of GPUs would wait for each other or fail later, in ways that explain nothing."""
    versions = {f"version of {name}": version(name) for name in LIBRARIES}
    return json.dumps({**versions, "cluster": dict(enumerate(here.workers)), "number of GPUs": gpus})


def check_agreement(replicas: Replicas, facts: Callable[[], Mapping[str, Any]]) -> None:
    """Raise the same ReskerasError (status 2) on every worker when `facts()`, plain data, differs between them; it
    names the fields and values. A collective: all workers must call it. A single worker is not asked for its facts."""
    if replicas.workers == 1:
        return
    with replicas.together():
        own = json.dumps(facts(), sort_keys=True)
    check_equal(replicas.told_by_all(own))


def check_equal(told: Sequence[str]) -> None:
    """Raise ReskerasError (status 2) that names the fields and values in which the workers' facts, as JSON, differ."""
    first, *others = [json.loads(text) for text in told]
    differences: dict[str, str] = {}
    for worker, other in enumerate(others, 1):
        for each in changes(first, other):
            told_so = f"{each.field} is {shown(each.before)} on worker 0 and {shown(each.after)} on worker {worker}"
            differences.setdefault(each.field, told_so)
    if differences:
        left = len(differences) - MOST_TOLD
        more = f", and {counted(left, 'more field')} differ{'s' * (left == 1)}" if left > 0 else ""
        found = "; ".join(list(differences.values())[:MOST_TOLD])
        raise ReskerasError(
            f"workers: {found}{more}; start all workers of a training with the same command, code and data"
        )
