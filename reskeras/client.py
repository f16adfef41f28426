"""A client of TensorFlow Serving's REST API, version 1: image files to what a served model finds in them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from reskeras.errors import ReskerasError, failure
from reskeras.image_files import several

BATCH = 32
DETECTOR_BATCH = 4  # as many as a server of a detector takes at once
BUSY = (429, 502, 503, 504)  # answers after which asking again helps
LARGEST_FILE = 64 << 20  # bytes
LONGEST_ANSWER = 300


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
    """The objects in one image file, the surest first."""

    path: str
    detections: tuple[ServedObject, ...]


@dataclass(frozen=True)
class Client:
    """A served model at `url`, such as http://localhost:8501/v1/models/NAME.

    A server that is busy or cannot be reached is asked again `retries` times, after waits that double from a quarter
    of a second; each answer may take `timeout` seconds.
    """

    url: str
    timeout: float = 30.0
    retries: int = 3

    def __post_init__(self) -> None:
        """Refuse what is no address of a model."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.netloc or "/models/" not in parts.path:
            raise ReskerasError(f"url: {self.url!r} is no address of a served model, such as "
                                "http://localhost:8501/v1/models/NAME")

    def predict(self, paths: str | Path | Sequence[str | Path], top: int = 5) -> list[Served]:
        """The likeliest classes of an image file, or of several. Raises ReskerasError: status 2 for a file that is not
        there, 1 for a server that refuses or does not answer."""
        return self._each(several(paths), BATCH, lambda path, row: _served(path, row, top))

    def detect(self, paths: str | Path | Sequence[str | Path]) -> list[ServedObjects]:
        """The objects in an image file or in several, of a served detector. Raises as `predict`."""
        return self._each(several(paths), DETECTOR_BATCH, _located)

    def _each(self, paths: Sequence[str | Path], batch: int, told: Callable[[str | Path, Any], Any]) -> list[Any]:
        files = [_file(Path(path)) for path in paths]
        found = []
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=Retry(
                    total=self.retries, backoff_factor=0.25, status_forcelist=BUSY, allowed_methods=None,
                    raise_on_status=False)))
            for start in range(0, len(files), batch):
                rows = self._ask(session, files[start : start + batch])
                found += [told(path, row) for path, row in zip(paths[start : start + batch], rows, strict=True)]
        return found

    def _ask(self, session: requests.Session, files: Sequence[bytes]) -> list[dict[str, Any]]:
        instances = [{"image_bytes": {"b64": base64.b64encode(data).decode()}} for data in files]
        try:
            answer = session.post(f"{self.url.rstrip('/')}:predict", timeout=self.timeout,
                                  json={"signature_name": "bytes", "instances": instances})
        except requests.RequestException as error:
            if isinstance(error, requests.Timeout) or "timed out" in str(error):  # as it is told after retries
                raise failure(f"url: {self.url} did not answer within {self.timeout:g} s") from error
            raise failure(f"url: {self.url} cannot be reached: {_reason(error)}") from error
        try:
            told = answer.json()
        except ValueError:
            told = {}
        if answer.status_code != requests.codes.ok:
            why = str(told.get("error", answer.reason) if isinstance(told, dict) else answer.reason)
            raise failure(f"url: {self.url} answered {answer.status_code}: {' '.join(why.split())[:LONGEST_ANSWER]}")
        rows = told.get("predictions") if isinstance(told, dict) else None
        if not isinstance(rows, list) or len(rows) != len(files):
            raise failure(f"url: {self.url} did not answer as TensorFlow Serving does: no prediction for each image")
        return rows


def _served(path: str | Path, row: Any, top: int) -> Served:
    try:
        pairs = tuple((str(name), float(share)) for name, share in
                      zip(row["classes"], row["probabilities"], strict=True))
    except (TypeError, KeyError, ValueError) as error:
        if isinstance(row, dict) and "boxes" in row:
            raise failure("url: a detector is served there; reskeras.Client(url).detect asks it") from error
        raise failure("url: the served model has no classes and probabilities in its answer; was it exported by "
                      "reskeras?") from error
    return Served(str(path), pairs[:top])


def _located(path: str | Path, row: Any) -> ServedObjects:
    try:
        count = int(row["count"])
        rows = zip(*(row[name][:count] for name in ("classes", "scores", "boxes")), strict=True)
        return ServedObjects(str(path), tuple(
            ServedObject(str(name), float(score), _four(box)) for name, score, box in rows))
    except (TypeError, KeyError, ValueError, OverflowError) as error:  # the last for a count of Infinity
        raise failure("url: the served model has no boxes in its answer; is it a detector, exported by reskeras?"
                      ) from error


def _four(box: Any) -> tuple[float, float, float, float]:
    top, left, bottom, right = map(float, box)
    return top, left, bottom, right


def _file(path: Path) -> bytes:
    if not path.is_file():
        raise ReskerasError(f"image: there is no file {path}")
    if path.stat().st_size > LARGEST_FILE:
        raise failure(f"image: {path} is larger than {LARGEST_FILE >> 20} MiB")
    return path.read_bytes()


def _reason(error: requests.RequestException) -> str:
    cause = error.args[0] if error.args else error
    reason = getattr(cause, "reason", cause)
    return " ".join(str(reason).rpartition(": ")[2].split())[:LONGEST_ANSWER]
