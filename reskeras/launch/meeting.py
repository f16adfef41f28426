"""Where the workers of a cluster meet before TensorFlow starts: named and bounded waiting that a signal ends.

TensorFlow itself waits for ever for workers that do not come, holds Python's lock meanwhile and ignores SIGTERM.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

from reskeras.errors import ReskerasError, failure, shown
from reskeras.launch.cluster import Cluster
from reskeras.printable import few

WAIT = 900.0  # seconds until all workers must have come; machines of a cloud start minutes apart
FIRST_WORD = 5.0  # seconds of waiting before it is reported, then in every
REPEATED = 60.0
PORT_FREE = 30.0  # seconds for a predecessor to release the chief's port
SILENT = 2.0  # seconds that whoever connects has to say who it is
PAUSE = 0.5
LONGEST = 1 << 20  # bytes that a worker may say
LONGEST_ANSWER = 256 << 20

Tell = Callable[[str], None]


def meet(here: Cluster, own: str, tell: Tell = lambda line: None, wait: float = WAIT) -> list[str]:
    """Wait until all workers of the cluster have come; returns the text that each brought, in their order.

    They meet at the chief's address, on the port that its TensorFlow uses afterwards. `tell` gets a line about who is
    awaited. Raises ReskerasError (status 1, final: restarting would not help) when one has not come after `wait`
    seconds.
    """
    waiting = _Waiting(here, tell, wait)
    return _receive(here, own, waiting) if here.is_chief else _visit(here, own, waiting)


class _Waiting:
    """The time that the workers have, and what is said meanwhile."""

    def __init__(self, here: Cluster, tell: Tell, wait: float):
        self.here, self.tell, self.wait = here, tell, wait
        self.began = time.monotonic()
        self.next_word = FIRST_WORD

    @property
    def passed(self) -> float:
        return time.monotonic() - self.began

    def check(self, missing: str) -> None:
        """Report who is missing now and then; ReskerasError when the time is over."""
        if self.passed > self.next_word:
            self.next_word += REPEATED
            self.tell(f"workers: waiting for {missing}, at most {self.wait / 60:g} min")
        if self.passed > self.wait:
            raise _final(
                f"workers: {missing} did not connect within {self.wait / 60:g} min; start the same command on every "
                "machine, and let the workers' ports through the firewalls"
            )


def named(here: Cluster, indices: list[int]) -> str:
    """Workers by number and address, the first three of many."""
    return few(indices, named=lambda index: f"worker {index} ({here.workers[index]})")


def _final(message: str) -> ReskerasError:
    error = failure(message)
    error.final = True
    return error


def _receive(here: Cluster, own: str, waiting: _Waiting) -> list[str]:
    """The chief's part: let the others in one by one, and send all of them what all have said."""
    count = len(here.workers)
    guests: dict[int, tuple[socket.socket, str]] = {}
    with ExitStack() as stack:
        door = stack.enter_context(_door(here, waiting))
        door.settimeout(PAUSE)
        while True:
            with suppress(OSError):  # nobody came, or left at once
                guest, _ = door.accept()
                stack.callback(guest.close)
                guest.settimeout(SILENT)
                index, text = _introduction(_line(guest, LONGEST), count)
                if index in guests:  # the one that came last is the one that runs
                    guests[index][0].close()
                guests[index] = guest, text
            guests = {index: each for index, each in guests.items() if not _gone(each[0])}
            if len(guests) == count - 1:
                break
            try:
                waiting.check(named(here, sorted(set(range(1, count)) - guests.keys())))
            except ReskerasError as error:
                for guest, _ in guests.values():
                    _say(guest, {"refused": str(error)})
                raise
        told = [own, *(guests[index][1] for index in sorted(guests))]
        for guest, _ in guests.values():
            _say(guest, {"told": told})
        return told


def _door(here: Cluster, waiting: _Waiting) -> socket.socket:
    """A listening socket on the chief's port; ReskerasError when another program keeps it."""
    port = int(here.workers[here.index].rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    while True:
        try:
            family = socket.AF_INET6 if both else socket.AF_INET
            return socket.create_server(("", port), family=family, dualstack_ipv6=both)
        except OSError as error:
            if both and error.errno == errno.EADDRNOTAVAIL:  # the machine knows IPv6, but has it switched off
                both = False
                continue
            if waiting.passed > PORT_FREE:
                address = here.workers[here.index]
                raise failure(f"workers: port {port} of {address} is in use: {error.strerror}") from error
        time.sleep(PAUSE)


def _visit(here: Cluster, own: str, waiting: _Waiting) -> list[str]:
    """The others' part: go to the chief, again and again, and stay until it answers."""
    host, _, port = here.workers[0].rpartition(":")
    others = f"the others that {named(here, [0])} waits for"
    hello = {"reskeras": here.index, "text": own}
    while True:
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), PAUSE * 10) as chief:
            _say(chief, hello)
            while not select.select([chief], [], [], PAUSE)[0]:
                waiting.check(others)
            chief.settimeout(SILENT * 10)
            answer = _line(chief, LONGEST_ANSWER)
            if refused := answer.get("refused"):
                raise _final(str(refused))
            told = answer.get("told")
            if isinstance(told, list) and len(told) == len(here.workers):
                return [str(each) for each in told]
        waiting.check(named(here, [0]))
        time.sleep(PAUSE)


def _introduction(said: dict, count: int) -> tuple[int, str]:
    """The worker's number and text; OSError for a stranger."""
    index, text = said.get("reskeras"), said.get("text")
    if not isinstance(index, int) or not 0 < index < count or not isinstance(text, str):
        raise OSError(f"a stranger said {shown(said)}")
    return index, text


def _say(other: socket.socket, words: dict) -> None:
    with suppress(OSError):  # it has gone: whoever needs it notices
        other.sendall(json.dumps(words).encode() + b"\n")


def _line(other: socket.socket, longest: int) -> dict:
    """An object that the other says in a line of JSON; OSError for anything else."""
    heard = bytearray()
    while not heard.endswith(b"\n"):
        part = other.recv(1 << 16)
        if not part or len(heard) > longest:
            raise OSError("not a line")
        heard += part
    try:
        words = json.loads(heard)
    except (ValueError, RecursionError) as error:
        raise OSError("not JSON") from error
    if not isinstance(words, dict):
        raise OSError("not an object")
    return words


def _gone(other: socket.socket) -> bool:
    """Whether the other has left, or says more than it should."""
    return bool(select.select([other], [], [], 0)[0])
