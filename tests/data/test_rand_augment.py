"""RandAugment's operations against Pillow's, and each image's operations its own."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from reskeras.data.rand_augment import INCREASING, OPERATIONS, rand_augment, random_operations
from reskeras.data.shard_rows import Rows
from reskeras.recipes.augment import RandAugmentSpec
from tests.data.images import batches, coloured, picture, raw, spec

IMAGE = picture(24, 20)
NAMES = list(OPERATIONS)
MAGNITUDE = 21.0
STRENGTH = 0.7
CENTRE = (23 / 2, 19 / 2)


def ours(name, sign=1.0, image=IMAGE, magnitude=MAGNITUDE):
    pixels = np.asarray(image).astype(np.float32)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    result = rand_augment(tf.constant(pixels[None]), tf.constant([NAMES.index(name)]), tf.constant([sign]), magnitude)
    return result.numpy()[0]


def moved(matrix, by):
    """Pillow's affine transformation; it takes coordinates of pixel edges, half a pixel from our centres."""
    (a, b), (d, e) = matrix
    x, y = CENTRE[0] + 0.5, CENTRE[1] + 0.5
    data = (a, b, x + by[0] - a * x - b * y, d, e, y + by[1] - d * x - e * y)
    return IMAGE.transform(IMAGE.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR, fillcolor=(128,) * 3)


COLOURS = {
    "identity": lambda sign: IMAGE,
    "brightness": lambda sign: ImageEnhance.Brightness(IMAGE).enhance(1 + 0.9 * STRENGTH * sign),
    "colour": lambda sign: ImageEnhance.Color(IMAGE).enhance(1 + 0.9 * STRENGTH * sign),
    "contrast": lambda sign: ImageEnhance.Contrast(IMAGE).enhance(1 + 0.9 * STRENGTH * sign),
    "sharpness": lambda sign: ImageEnhance.Sharpness(IMAGE).enhance(1 + 0.9 * STRENGTH * sign),
    "posterize": lambda sign: ImageOps.posterize(IMAGE, 8 - round(4 * STRENGTH)),
    "solarize": lambda sign: ImageOps.solarize(IMAGE, 255 * (1 - STRENGTH)),
    "auto_contrast": lambda sign: ImageOps.autocontrast(IMAGE),
    "equalize": lambda sign: ImageOps.equalize(IMAGE),
}
SIN, COS = np.sin(np.pi / 6 * STRENGTH), np.cos(np.pi / 6 * STRENGTH)
MOVES = {
    "shear_x": lambda sign: moved(((1, 0.3 * STRENGTH * sign), (0, 1)), (0, 0)),
    "shear_y": lambda sign: moved(((1, 0), (0.3 * STRENGTH * sign, 1)), (0, 0)),
    "translate_x": lambda sign: moved(((1, 0), (0, 1)), (150 / 331 * STRENGTH * 24 * sign, 0)),
    "translate_y": lambda sign: moved(((1, 0), (0, 1)), (0, 150 / 331 * STRENGTH * 20 * sign)),
    "rotate": lambda sign: moved(((COS, -SIN * sign), (SIN * sign, COS)), (0, 0)),
}


def test_every_operation_has_a_counterpart_in_pillow():
    assert {*COLOURS, *MOVES} == set(OPERATIONS)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", COLOURS)
def test_changes_of_colour_equal_pillows(name, sign):
    expected = np.asarray(COLOURS[name](sign)).astype(int)
    # Pillow cuts fractions off where we round, first in the grey or smooth image, then in the blend
    difference = np.abs(ours(name, float(sign)) - expected)
    assert difference.max() <= (2 if name in ("sharpness", "colour") else 1)


def test_solarizing_begins_at_its_threshold_as_pillows():
    every = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    found = ours("solarize", image=every, magnitude=6.0)[..., 0]  # 0.2 of 30: from 204 on
    np.testing.assert_array_equal(found, np.asarray(ImageOps.solarize(every, 204)))


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("name", MOVES)
def test_moves_equal_pillows_inside_the_image(name, sign):
    expected = np.asarray(MOVES[name](sign)).astype(int)
    found = ours(name, float(sign))
    # at the rim Pillow takes the nearest pixel and we blend with the grey outside
    inside = np.abs(found - expected).max(axis=-1) <= 2
    assert inside.mean() > 0.85
    rows, columns = (~inside).any(axis=1), (~inside).any(axis=0)
    assert name == "rotate" or name.startswith("shear") or rows.sum() <= 1 or columns.sum() <= 1


def test_no_magnitude_changes_little_but_what_has_no_magnitude():
    for name in NAMES:
        if name not in ("auto_contrast", "equalize", "solarize"):
            np.testing.assert_array_equal(ours(name, magnitude=0.0), np.asarray(IMAGE))


@pytest.mark.parametrize("name", NAMES)
def test_grey_images_are_pillows_too(name):
    found = ours(name, image=IMAGE.convert("L"))
    assert found.shape == (20, 24, 1)
    if name in ("equalize", "posterize"):
        expected = {
            "equalize": ImageOps.equalize(IMAGE.convert("L")),
            "posterize": ImageOps.posterize(IMAGE.convert("L"), 5),
        }[name]
        np.testing.assert_array_equal(found[..., 0], np.asarray(expected))


def test_each_image_of_a_batch_has_its_own_operation():
    kinds = np.random.default_rng(0).permutation(np.arange(40) % len(NAMES)).astype(np.int32)
    signs = np.where(np.arange(40) % 3, 1.0, -1.0).astype(np.float32)
    images = [picture(24, 20, seed) for seed in range(40)]
    stacked = tf.constant(np.stack([np.asarray(image) for image in images]).astype(np.float32))
    together = rand_augment(stacked, tf.constant(kinds), tf.constant(signs), MAGNITUDE).numpy()
    for index, image in enumerate(images):
        np.testing.assert_array_equal(together[index], ours(NAMES[kinds[index]], signs[index], image))


def test_operations_are_drawn_equally_often():
    one = coloured(1, size=16)
    augment = spec(rand_augment={"operations": 1, "magnitude": 15}, pad_crop=0, flip=False)
    seen = [images.tobytes() for images, _ in batches(one, augment, raw(), epochs=300)]
    image = Image.fromarray(np.asarray(one.decode(tf.constant(0, tf.int64))[0]))
    known = {}
    for name in NAMES:
        for sign in (-1.0, 1.0):
            known.setdefault(ours(name, sign, image, 15.0).tobytes(), name)
    counts = {name: sum(known[each] == name for each in seen) for name in NAMES}
    assert min(counts.values()) >= 5 and max(counts.values()) <= 70


def increasing(name, image=IMAGE, magnitude=MAGNITUDE):
    pixels = tf.constant(np.asarray(image).astype(np.float32)[None])
    kind = tf.constant([list(INCREASING).index(name)])
    return rand_augment(pixels, kind, tf.constant([1.0]), magnitude, INCREASING).numpy()[0]


def test_the_increasing_operations_are_timms_fifteen_and_the_identity_is_not_drawn():
    timm = {
        *("auto_contrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize_add", "colour"),
        *("contrast", "brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"),
    }
    assert set(INCREASING) == {"identity", *timm} and len(timm) == 15
    draw = random_operations(RandAugmentSpec(operations=1, increasing=True)).draw
    [(kinds, _)] = draw(tf.constant([1, 2]), Rows(0, 3000, 3000))
    counts = np.bincount(kinds.numpy(), minlength=16)
    assert counts[0] == 0 and counts[1:].min() > 140 and counts[1:].max() < 260


@pytest.mark.parametrize("magnitude", [0.0, 9.0, 21.0, 30.0])
def test_increasing_operations_equal_pillows_as_timm_calls_it(magnitude):
    level = magnitude / 3  # timm's are up to 10
    pixels = np.asarray(IMAGE).astype(int)
    np.testing.assert_array_equal(increasing("invert", magnitude=magnitude), np.asarray(ImageOps.invert(IMAGE)))
    expected = np.asarray(ImageOps.posterize(IMAGE, max(4 - int(level / 10 * 4), 1)))
    np.testing.assert_array_equal(increasing("posterize", magnitude=magnitude), expected)
    added = min(128, int(level / 10 * 110))
    expected = np.where(pixels < 128, np.minimum(pixels + added, 255), pixels)
    np.testing.assert_array_equal(increasing("solarize_add", magnitude=magnitude), expected)


@pytest.mark.parametrize("table", [OPERATIONS, INCREASING])
def test_each_image_has_its_own_magnitude_within_bounds(table):
    magnitudes = np.float32([-4.0, 0.0, 6.0, 15.0, 30.0, 44.0])
    pixels = np.asarray(IMAGE).astype(np.float32)
    for kind, name in enumerate(table):
        count = len(magnitudes)
        kinds, signs = tf.fill([count], kind), tf.ones([count])
        together = rand_augment(tf.constant(np.stack([pixels] * count)), kinds, signs, tf.constant(magnitudes), table)
        for found, magnitude in zip(together.numpy(), magnitudes, strict=True):
            one = float(np.clip(magnitude, 0, 30))
            alone = rand_augment(tf.constant(pixels[None]), kinds[:1], signs[:1], one, table).numpy()[0]
            assert np.abs(found - alone).max() <= 1, name  # float32 instead of Python's numbers
            assert (found == alone).mean() > 0.97, name


def test_magnitudes_are_normal_and_operations_left_out_as_often_as_asked():
    rows, seed = Rows(0, 4000, 4000), tf.constant([3, 4])
    spec_ = RandAugmentSpec(magnitude=15, deviation=1.5, probability=0.3, increasing=True)
    turns = random_operations(spec_).draw(seed, rows)
    for kinds, _, magnitudes in turns:
        assert 0.66 < np.mean(kinds.numpy() == 0) < 0.74
        assert abs(magnitudes.numpy().mean() - 15) < 0.1 and abs(magnitudes.numpy().std() - 1.5) < 0.1
        moved = kinds.numpy() > 0  # whether one is done does not depend on how much
        assert abs(magnitudes.numpy()[moved].mean() - magnitudes.numpy()[~moved].mean()) < 0.2
    assert abs(np.corrcoef(turns[0][2], turns[1][2])[0, 1]) < 0.06
    both = np.mean((turns[0][0].numpy() == 0) & (turns[1][0].numpy() == 0))
    assert abs(both - 0.49) < 0.03  # 0.7 twice: each is left out by itself
    plain = random_operations(RandAugmentSpec(magnitude=15)).draw(seed, rows)
    again = random_operations(RandAugmentSpec(magnitude=15, deviation=3)).draw(seed, rows)
    for (kinds, signs), (same, equal, _) in zip(plain, again, strict=True):
        np.testing.assert_array_equal(kinds, same)
        np.testing.assert_array_equal(signs, equal)
