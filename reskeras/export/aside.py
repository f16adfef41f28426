"""Processes of their own for what may crash: the runtimes that run artefacts, and the converters that make some."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reskeras.export import runtimes
from reskeras.files import scratch

CHUNK = 100  # images at a time
ANSWERS_WITHIN = 3600.0  # seconds
LONGEST = 200


class Crash(Exception):
    """What ran in a process of its own did not end well; the message is a clause whose subject is the artefact."""


@dataclass(frozen=True)
class Answers:
    """The outputs of an artefact by name, and the `precision` that its runtime computed them in."""

    values: Mapping[str, np.ndarray]
    precision: str


def run_aside(program: str, arguments: Sequence[str | Path], by: str, within: float, given: bytes = b"") -> bytes:
    """What the Python file `program` writes to standard output, of `given` on standard input.

    `by` names the library that it runs. Raises Crash where that refuses, kills the process, or takes longer than
    `within` seconds.
    """
    # -P keeps the program's folder, with modules such as `timing`, off the module search path
    command = [sys.executable, "-P", program, *map(str, arguments)]
    try:
        done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=within)
    except subprocess.TimeoutExpired as error:
        raise Crash(f"keeps {by} busy for more than {within:g} seconds") from error
    if done.returncode < 0:
        raise Crash(f"crashes the process that runs {by} ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise Crash(f"is rejected by {by}: {said[:LONGEST]}")
    return done.stdout


@contextmanager
def inputs_aside(inputs: Mapping[str, np.ndarray]) -> Iterator[Path]:
    """A folder that holds inputs by name, for a process of its own."""
    with scratch() as folder:
        for name, values in inputs.items():
            np.save(folder / f"{name}.npy", values)
        yield folder


def answers_aside(
    path: Path,
    inputs: Mapping[str, np.ndarray],
    precision: str = "",
    chunk: int = CHUNK,
    within: float = ANSWERS_WITHIN,
) -> Answers:
    """The outputs for `inputs`, raw ones by name, of the artefact at `path`, computed in `precision` (see
    `runtimes.open_model`) by its runtime in a subprocess.

    It is run on one image, then on all, `chunk` at a time. Raises Crash when the subprocess dies, refuses the file or
    takes longer than `within` seconds.
    """
    with inputs_aside(inputs) as folder:
        told = run_aside(runtimes.__file__, [path, precision, str(chunk), folder], runtimes.name_of(path), within)
    with np.load(io.BytesIO(told), allow_pickle=False) as found:
        outputs = dict(found)
    return Answers(outputs, str(outputs.pop(runtimes.USED)))
