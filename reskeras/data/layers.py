"""Keras' preprocessing layers as pure functions of a seed tensor: what they draw comes from it and nothing else.

Each of their random numbers is drawn by `draw_seed`, which asks a SeedGenerator; `Draws` is one without state.
keras.layers.RandomColorJitter and RandAugment ignore the generator they are given and draw from their own, so the
first is put together here from the layers it is made of, and the second is written out in `rand_augment.py`. Why
CutMix and RandomErasing are not used is said in `pixel_boxes.py`.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from reskeras.data.pixel_boxes import cutmix_boxes, inside, shares
from reskeras.data.random_change import RandomChange
from reskeras.data.shard_rows import Rows

Numbers = dict[str, tf.Tensor]

STILL = {"seed": 0, "dtype": "float32"}  # their own generator is unused; a global dtype policy must not apply to pixels


class Draws(keras.random.SeedGenerator):
    """A SeedGenerator whose n-th seed is a hash of an int32 (2,) tensor and n; it owns no variable."""

    def __init__(self, seed: tf.Tensor):  # not the base's: that makes a variable
        self._seed, self._count = seed, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self._count += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._count)


def colour_jitter(strength: float, channels: int, hue: float = 0.0) -> RandomChange:
    """Brightness, contrast and, of colour images, saturation and hue, in this order, on the 0..255 scale.

    With s for `strength`: brightness is shifted by up to s of the scale, the distance from each channel's mean
    is multiplied by 1-s..1+s, and the saturation (HSV) by as much. The hue (HSV) is shifted by up to `hue` of its
    circle.
    """
    layers, scales = [], []
    if strength:  # for contrast one number would only raise it
        layers += [
            keras.layers.RandomBrightness(strength, (0, 255), **STILL),
            keras.layers.RandomContrast((strength, strength), (0, 255), **STILL),
        ]
        scales += [1, 1]
    if strength and channels == 3:  # Keras multiplies saturation by f / (1 - f)
        bounds = tuple((1 + change) / (2 + change) for change in (-strength, strength))
        layers.append(keras.layers.RandomSaturation(bounds, (0, 1), **STILL))
        scales.append(255)
    if hue:  # Keras halves its factor
        layers.append(keras.layers.RandomHue((0, 2 * hue), (0, 1), **STILL))
        scales.append(255)

    def draw(seed: tf.Tensor, rows: Rows) -> tuple[Numbers, ...]:
        draws, whole = Draws(seed), keras.KerasTensor((rows.of, 1, 1, channels), "float32")  # they look at its shape
        drawn = [layer.get_random_transformation(whole, training=True, seed=draws) for layer in layers]
        return tuple({name: rows.taken(values) for name, values in each.items()} for each in drawn)

    def changed(images: tf.Tensor, drawn: tuple[Numbers, ...]) -> tf.Tensor:
        for layer, numbers, scale in zip(layers, drawn, scales, strict=True):
            images = images if scale == 1 else images / scale
            images = tf.ensure_shape(layer.transform_images(images, numbers, training=True), images.shape)
            images = images if scale == 1 else images * scale
        return images

    return RandomChange(draw, changed)


class Mixing:
    """MixUp (arXiv:1710.09412), CutMix (arXiv:1905.04899), or for each batch one of the two, each as often.

    Weights are drawn from Beta(alpha, alpha) for each image. Its partner is an image of the same replica's batch.
    """

    def __init__(self, mixup: float, cutmix: float, height: int, width: int):
        # CutMix uses the layer for its weights, partners and labels; the pixels are mixed here
        self.layers: list[Any] = [keras.layers.MixUp(each, **STILL) if each else None for each in (mixup, cutmix)]
        self.size = height, width

    def draw(self, seed: tf.Tensor, rows: Rows, replicas: int = 1) -> Numbers:
        """Numbers for `rows`, an equal part of them for each of `replicas`; a replica's depend on its first row."""
        each = rows.count // replicas
        seeds = [tf.random.experimental.stateless_fold_in(seed, rows.first + index * each) for index in range(replicas)]
        return tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *(self._draw(own, each) for own in seeds))

    def _draw(self, seed: tf.Tensor, count: int) -> Numbers:
        """For each image its partner's index, its own weight, and the box (4,) that its partner fills, if any does."""
        mixup, cutmix = self.layers
        found = []
        if mixup:
            partner, weight = _partners(mixup, Draws(seed), count)
            found.append({"partner": partner, "weight": weight, "box": tf.zeros([count, 4])})
        if cutmix:
            draws = Draws(seed)
            partner, weight = _partners(cutmix, draws, count)
            boxes = cutmix_boxes(weight, *self.size, draws.next())
            # boxes end at whole pixels and at the edge: labels are weighted by the pixels that remain
            found.append({"partner": partner, "weight": 1 - shares(boxes, *self.size), "box": boxes})
        if len(found) == 1:
            return found[0]
        first = tf.random.stateless_uniform([], seed) < 0.5
        chosen = tf.nest.map_structure(lambda one, other: tf.where(first, one, other), *found)
        return chosen | {"mixup": tf.fill([count], first)}

    def apply(self, images: tf.Tensor, labels: tf.Tensor, numbers: Numbers) -> tuple[tf.Tensor, tf.Tensor]:
        """Mixed images, and mixed labels, probabilities (n, classes)."""
        mixup, cutmix = self.layers
        drawn = {"mix_weight": numbers["weight"], "permutation_order": numbers["partner"]}

        def blended() -> tf.Tensor:
            return tf.ensure_shape(mixup.transform_images(images, drawn, training=True), images.shape)

        def pasted() -> tf.Tensor:
            return tf.where(inside(numbers["box"], *self.size), tf.gather(images, numbers["partner"]), images)

        either = blended if mixup else pasted
        mixed = tf.cond(numbers["mixup"][0], blended, pasted) if mixup and cutmix else either()
        return mixed, tf.ensure_shape((mixup or cutmix).transform_labels(labels, drawn), labels.shape)


def _partners(layer: Any, draws: Draws, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Each image's partner, int64 (count,), and its own weight, float32 (count,)."""
    drawn = layer.get_random_transformation(keras.KerasTensor((count, 1, 1, 1), "float32"), training=True, seed=draws)
    weight = drawn["mix_weight"]
    # of a small alpha both gamma draws underflow, to 0 / 0 or to the same least number over twice itself; a weight is
    # then nearly always 0 or 1
    drawn_well = tf.math.is_finite(weight) & (weight != 0.5)
    return drawn["permutation_order"], tf.where(drawn_well, weight, 1.0)
