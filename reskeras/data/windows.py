"""Random crops of images of any size: a window is drawn, decoded alone where the format allows it, then resized."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import tensorflow as tf

from reskeras.data.batches import READERS, mapped
from reskeras.data.decode import COLOURS, EXACT, by_format, to_pixels, with_channels
from reskeras.data.orientation import stored_window, turned, turned_size
from reskeras.data.resample import resampled
from reskeras.data.source import Split
from reskeras.errors import ReskerasError
from reskeras.recipes.augment import AugmentSpec, ResizedCropSpec

TRIES = 10  # windows drawn per image; the first that fits is used
NUMBERS = 4  # random numbers in 0..1 for a window
MARGIN = 2  # extra columns decoded beside a window of a JPEG
RATIOS = (1, 2, 4, 8)  # a JPEG can be decoded at 1 / these of its resolution, at less cost

Window = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def window_of(augment: AugmentSpec, height: int, width: int) -> Window | None:
    """How `augment` chooses a window for a network of height x width, None where it does not crop by windows.

    A window function takes int32 (height, width) of an image and float32 (TRIES, NUMBERS) in 0..1, and gives
    int32 (top, left, height, width) in pixels of the image. Raises ReskerasError when shorter_side is less than
    the network's size.
    """
    if spec := augment.random_resized_crop:
        return lambda shape, draws: resized_crop_window(shape, draws, spec)
    if augment.shorter_side is None:
        return None
    low, high = augment.shorter_side
    if low < max(height, width):
        raise ReskerasError(f"augment.shorter_side: {low} is less than the network's input of {height}x{width}")
    return lambda shape, draws: shorter_side_window(shape, draws, (low, high), (height, width))


def resized_crop_window(shape: tf.Tensor, draws: tf.Tensor, spec: ResizedCropSpec) -> tf.Tensor:
    """A window of random area (uniform) and aspect (log-uniform), anywhere in the image.

    Where none of TRIES fits, the largest central window whose aspect is allowed.
    """
    high, wide = tf.unstack(tf.cast(shape, tf.float32))
    area = high * wide * _between(draws[:, 0], *spec.area)
    logs = tf.math.log(tf.constant(spec.aspect, tf.float32))
    aspect = tf.exp(_between(draws[:, 1], logs[0], logs[1]))
    heights, widths = tf.round(tf.sqrt(area / aspect)), tf.round(tf.sqrt(area * aspect))
    fits = (heights >= 1) & (widths >= 1) & (heights <= high) & (widths <= wide)
    chosen = tf.argmax(tf.cast(fits, tf.int32), output_type=tf.int32)
    allowed = tf.clip_by_value(wide / high, *spec.aspect)
    central = tf.stack(
        [
            tf.minimum(high, tf.maximum(tf.round(wide / allowed), 1)),
            tf.minimum(wide, tf.maximum(tf.round(high * allowed), 1)),
        ]
    )
    drawn = tf.stack([heights[chosen], widths[chosen]])
    found = tf.reduce_any(fits)
    size = tf.where(found, drawn, central)
    return _window_at(shape, size, tf.where(found, draws[chosen, 2:], 0.5))


def shorter_side_window(
    shape: tf.Tensor, draws: tf.Tensor, sides: tuple[int, int], wanted: tuple[int, int]
) -> tf.Tensor:
    """The window that is a random crop of `wanted` (height, width) once the shorter side has been resized to a
    length drawn from `sides`, both ends among them; rounded to whole pixels of the image."""
    size = tf.cast(shape, tf.float32)
    side = sides[0] + tf.floor(draws[0, 0] * (sides[1] - sides[0] + 1))
    window = tf.round(tf.constant(wanted, tf.float32) * tf.reduce_min(size) / side)
    return _window_at(shape, tf.clip_by_value(window, 1.0, size), draws[0, 2:])


def _window_at(shape: tf.Tensor, size: tf.Tensor, place: tf.Tensor) -> tf.Tensor:
    size = tf.cast(size, tf.int32)
    room = shape - size
    corner = tf.minimum(tf.cast(tf.floor(place * tf.cast(room + 1, tf.float32)), tf.int32), room)
    return tf.concat([corner, size], axis=0)


def _between(draws: tf.Tensor, low: float | tf.Tensor, high: float | tf.Tensor) -> tf.Tensor:
    return low + draws * (high - low)


def shape_of(data: tf.Tensor) -> tf.Tensor:
    """int32 (height, width) of an encoded image as shown; of a JPEG, only its header is read."""
    return by_format(data, turned_size, lambda image: tf.shape(image)[:2])


def decode_window(
    data: tf.Tensor,
    channels: int,
    choose: Callable[[tf.Tensor], tf.Tensor],
    plain: str | None = None,
    size: tf.Tensor | tuple[int, int] | None = None,
) -> tf.Tensor:
    """The window of an encoded image that `choose` picks for its shape, uint8 (height, width, channels); with `size`
    (height, width) resized to that, float32 on the 0..255 scale (bilinear, antialiased).

    It equals the same window of the image as `decode` gives it. Of a JPEG the rest is never made; another format is
    decoded whole, then cropped. A window of a JPEG that is to be resized to half its size or less is decoded at a half,
    a quarter or an eighth of its resolution, as small as `size` allows, and resized from there.
    """

    def from_jpeg(stored: tf.Tensor, orientation: tf.Tensor | int) -> tf.Tensor:
        shown = turned_size(stored, orientation)
        window = stored_window(choose(shown), shown, orientation)
        if size is None:
            return turned(_jpeg_window(data, channels, window, stored, 1), orientation)
        wanted = turned_size(tf.convert_to_tensor(size), orientation)
        reducible = tf.reduce_min(window[2:] // wanted) >= tf.constant(RATIOS[1:])
        ways = [partial(_resized_window, data, channels, window, stored, wanted, ratio) for ratio in RATIOS]
        return turned(tf.switch_case(tf.reduce_sum(tf.cast(reducible, tf.int32)), ways), orientation)

    def from_other(image: tf.Tensor) -> tf.Tensor:
        window = with_channels(tf.ensure_shape(cut(image, choose), [None, None, COLOURS]), channels)
        return window if size is None else resampled(window, size)

    return tf.ensure_shape(by_format(data, from_jpeg, from_other, plain), [None, None, channels])


def _resized_window(
    data: tf.Tensor, channels: int, window: tf.Tensor, stored: tf.Tensor, wanted: tf.Tensor, ratio: int
) -> tf.Tensor:
    """The window of a JPEG as stored, decoded at 1 / `ratio` of its resolution and resized to `wanted`, float32."""
    if ratio == 1:
        return resampled(_jpeg_window(data, channels, window, stored, 1), wanted)
    corner, extent = window[:2], window[2:]
    first, last = corner // ratio, -(-(corner + extent) // ratio)  # whole pixels that cover it
    pixels = _jpeg_window(data, channels, tf.concat([first, last - first], axis=0), -(-stored // ratio), ratio)
    scale = tf.cast(wanted * ratio, tf.float32) / tf.cast(extent, tf.float32)
    return resampled(pixels, wanted, scale, tf.cast(first * ratio - corner, tf.float32) / ratio * scale)


def _jpeg_window(data: tf.Tensor, channels: int, window: tf.Tensor, size: tf.Tensor, ratio: int) -> tf.Tensor:
    """The window, int32 (top, left, height, width), of a JPEG of `size` as stored, both in pixels of 1 / `ratio` of its
    resolution; uint8."""
    top, left, height, width = tf.unstack(window)
    # colour is stored at half the resolution, and a column's depends on its neighbours: without them the
    # window's edge would differ from the whole image's
    first, last = tf.maximum(left - MARGIN, 0), tf.minimum(left + width + MARGIN, size[1])
    decoded = tf.image.decode_and_crop_jpeg(
        data, tf.stack([top, first, height, last - first]), channels=COLOURS, ratio=ratio, dct_method=EXACT
    )
    return with_channels(decoded[:, left - first : left - first + width], channels)


def cut(image: tf.Tensor, choose: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """The window of a decoded image that `choose` picks for its shape."""
    top, left, height, width = tf.unstack(choose(tf.shape(image)[:2]))
    return image[top : top + height, left : left + width]


def cropped_batch(
    split: Split,
    indices: tf.Tensor,
    size: tuple[int, int, int],
    choose: Window,
    draws: tf.Tensor,
    at_once: int = READERS,
) -> tuple[tf.Tensor, tf.Tensor]:
    """As `fitted_batch`, but of each image only the window that `choose` picks by `draws` (n, TRIES, NUMBERS),
    resized to `size` (bilinear, antialiased)."""

    def load(element: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        stored, numbers = element
        if split.encoded is None:
            image, label = split.decode(stored)
            resized = resampled(cut(image, lambda shape: choose(shape, numbers)), size[:2])
        else:
            data, label = split.encoded(stored)
            resized = decode_window(data, size[2], lambda shape: choose(shape, numbers), split.plain, size[:2])
        return tf.ensure_shape(to_pixels(resized), size), label

    shapes = tf.TensorSpec(size, tf.uint8), split.label_spec
    return mapped(load, (split.fetch(indices), draws), shapes, at_once)
