"""How much is told besides results and errors. An environment variable, so that worker processes tell as much."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

VARIABLE = "RESKERAS_VERBOSITY"


class Verbosity(IntEnum):
    """Results and errors alone; notes and progress too; TensorFlow's own messages and training steps too."""

    QUIET = 0
    NORMAL = 1
    VERBOSE = 2


def verbosity() -> Verbosity:
    """What the environment asks for; NORMAL when it asks for nothing known."""
    names = {level.name.lower(): level for level in Verbosity}
    return names.get(os.environ.get(VARIABLE, "").lower(), Verbosity.NORMAL)


@contextmanager
def telling(level: Verbosity) -> Iterator[None]:
    """Tell as much as `level` says while the block runs, in this process and those that it starts."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = level.name.lower()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
