"""Keras' preprocessing layers as pure functions of a seed tensor: what they draw comes from it and nothing else.

Each of their random numbers is drawn by `draw_seed`, which asks a SeedGenerator; `Draws` is one without state.
keras.layers.RandomColorJitter and RandAugment ignore the generator they are given and draw from their own, so the
first is put together here from the layers it is made of, and the second is written out in `rand_augment.py`. Why
CutMix and RandomErasing are not used is said in `boxes.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from reskeras.data.pixel_boxes import cutmix_masks
from reskeras.data.shard_rows import Rows

Change = Callable[[tf.Tensor, tf.Tensor, Rows], tf.Tensor]
Mix = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

STILL = {"seed": 0, "dtype": "float32"}  # their own generator is unused; a global dtype policy must not apply to pixels


class Draws(keras.random.SeedGenerator):
    """A SeedGenerator whose n-th seed is a hash of an int32 (2,) tensor and n; it owns no variable."""

    def __init__(self, seed: tf.Tensor):  # not the base's: that makes a variable
        self._seed, self._count = seed, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self._count += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._count)


def colour_jitter(strength: float, channels: int) -> Change:
    """Brightness, contrast and, of colour images, saturation, in this order, on the 0..255 scale.

    With s for `strength`: brightness is shifted by up to s of the scale, the distance from each channel's mean
    is multiplied by 1-s..1+s, and the saturation (HSV) by as much.
    """
    layers = [
        keras.layers.RandomBrightness(strength, (0, 255), **STILL),
        keras.layers.RandomContrast((strength, strength), (0, 255), **STILL),
    ]  # one number would only raise it
    # Keras multiplies saturation by f / (1 - f)
    bounds = tuple((1 + change) / (2 + change) for change in (-strength, strength))
    saturation = keras.layers.RandomSaturation(bounds, (0, 1), **STILL)

    def change(images: tf.Tensor, seed: tf.Tensor, rows: Rows) -> tf.Tensor:
        draws = Draws(seed)
        for layer in layers:
            images = _transformed(layer, images, draws, rows)
        return _transformed(saturation, images / 255, draws, rows) * 255 if channels == 3 else images

    return change


def _transformed(layer: Any, images: tf.Tensor, draws: Draws, rows: Rows) -> tf.Tensor:
    """`layer` on the rows of a global batch, with what it draws for all of that batch."""
    whole = keras.KerasTensor((rows.of, *images.shape[1:]), "float32")  # layers draw by the shape alone
    drawn = layer.get_random_transformation(whole, training=True, seed=draws)
    own = {name: rows.taken(values) for name, values in drawn.items()}
    return tf.ensure_shape(layer.transform_images(images, own, training=True), images.shape)


def mixing(mixup: float, cutmix: float) -> Mix:
    """MixUp (arXiv:1710.09412), CutMix (arXiv:1905.04899), or for each batch one of the two, each as often.

    The function takes images, label probabilities (n, classes) and a seed, to mixed images and labels. Weights
    are drawn from Beta(alpha, alpha) for each image. Its partner is an image of the same batch.
    """
    mixers = [mixer(alpha) for alpha, mixer in ((mixup, _mixup), (cutmix, _cutmix)) if alpha]

    def mix(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if len(mixers) == 1:
            return mixers[0](images, labels, seed)
        return tf.cond(
            tf.random.stateless_uniform([], seed) < 0.5,
            lambda: mixers[0](images, labels, seed),
            lambda: mixers[1](images, labels, seed),
        )

    return mix


def _drawn(layer: Any, images: tf.Tensor, draws: Draws) -> dict[str, tf.Tensor]:
    """MixUp's weights and partners."""
    drawn = layer.get_random_transformation(images, training=True, seed=draws)
    weight = drawn["mix_weight"]
    # of a small alpha both gamma draws underflow, to 0 / 0 or to the same least number over twice itself; a weight is
    # then nearly always 0 or 1
    drawn_well = tf.math.is_finite(weight) & (weight != 0.5)
    return {**drawn, "mix_weight": tf.where(drawn_well, weight, 1.0)}


def _mixup(alpha: float) -> Mix:
    layer = keras.layers.MixUp(alpha, **STILL)

    def mix(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        drawn = _drawn(layer, images, Draws(seed))
        mixed = layer.transform_images(images, drawn, training=True), layer.transform_labels(labels, drawn)
        return tf.ensure_shape(mixed[0], images.shape), tf.ensure_shape(mixed[1], labels.shape)

    return mix


def _cutmix(alpha: float) -> Mix:
    layer = keras.layers.MixUp(alpha, **STILL)  # used for its weights, partners and labels; the pixels are mixed here

    def mix(images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        draws = Draws(seed)
        drawn = _drawn(layer, images, draws)
        height, width = images.shape[1:3]
        inside = cutmix_masks(drawn["mix_weight"], height, width, draws.next())
        # boxes end at whole pixels and at the edge: labels are weighted by the pixels that remain
        drawn["mix_weight"] = 1 - tf.reduce_mean(tf.cast(inside, tf.float32), axis=[1, 2, 3])
        mixed = tf.where(inside, tf.gather(images, drawn["permutation_order"]), images)
        return mixed, tf.ensure_shape(layer.transform_labels(labels, drawn), labels.shape)

    return mix
