"""A worker process of a group: in its own session, its output prefixed, its process group killed at its end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from reskeras.files import LAUNCHED

Tell = Callable[[str, bool], None]  # a line, and whether it goes to stderr
PR_SET_PDEATHSIG = 1
MOST_HELD = 20  # lines; our error messages are shorter
DRAIN = 2.0  # seconds; longer only if a process that left the worker's session holds its pipes
_TELLING = threading.Lock()  # keeps lines of several pipes apart


class Worker:
    """A running worker. Its stdout and stderr are passed on as `[worker 0] line`.

    The final error message of `reskeras` is held back for `tell_last_words`, so that a group whose request is refused
    reports that once. `enter` is called in the new process before exec. `status` is the exit status, negative for a
    signal, None while it runs.
    """

    def __init__(
        self,
        index: int,
        command: Sequence[str],
        environ: Mapping[str, str],
        tell: Tell,
        enter: Callable[[], None] = lambda: None,
    ):
        self.index = index
        self.status: int | None = None
        self._tell = tell
        self._last_words: list[str] = []
        self._listening: list[threading.Thread] = []
        self._process = subprocess.Popen(
            list(command),
            env={**environ, LAUNCHED: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_prepared(os.getpid(), enter),
        )

    @property
    def pid(self) -> int:
        """The process id, which is also its session and process group."""
        return self._process.pid

    def listen(self) -> None:
        """Start passing on its output. Separate from the constructor: forking with running threads may deadlock."""
        for pipe, is_error in ((self._process.stdout, False), (self._process.stderr, True)):
            thread = threading.Thread(target=self._pass_on, args=(pipe, is_error), daemon=True)
            thread.start()
            self._listening.append(thread)

    def ended(self) -> bool:
        """Whether it has ended; the rest of its process group is then killed."""
        if self.status is None and self._process.poll() is not None:
            self._finish()
        return self.status is not None

    def send(self, number: int) -> None:
        """Send a signal to the whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses for a zombie
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self.send(signal.SIGKILL)
        self._process.wait()
        self._finish()

    def tell_last_words(self, prefixed: bool = True) -> None:
        """Print what was held back."""
        for line in self._last_words:
            self._say(line, True, prefixed)
        self._last_words = []

    def _finish(self) -> None:
        self.send(signal.SIGKILL)
        for thread in self._listening:
            thread.join(DRAIN)
        self.status = self._process.returncode

    def _pass_on(self, pipe: IO[bytes], is_error: bool) -> None:
        holds = False
        with pipe:
            for raw in pipe:
                line = raw.decode(errors="replace").rstrip("\r\n")
                holds = holds or (is_error and line.startswith("reskeras: "))
                if holds and len(self._last_words) < MOST_HELD:
                    self._last_words.append(line)
                else:
                    self._say(line, is_error)

    def _say(self, line: str, is_error: bool, prefixed: bool = True) -> None:
        # a closed stdout (launch | head) must neither end a training nor block it on a full pipe
        with _TELLING, contextlib.suppress(OSError, ValueError):
            self._tell(f"[worker {self.index}] {line}" if prefixed else line, is_error)


def how_it_ended(status: int | None) -> str:
    """An exit status in words: `ended with status 1` or `was killed by SIGKILL`."""
    if status is None:
        return "is still running"
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:  # a real-time signal
        return f"was killed by signal {-status}"


def _prepared(launcher: int, enter: Callable[[], None]) -> Callable[[], None] | None:
    """What a new process does before exec: enter its network namespace, then request SIGKILL at the launcher's death,
    which a change of credentials would reset (Linux)."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        enter()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)

    return ask
