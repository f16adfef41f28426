"""Environment variables that are set while a library is imported, and then restored."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def defaults(**values: str) -> Iterator[None]:
    """Set the variables that are not set, and unset them when the block ends.

    For settings that a library reads once: the environment of the program, and of processes that it starts,
    stays as it was.
    """
    missing = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
