"""How a run came to be: what provenance.json says of it, and the facts about this process that go into one."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from reskeras.machine import cores


@with_config(ConfigDict(extra="allow"))
class DataFacts(TypedDict, total=False):
    """The fields about the data in provenance.json that are read."""

    name: str
    label: str
    data_dir: str | None
    train: int
    test: int
    notes: list[str]


@with_config(ConfigDict(extra="allow"))
class Provenance(TypedDict, total=False):
    """The fields of provenance.json that are read."""

    made: str
    task: str
    command: list[Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    git_revision: str | None
    seed: int | None
    data: DataFacts
    ported: dict[str, Any]
    precision: str
    best_epoch: int
    training_images: int
    training_seconds: float
    trained_sha256: str


def provenance(**facts: Any) -> dict[str, Any]:
    """Provenance: when, where and by which versions something is made, with the caller's `facts` added."""
    packages = ("reskeras", "tensorflow", "keras", "numpy")
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "machine": {"system": platform.platform(), "processor": _processor(), "cpus": cores()},
        "git_revision": revision(),
        **facts,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def revision() -> str | None:
    """The git revision of this code, with -dirty where it was changed since; None outside of a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
