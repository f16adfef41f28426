"""The worker processes of this machine: started, supervised, stopped and restarted together.

It is outside `training/`, which imports TensorFlow, so that the launcher takes no time and memory from its workers.
A worker of a TensorFlow cluster cannot be replaced alone: the others block in a collective until they die, and a new
one waits in the strategy's constructor and ignores SIGTERM. So the whole group is ended, finally by SIGKILL, and
restarted: on other ports, if it is all on this machine; in a cluster of several machines, each of which has a launcher
for its own worker, the workers meet again where they met first (`meeting.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any

from reskeras.errors import FAILED, WRONG_REQUEST, failure
from reskeras.files import STUCK
from reskeras.launch.cluster import Cluster
from reskeras.launch.isolation import Enter, loopback
from reskeras.launch.places import UNBUFFERED, environments, free_ports
from reskeras.launch.worker import Tell, Worker, how_it_ended

STOPPED = (143, 130)  # exit statuses of `reskeras train` when it was asked to stop and wrote a checkpoint
FINAL = (WRONG_REQUEST, STUCK)  # exit statuses that a restart would only repeat
POLL = 0.05  # seconds
LONGEST_PAUSE = 30  # seconds between restarts in a cluster, doubled from 1: its other machines notice in the meantime


@dataclass(frozen=True)
class Launch:
    """What to run: `command` in `workers` processes, restarted at most `restarts` times.

    A restart runs `again`, if given, instead of `command`. SIGKILL follows SIGTERM after `grace` seconds. When a worker
    has ended with status 0, the others have `straggle + grace` seconds to end as well; then the group counts as hung.
    Ports are the first free ones from `port` on, or the system's choice. With `here`, only this machine's worker of
    that cluster is run, in the machine's own network.
    """

    command: Sequence[str]
    workers: int
    again: Sequence[str] | None = None
    restarts: int = 3
    grace: float = 20.0
    straggle: float = 60.0
    port: int | None = None
    here: Cluster | None = None

    @property
    def subject(self) -> str:
        """What is restarted, in words."""
        return "this machine's worker" if self.here else "the whole group"


def supervise(launch: Launch, tell: Tell, environ: Mapping[str, str] | None = None) -> int:
    """Run the group to its end; returns the exit status for the launcher.

    0 when all workers ended with 0; 2 when one refused the request and 1 when one could not write, whose message is
    printed once; 143, 130 or 129 when the launcher (or a worker) was stopped by SIGTERM, SIGINT or SIGHUP.
    `tell(line, is_error)` gets every line of the workers, prefixed, and the launcher's own messages. Must be called in
    the main thread: it handles signals until it returns, and the kernel kills the workers when the thread that started
    them ends.

    Raises ReskerasError: status 1 when the group failed once more than `restarts` times, status 2 when there are
    more workers than GPUs or too few free ports.
    """
    environ = dict(os.environ if environ is None else environ)
    used: list[int] = []
    with Requests() as asked, nullcontext(lambda: None) if launch.here else _own_network(tell) as enter:
        for start in range(launch.restarts + 1):
            if launch.here:
                settings = [UNBUFFERED]
            else:
                used = free_ports(launch.workers, launch.port, avoid=used)
                settings = environments(used, environ)
            command = launch.again if start and launch.again else launch.command
            group = Group(launch, command, settings, environ, tell, enter)
            try:
                reason = group.watch(asked)
            finally:
                group.end(asked)
            status = group.verdict(asked)
            if status is not None:
                return status
            if start < launch.restarts:
                tell(f"launch: {reason}; restart {start + 1} of {launch.restarts} of {launch.subject}", True)
                if launch.here and asked.within(min(2.0**start, LONGEST_PAUSE)):
                    return 128 + asked.number
    raise failure(f"launch: {reason}; giving up after {launch.restarts} restarts")


@contextmanager
def _own_network(tell: Tell) -> Iterator[Enter]:
    """`isolation.loopback`; where that is not permitted, the workers use the machine's network, with a warning."""
    with ExitStack() as stack:
        try:
            enter = stack.enter_context(loopback())
        except OSError as error:
            tell(
                "launch: the workers' ports are open to anyone who can reach this machine, and TensorFlow runs "
                f"whatever is sent there as your user; close them with a firewall, because {error.strerror or error}",
                True,
            )
            yield lambda: None
            return
        yield enter


class Requests:
    """Signals sent to the launcher: `number` is the first one; `hurry` is set by Ctrl-C after that."""

    def __init__(self) -> None:
        self.number = 0
        self.hurry = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Requests:
        """Install handlers for SIGTERM, SIGINT, and SIGHUP unless it is ignored (nohup)."""
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        """Restore the handlers."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def within(self, seconds: float) -> bool:
        """Whether a signal comes in this time."""
        deadline = time.monotonic() + seconds
        while not self.number and time.monotonic() < deadline:
            time.sleep(POLL)
        return self.number != 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.hurry = self.hurry or (self.number != 0 and number == signal.SIGINT)
        self.number = self.number or number


class Group:
    """One start of all workers."""

    def __init__(
        self,
        launch: Launch,
        command: Sequence[str],
        settings: Sequence[Mapping[str, str]],
        environ: Mapping[str, str],
        tell: Tell,
        enter: Enter,
    ):
        self.launch = launch
        self.tell = tell
        self.first: Worker | None = None  # the worker that failed first
        self.workers: list[Worker] = []
        try:
            for index, setting in enumerate(settings, launch.here.index if launch.here else 0):
                self.workers.append(Worker(index, command, {**environ, **setting}, tell, enter))
        except (OSError, subprocess.SubprocessError) as error:
            for worker in self.workers:
                worker.kill()
            raise failure(f"launch: {command[0]}: {getattr(error, 'strerror', None) or error}") from error
        for worker in self.workers:  # threads are started only after the last fork
            worker.listen()

    def watch(self, asked: Requests) -> str:
        """Wait until the group is done, fails or is asked to stop; returns why it failed, in words."""
        patience = self.launch.straggle + self.launch.grace
        since = 0.0
        while not asked.number:
            ended = [worker for worker in self.workers if worker.ended()]
            if bad := [worker for worker in ended if worker.status]:
                self.first = min(bad, key=_precedence)
                if self.first.status not in FINAL:
                    self.first.tell_last_words()  # now instead of after the others' grace period
                return f"worker {self.first.index} {how_it_ended(self.first.status)}"
            if len(ended) == len(self.workers):
                return ""
            if ended:
                since = since or time.monotonic()
                if time.monotonic() - since > patience:
                    late = ", ".join(str(worker.index) for worker in self.workers if worker not in ended)
                    return (
                        f"worker {late} is still running {patience:g} s after worker {ended[0].index} "
                        "ended with status 0"
                    )
            time.sleep(POLL)
        return "stopped"

    def end(self, asked: Requests) -> None:
        """End the running workers: SIGTERM, and after the grace period (or a second Ctrl-C) SIGKILL."""
        running = [worker for worker in self.workers if not worker.ended()]
        for worker in running:
            worker.send(signal.SIGTERM)
        deadline = time.monotonic() + self.launch.grace
        while running and not asked.hurry and time.monotonic() < deadline:
            time.sleep(POLL)
            running = [worker for worker in running if not worker.ended()]
        for worker in running:
            self.tell(f"launch: worker {worker.index} did not stop on SIGTERM and is killed", True)
            worker.kill()

    def verdict(self, asked: Requests) -> int | None:
        """The launcher's exit status once the group has ended; None when it should be restarted."""
        final = [worker for worker in self.workers if worker.status in FINAL]
        if final:
            final[0].tell_last_words(prefixed=False)  # the others report the same, or that this one has gone
        else:
            for worker in self.workers:
                worker.tell_last_words()
        if asked.number:
            return 128 + asked.number
        if final:
            return WRONG_REQUEST if final[0].status == WRONG_REQUEST else FAILED
        if self.first is not None and self.first.status in STOPPED:
            others = "perhaps on another machine" if self.launch.here else "but the launcher was not"
            self.tell(f"launch: worker {self.first.index} was asked to stop, {others}; stopping all workers", True)
            return self.first.status
        return 0 if all(worker.status == 0 for worker in self.workers) else None


def _precedence(worker: Worker) -> int:
    """Sort key of workers that ended within one poll: refusals, stops, signals, then possible consequences of these."""
    status = worker.status or 0
    return 0 if status in FINAL else 1 if status in STOPPED else 2 if status < 0 else 3
