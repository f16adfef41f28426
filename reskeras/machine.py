"""Cores and memory that this process may use: the machine's, or less where the system or a container limits them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

SYSTEM = Path("/")  # where /proc and /sys lie; tests put another folder in its place
UNLIMITED = 1 << 60  # control groups of version 1 say "no limit" by a number near 2**63
CPU, MEMORY = "cpu", "memory"


def cores(system: Path = SYSTEM) -> int:
    """Cores that this process may keep busy, at least 1: those that it may run on (`taskset`), or fewer where a
    control group (Docker's `--cpus`, a Kubernetes limit) has a quota of processor time. A part of a core counts as one.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [-(-quota // period) for quota, period in _quotas(system) if quota > 0 and period > 0]
    return max(min([allowed, *shares]), 1)


def memory(system: Path = SYSTEM) -> int:
    """Bytes of memory that this process may use: the machine's, or less where a control group (Docker's `--memory`,
    a Kubernetes limit) or a limit of the address space (`ulimit -v`) allows less. What is in use already is not
    taken off."""
    limits = [_physical(), _address_space()]
    for folder in _groups(system, MEMORY):
        limits += [_number(_word(folder / name)) for name in ("memory.max", "memory.limit_in_bytes")]
    return min(limit for limit in limits if limit is not None and 0 < limit < UNLIMITED)


def used_seconds(system: Path = SYSTEM) -> float:
    """Seconds of processor time that everything on this machine has used since its start; 0 where it does not tell."""
    _, *spent = _words(system / "proc" / "stat")[:4] or [""]  # cpu, then user, nice, system in ticks
    return sum(_number(word) or 0 for word in spent) / os.sysconf("SC_CLK_TCK")


def _quotas(system: Path) -> Iterator[tuple[int, int]]:
    """(quota, period) of processor time in microseconds, for each control group that limits it."""
    for folder in _groups(system, CPU):
        quota, period = _word(folder / "cpu.max", 0), _word(folder / "cpu.max", 1)
        if not quota:
            quota, period = _word(folder / "cpu.cfs_quota_us"), _word(folder / "cpu.cfs_period_us")
        used, of = _number(quota), _number(period)
        if used is not None and of is not None:
            yield used, of


def _groups(system: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups that hold this process, the innermost first, for version 2 and 1.

    Each of them limits the process. In a container the path that the kernel reports may be the host's, of which the
    container sees the last folder as the root: folders that are not there have no files to read.
    """
    root = system / "sys/fs/cgroup"
    try:
        lines = (system / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            mounts = [root, root / "unified"]
        elif controller in controllers.split(","):
            mounts = [root / controllers, root / controller]
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", ".", "..")]
        for mount in mounts:
            for depth in range(len(parts), -1, -1):
                yield mount.joinpath(*parts[:depth])


def _word(file: Path, place: int = 0) -> str | None:
    """A word of a small file; None where there is none."""
    words = _words(file)
    return words[place] if place < len(words) else None


def _words(file: Path) -> list[str]:
    """The words of a small file; none where there is no such file."""
    try:
        return file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _number(word: str | None) -> int | None:
    return int(word) if word is not None and word.isdecimal() and len(word) < 20 else None


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _address_space() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit
