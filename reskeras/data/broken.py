"""Errors of TensorFlow while images are read in mid-training, as one line that names the file."""

from __future__ import annotations

import re

import tensorflow as tf

from reskeras.data.decode import CHANGED
from reskeras.errors import ReskerasError, failure

LONGEST = 300
PIPELINE = "user-defined function passed to"  # tf.data's words for a `map` that failed
NOISE = r"\{\{\w+ [^}]*\}\}\s*|Error in user-defined function passed to .*? with iterator: \S+: "


def reading_failure(error: tf.errors.OpError) -> ReskerasError:
    """What to raise (status 1) when a pipeline of this room ends in `error`.

    A deleted file, one whose size changed since the data was opened, and bytes that are no image any more are
    told apart; of anything else TensorFlow's own line is told, and not called the data's where it did not come
    from a pipeline: memory that ran out in a model is such an error too.
    """
    message = re.sub(NOISE, "", error.message or str(error))
    if gone := re.search(r"(?m)^\s*(?:\(\d+\) \w+:\s*)?(?P<file>\S.*?); No such file or directory", message):
        return failure(f"data: {gone['file']} is gone; it was there when the data was opened")
    if changed := re.search(rf"\[{CHANGED}\] \[(?P<file>.*?)\](?=\s|$)", message):
        return failure(f"data: {changed['file']} {CHANGED}")
    what = "data: an image could not be read" if PIPELINE in str(error) else "TensorFlow failed"
    return failure(f"{what}: {_cause(message)[:LONGEST] or type(error).__name__}")


def _cause(message: str) -> str:
    """The line that says what happened: inside `fit` the one before the names of graph nodes, else the first."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or [""]
    nodes = next((index for index, line in enumerate(lines) if line.startswith("[[")), 1)
    return lines[max(nodes - 1, 0)]
