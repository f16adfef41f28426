"""A group of worker processes on this machine, kept alive: started, watched, ended and started again together.

Outside `training/`, whose import is TensorFlow's: the launcher takes no time and no memory from its workers.
A worker of a TensorFlow cluster cannot be replaced alone: the others stand in a collective that ends only when they
die, and a newcomer waits in the strategy's constructor and ignores SIGTERM. So the whole group ends, at last by
SIGKILL, and starts again on other ports.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from reskeras.errors import FAILED, WRONG_REQUEST, failure
from reskeras.files import STUCK
from reskeras.launch.isolation import Enter, loopback
from reskeras.launch.places import environments, free_ports
from reskeras.launch.worker import Tell, Worker, how_it_ended

STOPPED = (143, 130)  # what `reskeras train` ends with when it was asked to stop and kept its state
FINAL = (WRONG_REQUEST, STUCK)  # what a worker ends with that would end so again
POLL = 0.05  # seconds


@dataclass(frozen=True)
class Launch:
    """What to start and how to keep it: `command` in `workers` processes, started again at most `restarts` times.

    A restart runs `again` instead of `command`. Between SIGTERM and SIGKILL lie `grace` seconds. When a worker has
    ended with 0, the others have `straggle + grace` seconds to do so too; then the group counts as hung.
    Ports are free ones from `port` on, or the system's choice.
    """

    command: Sequence[str]
    workers: int
    again: Sequence[str] | None = None
    restarts: int = 3
    grace: float = 20.0
    straggle: float = 60.0
    port: int | None = None


def supervise(launch: Launch, tell: Tell, environ: Mapping[str, str] | None = None) -> int:
    """Run the group to its end; the exit status for the launcher.

    0 when all workers ended with 0; 2 when one refused the request and 1 when one could not write, whose message is
    told once; 143, 130 or 129 when the launcher (or a worker) was stopped by SIGTERM, SIGINT or SIGHUP.
    `tell(line, is_error)` gets every line of the workers, prefixed, and the launcher's own messages. Must be called in
    the main thread: it takes over the signals until it returns, and the kernel ends the workers with the thread that
    started them.

    Raises ReskerasError: status 1 when the group failed once more than `restarts` times, status 2 when there are
    more workers than GPUs or too few free ports.
    """
    environ = dict(os.environ if environ is None else environ)
    used: list[int] = []
    with Requests() as asked, _own_network(tell) as enter:
        for start in range(launch.restarts + 1):
            used = free_ports(launch.workers, launch.port, avoid=used)
            command = launch.again if start and launch.again else launch.command
            group = Group(launch, command, environments(used, environ), environ, tell, enter)
            try:
                reason = group.watch(asked)
            finally:
                group.end(asked)
            status = group.verdict(asked)
            if status is not None:
                return status
            if start < launch.restarts:
                tell(f"launch: {reason}; restart {start + 1} of {launch.restarts} of the whole group", True)
    raise failure(f"launch: {reason}; given up after {launch.restarts} restarts")


@contextmanager
def _own_network(tell: Tell) -> Iterator[Enter]:
    """`isolation.loopback`; where the system allows none, the workers stand in the machine's network, which is told."""
    with ExitStack() as stack:
        try:
            enter = stack.enter_context(loopback())
        except OSError as error:
            tell(f"launch: the workers' ports are open to all who reach this machine, and TensorFlow runs what anyone "
                 f"sends there as you; let a firewall close them, for {error.strerror or error}", True)
            yield lambda: None
            return
        yield enter


class Requests:
    """The signals that the launcher was sent: `number` is the first; `hurry` says that Ctrl-C came again."""

    def __init__(self) -> None:
        self.number = 0
        self.hurry = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Requests:
        """Take over SIGTERM, SIGINT, and SIGHUP unless nohup had it ignored."""
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.hurry = self.hurry or (self.number != 0 and number == signal.SIGINT)
        self.number = self.number or number


class Group:
    """One start of all workers."""

    def __init__(
        self, launch: Launch, command: Sequence[str], settings: Sequence[Mapping[str, str]],
        environ: Mapping[str, str], tell: Tell, enter: Enter,
    ):
        self.launch = launch
        self.tell = tell
        self.first: Worker | None = None  # the one whose end ended the group
        self.workers: list[Worker] = []
        try:
            for index, setting in enumerate(settings):
                self.workers.append(Worker(index, command, {**environ, **setting}, tell, enter))
        except (OSError, subprocess.SubprocessError) as error:
            for worker in self.workers:
                worker.kill()
            raise failure(f"launch: {command[0]}: {getattr(error, 'strerror', None) or error}") from error
        for worker in self.workers:  # no thread is started before the last fork
            worker.listen()

    def watch(self, asked: Requests) -> str:
        """Wait until the group is done, has failed or is to stop; why it has failed, for people."""
        patience = self.launch.straggle + self.launch.grace
        since = 0.0
        while not asked.number:
            ended = [worker for worker in self.workers if worker.ended()]
            if bad := [worker for worker in ended if worker.status]:
                self.first = min(bad, key=_precedence)
                if self.first.status not in FINAL:
                    self.first.tell_last_words()  # now, and not after the others' grace period
                return f"worker {self.first.index} {how_it_ended(self.first.status)}"
            if len(ended) == len(self.workers):
                return ""
            if ended:
                since = since or time.monotonic()
                if time.monotonic() - since > patience:
                    late = ", ".join(str(worker.index) for worker in self.workers if worker not in ended)
                    return f"worker {late} still runs {patience:g} s after worker {ended[0].index} ended with status 0"
            time.sleep(POLL)
        return "stopped"

    def end(self, asked: Requests) -> None:
        """End what still runs: SIGTERM, after the grace period (or a second Ctrl-C) SIGKILL."""
        running = [worker for worker in self.workers if not worker.ended()]
        for worker in running:
            worker.send(signal.SIGTERM)
        deadline = time.monotonic() + self.launch.grace
        while running and not asked.hurry and time.monotonic() < deadline:
            time.sleep(POLL)
            running = [worker for worker in running if not worker.ended()]
        for worker in running:
            self.tell(f"launch: worker {worker.index} did not end on SIGTERM and is killed", True)
            worker.kill()

    def verdict(self, asked: Requests) -> int | None:
        """The launcher's exit status after the end of the group; None when it is to be started again."""
        final = [worker for worker in self.workers if worker.status in FINAL]
        if final:
            final[0].tell_last_words(prefixed=False)  # the others said the same, or that this one had gone
        else:
            for worker in self.workers:
                worker.tell_last_words()
        if asked.number:
            return 128 + asked.number
        if final:
            return WRONG_REQUEST if final[0].status == WRONG_REQUEST else FAILED
        if self.first is not None and self.first.status in STOPPED:
            self.tell(f"launch: worker {self.first.index} was asked to stop, though the launcher was not; all are "
                      "stopped", True)
            return self.first.status
        return 0 if all(worker.status == 0 for worker in self.workers) else None


def _precedence(worker: Worker) -> int:
    """Of several that ended within one look: a refusal, a stop, a signal, then those that others may have caused."""
    status = worker.status or 0
    return 0 if status in FINAL else 1 if status in STOPPED else 2 if status < 0 else 3
