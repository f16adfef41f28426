"""What the workers of a training tell each other: agreement, errors, and bytes from the chief, by collectives."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from reskeras.errors import ReskerasError, failure
from reskeras.launch.cluster import Cluster
from reskeras.launch.meeting import named

SIZES = (1 << 8, 1 << 14, 1 << 22)  # 32-bit words that are summed at once: few sizes, because each is traced
# TensorFlow's words when another worker has gone, within 10 s of that by its coordination service
LOST = re.compile(r"Collective ops is aborted|GRPC error information|CoordinationService|StartAbort")
PEER = re.compile(r"task:(\d+)")
Value = TypeVar("Value")


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


@dataclass(frozen=True)
class Exchange:
    """A tf.distribute strategy, this process' worker index and the number of workers, of a cluster if several."""

    strategy: tf.distribute.Strategy
    worker: int = 0
    workers: int = 1
    cluster: Cluster | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder; the others need none."""
        return self.worker == 0

    def any(self, flag: bool, number: int = 0) -> tuple[bool, int]:
        """Whether `flag` is set on any worker, and the chief's `number`. A collective: all workers must call it."""
        if self.workers == 1:
            return flag, number
        flags, told = self._sum(np.array([flag, number if self.is_chief else 0], np.int32)).tolist()
        return flags > 0, told

    def told_by_all(self, text: str) -> list[str]:
        """The `text` of every worker, in order (all-gather). A collective: all workers must call it."""
        own = np.frombuffer(text.encode(), np.uint8)
        lengths = self._from_all(np.array([len(own)], np.int32), 1)[:, 0]
        if not lengths.any():
            return [""] * self.workers
        rows = self._from_all(_words(own.tobytes()), -(-int(lengths.max()) // 4))
        return [row.tobytes()[:length].decode() for row, length in zip(rows, lengths, strict=True)]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run the block on every worker; a ReskerasError of one is raised on all, where the block ends.

        A collective: all workers must enter it, and the block must contain no other.
        """
        own: ReskerasError | None = None
        try:
            yield
        except ReskerasError as error:
            own = error
        if self.workers > 1:
            told = self.told_by_all(json.dumps([str(own), own.status, own.final]) if own else "")
            for worker, text in enumerate(told):
                if text and own is None:
                    message, status, final = json.loads(text)
                    own = ReskerasError(f"worker {worker}: {message}", status)
                    own.final = final
        if own:
            raise own

    def from_chief(
        self,
        make: Callable[[], Value],
        pack: Callable[[Value], bytes] = _encoded,
        unpack: Callable[[bytes], Value] = json.loads,
    ) -> Value:
        """What `make` returns on the chief, on every worker (broadcast); by default it is plain data.

        `pack` and `unpack` turn other things into bytes and back. A ReskerasError of `make` is raised on all workers. A
        collective: all workers must call it.
        """
        if self.workers == 1:
            return make()
        value, packed = None, b""
        with self.together():
            if self.is_chief:
                value = make()
                packed = pack(value)
        received = self._broadcast(packed)
        return value if self.is_chief else unpack(received)  # type: ignore[return-value]  # the chief has made it

    def _broadcast(self, own: bytes) -> bytes:
        """The chief's bytes, in chunks of bounded size: a sum to which the others add zeros."""
        head = np.zeros(34, np.int32)  # the length in two parts, and the SHA-256 by byte
        if self.is_chief:
            head[:2] = divmod(len(own), 1 << 30)
            head[2:] = np.frombuffer(hashlib.sha256(own).digest(), np.uint8)
        head = self._sum(head)
        length = int(head[0]) * (1 << 30) + int(head[1])
        words = self._sum(_words(own) if self.is_chief else np.zeros(-(-length // 4), np.int32))
        received = words.view(np.uint8)[:length].tobytes()
        if hashlib.sha256(received).digest() != head[2:].astype(np.uint8).tobytes():
            raise failure(
                f"workers: what worker 0 sent ({length:,} bytes) did not arrive intact at worker {self.worker}"
            )
        return received

    @contextmanager
    def losses_told(self) -> Iterator[None]:
        """Turn TensorFlow's errors about workers that are gone into a failure that names one."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.cluster is None or not tells_of_loss(error):
                raise
            raise _lost(self.cluster, str(error)) from error

    def finish(self) -> None:
        """Wait until all workers are done, so that none takes the end of another for a loss."""
        with self.together():
            pass

    def _from_all(self, row: np.ndarray, length: int) -> np.ndarray:
        """int32 (workers, length): the rows of all workers, padded with 0."""
        table = np.zeros((self.workers, length), np.int32)
        table[self.worker, : len(row)] = row
        return self._sum(table.ravel()).reshape(table.shape)

    def _sum(self, words: np.ndarray) -> np.ndarray:
        """int32 (n,): the sum over all workers, in chunks of bounded size; exact, also for words that are bits."""
        size = next((size for size in SIZES if len(words) <= size), SIZES[-1])
        chunk, total = np.zeros(size, np.int32), np.empty_like(words)
        for first in range(0, len(words), size):
            part = words[first : first + size]
            chunk[: len(part)] = part
            total[first : first + len(part)] = self._summed(tf.constant(chunk)).numpy()[: len(part)]
        return total

    @cached_property
    def _summed(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """All-reduce: the sum of a tensor over all workers, in a graph; a worker's first replica adds it."""
        strategy, each = self.strategy, self.strategy.num_replicas_in_sync // self.workers

        def added(value: tf.Tensor) -> tf.Tensor:
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            return tf.where(tf.equal(replica % each, 0), value, tf.zeros_like(value))

        return tf.function(lambda value: strategy.reduce("SUM", strategy.run(added, args=(value,)), axis=None))


def _words(content: bytes) -> np.ndarray:
    """Bytes as int32, padded with 0."""
    missing = -len(content) % 4
    return np.frombuffer(content + bytes(missing) if missing else content, np.int32)


def tells_of_loss(error: BaseException) -> bool:
    """Whether an error of TensorFlow says that another worker has gone."""
    return isinstance(error, tf.errors.OpError) and bool(LOST.search(str(error)))


def _lost(here: Cluster, told: str) -> ReskerasError:
    """The failure of a training that has lost a worker, which TensorFlow's message may name."""
    found = [int(index) for index in PEER.findall(told)]
    others = [index for index in found if index != here.index and index < len(here.workers)]
    if not others and (not here.is_chief or len(here.workers) == 2):
        # of two it is the other; TensorFlow's coordination, which has excluded this worker, is the first one's
        others = [1 if here.is_chief else 0]
    lost = named(here, others[:1]) if others else "another worker"
    error = failure(
        f"workers: the connection to {lost} was lost; start all workers again with --resume to continue from the last "
        "state"
    )
    error.at_once = True
    return error
