"""Writing beside the training: one thread, one piece of work at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Background:
    """Work that the next steps need not wait for, such as writing a model.

    What raises there is raised here, at the next `wait` or `start`. What must not be there without something else, such
    as a state without the best model that it tells of, follows that in the same background.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reskeras-writer")
        self._work: Future[Any] | None = None

    def start(self, work: Callable[[], Any]) -> None:
        """Begin `work`, when what was begun before has ended."""
        self.wait()
        self._work = self._pool.submit(work)

    def follow(self, work: Callable[[], Any]) -> None:
        """Begin `work` when what was begun before has ended, and not at all where that raised; wait for neither."""
        before = self._work

        def run() -> None:
            if before:
                before.result()
            work()

        self._work = self._pool.submit(run)

    def settle(self) -> None:
        """Return when the work has ended, however it ended: something else went wrong already."""
        work, self._work = self._work, None
        if work:
            work.exception()

    def wait(self) -> None:
        """Return when the work has ended, or raise what it raised."""
        work, self._work = self._work, None
        if work:
            work.result()
