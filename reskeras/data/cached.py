"""`--cache`: the bytes of images kept in memory or in a local folder, so that slow storage is read once."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from reskeras.addresses import is_address
from reskeras.data.decode import decode
from reskeras.data.fingerprint import fingerprint
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError, failure
from reskeras.files import make_folder
from reskeras.launch.cluster import workers_here
from reskeras.machine import memory
from reskeras.strict_json import to_json

RAM = "ram"
SHARE = 2  # the images in memory take at most 1 / SHARE of what the workers on this machine may use
INDEX, LABEL, REST = 12, 8, 2**31 - 1  # digits of an image's index and label before its bytes; more than any image has
BUSY = 60.0  # seconds to wait while another process writes

Tell = Callable[[str], None]


class Kept(Protocol):
    """Bytes by the index of their image."""

    def read(self, indices: np.ndarray) -> np.ndarray:
        """The bytes of each, empty where there are none; object (n,)."""

    def keep(self, index: int, data: bytes) -> None:
        """Keep bytes, unless there is no room for more."""


def cached(source: Source[Split], place: str | Path, tell: Tell) -> Source[Split]:
    """`source`, whose training and validation images are kept in memory (`ram`) or in the folder `place` when they are
    read for the first time; `tell` gets a line if there is no room for all.

    Images that are not stored as files or records stay as they are. ReskerasError (status 1) when the folder, or what
    another training left there, cannot be used.
    """
    if str(place) != RAM and is_address(place):
        raise ReskerasError(f"cache: {place}: images are kept on this machine; give a local folder, or {RAM}")
    room = Room(memory() // SHARE // workers_here())
    facts = {} if str(place) == RAM else fingerprint(source).facts  # which reads all entries

    def kept(split: Split) -> Split:
        if split.encoded is None:
            return split
        if str(place) == RAM:
            return _through(split, InMemory(split.count, room, tell), source.channels)
        # by index: the same images in another order are others
        entries = b"" if split.entries is None else split.entries.tobytes()
        told = to_json([facts, split.name, split.count], None).encode() + entries
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{source.name}-{split.name}")[-60:].strip("-")
        path = Path(place).expanduser() / f"{name}-{hashlib.sha256(told).hexdigest()[:16]}.sqlite"
        return _through(split, InFile(path, tell), source.channels)

    return replace(
        source, train=source.train and kept(source.train), validation=source.validation and kept(source.validation)
    )


@dataclass
class Room:
    """Bytes that may still be kept, below 0 once there was no room."""

    bytes: int


class InMemory:
    """Bytes of images, as far as there is room."""

    def __init__(self, count: int, room: Room, tell: Tell):
        self.images, self.room, self.tell = np.full(count, b"", object), room, tell

    def read(self, indices: np.ndarray) -> np.ndarray:
        """As `Kept` says."""
        return self.images[indices]

    def keep(self, index: int, data: bytes) -> None:
        """As `Kept` says."""
        if self.room.bytes < 0 or self.images[index]:
            return
        self.room.bytes -= len(data)
        if self.room.bytes < 0:
            done = np.count_nonzero(self.images)
            self.tell(
                f"cache: memory has room for {done:,} of {len(self.images):,} images; the others are read every time"
            )
            return
        self.images[index] = data


class InFile:
    """Bytes of images in an SQLite file, which several trainings may share, and later ones read."""

    def __init__(self, path: Path, tell: Tell):
        self.path, self.tell, self.full, self.lock = path, tell, False, threading.Lock()
        make_folder(path.parent)
        try:
            # no transaction outlives its statement; what a crash loses is read anew, and what it leaves is whole
            self.file = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
            self.file.execute("PRAGMA journal_mode = WAL")
            self.file.execute("PRAGMA synchronous = NORMAL")
            self.file.execute("CREATE TABLE IF NOT EXISTS images (number INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        except sqlite3.Error as error:
            raise failure(f"cache: {path} cannot be used: {error}; remove it, or choose another folder") from error

    def read(self, indices: np.ndarray) -> np.ndarray:
        """As `Kept` says."""
        found = np.full(len(indices), b"", object)
        with self.lock:
            try:
                for place, index in enumerate(indices.tolist()):
                    row = self.file.execute("SELECT data FROM images WHERE number = ?", (index,)).fetchone()
                    found[place] = row[0] if row and isinstance(row[0], bytes) else b""
            except sqlite3.Error as error:
                self._give_up(error)
        return found

    def keep(self, index: int, data: bytes) -> None:
        """As `Kept` says."""
        with self.lock:
            if self.full:
                return
            try:
                self.file.execute("INSERT OR REPLACE INTO images VALUES (?, ?)", (index, data))
            except sqlite3.Error as error:
                self._give_up(error)

    def _give_up(self, error: sqlite3.Error) -> None:
        if not self.full:
            self.full = True
            self.tell(f"cache: {self.path} takes no more images ({error}); the others are read every time")


def _through(split: Split, kept: Kept, channels: int) -> Split:
    """`split`, whose images are read through `kept`. Its stored form is the index, then what is kept, if anything is:
    the label and the bytes."""
    read, own, shape = split.encoded, split.label, split.label_shape
    label_size = shape[0] if shape else LABEL
    assert read is not None  # asked by `cached`

    def fetch(indices: tf.Tensor) -> tf.Tensor:
        found = tf.ensure_shape(tf.numpy_function(kept.read, [indices], tf.string, stateful=False), [None])
        return tf.strings.join([tf.strings.as_string(indices, width=INDEX, fill="0"), found])

    def encoded(stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        index = _number(tf.strings.substr(stored, 0, INDEX), tf.int64)
        known = tf.strings.length(stored) > INDEX
        both = tf.cond(known, lambda: tf.strings.substr(stored, INDEX, REST), lambda: anew(index))
        label = tf.strings.substr(both, 0, label_size)
        return tf.strings.substr(both, label_size, REST), _flags(label, shape) if shape else _number(label, tf.int32)

    def anew(index: tf.Tensor) -> tf.Tensor:
        data, label = read(split.fetch(index[tf.newaxis])[0])
        text = tf.strings.as_string(label, width=1 if shape else LABEL, fill="0")
        both = tf.strings.join([tf.strings.reduce_join(text), data])
        with tf.control_dependencies([tf.numpy_function(keep, [index, both], tf.bool)]):
            return tf.identity(both)

    def keep(index: np.int64, data: bytes) -> np.bool_:
        kept.keep(int(index), np.asarray(data, object).item())  # an array outside of graphs
        return np.bool_(True)

    def decoded(stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        data, label = encoded(stored)
        return decode(data, channels, split.plain), label

    def labels(stored: tf.Tensor) -> tf.Tensor:
        assert own is not None
        return own(split.fetch(_number(tf.strings.substr(stored, 0, INDEX), tf.int64)))

    return replace(split, fetch=fetch, encoded=encoded, decode=decoded, label=labels if own else None)


def _number(text: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Digits to numbers, exactly."""
    return tf.cast(tf.strings.to_number(text, tf.int64), dtype)


def _flags(text: tf.Tensor, shape: tuple[int, ...]) -> tf.Tensor:
    """Digits 0 and 1 to a multi-label's uint8 vector."""
    return tf.reshape(tf.io.decode_raw(text, tf.uint8) - ord("0"), shape)
