"""TensorFlow's errors in reading images, as one line that names the file or record."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import tensorflow as tf

from reskeras.data.decode import CHANGED
from reskeras.data.source import Split
from reskeras.errors import ReskerasError, failure

LONGEST = 300
SEARCHED = 20.0  # seconds that are spent on finding the image that could not be read
# the second is raised where TensorFlow's message quotes a record, which is not text
READING_ERRORS = (tf.errors.OpError, UnicodeDecodeError)
PIPELINE = "user-defined function passed to"  # tf.data's words for a `map` that failed
NOISE = r"\{\{\w+ [^}]*\}\}\s*|Error in user-defined function passed to .*? with iterator: \S+: "


Batch = TypeVar("Batch")


def named_failures(batches: Iterable[Batch], split: Split, indices: Iterable[int], size: int) -> Iterator[Batch]:
    """`batches` of `size` images of `split`, which are those at `indices` in this order.

    Where reading fails, the ReskerasError (status 1) names the image: it is searched for one by one, from the batch
    that failed on.
    """
    done = 0
    try:
        for batch in batches:
            yield batch
            done += 1
    except READING_ERRORS as error:
        rest = (index for place, index in enumerate(indices) if place >= done * size)
        raise reading_failure(error, first_broken(split, rest)) from error


def first_broken(split: Split, indices: Iterable[int]) -> str | None:
    """Where the first of the images at `indices` that cannot be decoded is stored; None when none is found in
    SEARCHED seconds."""
    until = time.monotonic() + SEARCHED
    for index in indices:
        try:
            split.example(tf.constant(index, tf.int64))
        except READING_ERRORS:
            return split.where(int(index))
        if time.monotonic() > until:
            break
    return None


def from_pipeline(error: BaseException) -> bool:
    """Whether an error that ended a training comes from reading images, and not from the model."""
    return isinstance(error, UnicodeDecodeError) or PIPELINE in str(error)


def reading_failure(error: tf.errors.OpError | UnicodeDecodeError, image: str | None = None) -> ReskerasError:
    """What to raise (status 1) when reading images ends in `error`; `image` is the one, where it is known.

    A deleted file, one whose size changed since the data was opened, and bytes that are no image any more are
    distinguished; anything else is reported by TensorFlow's own line, and blamed on the data only if it comes from a
    pipeline: running out of memory in a model raises such errors too.
    """
    if isinstance(error, UnicodeDecodeError):
        return failure(f"data: {image or 'a record'} is broken")
    message = re.sub(NOISE, "", error.message or str(error))
    if gone := re.search(r"(?m)^\s*(?:\(\d+\) )?(?:\w+: )*\s*(?P<file>\S.*?); No such file or directory", message):
        return failure(f"data: {gone['file']} has disappeared since the data was opened")
    if changed := re.search(rf"\[{CHANGED}\] \[(?P<file>.*?)\](?=\s|$)", message):
        return failure(f"data: {changed['file']} {CHANGED}")
    what = "TensorFlow failed"
    if image or from_pipeline(error):
        what = "data: an image could not be read" + (f": {image}" if image else "")
    return failure(f"{what}: {_cause(message)[:LONGEST] or type(error).__name__}")


def _cause(message: str) -> str:
    """The line that says what happened: inside `fit` the one before the names of graph nodes, else the first."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or [""]
    nodes = next((index for index, line in enumerate(lines) if line.startswith("[[")), 1)
    return lines[max(nodes - 1, 0)]
