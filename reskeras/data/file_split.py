"""Image files as a split, and notes on those that cannot be one: what folders and lists of files have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from reskeras.data.checked import Checked, why_not_read
from reskeras.data.decode import decode, read_stored
from reskeras.data.plain import one_plain_format
from reskeras.data.source import Split
from reskeras.printable import counted, few
from reskeras.walk import NAMED, SUFFIXES, counted_images, listed


def file_split(
    name: str, files: list[Path], labels: np.ndarray, channels: int, checked: list[Checked], identified: np.ndarray
) -> Split:
    """The checked `files` with their labels, int32 (n,) or uint8 (n, classes), as a split that `identified` entries
    are of."""
    names = [str(file) for file in files]
    paths, targets = tf.constant(names), tf.constant(labels)
    bytes_of = tf.constant([each.size for each in checked], tf.int32)
    plain = one_plain_format(each.plain for each in checked)

    def encoded(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return read_stored(tf.gather(paths, index), tf.gather(bytes_of, index)), tf.gather(targets, index)

    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        data, label = encoded(index)
        return decode(data, channels, plain), label

    return Split(
        name,
        len(files),
        load,
        encoded=encoded,
        label=lambda indices: tf.gather(targets, indices),
        where=names.__getitem__,
        checked=True,
        plain=plain,
        entries=identified,
        label_shape=labels.shape[1:],
    )


def channels_of(checked: Iterable[Checked]) -> int:
    """1 if all images are grey, else 3."""
    modes = {each.mode for each in checked}
    return 1 if modes == {"L"} else 3


def skipped(images: list[Path], others: list[Path], readable: dict[Path, Checked]) -> Iterator[str]:
    """Notes on files that are not images or cannot be read."""
    if broken := [file for file in images if file not in readable]:
        named = few(broken, NAMED, lambda file: f"{listed([file])} ({why_not_read(file)})")
        yield f"skipped {len(broken):,} of {counted_images(len(images))}, which cannot be read: {named}"
    if others:
        skipped_files = counted(len(others), "file that is not an image", "files that are not images")
        yield f"skipped {skipped_files} ({', '.join(sorted(SUFFIXES))}): {listed(others)}"
