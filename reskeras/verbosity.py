"""How much is printed besides results and errors: an environment variable, so that worker processes inherit it."""

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
    """The verbosity set in the environment; NORMAL if none or an unknown one is set."""
    names = {level.name.lower(): level for level in Verbosity}
    return names.get(os.environ.get(VARIABLE, "").lower(), Verbosity.NORMAL)


@contextmanager
def telling(level: Verbosity) -> Iterator[None]:
    """Set the verbosity to `level` for the block, in this process and those that it starts."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = level.name.lower()
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
