"""Messages between two of our processes: a line of JSON, then named float32 arrays."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, Any

import numpy as np

NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})


def send(stream: IO[bytes], told: Mapping[str, Any], arrays: Mapping[str, np.ndarray] = NOTHING) -> None:
    """Write one message."""
    ready = {name: np.asarray(values, np.float32, order="C") for name, values in arrays.items()}
    shapes = {name: values.shape for name, values in ready.items()}
    stream.write(json.dumps({"told": told, "shapes": shapes}).encode() + b"\n")
    for values in ready.values():
        stream.write(values.data.cast("B") if values.size else b"")
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read one message; EOFError where the other process has closed the stream or died while it wrote."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message = json.loads(line)
    return message["told"], {name: _array(stream, shape) for name, shape in message["shapes"].items()}


def _array(stream: IO[bytes], shape: list[int]) -> np.ndarray:
    wanted = math.prod(shape) * np.dtype(np.float32).itemsize
    given = stream.read(wanted)
    if len(given) != wanted:
        raise EOFError
    return np.frombuffer(given, np.float32).reshape(shape)
