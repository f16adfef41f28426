"""Bytes to images, and images of any size to the network's: the same in training, evaluation and prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from reskeras.errors import ReskerasError, failure

LARGEST_IMAGE = 64_000_000  # pixels; a decoded image of this size takes 192 MB
CHANGED = "changed since the data was opened"


def decode(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Bytes of a JPEG, PNG, BMP, WebP or GIF (its first frame) to uint8 (height, width, channels)."""
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    if channels == 1:
        image = image[..., :1]  # a grey image decodes to three equal channels
    return tf.ensure_shape(image, [None, None, channels])


def read_stored(path: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The bytes of a file, scalar string, in a graph. One that no longer has `size` bytes (int32) is an
    InvalidArgumentError with CHANGED and its name, because what decodes them would not name it."""
    data = tf.io.read_file(path)
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(tf.strings.length(data), size), [CHANGED, path])]):
        return tf.identity(data)


def fit_image(image: tf.Tensor, height: int, width: int, crop: float = 1.0) -> tf.Tensor:
    """uint8 (h, w, channels) to uint8 (height, width, channels): resized until it covers, centre cropped.

    Bilinear with antialiasing; the same in training, evaluation, prediction and export. An image of the
    right size passes unchanged. With `crop` 0.875 it is resized until that share of it covers, so that 224 pixels are
    the centre of 256.
    """
    channels = image.shape[-1]
    shape = tf.shape(image)
    fitting = tf.logical_and(tf.equal(shape[0], height), tf.equal(shape[1], width))
    fitting = tf.logical_and(fitting, crop == 1)
    fitted = tf.cond(fitting, lambda: image, lambda: _cover(image, height, width, crop))
    return tf.ensure_shape(fitted, [height, width, channels])


def _cover(image: tf.Tensor, height: int, width: int, crop: float) -> tf.Tensor:
    """What `tf.image.resize` and a centre crop give, without ever making the part that is cropped away:
    resized whole, a strip of 1x60000 pixels would take 36 GB."""
    size = tf.cast(tf.shape(image)[:2], tf.float64)
    wanted = tf.constant([height, width], tf.float64)
    scaled = tf.maximum(tf.round(size * tf.reduce_max(wanted / size) / crop), wanted)
    scale, corner = scaled / size, (scaled - wanted) // 2
    reach = 1 + tf.maximum(1 / scale, 1)  # how far the filter looks beyond the window, in pixels of the image
    first = tf.maximum(tf.floor(corner / scale - reach), 0)
    last = tf.minimum(tf.math.ceil((corner + wanted) / scale + reach), size)
    top, left = tf.unstack(tf.cast(first, tf.int32))
    bottom, right = tf.unstack(tf.cast(last, tf.int32))
    resized = tf.raw_ops.ScaleAndTranslate(
        images=image[tf.newaxis, top:bottom, left:right], size=[height, width], scale=tf.cast(scale, tf.float32),
        translation=tf.cast(first * scale - corner, tf.float32), kernel_type="triangle", antialias=True)[0]
    return to_pixels(resized)


def to_pixels(image: tf.Tensor) -> tf.Tensor:
    """Floats on the 0..255 scale to uint8, rounded."""
    return tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)


def read_image(path: str | Path) -> tuple[tf.Tensor, str]:
    """One image file as uint8 (height, width, 3), and Pillow's name for its mode (`L` is grey).

    Raises ReskerasError (status 1) unless Pillow reads it whole and TensorFlow decodes the same image.
    """
    try:
        with Image.open(path) as image:
            pixels = image.width * image.height
            if pixels > LARGEST_IMAGE:
                raise failure(f"image: {path} has {pixels} pixels, more than {LARGEST_IMAGE}")
            image.load()
            mode, exact = image.mode, np.asarray(image.convert("RGB")) if image.format == "BMP" else None
        decoded = decode(tf.io.read_file(str(path)), 3)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError, tf.errors.OpError) as error:
        raise failure(f"image: {path} is broken or no JPEG, PNG, BMP, WebP or GIF") from error
    if exact is not None and not np.array_equal(exact, decoded):
        # TensorFlow takes the indices into a BMP's palette for shades of grey, and does not say so
        raise failure(f"image: {path} is a BMP with a palette, which TensorFlow cannot decode; save it as PNG")
    return decoded, mode


def decode_file(path: str | Path, channels: int) -> tf.Tensor:
    """One image file as uint8 (height, width, channels); colour becomes grey for a one-channel network.

    Raises ReskerasError: status 2 for a missing file, 1 for one that cannot be read or is too large.
    """
    if not Path(path).is_file():
        raise ReskerasError(f"image: there is no file {path}")
    decoded, _ = read_image(path)
    return tf.image.rgb_to_grayscale(decoded) if channels == 1 else decoded
