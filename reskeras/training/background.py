"""Background writer: one thread, one job at a time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Background:
    """Work that the next steps need not wait for, such as writing a model.

    Exceptions of a job are raised again by the next `wait` or `start`. A file that must not exist without another one,
    such as a checkpoint without the best model that it refers to, is written with `follow`.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reskeras-writer")
        self._work: Future[Any] | None = None

    def start(self, work: Callable[[], Any]) -> None:
        """Start `work` after waiting for the previous job."""
        self.wait()
        self._work = self._pool.submit(work)

    def follow(self, work: Callable[[], Any]) -> None:
        """Queue `work` after the previous job, and skip it if that raises; waits for neither."""
        before = self._work

        def run() -> None:
            if before:
                before.result()
            work()

        self._work = self._pool.submit(run)

    def settle(self) -> None:
        """Wait for the job and ignore its exception: another error is being raised already."""
        work, self._work = self._work, None
        if work:
            work.exception()

    def wait(self) -> None:
        """Wait for the job and raise its exception, if any."""
        work, self._work = self._work, None
        if work:
            work.result()
