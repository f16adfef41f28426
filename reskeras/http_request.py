"""One request to a server that is not trusted: a deadline for its whole answer, and a bound for its size."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter

LARGEST_ANSWER = 32 << 20  # bytes; 32 images of 5 classes, or 4 of 100 boxes, take less than a hundredth
CHUNK = 64 << 10
PLAIN = ("", "identity")
PASSWORD = re.compile(r"(?<=//)[^/?#]*@")  # what stands before a host


@dataclass(frozen=True)
class Answer:
    """A server's answer: its body as sent, where a redirect leads, and the seconds of its Retry-After, 0 without
    one."""

    status: int
    reason: str
    body: bytes
    location: str
    retry_after: float


def ask(session: requests.Session, url: str, body: dict[str, Any], timeout: float) -> Answer:
    """POST `body` as JSON. Raises TimeoutError when the last byte has not come within `timeout` seconds,
    ConnectionError with the reason when the server cannot be reached, and ValueError, phrased to follow the
    address, for an answer that is too large or compressed.

    A socket's time-out is for each piece received, so that a server that drips bytes never exceeds it.
    """
    guarded = _Guarded()
    session.mount("http://", guarded)
    session.mount("https://", guarded)
    with guarded.cut_after(timeout) as cut:
        try:
            return _answer(session, url, body, timeout)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError) as error:
            if cut.is_set() or isinstance(error, requests.Timeout) or "timed out" in str(error):
                raise TimeoutError(url) from error
            raise ConnectionError(_reason(error)) from error


def _answer(session: requests.Session, url: str, body: dict[str, Any], timeout: float) -> Answer:
    # an answer that is not compressed cannot unpack to more than was sent
    with session.post(
        url, json=body, timeout=timeout, stream=True, allow_redirects=False, headers={"Accept-Encoding": "identity"}
    ) as response:
        if (encoding := response.headers.get("Content-Encoding", "").strip().lower()) not in PLAIN:
            raise ValueError(f"sent a compressed response, which was not requested ({encoding[:20]})")
        received = bytearray()
        for chunk in response.raw.stream(CHUNK, decode_content=False):
            received += chunk
            if len(received) > LARGEST_ANSWER:
                raise ValueError(f"sent a response larger than {LARGEST_ANSWER >> 20} MiB")
        return Answer(
            response.status_code,
            str(response.reason),
            bytes(received),
            response.headers.get("Location", ""),
            _seconds(response.headers.get("Retry-After", "")),
        )


class _Guarded(HTTPAdapter):
    """An adapter that asks once, on new connections, and can cut them off from another thread."""

    def __init__(self) -> None:
        self._guards: list[socket.socket] = []
        self._cut = threading.Event()
        super().__init__(max_retries=0, pool_maxsize=1)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self._guard(self.poolmanager)

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*arguments, **options)
        self._guard(manager)
        return manager

    def _guard(self, manager: urllib3.PoolManager) -> None:
        def guard(made: socket.socket) -> None:
            self._guards.append(made.dup())  # TLS wraps the socket itself
            if self._cut.is_set():  # it came too late to be cut with the others
                made.shutdown(socket.SHUT_RDWR)

        def guarding(connection: type) -> type:
            class Guarding(connection):  # type: ignore[misc]  # a base known at run time only
                def _new_conn(self) -> socket.socket:
                    made = super()._new_conn()
                    guard(made)
                    return made

            return Guarding

        pools: dict[str, type[urllib3.HTTPConnectionPool]] = manager.pool_classes_by_scheme
        manager.pool_classes_by_scheme = {
            scheme: type(pool.__name__, (pool,), {"ConnectionCls": guarding(pool.ConnectionCls)})
            for scheme, pool in pools.items()
        }

    @contextmanager
    def cut_after(self, seconds: float) -> Iterator[threading.Event]:
        """Shut every connection of the block when `seconds` have passed; the event is set if it happened."""

        def cut() -> None:
            self._cut.set()
            for guard in list(self._guards):
                try:
                    guard.shutdown(socket.SHUT_RDWR)
                except OSError:  # it has ended by itself
                    continue

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield self._cut
        finally:
            timer.cancel()
            self.close()
            while self._guards:
                self._guards.pop().close()


def without_password(url: str) -> str:
    """`url` without the user and password before its host."""
    return PASSWORD.sub("", url)


def _seconds(text: str) -> float:
    """The seconds of a Retry-After; 0 for one that is a date."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0


def _reason(error: Exception) -> str:
    """The last clause of what urllib3 says, in which objects and addresses stand before it."""
    cause = error.args[0] if error.args else error
    reason = str(getattr(cause, "reason", cause))
    return without_password(reason.rpartition(": ")[2] or type(error).__name__)
