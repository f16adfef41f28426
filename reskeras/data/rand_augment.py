"""RandAugment (arXiv:1909.13719) on batches: each image has operations of its own, drawn by a stateless seed.

keras.layers.RandAugment is not used: it draws from its own state whatever seed it is given, chooses one operation
for the whole batch, and computes all of them on every image. Ranges are those of the AutoAugment family, each
operation's largest at magnitude 30. A strength is a magnitude as a share of that: one number for all images, or
float32 (n,), one for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi
from typing import Any, TypeAlias

import tensorflow as tf

from reskeras.data.random_change import RandomChange
from reskeras.data.shard_rows import Rows
from reskeras.recipes.augment import RandAugmentSpec

Strength: TypeAlias = Any  # a float, or a tf.Tensor of them
Operation = Callable[[tf.Tensor, tf.Tensor, Strength], tf.Tensor]

MOST = 30.0  # the magnitude of full strength
GREY = 128.0  # the fill value outside of a moved image
FURTHEST = 150 / 331  # largest translation, as a share of the side
LUMA = (0.299, 0.587, 0.114)


def random_operations(spec: RandAugmentSpec) -> RandomChange:
    """`spec.operations` operations for each image, 0..255, one after the other. They leave whole numbers."""
    operations, first = (INCREASING, 1) if spec.increasing else (OPERATIONS, 0)

    def draw(seed: tf.Tensor, rows: Rows) -> list[tuple[tf.Tensor, ...]]:
        turns = []
        for turn in range(spec.operations):
            own = tf.random.experimental.stateless_fold_in(seed, turn)
            seeds = tf.random.experimental.stateless_split(own, 2)
            kinds = tf.random.stateless_uniform([rows.of], seeds[0], first, len(operations), tf.int32)
            signs = 2.0 * tf.cast(tf.random.stateless_uniform([rows.of], seeds[1]) < 0.5, tf.float32) - 1
            more = tf.random.experimental.stateless_split(tf.random.experimental.stateless_fold_in(own, 2), 2)
            if spec.probability < 1:
                kinds = tf.where(tf.random.stateless_uniform([rows.of], more[0]) < spec.probability, kinds, LEFT_ALONE)
            drawn = [kinds, signs]
            if spec.deviation:
                drawn.append(tf.random.stateless_normal([rows.of], more[1], spec.magnitude, spec.deviation))
            turns.append(tuple(rows.taken(each) for each in drawn))
        return turns

    def change(images: tf.Tensor, turns: list[tuple[tf.Tensor, ...]]) -> tf.Tensor:
        for kinds, signs, *magnitudes in turns:
            magnitude = magnitudes[0] if magnitudes else spec.magnitude
            images = rand_augment(images, kinds, signs, magnitude, operations)
        return images

    return RandomChange(draw, change)


def rand_augment(
    images: tf.Tensor,
    kinds: tf.Tensor,
    signs: tf.Tensor,
    magnitude: float | tf.Tensor,
    operations: Mapping[str, Operation] | None = None,
) -> tf.Tensor:
    """Apply to each image (n, height, width, channels), float32 in 0..255, number `kinds[i]` of `operations`, those of
    the paper by default.

    `kinds` is int32 (n,), `signs` float32 (n,) of -1 and 1: which way an operation that has a direction goes.
    `magnitude` is one for all images, or float32 (n,), cut off at 0 and MOST.
    """
    operations = operations or OPERATIONS
    groups = len(operations)
    places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), kinds, groups)
    parts, directions = (tf.dynamic_partition(each, kinds, groups) for each in (images, signs))
    strengths: list[Strength] = [magnitude / MOST] * groups
    if isinstance(magnitude, tf.Tensor):
        strengths = tf.dynamic_partition(tf.clip_by_value(magnitude, 0.0, MOST) / MOST, kinds, groups)
    done = [
        operation(part, direction, strength)
        for operation, part, direction, strength in zip(operations.values(), parts, directions, strengths, strict=True)
    ]
    return tf.ensure_shape(tf.dynamic_stitch(places, done), images.shape)


def _each(strength: Strength) -> Strength:
    """A strength that images (n, height, width, channels) can be multiplied by."""
    return tf.reshape(strength, [-1, 1, 1, 1]) if isinstance(strength, tf.Tensor) else strength


def _identity(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    return images


def _shear_x(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    lean = 0.3 * strength * signs
    return _moved(images, ((1.0, lean), (0.0, 1.0)))


def _shear_y(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    lean = 0.3 * strength * signs
    return _moved(images, ((1.0, 0.0), (lean, 1.0)))


def _translate_x(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    return _moved(images, by=(FURTHEST * strength * images.shape[2] * signs, 0.0))


def _translate_y(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    return _moved(images, by=(0.0, FURTHEST * strength * images.shape[1] * signs))


def _rotate(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    angle = pi / 6 * strength * signs
    return _moved(images, ((tf.cos(angle), -tf.sin(angle)), (tf.sin(angle), tf.cos(angle))))


def _moved(images: tf.Tensor, matrix: tuple = ((1.0, 0.0), (0.0, 1.0)), by: tuple = (0.0, 0.0)) -> tf.Tensor:
    """The pixel at (x, y) comes from matrix (x, y) + by, both about the centre; entries are numbers or (n,)."""
    count, (height, width) = tf.shape(images)[0], images.shape[1:3]
    middle = ((width - 1) / 2, (height - 1) / 2)
    rows = []
    for (x, y), shift, own in zip(matrix, by, middle, strict=True):
        rows += [x, y, own + shift - x * middle[0] - y * middle[1]]
    transforms = tf.stack([tf.broadcast_to(tf.cast(value, tf.float32), [count]) for value in (*rows, 0.0, 0.0)], axis=1)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=[height, width],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=GREY,
    )
    return _pixels(tf.ensure_shape(moved, images.shape))


def _brightness(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    return _blended(tf.zeros_like(images), images, signs, strength)


def _colour(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    return images if images.shape[-1] == 1 else _blended(_grey(images), images, signs, strength)


def _contrast(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    mean = tf.round(tf.reduce_mean(_grey(images), axis=[1, 2], keepdims=True))
    return _blended(mean, images, signs, strength)


def _sharpness(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    height, width = images.shape[1:3]
    if min(height, width) < 3:
        return images
    # whole numbers up to 13 * 255: the sum is exact in any order
    around = sum(
        images[:, row : height - 2 + row, column : width - 2 + column] for row in range(3) for column in range(3)
    )
    inner = _pixels((around + 4 * images[:, 1:-1, 1:-1]) / 13)
    middle = tf.concat([images[:, 1:-1, :1], inner, images[:, 1:-1, -1:]], axis=2)  # the rim stays, as in Pillow
    smooth = tf.concat([images[:, :1], middle, images[:, -1:]], axis=1)
    return _blended(smooth, images, signs, strength)


def _posterize(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    return _without_bits(images, tf.round(4 * strength) if isinstance(strength, tf.Tensor) else round(4 * strength))


def _posterize_more(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    return _without_bits(images, tf.minimum(4 + tf.floor(4 * strength), 7.0))  # of no bits black would be left


def _without_bits(images: tf.Tensor, dropped: Strength) -> tf.Tensor:
    step = _each(2.0**dropped)
    return tf.floor(images / step) * step


def _solarize(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    return tf.where(images >= _each(255 * (1 - strength)), 255 - images, images)


def _solarize_add(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    """Dark pixels brightened by up to 110."""
    return tf.where(images < 128, images + _each(tf.floor(110 * tf.convert_to_tensor(strength))), images)


def _invert(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    return 255 - images


def _auto_contrast(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    low = tf.reduce_min(images, axis=[1, 2], keepdims=True)
    high = tf.reduce_max(images, axis=[1, 2], keepdims=True)
    return tf.where(high > low, _pixels((images - low) * 255 / tf.maximum(high - low, 1)), images)


def _equalize(images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    """Pillow's: a histogram and a table for each image and channel, all at once."""
    count, channels = tf.shape(images)[0], images.shape[-1]
    tables = count * channels
    own = tf.reshape(tf.range(tables), [count, 1, 1, channels]) * 256
    entries = own + tf.cast(images, tf.int32)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(entries), entries, tables * 256)
    counts = tf.reshape(counts, [tables, 256])
    brightest = tf.argmax(tf.where(counts > 0, tf.range(256), -1), axis=1)
    last = tf.gather(counts, brightest, axis=1, batch_dims=1)
    step = (tf.reduce_sum(counts, axis=1) - last)[:, tf.newaxis] // 255
    spread = (tf.cumsum(counts, axis=1, exclusive=True) + step // 2) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(spread, 255), tf.range(256))
    return tf.cast(tf.gather(tf.reshape(table, [-1]), entries), tf.float32)


def _grey(images: tf.Tensor) -> tf.Tensor:
    """The luma of each pixel, rounded, with one channel."""
    if images.shape[-1] == 1:
        return images
    red, green, blue = (images[..., index : index + 1] for index in range(3))
    return tf.round(LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)


def _blended(base: tf.Tensor, images: tf.Tensor, signs: tf.Tensor, strength: Strength) -> tf.Tensor:
    """`base` at factor 0, the image itself at 1; the factor is 1 plus or minus up to 0.9."""
    factor = tf.reshape(1 + 0.9 * strength * signs, [-1, 1, 1, 1])
    return _pixels(base + factor * (images - base))


def _pixels(images: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(tf.round(images), 0.0, 255.0)


OPERATIONS: dict[str, Operation] = {
    "identity": _identity,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
    "rotate": _rotate,
    "brightness": _brightness,
    "colour": _colour,
    "contrast": _contrast,
    "sharpness": _sharpness,
    "posterize": _posterize,
    "solarize": _solarize,
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
}
LEFT_ALONE = 0  # the number of the identity in both tables
INCREASING: dict[str, Operation] = {
    **{name: operation for name, operation in OPERATIONS.items() if name != "posterize"},
    "posterize": _posterize_more,
    "invert": _invert,
    "solarize_add": _solarize_add,
}
