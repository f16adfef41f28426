"""A server that is broken, or means ill, costs a client no more than its time-out, and ends in one line."""

import gzip
import json
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from PIL import Image

from reskeras.client import Client
from reskeras.errors import ReskerasError
from reskeras_cli.main import commands
from tests.hostile import Hostile, http, predictions

GOOD = '{"classes": ["cat"], "probabilities": [0.75], "status": "ok"}'
FOUND = '{"count": 1, "classes": ["cat"], "scores": [0.5], "boxes": [[1, 2, 3, 4]], "status": "ok"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def image(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def refused(server, image, ask="predict", **options):
    """What is said of a server, and after how many seconds."""
    began = time.perf_counter()
    with pytest.raises(ReskerasError) as caught:
        getattr(Client(server.url, **{"retries": 0, "timeout": 0.5, **options}), ask)([image])
    assert caught.value.status == 1
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    return str(caught.value), time.perf_counter() - began


def test_a_good_answer_is_read(image):
    with Hostile(predictions(GOOD)) as server:
        [found] = Client(server.url).predict([image])
        assert found.top == (("cat", 0.75),)
        assert b"Accept-Encoding: identity" in server.requests[0]
    with Hostile(predictions(FOUND)) as server:
        [found] = Client(server.url).detect([image])
        assert found.detections[0].box == (1, 2, 3, 4)


@pytest.mark.parametrize(
    "answer",
    [
        (HEAD, b"x" * 1000, 0.1),
        (b"", b"HTTP/1.1 200 OK\r\nA-Header: " + b"x" * 1000, 0.1),
        (HEAD, b"", 0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000, 0.05),
        (b"", b"x" * 100, 0.1),
    ],
    ids=["body", "header", "nothing more", "chunks", "no http"],
)
def test_a_server_that_drips_keeps_nobody_waiting(image, answer):
    if answer == (HEAD, b"", 0):
        answer = (HEAD, b"x" * 10, 5)
    with Hostile(answer) as server:
        said, seconds = refused(server, image)
    assert "did not answer within 0.5 s" in said
    assert seconds < 2


def test_an_answer_that_takes_its_time_within_the_deadline_is_read(image):
    body = predictions(GOOD)
    with Hostile((body[:-60], body[-60:], 0.01)) as server:
        assert Client(server.url, timeout=20).predict([image])[0].top


@pytest.mark.parametrize("after", ["100000", "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT", "-5", "soon"])
def test_a_server_may_ask_for_a_wait_but_not_for_any(image, after, monkeypatch):
    waits = []
    # the module of the client alone: the server's threads wait by the same one
    monkeypatch.setattr("reskeras.client.time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))
    busy = http(b'{"error": "busy"}', "503 Busy", Retry_After=after)
    with Hostile(busy, busy, predictions(GOOD)) as server:
        assert Client(server.url, retries=2).predict([image])[0].top
    assert waits == ([10, 10] if after == "100000" else [0.25, 0.5])


@pytest.mark.parametrize(
    "answer, said",
    [
        (http(gzip.compress(bytes(10**6)), Content_Encoding="gzip"), "sent a compressed response"),
        (http(b"x", Content_Encoding="br"), "sent a compressed response"),
        (http(b" " * (33 << 20)), "larger than 32 MiB"),
        (http(b"x", Content_Length=10**30), "did not answer|cannot be reached"),
        (http(b"x" * 10, Content_Length=100), "cannot be reached"),
        (http(b'{"predictions": ' + b"[" * 100_000), "expected one prediction per image"),
        (http(b'{"predictions": [' + b"9" * 10_000 + b"]}"), "expected one prediction per image"),
        (http(b'{"a":' * 100_000), "expected one prediction per image"),
        (http(b"\xff\xfe\x00"), "expected one prediction per image"),
        (http(b""), "expected one prediction per image"),
        (http(b"null"), "expected one prediction per image"),
        (http(b'{"predictions": {"0": 1}}'), "expected one prediction per image"),
        (predictions(GOOD, GOOD), "expected one prediction per image"),
        (b"HTTP/1.1 999 Odd\r\n\r\n", "answered 999"),
        (http(b'{"error": ["a", {"b": 1}]}', "400 Bad"), "answered 400"),
        (b"\r\n\r\n", "cannot be reached"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n", "cannot be reached"),
        (b"", "cannot be reached"),
        (
            http(status="307 Over There", Location="http://me:secret@elsewhere/v1/models/x"),
            "redirects to http://elsewhere/",
        ),
        (http(status="302 Found", Location="file:///etc/passwd"), "redirects to file:///etc/passwd"),
        (http(status="301 Moved"), "redirects; use the new address"),
    ],
    ids=map(str, range(21)),
)
def test_answers_that_are_none_are_told_in_a_line(image, answer, said):
    with Hostile(answer) as server:
        message, seconds = refused(server, image, timeout=20)
    assert any(each in message for each in said.split("|"))
    assert "secret" not in message
    assert seconds < 10


def test_redirects_are_not_followed(image):
    with (
        Hostile(predictions(GOOD)) as other,
        Hostile(http(status="307 Over There", Location=other.url + ":predict")) as server,
    ):
        refused(server, image)
        assert not other.requests


@pytest.mark.parametrize(
    "row",
    [
        '{"classes": ["cat"], "probabilities": [NaN]}',
        '{"classes": ["cat"], "probabilities": [Infinity]}',
        '{"classes": ["cat"], "probabilities": [1e999]}',
        '{"classes": ["cat"], "probabilities": [-0.1]}',
        '{"classes": ["cat"], "probabilities": [17]}',
        '{"classes": ["cat"], "probabilities": ["0.5"]}',
        '{"classes": ["cat"], "probabilities": [true]}',
        '{"classes": [1], "probabilities": [0.5]}',
        '{"classes": ["cat", "dog"], "probabilities": [0.5]}',
        '{"classes": null, "probabilities": 1}',
        "[]",
        "1",
        "null",
        f'{{"classes": ["cat"], "probabilities": [{"9" * 400}]}}',
    ],
)
def test_rows_that_are_no_classes_are_refused(image, row):
    with Hostile(predictions(row)) as server:
        assert "was it exported by reskeras?" in refused(server, image)[0]


@pytest.mark.parametrize(
    "change",
    [
        '"count": -1',
        '"count": 2',
        '"count": 1e3',
        '"count": true',
        '"count": Infinity',
        '"count": NaN',
        '"count": "1"',
        f'"count": {"9" * 400}',
        '"count": null',
        '"scores": [NaN]',
        '"boxes": [[1, 2, 3]]',
        '"boxes": [[1, 2, 3, NaN]]',
        '"boxes": [["1", 2, 3, 4]]',
        '"boxes": [1]',
        '"classes": [["cat"]]',
        '"classes": 1',
        '"scores": [2.5]',
    ],
)
def test_rows_that_are_no_objects_are_refused(image, change):
    row = FOUND[:-1] + f", {change}}}"  # of keys that come twice, the last counts
    with Hostile(predictions(row)) as server:
        assert "is it a detector or localiser exported by reskeras?" in refused(server, image, "detect")[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://me:secret@127.0.0.1:9/v1/models/x",
        "http://me:se%40cret@[::1]:9/v1/models/x",
        "http://me:secret@127.0.0.1:99999/v1/models/x",
        "ftp://me:secret@host/v1/models/x",
        "http://me:secret@host/",
        "http://me:secret@[::1/v1/models/x",
        "http://me:secret@host/v1/models/x?key=1",
        "//me:secret@/models/",
        "http://me:secret@exa mple/v1/models/x",
        "http://me:secret@" + "a" * 300 + "/v1/models/x",
    ],
)
def test_a_password_is_never_shown(image, url):
    shown = CliRunner().invoke(commands, ["predict", "--url", url, "--retries", "0", str(image)])
    assert shown.exit_code in (1, 2)
    assert isinstance(shown.exception, SystemExit)
    assert "url: " in shown.stderr
    for word in ("secret", "se%40cret", "cret@", "me:"):
        assert word not in shown.output
    assert "Traceback" not in shown.output
    try:
        assert "secret" not in repr(Client(url))
    except ReskerasError as error:
        assert "secret" not in str(error)


def test_a_password_reaches_the_server(image):
    with Hostile(predictions(GOOD)) as server:
        assert Client(server.url.replace("//", "//me:secret@")).predict([image])[0].top
        assert b"Authorization: Basic bWU6c2VjcmV0" in server.requests[0]


def test_a_file_that_the_server_cannot_read_is_told_whatever_its_numbers_are(image):
    row = '{"status": "broken or\\u001b[31m cut off", "classes": [""], "probabilities": [NaN]}'
    with Hostile(predictions(row)) as server:
        shown = CliRunner().invoke(commands, ["predict", "--url", server.url, "--json", str(image)])
    assert shown.exit_code == 1
    [told] = json.loads(shown.stdout)
    assert set(told) == {"path", "error"} and told["path"] == str(image)
    assert f"image: {image}: broken or" in shown.stderr
    assert "\x1b" not in shown.output


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_is_a_number_of_seconds(timeout):
    with pytest.raises(ReskerasError, match="timeout: "):
        Client("http://host/v1/models/x", timeout)
