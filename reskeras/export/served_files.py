"""Decoding image files inside a served graph, so that an unreadable file does not fail the rest of its batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from reskeras.data.batches import pipeline_options
from reskeras.data.decode import LARGEST_IMAGE, decode, png_size

PNG = b"\x89PNG\r\n\x1a\n"
GREY = 128
AT_ONCE = 4  # files of a batch that are decoded in parallel: bounds memory, whatever the number of cores

READ = "ok"
NO_IMAGE = "neither a JPEG nor a PNG"
TOO_LARGE = f"more than {LARGEST_IMAGE:,} pixels"
BROKEN = "broken or cut off"


def read_each(files: tf.Tensor, channels: int, prepare: Callable[[tf.Tensor], Any]) -> tuple[Any, tf.Tensor]:
    """The outputs of `prepare` for each image file, strings (B,), stacked to (B, ...), and their statuses (B,).

    `prepare` maps uint8 (height, width, channels) to tensors of static shapes. A status is READ, NO_IMAGE, TOO_LARGE
    or BROKEN; for a file that is not READ, `prepare` is given one black pixel. Runs in a graph and never fails.

    Ops that decode images raise, and in a plain loop one error would fail the whole batch, including requests of other
    clients. Only tf.data can drop failing elements (`ignore_errors`) without leaving the graph.
    """
    count = tf.size(files, out_type=tf.int64)

    def read(index: tf.Tensor, data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, Any]:
        image, status = _read(data, channels)
        return index, status, prepare(image)

    rows = tf.data.Dataset.from_tensor_slices((tf.range(count), files))
    rows = rows.map(read, num_parallel_calls=AT_ONCE, deterministic=True).ignore_errors()
    unread = tf.data.Dataset.from_tensors((count, BROKEN, prepare(_pixel(channels))))
    rows = rows.concatenate(unread).batch(count + 1).with_options(pipeline_options())
    indices, statuses, values = rows.get_single_element()
    last = tf.size(indices, out_type=tf.int64) - 1
    place = tf.tensor_scatter_nd_update(tf.fill([count], last), indices[:-1, tf.newaxis], tf.range(last))
    return tf.nest.map_structure(lambda stacked: tf.gather(stacked, place), values), tf.gather(statuses, place)


def _read(data: tf.Tensor, channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The image in `data`, scalar string, and its status; raises where the header or the pixels are broken.

    The size is checked before decoding: a header of a few bytes may ask for gigabytes.
    """
    is_jpeg, is_png = tf.io.is_jpeg(data), tf.equal(tf.strings.substr(data, 0, len(PNG)), PNG)
    is_image = tf.logical_or(is_jpeg, is_png)
    size = tf.case(
        [
            (is_jpeg, lambda: tf.image.extract_jpeg_shape(data)[:2]),
            (is_png, lambda: tf.ensure_shape(png_size(data), [2])),
        ],
        default=lambda: tf.constant([1, 1]),
    )
    small = tf.reduce_prod(tf.cast(size, tf.int64)) <= LARGEST_IMAGE
    image = tf.cond(tf.logical_and(is_image, small), lambda: decode(data, channels), lambda: _pixel(channels))
    return image, tf.where(is_image, tf.where(small, READ, TOO_LARGE), NO_IMAGE)


def _pixel(channels: int) -> tf.Tensor:
    return tf.zeros([1, 1, channels], tf.uint8)


def checked_files(files: tf.Tensor) -> tf.Tensor:
    """`files`, strings (B,) of a request; an empty batch, or another rank, raises INVALID_ARGUMENT with the reason."""
    # a server does not check a request against the signature's shape, and TensorFlow trusts static shapes
    files = tf.ensure_shape(tf.compat.v1.placeholder_with_default(files, None), [None])
    with tf.control_dependencies([tf.debugging.Assert(tf.size(files) > 0, ["the batch is empty"])]):
        return tf.identity(files)


def grey_file(height: int, width: int) -> bytes:
    """An encoded grey PNG of that size."""
    return tf.io.encode_png(tf.fill([height, width, 3], tf.constant(GREY, tf.uint8))).numpy()
