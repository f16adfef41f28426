"""Workers meet before TensorFlow starts: whoever comes when, strangers, and those that do not come."""

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from reskeras.errors import ReskerasError
from reskeras.launch import meeting
from reskeras.launch.cluster import Cluster
from reskeras.launch.meeting import meet


def address():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def chief():
    return address()


class Comer(threading.Thread):
    """A worker that comes; `told` is what it heard in the end, or the error."""

    def __init__(self, workers, index, wait=10.0, text=None):
        super().__init__(daemon=True)
        self.here, self.wait, self.text = Cluster(tuple(workers), index), wait, text or f"text {index}"
        self.lines, self.told = [], None
        self.start()

    def run(self):
        try:
            self.told = meet(self.here, self.text, self.lines.append, self.wait)
        except ReskerasError as error:
            self.told = error


def heard(*comers):
    for each in comers:
        each.join(20)
        assert not each.is_alive()
    return [each.told for each in comers]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_all_hear_what_all_have_brought_in_whatever_order_they_come(chief, order):
    workers = [chief, "b:1", "c:1"]
    comers = []
    for index in order:
        comers.append(Comer(workers, index))
        time.sleep(0.3)
    assert heard(*comers) == [["text 0", "text 1", "text 2"]] * 3


def test_one_that_does_not_come_is_named_on_all(chief, monkeypatch):
    monkeypatch.setattr(meeting, "FIRST_WORD", 0.5)
    workers = [chief, "b:1", "c:9"]
    first, second = Comer(workers, 0, wait=2), Comer(workers, 1)
    for told in heard(first, second):
        assert (told.status, told.final) == (1, True)
        assert str(told).startswith(
            "workers: worker 2 (c:9) did not connect within 0.0333333 min; start the same command"
        )
        assert "\n" not in str(told)
    # worker 1 may still be on its way then
    assert first.lines[0].startswith("workers: waiting for ") and "worker 2 (c:9), at most " in first.lines[0]
    assert second.lines[0].startswith(f"workers: waiting for the others that worker 0 ({chief}) waits for, at most ")


def test_a_chief_that_does_not_come_is_named(chief):
    [told] = heard(Comer([chief, "b:1"], 1, wait=1))
    assert f"worker 0 ({chief}) did not connect" in str(told)


def test_a_worker_that_left_is_awaited_again(chief):
    workers = [chief, "b:1", "c:1"]
    first = Comer(workers, 0)
    port = int(chief.rpartition(":")[2])
    time.sleep(0.3)
    with socket.create_connection(("127.0.0.1", port)) as leaves:
        leaves.sendall(json.dumps({"reskeras": 1, "text": "of the one that left"}).encode() + b"\n")
        time.sleep(1.0)
    third = Comer(workers, 2)
    time.sleep(1.5)
    assert third.is_alive()  # worker 1 has gone again
    assert heard(first, third, Comer(workers, 1)) == [["text 0", "text 1", "text 2"]] * 3


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b'{"reskeras": 0, "text": "I am the chief"}\n',
        b'{"reskeras": 9, "text": ""}\n',
        b'{"reskeras": true, "text": 1}\n',
        b"[" * 100_000 + b"\n",
        b"x" * (2 << 20) + b"\n",
    ],
    ids=lambda said: str(said[:20]),
)
def test_strangers_are_ignored(chief, said, monkeypatch):
    monkeypatch.setattr(meeting, "SILENT", 0.3)
    first = Comer([chief, "b:1"], 0)
    time.sleep(0.3)
    with socket.create_connection(("127.0.0.1", int(chief.rpartition(":")[2]))) as stranger:
        with suppress(OSError):  # shut out in the middle of it
            stranger.sendall(said)
        assert heard(first, Comer([chief, "b:1"], 1)) == [["text 0", "text 1"]] * 2


def test_a_worker_waits_for_its_chief_at_a_port_where_something_else_answers(chief):
    with socket.create_server(("127.0.0.1", int(chief.rpartition(":")[2]))) as other:
        second = Comer([chief, "b:1"], 1)
        for _ in range(2):  # as the TensorFlow of a chief that has not noticed its loss yet
            guest, _ = other.accept()
            guest.sendall(b"\0\0\6\4\0\0\0\0\0\n")
            guest.close()
    assert heard(Comer([chief, "b:1"], 0), second) == [["text 0", "text 1"]] * 2


def test_a_port_in_use_is_told(chief, monkeypatch):
    monkeypatch.setattr(meeting, "PORT_FREE", 0.5)
    with socket.create_server(("0.0.0.0", int(chief.rpartition(":")[2]))):
        [told] = heard(Comer([chief, "b:1"], 0))
    assert str(told).startswith(f"workers: port {chief.rpartition(':')[2]} of {chief} is in use: ")
    assert told.status == 1


def test_a_start_that_holds_the_interpreter_ends_in_time_with_a_line():
    code = (
        "import ctypes\n"
        "from reskeras.training.start_limit import ends_within\n"
        "with ends_within(30, 'never said'): pass\n"
        "with ends_within(0.5, 'workers: too late'): ctypes.PyDLL(None).sleep(60)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (1, "reskeras: workers: too late\n")
    assert time.monotonic() - began < 40
