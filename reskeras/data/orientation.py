"""The EXIF orientation of encoded images: read in a graph, and applied to pixels, sizes, windows and boxes.

Cameras store what the sensor saw and tag how the picture is to be turned; viewers follow the tag, and so does
everything here. A missing, unknown or broken tag means orientation 1, the image as it is stored. XMP is not read.

Graphs of images are made, optimised and instantiated often: what is computed here takes as few operations as it can,
which is why numbers are read from bytes by products with tables of their weights.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import tensorflow as tf

UPRIGHT = 1
PNG, WEBP = r"\CPNG\r\n\x1a\n\C*", r"RIFF\C{4}WEBP"  # of the first HEAD bytes; \C is a byte
JPEG_EXIF, PNG_EXIF, WEBP_EXIF = b"Exif\0\0", b"eXIf", b"EXIF"

MOST_PARTS = 4_096  # segments or chunks of a file that are walked through in search of EXIF
HEAD = 12  # bytes at the beginning of a segment or chunk that tell what it is
START, NOWHERE = np.int64(0), np.int64(2**40)  # places in a file, and beyond its end
PADDING = 0xFFFF  # may come before a marker of JPEG, which begins with its last byte

LARGEST_EXIF = 65_536  # bytes; a JPEG segment holds no more
TAG, SHORT, LONG = 0x0112, 3, 4  # the tag, and the TIFF types that writers give it
ENTRY = 12  # bytes of an entry in a TIFF directory
LITTLE, BIG = 0x49492A00, 0x4D4D002A  # II*\0 and MM\0*

# for each orientation, 0 standing for none: the axes of the image as stored in the order in which it is shown, and
# which of the axes are reversed then
AXES = np.array([[0, 1, 2]] * 5 + [[1, 0, 2]] * 4, np.int32)
REVERSED = np.array([[value in (3, 4, 7, 8), value in (2, 3, 6, 7), False] for value in range(9)])

# A function of a scalar string whose graph is made once in a process, and stays one operation in the graphs that call
# it: hardly any image needs it.
traced_once = partial(
    tf.function,
    input_signature=[tf.TensorSpec([], tf.string)],
    autograph=False,
    experimental_attributes={"_noinline": True},
)


def contains(data: tf.Tensor, mark: bytes | tf.Tensor) -> tf.Tensor:
    """Whether a scalar string contains `mark`; scalar bool. A few microseconds for 100 KB."""
    pieces = tf.raw_ops.StringSplitV2(input=tf.reshape(data, [1]), sep=mark, maxsplit=1).values
    return tf.shape(pieces)[0] > 1


def weights(size: int, **fields: tuple[int, int, str]) -> np.ndarray:
    """int64 (size, fields): times `size` bytes it gives unsigned integers. A field is its first byte, its number of
    bytes, and `big` where the first of them is the highest, or `little`."""
    table = np.zeros((size, len(fields)), np.int64)
    for column, (first, count, order) in enumerate(fields.values()):
        powers = range(count) if order == "little" else reversed(range(count))
        table[first : first + count, column] = [256**power for power in powers]
    return table


# What the first HEAD bytes of a part tell, in JPEG, PNG and WebP: its name, the rest of the name of EXIF, its length
NAMES = np.stack(
    [
        weights(HEAD, name=(0, 2, "big"), rest=(4, 6, "big"), length=(2, 2, "big")),
        weights(HEAD, name=(4, 4, "big"), rest=(0, 0, "big"), length=(0, 4, "big")),
        weights(HEAD, name=(0, 4, "big"), rest=(0, 0, "big"), length=(4, 4, "little")),
    ]
)
number = partial(int.from_bytes, byteorder="big")
# In these: the name and the rest that begin EXIF, two names after which none comes, the lowest name, the least length;
# where the block begins, and how much shorter it is than its part; from one part to the next apart from the length, and
# whether that is made even; where the first part begins
PARTS = np.array(
    [
        [0xFFE1, number(JPEG_EXIF), 0xFFD9, 0xFFDA, 0xFF00, 2, 10, 8, 2, 0, 2],
        [number(PNG_EXIF), 0, number(b"IEND"), number(b"IEND"), 0, 0, 8, 0, 12, 0, 8],
        [number(WEBP_EXIF), 0, -1, -1, 0, 0, 8, 0, 8, 1, 12],
    ]
)
# of an entry in a TIFF directory, in both byte orders: tag, type, how many values, the value as SHORT and as LONG
ENTRIES = {
    order: weights(
        ENTRY, tag=(0, 2, order), kind=(2, 2, order), values=(4, 4, order), short=(8, 2, order), long=(8, 4, order)
    )
    for order in ("little", "big")
}
OFFSET = {order: weights(8, magic=(0, 4, "big"), offset=(4, 4, order)) for order in ("little", "big")}
COUNT = {order: weights(2, count=(0, 2, order)) for order in ("little", "big")}


@traced_once
def orientation_of(data: tf.Tensor) -> tf.Tensor:
    """Orientation of the bytes of an image, scalar int32 in 1..8; 1 for any other format. Runs in a graph.

    Of a JPEG its first Exif segment before the pixels says it, of a PNG its first eXIf chunk, before or after the
    pixels, of a WebP the first EXIF chunk.
    """
    head = tf.strings.substr(data, 0, HEAD)
    kinds = tf.stack(
        [tf.io.is_jpeg(data), tf.strings.regex_full_match(head, PNG), tf.strings.regex_full_match(head, WEBP)]
    )
    kind = tf.argmax(kinds)
    marked = tf.reduce_any(kinds) & contains(data, tf.gather([JPEG_EXIF, PNG_EXIF, WEBP_EXIF], kind))
    return tf.cond(marked, lambda: _tiff_orientation(_exif(data, kind)), lambda: tf.constant(UPRIGHT))


def _exif(data: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """The EXIF block of a JPEG (`kind` 0), PNG (1) or WebP (2), a scalar string, empty where there is none: found by a
    walk from part to part of at most MOST_PARTS steps."""
    size = tf.cast(tf.strings.length(data), tf.int64)
    table, part = tf.gather(NAMES, kind), tf.unstack(tf.gather(PARTS, kind))
    exif_name, exif_rest, last, other_last, lowest, least, begins, shorter, step, even, first = part

    def advance(place: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        name, rest, length = tf.unstack(_numbers(_bytes_at(data, place, HEAD, size), table))
        found = (name == exif_name) & (rest == exif_rest)
        ended = found | (name == last) | (name == other_last) | (name < lowest) | (length < least)
        following = tf.where(ended, NOWHERE, place + step + length + even * (length % 2))
        return (
            tf.where(name == PADDING, place + 1, following),
            tf.where(found, place + begins, size),
            length - shorter,
        )

    _, start, length = tf.while_loop(
        lambda place, *_: place < size, advance, (first, size, START), maximum_iterations=MOST_PARTS
    )
    start = tf.minimum(start, size)
    return tf.strings.substr(data, start, tf.clip_by_value(length, START, np.int64(LARGEST_EXIF)))


def _tiff_orientation(exif: tf.Tensor) -> tf.Tensor:
    """Orientation, scalar int32 in 1..8, in an EXIF block: a TIFF file whose first directory may hold the tag.

    Nothing else in it is followed. Of several tags the first one counts, as in Pillow.
    """
    tiff = tf.strings.regex_replace(exif, r"\A(Exif\x00\x00)+", "", replace_global=False)  # doubled by some writers
    size = tf.cast(tf.strings.length(tiff), tf.int64)
    head = _bytes_at(tiff, START, 8, size)
    little = head[0] == LITTLE >> 24

    def numbers(numbered: tf.Tensor, tables: dict[str, np.ndarray]) -> tf.Tensor:
        return _numbers(numbered, tf.where(little, tables["little"], tables["big"]))

    magic, place = tf.unstack(numbers(head, OFFSET))
    count = numbers(_bytes_at(tiff, place, 2, size), COUNT)[0]
    first = tf.minimum(place + 2, size)
    room = tf.minimum(count, (size - first) // ENTRY) * ENTRY
    entries = tf.io.decode_raw(tf.strings.substr(tiff, first, room), tf.uint8)
    entries = numbers(tf.cast(tf.reshape(entries, [-1, ENTRY]), tf.int64), ENTRIES)
    tags, kinds, values, shorts, longs = tf.unstack(entries, axis=-1)
    found = tf.where(kinds == SHORT, shorts, longs)
    sound = ((kinds == SHORT) | (kinds == LONG)) & (values == 1) & ((magic == LITTLE) | (magic == BIG))
    found = tf.where(sound & (found <= 8), tf.maximum(found, UPRIGHT), UPRIGHT)
    chosen = tf.concat([tf.boolean_mask(found, tags == TAG), [np.int64(UPRIGHT)]], axis=0)
    return tf.cast(chosen[0], tf.int32)


def _bytes_at(data: tf.Tensor, place: tf.Tensor | np.int64, count: int, size: tf.Tensor) -> tf.Tensor:
    """`count` bytes from `place` on, int64 (count,), of a string of `size` bytes; zeros beyond its end."""
    piece = tf.strings.substr(data, tf.minimum(place, size), count)
    return tf.cast(tf.ensure_shape(tf.io.decode_raw(piece, tf.uint8, fixed_length=count), [count]), tf.int64)


def _numbers(given: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Bytes (..., n) as the numbers (..., fields) of a table of `weights` (n, fields)."""
    return tf.reduce_sum(given[..., tf.newaxis] * table, axis=-2)


def turned(image: tf.Tensor, orientation: tf.Tensor | int) -> tf.Tensor:
    """An image (h, w, channels) as stored to the image as shown. Nothing is copied for orientation 1."""
    if orientation is UPRIGHT:
        return image
    image = tf.transpose(image, tf.gather(AXES, orientation))
    return tf.raw_ops.Reverse(tensor=image, dims=tf.gather(REVERSED, orientation))


def turned_size(size: tf.Tensor, orientation: tf.Tensor | int) -> tf.Tensor:
    """int32 (height, width) as stored to those as shown, or the other way round."""
    return size if orientation is UPRIGHT else tf.gather(size, tf.gather(AXES, orientation)[:2])


def stored_window(window: tf.Tensor, size: tf.Tensor, orientation: tf.Tensor | int) -> tf.Tensor:
    """int32 (top, left, height, width) in an image of `size` (height, width) as shown, to the same window in the
    image as stored: `turned` maps its pixels to those shown."""
    if orientation is UPRIGHT:
        return window
    corner, extent = window[:2], window[2:]
    corner = tf.where(tf.gather(REVERSED, orientation)[:2], size - corner - extent, corner)
    return tf.concat([turned_size(corner, orientation), turned_size(extent, orientation)], axis=0)


def turned_boxes(boxes: np.ndarray, size: tuple[int, int], orientation: int) -> np.ndarray:
    """Boxes (n, 4), top, left, bottom, right, in an image of `size` (height, width) as stored, to those as shown."""
    axes = AXES[orientation, :2]
    corners, sides = boxes.reshape(-1, 2, 2)[..., axes], np.asarray(size)[axes]
    corners = np.where(REVERSED[orientation, :2], (sides - corners)[:, ::-1], corners)
    return corners.reshape(-1, 4)
