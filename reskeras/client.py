"""A client of TensorFlow Serving's REST API, version 1: from image files to a served model's predictions."""

from __future__ import annotations

import base64
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from reskeras.errors import ReskerasError, failure
from reskeras.files import reason
from reskeras.http_request import Answer, ask, without_password
from reskeras.image_files import several

BATCH = 32
DETECTOR_BATCH = 4  # the largest batch that a detector's server takes
LARGEST_REQUEST = 64 << 20  # bytes of files in a request; a larger file is not sent
BUSY = (429, 502, 503, 504)  # answers after which the request is repeated
FIRST_WAIT, LONGEST_WAIT = 0.25, 10.0  # bounds of the wait before that, in seconds, also where the server asks for one
TOP = 5  # classes of an image, unless asked otherwise
LONGEST_MESSAGE = 300
READ = "ok"  # the status of a file that the served model could read
Broken = Callable[[str, ReskerasError], None]  # a file's path, and why it has no answer


@dataclass(frozen=True)
class Served:
    """The likeliest classes of one image file, best first, as (class name, probability)."""

    path: str
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class ServedObject:
    """One object in an image: its class, its probability, and its box: top, left, bottom, right in pixels."""

    name: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class ServedObjects:
    """The objects in one image file, the most probable first."""

    path: str
    detections: tuple[ServedObject, ...]


@dataclass(frozen=True)
class Client:
    """A served model at `url`, such as http://localhost:8501/v1/models/NAME.

    A server that is busy or cannot be reached is asked again `retries` times, after waits that double from a quarter
    of a second, or that the server asks for, up to ten; each answer may take `timeout` seconds, from the connection to
    its last byte. Redirects are not followed.
    """

    url: str = field(repr=False)  # it may hold a password
    timeout: float = 30.0
    retries: int = 3

    def __post_init__(self) -> None:
        """Raise ReskerasError unless `url` is the address of a model."""
        try:
            parts = urlsplit(self.url)
            known = (
                parts.scheme in ("http", "https")
                and parts.hostname
                and "/models/" in parts.path
                and not parts.query
                and not parts.fragment
                and parts.port != 0
            )  # asking for the port may raise
        except ValueError:
            known = False
        if not known:
            raise ReskerasError(
                f"url: {self.shown!r} is not the address of a served model, such as http://localhost:8501/v1/models/NAME"
            )
        if not 0 < self.timeout < math.inf:
            raise ReskerasError(f"timeout: {self.timeout}: should be a number of seconds above 0")

    @property
    def shown(self) -> str:
        """The address as messages show it: without user and password."""
        return without_password(self.url)

    def predict(
        self,
        paths: str | Path | Sequence[str | Path],
        top: int | None = None,
        broken: Broken | None = None,
        threshold: float | None = None,
    ) -> list[Served]:
        """The likeliest classes of an image file, or of several, in their order: at most `top`, by default 5, or all
        whose probability is `threshold` or more.

        Raises ReskerasError: status 2 for a file that is not there, 1 for a server that refuses or does not answer, and
        for a file that cannot be read; with `broken`, which is called with its path and that, the others are predicted.
        """
        return self._results(several(paths), BATCH, lambda path, row: _served(path, row, top, threshold), broken)

    def detect(self, paths: str | Path | Sequence[str | Path], broken: Broken | None = None) -> list[ServedObjects]:
        """The objects in an image file or in several, of a served detector. As `predict`."""
        return self._results(several(paths), DETECTOR_BATCH, _located, broken)

    def _results(
        self,
        paths: Sequence[str | os.PathLike[str]],
        batch: int,
        parse: Callable[[str, Any], Any],
        broken: Broken | None,
    ) -> list[Any]:
        def unread(name: str, why: str) -> None:
            error = failure(f"image: {name}: {why}")
            if broken is None:
                raise error
            broken(name, error)

        names = [str(path) for path in paths]
        for name in names:
            if not Path(name).is_file():
                raise ReskerasError(f"image: file not found: {name}")
        found = []
        with requests.Session() as session:
            for part, files in _requests(names, batch, unread):
                for name, row in zip(part, self._ask(session, files), strict=True):
                    status = row.get("status", READ) if isinstance(row, dict) else READ
                    if status == READ:
                        found.append(parse(name, row))
                    else:
                        unread(name, _short(str(status)))
        return found

    def _ask(self, session: requests.Session, files: Sequence[bytes]) -> list[Any]:
        instances = [{"image_bytes": {"b64": base64.b64encode(data).decode()}} for data in files]
        answer = self._answer(session, {"signature_name": "bytes", "instances": instances})
        body = _parsed(answer.body)
        if answer.status in range(300, 400):
            where = f"redirects to {without_password(answer.location)}" if answer.location else "redirects"
            raise failure(f"url: {self.shown} {_short(where)}; use the new address if you trust it")
        if answer.status != HTTPStatus.OK:
            why = str(body.get("error", answer.reason) if isinstance(body, dict) else answer.reason)
            raise failure(f"url: {self.shown} answered {answer.status}: {_short(why)}")
        rows = body.get("predictions") if isinstance(body, dict) else None
        if not isinstance(rows, list) or len(rows) != len(files):
            raise failure(
                f"url: {self.shown} did not answer like TensorFlow Serving: expected one prediction per image"
            )
        return rows

    def _answer(self, session: requests.Session, body: dict[str, Any]) -> Answer:
        """What the server answers when it is not busy, or at the last attempt."""
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            wait = min(FIRST_WAIT * 2**attempt, LONGEST_WAIT)
            try:
                answer = ask(session, f"{self.url.rstrip('/')}:predict", body, self.timeout)
            except TimeoutError as error:
                if last:
                    raise failure(f"url: {self.shown} did not answer within {self.timeout:g} s") from error
            except ConnectionError as error:
                if last:
                    raise failure(f"url: {self.shown} cannot be reached: {_short(str(error))}") from error
            except ValueError as error:
                raise failure(f"url: {self.shown} {error}") from error
            else:
                if last or answer.status not in BUSY:
                    return answer
                wait = min(max(wait, answer.retry_after), LONGEST_WAIT)
            time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")


def _requests(
    names: Sequence[str], most: int, unread: Callable[[str, str], None]
) -> Iterator[tuple[list[str], list[bytes]]]:
    """Names and bytes of at most `most` files and LARGEST_REQUEST bytes at a time; `unread` is told of others, by name
    and reason."""
    part: list[str] = []
    files: list[bytes] = []
    for name in names:
        try:
            with open(name, "rb") as opened:
                data = opened.read(LARGEST_REQUEST + 1)
        except OSError as error:
            unread(name, reason(error))
            continue
        if len(data) > LARGEST_REQUEST:
            unread(name, f"larger than {LARGEST_REQUEST >> 20} MiB")
            continue
        if files and (len(files) == most or sum(map(len, files)) + len(data) > LARGEST_REQUEST):
            yield part, files
            part, files = [], []
        part.append(name)
        files.append(data)
    if files:
        yield part, files


def _parsed(body: bytes) -> Any:
    """JSON, in which TensorFlow Serving writes NaN and Infinity; None for what is none, or nested without end."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # a number of more than 4,300 digits is a ValueError too
        return None


def _served(path: str, row: Any, top: int | None, threshold: float | None) -> Served:
    try:
        pairs = tuple(zip(map(_name, row["classes"]), map(_share, row["probabilities"]), strict=True))
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        if isinstance(row, dict) and "boxes" in row:
            raise failure("url: the served model is a detector; use reskeras.Client(url).detect") from error
        raise failure(
            "url: the served model returned no classes and probabilities; was it exported by reskeras?"
        ) from error
    most = TOP if top is None and threshold is None else top
    return Served(path, tuple(pair for pair in pairs if pair[1] >= (threshold or 0.0))[:most])


def _located(path: str, row: Any) -> ServedObjects:
    try:
        count = row["count"]
        columns = [row[name] for name in ("classes", "scores", "boxes")]
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= min(map(len, columns)):
            raise ValueError("count")
        rows = zip(*(column[:count] for column in columns), strict=True)
        return ServedObjects(
            path, tuple(ServedObject(_name(name), _share(score), _four(box)) for name, score, box in rows)
        )
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise failure(
            "url: the served model returned no boxes; is it a detector or localiser exported by reskeras?"
        ) from error


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("name")
    return value


def _number(value: Any) -> float:
    """A finite number; NaN and Infinity are not valid JSON, and mean nothing here."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("number")
    return float(value)


def _share(value: Any) -> float:
    if not 0 <= (share := _number(value)) <= 1 + 1e-3:  # sums of float32 may be a little more than 1
        raise ValueError("probability")
    return share


def _four(box: Iterable[Any]) -> tuple[float, float, float, float]:
    top, left, bottom, right = map(_number, box)
    return top, left, bottom, right


def _short(text: str) -> str:
    return " ".join(text.split())[:LONGEST_MESSAGE]
