"""KerasTuner's chief and workers over gRPC: supervised processes on this machine, or a cluster's by environment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_client
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from reskeras.errors import ReskerasError, failure
from reskeras.files import STUCK, append_line
from reskeras.launch.group import STOPPED, Requests
from reskeras.launch.places import HOST, environments, visible_gpus
from reskeras.launch.worker import Worker, how_it_ended
from reskeras.tuning.oracles import SteadyOracle

ID, IP, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
CHIEF = "chief"
POLL = 0.2
GRACE = 20.0  # seconds from asking a worker to end to killing it
VISIBLE = "CUDA_VISIBLE_DEVICES"
TF_CONFIG = "TF_CONFIG"  # for the workers of a single distributed training


@dataclass(frozen=True)
class Crew:
    """Workers of a search: `count` on this machine, each started again at most `restarts` times.

    A worker without a heartbeat for `patience` seconds is given up, and its trial given to another; when no worker has
    sent one for so long, the search ends.
    """

    count: int = 1
    restarts: int = 3
    patience: float = 120.0


def role(environ: Mapping[str, str] = os.environ) -> str | None:
    """`chief`, a worker's name, or None where KerasTuner's variables are not set; ReskerasError when one is missing."""
    if IP not in environ and PORT not in environ:
        return None
    missing = [name for name in (ID, IP, PORT) if not environ.get(name)]
    if missing:
        known = next(name for name in (IP, PORT) if name in environ)
        raise ReskerasError(
            f"tune: {missing[0]} is not set, but {known} is; a search on a cluster needs {ID}, {IP} and {PORT}"
        )
    if not environ[PORT].isdecimal():
        raise ReskerasError(f"tune: {PORT}: {environ[PORT]!r}: should be a number")
    return CHIEF if CHIEF in environ[ID] else environ[ID]


class GuardedServicer(OracleServicer):
    """KerasTuner's gRPC servicer; an invalid request is refused in one line, and an error of ours, such as an
    unwritable disk, ends the search through the oracle's `trouble`."""


def _guarded(answer: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(answer)
    def guarded(self: GuardedServicer, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return answer(self, request, context)
        except ReskerasError as error:
            self.oracle.trouble = error
            context.abort(grpc.StatusCode.ABORTED, str(error))
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{type(error).__name__}: {error}")

    return guarded


for _name in ("GetSpace", "UpdateSpace", "CreateTrial", "UpdateTrial", "EndTrial", "GetTrial", "GetBestTrials"):
    setattr(GuardedServicer, _name, _guarded(getattr(OracleServicer, _name)))


@contextmanager
def serving(oracle: SteadyOracle, host: str, port: int) -> Iterator[int]:
    """Serve the oracle to workers while the block runs; yields the port. ReskerasError (status 2) when it is taken."""
    # without this option two chiefs could share a port
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=(("grpc.so_reuseport", 0),))
    protos.get_service_grpc().add_OracleServicer_to_server(GuardedServicer(oracle), server)
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError:
        bound = 0
    if not bound:
        raise ReskerasError(f"port: {port} on {host} is in use or not an address of this machine; use another")
    server.start()
    try:
        yield bound
    finally:
        server.stop(None).wait()


@contextmanager
def asking_chief(patience: float) -> Iterator[None]:
    """Fail when the chief does not answer within `patience` seconds; KerasTuner would wait for an hour."""
    oracle_client.TIMEOUT = patience
    try:
        yield
    except grpc.RpcError as error:
        where = f"{os.environ[IP]}:{os.environ[PORT]}"
        raise failure(f"tune: the chief at {where} does not answer ({error.code().name})") from error


def wait_for_workers(
    oracle: SteadyOracle, patience: float, tell: Callable[[str], None], look: Callable[[], None] = lambda: None
) -> None:
    """On a cluster: wait until every worker has been told to stop, or no worker sends heartbeats any more."""
    began = time.monotonic()
    while not oracle.over:
        give_up_silent(oracle, patience, tell)
        if oracle.trouble:
            raise oracle.trouble
        if time.monotonic() - max([began, *oracle.seen.values()]) > patience:
            tell(f"tune: no worker has sent a heartbeat for {patience:g} s; the search ends")
            return
        look()
        time.sleep(POLL)


def give_up_silent(oracle: SteadyOracle, patience: float, tell: Callable[[str], None]) -> None:
    """Requeue the trials of workers without a heartbeat."""
    for tuner_id in oracle.silent(patience):
        trial = oracle.release(tuner_id)
        tell(f"tune: {tuner_id} has sent no heartbeat for {patience:g} s; trial {trial} goes to another worker")


def unused_gpus(workers: int, environ: Mapping[str, str] = os.environ) -> str:
    """A note when there are more GPUs than workers, else empty."""
    gpus = len(visible_gpus(environ))
    if gpus <= workers:
        return ""
    return f"tune: a trial trains on one GPU, so {workers} of {gpus} are used; use --workers {gpus} for all"


def _with_one_gpu(setting: Mapping[str, str]) -> dict[str, str]:
    """A worker's environment with the first of its GPUs alone: a trial trains on one."""
    gpus = {name: value.partition(",")[0] for name, value in setting.items() if name == VISIBLE}
    return {**setting, **gpus}


class LocalCrew:
    """Worker processes on this machine for the oracle at `port`."""

    def __init__(self, crew: Crew, command: Sequence[str], port: int, folder: Path, tell: Callable[[str], None]):
        self.crew, self.command, self.folder, self.tell = crew, command, folder, tell
        shared = [_with_one_gpu(each) for each in environments([0] * crew.count, os.environ)]
        self.settings = [
            {
                **os.environ,
                **{name: value for name, value in each.items() if name != TF_CONFIG},
                ID: f"worker-{index}",
                IP: HOST,
                PORT: str(port),
            }
            for index, each in enumerate(shared)
        ]
        self.restarts = [0] * crew.count
        self.last_words = ""
        self.workers: dict[int, Worker] = {index: self._start(index) for index in range(crew.count)}
        for worker in self.workers.values():
            worker.listen()

    def watch(self, oracle: SteadyOracle, look: Callable[[], None]) -> int:
        """Supervise the workers until all are done; returns the number of a signal received meanwhile, else 0."""
        with Requests() as asked:
            try:
                while self.workers and not asked.number and not oracle.trouble:
                    for index, worker in list(self.workers.items()):
                        if worker.ended():
                            self._ended(oracle, index, worker)
                    give_up_silent(oracle, self.crew.patience, self.tell)
                    look()
                    time.sleep(POLL)
            finally:
                self._end(asked)
        if oracle.trouble and not asked.number:
            raise oracle.trouble
        return asked.number

    def _start(self, index: int) -> Worker:
        return Worker(index, self.command, self.settings[index], self._note)

    def _note(self, line: str, is_error: bool) -> None:
        if is_error and "] " in line:
            self.last_words = line.partition("] ")[2]
        append_line(self.folder / "workers.log", line)

    def _ended(self, oracle: SteadyOracle, index: int, worker: Worker) -> None:
        del self.workers[index]
        worker.tell_last_words()
        if not worker.status:
            return
        if worker.status == STUCK:  # a restart would fail too
            oracle.forgive(f"worker-{index}")
            oracle.trouble = failure(self.last_words.removeprefix("reskeras: "))
            return
        how = f"tune: worker {index} {how_it_ended(worker.status)}"
        if worker.status not in STOPPED and self.restarts[index] < self.crew.restarts:
            self.restarts[index] += 1
            self.tell(f"{how}; restart {self.restarts[index]} of {self.crew.restarts}")
            self.workers[index] = self._start(index)
            self.workers[index].listen()
            return
        trial = oracle.release(f"worker-{index}")
        left = f"; its trial {trial} goes to another worker" if trial and self.workers else ""
        self.tell(f"{how}; it is not restarted{left} (its output is in {self.folder / 'workers.log'})")

    def _end(self, asked: Requests) -> None:
        for worker in self.workers.values():
            worker.send(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while (
            not asked.hurry
            and time.monotonic() < deadline
            and not all(worker.ended() for worker in self.workers.values())
        ):
            time.sleep(POLL)
        for worker in self.workers.values():
            if not worker.ended():
                worker.kill()
