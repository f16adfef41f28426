"""Bytes to images, and images of any size to the network's: the same in training, evaluation and prediction."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from reskeras.data.image_opener import PixelBudget, opened_image
from reskeras.data.orientation import JPEG_EXIF, PNG_EXIF, UPRIGHT, contains, orientation_of, traced_once, turned
from reskeras.data.plain import JPEG, PNG
from reskeras.data.resample import INTERPOLATIONS, resampled
from reskeras.errors import ReskerasError, failure

LARGEST_IMAGE = 64_000_000  # pixels; a decoded image of this size takes 192 MB
PIXELS_AT_ONCE = PixelBudget(LARGEST_IMAGE)
CHANGED = "changed since the data was opened"
COLOURS = 3
EXACT = "INTEGER_ACCURATE"  # TensorFlow's own choice is an approximate transform, off by up to 14
JPEG_SCAN = b"\xff\xda\0"  # begins the pixels of a JPEG, after its Exif segment if it has one
LONGEST_HEADER = 4096  # bytes before that, in JPEGs with nothing special
HEAD = 32  # bytes that tell what an image is. In the patterns \C is a byte
SIMPLE_PNG, DEEP_PNG = (rf"\CPNG\r\n\x1a\n\C{{16}}{bits}\C*" for bits in (r"[\x01-\x08]", r"\x10"))
# a flag of VP8X in byte 20 (0x10 alpha, 0x02 animation), or of VP8L in byte 24
ALPHA_WEBP = (
    r"RIFF\C{4}WEBP(VP8X\C{4}[\x10\x11\x14\x15\x18\x19\x1c\x1d\x30\x31\x34\x35\x38\x39\x3c\x3d]\C*"
    r"|VP8L\C{8}[\x10-\x1f]\C*)"
)
GIF = r"GIF8\C*"


def decode(data: tf.Tensor, channels: int, plain: str | None = None) -> tf.Tensor:
    """Bytes of a JPEG, PNG, BMP, WebP or GIF (its first frame) to uint8 (height, width, channels), as viewers show it.

    JPEGs have the pixels of libjpeg's exact transform; 16 bits are scaled to 8; alpha is left out; images are turned
    by their EXIF orientation; of one channel colour becomes grey. `plain` is what all images that the graph will get
    are known to be, see plain.py. Runs in a graph; raises InvalidArgumentError for what cannot be decoded, and
    ReskerasError (status 2) unless `channels` is 1 or 3.
    """

    def whole(_: tf.Tensor, orientation: tf.Tensor | int) -> tf.Tensor:
        return turned(tf.io.decode_jpeg(data, COLOURS, dct_method=EXACT), orientation)

    image = tf.ensure_shape(by_format(data, whole, lambda image: image, plain), [None, None, COLOURS])
    return with_channels(image, channels)


def by_format(
    data: tf.Tensor,
    from_jpeg: Callable[[tf.Tensor, tf.Tensor | int], tf.Tensor],
    from_other: Callable[[tf.Tensor], tf.Tensor],
    plain: str | None = None,
) -> tf.Tensor:
    """Dispatch by format: `from_jpeg` gets the size as stored, int32 (height, width), and the orientation of a JPEG,
    `from_other` the pixels, uint8 (height, width, 3), of any other image as shown.

    Both give a tensor of the same type and rank, whose shape is not static. InvalidArgumentError for more than
    LARGEST_IMAGE pixels, before any is made, unless images are known to be `plain`.
    """
    if plain == JPEG:
        return from_jpeg(tf.image.extract_jpeg_shape(data)[:2], UPRIGHT)
    if plain == PNG:
        return from_other(tf.io.decode_png(data, COLOURS))

    def jpeg(orientation: Callable[[tf.Tensor], tf.Tensor] | None = None) -> tf.Tensor:
        size = tf.image.extract_jpeg_shape(data)[:2]
        with _bounded(size):
            return from_jpeg(tf.identity(size), orientation(data) if orientation else UPRIGHT)

    # Most files are ordinary JPEGs or PNGs. These are recognised by as few operations as possible, each of which costs
    # as much as decoding some hundred pixels; what the first bytes leave open takes the slow path.
    is_jpeg = tf.io.is_jpeg(data)
    first = tf.strings.substr(data, 0, LONGEST_HEADER)
    tagged = contains(first, JPEG_EXIF) | ~contains(first, JPEG_SCAN)
    simple = tf.strings.regex_full_match(tf.strings.substr(data, 0, HEAD), SIMPLE_PNG)
    branch = tf.where(is_jpeg, tf.where(tagged, 1, 0), tf.where(simple, 2, 3))
    return tf.switch_case(
        branch,
        [
            jpeg,
            lambda: jpeg(orientation_of),
            lambda: from_other(_decode_simple(data)),
            lambda: from_other(_decode_other(data)),
        ],
    )


def _bounded(size: tf.Tensor) -> AbstractContextManager[None]:
    """A block that decodes an image of `size` (height, width) unless it has too many pixels."""
    pixels = tf.reduce_prod(tf.cast(size, tf.int64))
    said = [f"image: more than {LARGEST_IMAGE} pixels:", pixels]
    return tf.control_dependencies([tf.raw_ops.Assert(condition=pixels <= LARGEST_IMAGE, data=said)])


def _decode_simple(data: tf.Tensor) -> tf.Tensor:
    """A PNG of up to 8 bits a channel, turned."""
    tagged = contains(data, PNG_EXIF)
    return tf.cond(tagged, lambda: _decode_other(data), lambda: _decode_png(data))


def png_size(data: tf.Tensor) -> tf.Tensor:
    """Width and height, int32 (2,), of the bytes of a PNG: they stand in its first chunk, highest byte first."""
    return tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False)


def _decode_png(data: tf.Tensor, dtype: tf.DType = tf.uint8) -> tf.Tensor:
    """A PNG as stored, (height, width, 3)."""
    with _bounded(png_size(data)):
        return tf.io.decode_png(tf.identity(data), COLOURS, dtype)


@traced_once
def _decode_other(data: tf.Tensor) -> tf.Tensor:
    """Any format but JPEG, uint8 (height, width, 3), turned."""
    head = tf.strings.substr(data, 0, HEAD)
    kinds = [tf.strings.regex_full_match(head, pattern) for pattern in (SIMPLE_PNG, DEEP_PNG, ALPHA_WEBP, GIF)]
    branch = tf.argmax(tf.stack([*kinds, True]), output_type=tf.int32)
    image = tf.switch_case(
        branch,
        [
            lambda: _decode_png(data),
            lambda: _decode_deep(data),
            lambda: _decode_any(data, COLOURS + 1),
            lambda: _decode_gif(data),
            lambda: _decode_any(data, COLOURS),
        ],
    )
    return turned(image, orientation_of(data))


def _decode_any(data: tf.Tensor, channels: int) -> tf.Tensor:
    # never channels=0: TensorFlow 2.21 writes beyond its memory when it decodes an animated WebP so
    image = tf.io.decode_image(data, channels, expand_animations=False)
    return tf.ensure_shape(image, [None, None, channels])[..., :COLOURS]


def _decode_gif(data: tf.Tensor) -> tf.Tensor:
    # a BMP has no more pixels than bytes and a WebP at most 16,383 squared; a GIF of some bytes may ask for 4 billion
    sides = tf.io.decode_raw(tf.strings.substr(data, 6, 4), tf.uint16)
    with _bounded(sides):
        return _decode_any(tf.identity(data), COLOURS)


def _decode_deep(data: tf.Tensor) -> tf.Tensor:
    """A PNG of 16 bits a channel: 0..65535 to 0..255, rounded, as libpng scales."""
    image = _decode_png(data, tf.uint16)
    return tf.cast((tf.cast(image, tf.int32) * 255 + 32_895) // 65_536, tf.uint8)


def with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """uint8 (..., 1 or 3) to uint8 (..., channels): grey becomes three equal channels, colour its luma (ITU-R 601).

    Raises ReskerasError (status 2) unless `channels` is 1 or 3.
    """
    if channels not in (1, COLOURS):
        raise ReskerasError(f"channels: {channels} is not supported; images have 1 (grey) or {COLOURS} (colour)")
    if image.shape[-1] == channels:
        return image
    return (tf.image.rgb_to_grayscale if channels == 1 else tf.image.grayscale_to_rgb)(image)


def read_stored(path: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The bytes of a file, scalar string, in a graph. One that no longer has `size` bytes (int32) is an
    InvalidArgumentError with CHANGED and its name, because what decodes them would not name it."""
    data = tf.io.read_file(path)
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(tf.strings.length(data), size), [CHANGED, path])]):
        return tf.identity(data)


@dataclass(frozen=True)
class Framing:
    """How an image is brought to the network's size: resized, with antialiasing, so that its share `crop` covers that
    size, then centre cropped. With 0.875, 224 pixels are the centre of 256."""

    crop: float = 1.0
    interpolation: str = "bilinear"

    def covering(self, side: int) -> int:
        """The length that a side is resized to before `side` pixels of it are cropped; rounded down, as in timm."""
        return max(int(side / self.crop + 1e-6), side)


WHOLE = Framing()


def fit_image(image: tf.Tensor, height: int, width: int, framing: Framing = WHOLE) -> tf.Tensor:
    """uint8 (h, w, channels) to uint8 (height, width, channels): resized to cover, then centre cropped.

    The same in training, evaluation, prediction and export. An image of that size passes unchanged if `framing` crops
    nothing.
    """
    channels = image.shape[-1]
    if tf.executing_eagerly():
        fitted = _fitted(image, height, width, framing)
    else:
        fitted = _fitting(height, width, channels, framing)(image)
    return tf.ensure_shape(fitted, [height, width, channels])


def _fitted(image: tf.Tensor, height: int, width: int, framing: Framing) -> tf.Tensor:
    shape = tf.shape(image)
    fitting = tf.logical_and(tf.equal(shape[0], height), tf.equal(shape[1], width))
    fitting = tf.logical_and(fitting, framing.crop == 1)
    return tf.cond(fitting, lambda: image, lambda: _cover(image, height, width, framing))


@cache
def _fitting(height: int, width: int, channels: int, framing: Framing) -> Callable[[tf.Tensor], tf.Tensor]:
    """`_fitted` to one size as a function whose graph is made once in a process: every pipeline of a training has
    it."""
    return tf.function(
        partial(_fitted, height=height, width=width, framing=framing),
        input_signature=[tf.TensorSpec([None, None, channels], tf.uint8)],
        autograph=False,
    )


def _cover(image: tf.Tensor, height: int, width: int, framing: Framing) -> tf.Tensor:
    """Equal to `tf.image.resize` and a centre crop, without computing the part that is cropped away: resized whole,
    a strip of 1x60000 pixels would take 36 GB. The longer side is rounded down and the corner to the
    nearest, as torchvision's Resize and CenterCrop do."""
    _, support = INTERPOLATIONS[framing.interpolation]
    size = tf.cast(tf.shape(image)[:2], tf.float64)
    wanted = tf.constant([height, width], tf.float64)
    tight = tf.argmax(wanted / size)  # the axis along which it just covers
    covering = tf.constant([framing.covering(side) for side in (height, width)], tf.float64)[tight]
    scaled = tf.maximum(tf.floor(size * covering / size[tight]), wanted)
    scale, corner = scaled / size, tf.round((scaled - wanted) / 2)
    reach = 1 + support * tf.maximum(1 / scale, 1)  # how far the filter looks beyond the window, in the image's pixels
    first = tf.maximum(tf.floor(corner / scale - reach), 0)
    last = tf.minimum(tf.math.ceil((corner + wanted) / scale + reach), size)
    top, left = tf.unstack(tf.cast(first, tf.int32))
    bottom, right = tf.unstack(tf.cast(last, tf.int32))
    resized = resampled(
        image[top:bottom, left:right],
        (height, width),
        tf.cast(scale, tf.float32),
        tf.cast(first * scale - corner, tf.float32),
        framing.interpolation,
    )
    return to_pixels(resized)


def to_pixels(image: tf.Tensor) -> tf.Tensor:
    """Floats on the 0..255 scale to uint8, rounded."""
    return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)


def read_image(path: str | Path) -> tuple[tf.Tensor, str]:
    """One image file as uint8 (height, width, 3), as shown, and Pillow's name for its mode (`L` is grey).

    Raises ReskerasError (status 1), which says why, unless Pillow reads it whole and TensorFlow decodes the same image.
    Threads may read at once; they wait for each other where their images are large.
    """
    with opened_image(path, LARGEST_IMAGE) as image, PIXELS_AT_ONCE.spent(image.width * image.height):
        image.load()
        exact = np.asarray(image.convert("RGB")) if image.format == "BMP" else None
        try:
            decoded = _in_colour(tf.io.read_file(os.fspath(path)))
        except tf.errors.OpError as error:
            raise failure(f"image: {path} {_undecoded(image)}") from error
        if exact is not None and not np.array_equal(exact, decoded):
            # TensorFlow takes the indices into a BMP's palette for shades of grey, and does not say so
            raise failure(f"image: {path} {_undecoded(image)}")
        return decoded, image.mode


# one call instead of some twenty, each of which would take the GIL
_in_colour = traced_once(lambda data: decode(data, COLOURS))


def _undecoded(image: Image.Image) -> str:
    """Which kind of image it is that Pillow reads and TensorFlow does not."""
    kind = {"WEBP": "WebP", "MPO": "JPEG"}.get(str(image.format), image.format)
    palette = " with a palette" if kind == "BMP" and image.mode in ("1", "P", "L") else ""
    return f"is a {kind}{palette}, which TensorFlow cannot decode; save it as PNG"


def decode_file(path: str | Path, channels: int) -> tf.Tensor:
    """One image file as uint8 (height, width, channels); colour becomes grey for a one-channel network.

    Raises ReskerasError: status 2 for a missing file, 1 for one that cannot be read or is too large.
    """
    if not Path(path).is_file():
        raise ReskerasError(f"image: file not found: {path}")
    decoded, _ = read_image(path)
    return with_channels(decoded, channels)
