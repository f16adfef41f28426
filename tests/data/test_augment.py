"""Augmentation: each kind by its statistics, and all of it a pure function of (seed, epoch, step)."""

import colorsys

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from reskeras.data.layers import Mixing, colour_jitter
from reskeras.data.pixel_boxes import erasing
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.random_change import EIGENVALUES, EIGENVECTORS, lighting, random_crop, random_flip, random_turn
from reskeras.data.shard_rows import Rows
from reskeras.data.training_batch import seed_of
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.recipes.augment import AugmentSpec
from reskeras.recipes.recipe import Recipe, recipe
from tests.data.images import KINDS, SIZE, STILL, batches, centred, coloured, memory_split, raw, spec

SEED = tf.constant([3, 4], tf.int32)


def all_rows(images):
    return Rows(0, len(images), len(images))


def mixing(mixup, cutmix):
    """Images, labels and a seed to mixed images and labels."""

    def mix(images, labels, seed):
        both = Mixing(mixup, cutmix, *images.shape[1:3])
        return both.apply(tf.constant(images), labels, both.draw(seed, all_rows(images)))

    return mix


@pytest.mark.sample(4)
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_a_function_of_seed_epoch_and_step_alone(kind):
    augment, split = spec(**KINDS[kind]), coloured()

    def run(**arguments):
        return batches(split, augment, epochs=2, classes=7, **arguments)

    whole, again = run(), run()
    for (images, labels), (same, equal) in zip(whole, again, strict=True):
        np.testing.assert_array_equal(images, same)
        np.testing.assert_array_equal(labels, equal)
        assert np.isfinite(images).all()
        assert images.dtype == labels.dtype == np.float32
        np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    [(rest, targets)] = run(start_epoch=1, start_step=1)  # reached without what comes before
    np.testing.assert_array_equal(rest, whole[3][0])
    np.testing.assert_array_equal(targets, whole[3][1])
    assert not np.array_equal(run(seed=2)[0][0], whole[0][0])


@pytest.mark.sample(4)
@pytest.mark.parametrize("kind", KINDS)
def test_another_step_epoch_or_seed_draws_other_numbers(kind):
    one = coloured(1)  # one image is the same image in every batch, so that only what is drawn can differ
    if kind in ("mixup", "cutmix"):
        one = coloured(12)

    def signature(**arguments):
        return [images.tobytes() for images, _ in batches(one, spec(**KINDS[kind]), epochs=12, classes=7, **arguments)]

    drawn = [*signature(), *signature(seed=2)]
    # a flip has two outcomes and erasing may leave an image alone
    assert len(set(drawn)) >= {"flip": 2, "rotate": 4, "erase": 10}.get(kind, 15)


def test_with_everything_off_a_batch_is_what_it_was_before_there_was_more():
    split = coloured()
    for step, (images, labels) in enumerate(batches(split, AugmentSpec())):
        plain, same = batches(split, spec(**STILL))[step]
        np.testing.assert_array_equal(labels, same)
        seed = tf.random.experimental.stateless_fold_in(
            tf.random.experimental.stateless_fold_in(tf.constant([1, 0x5EED]), 0), step * 12
        )
        seeds = tf.random.experimental.stateless_split(seed, 2)
        corners = tf.random.stateless_uniform([12, 2], seeds[0], 0, 9, tf.int32).numpy()
        mirrored = (tf.random.stateless_uniform([12, 1, 1, 1], seeds[1]) < 0.5).numpy().ravel()
        padded = np.pad(plain, ((0, 0), (4, 4), (4, 4), (0, 0)))
        for image, whole, (top, left), flip in zip(images, padded, corners, mirrored, strict=True):
            crop = whole[top : top + SIZE, left : left + SIZE]
            np.testing.assert_array_equal(image, crop[:, ::-1] if flip else crop)


def test_crop_offsets_are_uniform_and_independent_and_half_is_mirrored():
    count, pad = 5000, 2
    image = np.arange(1, 37, dtype=np.float32).reshape(6, 6, 1)
    images = tf.constant(np.stack([image] * count))
    for part, change in (("crop", random_crop(pad)), ("flip", random_flip(axis=2))):
        images = change(images, seed_of(SEED, part), all_rows(images))
    crops = images.numpy()[..., 0]
    padded = np.pad(image[..., 0], pad)
    places = {}
    for row in range(5):
        for column in range(5):
            window = padded[row : row + 6, column : column + 6]
            places[window.tobytes()], places[window[:, ::-1].tobytes()] = (row, column, 0), (row, column, 1)
    found = np.array([places[crop.tobytes()] for crop in crops])
    table = np.zeros((5, 5, 2))
    np.add.at(table, tuple(found.T), 1)
    assert stats.chisquare(table.ravel()).pvalue > 1e-3


@pytest.mark.parametrize("flip", [False, True])
def test_images_are_turned_upside_down_every_other_time_whether_they_are_mirrored_or_not(flip):
    split, ways = coloured(), np.zeros((2, 2), int)
    plain = batches(split, spec(**STILL), raw(), epochs=20)
    turned = batches(split, spec(flip_rows=True, **{**STILL, "flip": flip}), raw(), epochs=20)
    for (images, labels), (found, same) in zip(plain, turned, strict=True):
        np.testing.assert_array_equal(labels, same)
        for image, other in zip(images, found, strict=True):
            [way] = [
                (down, across)
                for down in (0, 1)
                for across in (0, 1)
                if np.array_equal(other, image[:: 1 - 2 * down, :: 1 - 2 * across])
            ]
            ways[way] += 1
    expected = ways.sum() * np.array([[0.25, 0.25], [0.25, 0.25]] if flip else [[0.5, 0], [0.5, 0]])
    np.testing.assert_allclose(ways, expected, atol=0.08 * ways.sum())
    assert flip or not ways[:, 1].any()


def test_lighting_shifts_along_imagenets_principal_colours_by_their_deviation():
    grey = tf.fill([20_000, 1, 1, 3], 100.0)
    shifts = (lighting(0.1)(grey, SEED, all_rows(grey)).numpy() - 100).reshape(-1, 3)
    vectors, values = np.array(EIGENVECTORS), np.array(EIGENVALUES)
    expected = vectors @ np.diag(np.square(values * 255 * 0.1)) @ vectors.T
    np.testing.assert_allclose(np.cov(shifts.T), expected, atol=0.03 * expected.max())
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=0.15)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-3)


def test_lighting_moves_all_pixels_of_an_image_alike():
    images = batches(coloured(), spec(lighting=0.1, **STILL), raw())[0][0]
    plain = batches(coloured(), spec(**STILL), raw())[0][0]
    shifts = images - plain
    np.testing.assert_allclose(shifts, np.broadcast_to(shifts[:, :1, :1], shifts.shape), atol=1e-4)
    assert len(np.unique(shifts[:, 0, 0, 0])) == 12


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixups_weights_are_beta_and_labels_are_mixed_as_images_are(alpha):
    count = 2000
    numbers = tf.range(count, dtype=tf.float32)
    images = tf.broadcast_to(numbers[:, None, None, None], (count, 4, 4, 1))  # each of one colour of its own
    mixed, targets = (part.numpy() for part in mixing(alpha, 0.0)(images, tf.eye(count), SEED))
    np.testing.assert_allclose(mixed[:, 0, 0, 0], targets @ numbers.numpy(), rtol=1e-3, atol=0.1)
    assert stats.kstest(np.diag(targets), stats.beta(alpha, alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_cutmixs_boxes_are_the_papers(alpha):
    count, size = 2000, 32
    rng = np.random.default_rng(0)
    side = size * np.sqrt(1 - rng.beta(alpha, alpha, count))  # the authors' rand_bbox, in NumPy
    kept = np.ones(count)
    for axis in range(2):
        centre = rng.integers(size, size=count)
        ends = [np.clip(centre + sign * (side.astype(int) // 2), 0, size) for sign in (-1, 1)]
        kept = kept * (ends[1] - ends[0]) if axis else ends[1] - ends[0]
    images = tf.ones([count, size, size, 1])
    weights = np.diag(mixing(0.0, alpha)(images, tf.eye(count), SEED)[1].numpy())
    assert stats.ks_2samp(weights, 1 - kept / size**2).statistic < 0.07


def test_a_tiny_alpha_mixes_without_nan():
    images = tf.random.stateless_uniform([2000, 2, 2, 1], SEED)
    mixed, labels = mixing(0.001, 0.0)(images, tf.eye(2000), SEED)
    assert np.isfinite(mixed.numpy()).all() and np.isfinite(labels.numpy()).all()


@pytest.mark.parametrize("alpha", [0.001, 0.01, 0.03])
def test_a_tiny_alpha_hardly_mixes(alpha):
    """Of Beta(alpha, alpha) a share of about alpha log(99) lies between 0.01 and 0.99."""
    images = tf.zeros([5000, 1, 1, 1])
    _, labels = mixing(alpha, 0.0)(images, tf.eye(5000), SEED)
    own = np.diag(labels.numpy())
    between = np.mean((own > 0.01) & (own < 0.99))
    assert between < 2 * alpha * np.log(99) + 0.002


@pytest.mark.parametrize("alphas", [(0.4, 0.0), (0.0, 0.4)], ids=["mixup", "cutmix"])
def test_a_weight_that_is_no_number_leaves_an_image_as_it_is(monkeypatch, alphas):
    drawn = keras.layers.MixUp.get_random_transformation

    def broken(layer, images, training=True, seed=None):
        found = drawn(layer, images, training=training, seed=seed)
        return {**found, "mix_weight": tf.concat([[np.nan, np.inf], found["mix_weight"][2:]], axis=0)}

    monkeypatch.setattr(keras.layers.MixUp, "get_random_transformation", broken)
    images = tf.random.stateless_uniform([40, 6, 6, 1], SEED).numpy()
    mixed, labels = (part.numpy() for part in mixing(*alphas)(images, tf.eye(40), SEED))
    np.testing.assert_array_equal(mixed[:2], images[:2])
    np.testing.assert_array_equal(labels[:2], np.eye(40)[:2])
    assert np.isfinite(mixed).all() and (mixed[2:] != images[2:]).any()


def test_cutmix_pastes_one_box_of_the_partner_and_weighs_labels_by_its_pixels():
    count, size = 64, 12
    images = tf.constant(np.broadcast_to(np.arange(count)[:, None, None, None], (count, size, size, 3)), tf.float32)
    mixed, labels = (part.numpy() for part in mixing(0.0, 1.0)(images, tf.eye(count), SEED))
    for index, (image, label) in enumerate(zip(mixed[..., 0], labels, strict=True)):
        other = image != index
        rows, columns = np.flatnonzero(other.any(axis=1)), np.flatnonzero(other.any(axis=0))
        if not len(rows):
            assert label[index] == 1
            continue
        box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        assert len(np.unique(box)) == 1
        assert other.sum() == box.size
        np.testing.assert_allclose(label[int(box[0, 0])], box.size / size**2, atol=1e-6)


def test_with_both_each_batch_is_mixed_in_one_of_the_two_ways():
    images, labels = tf.constant(np.arange(8 * 16, dtype=np.float32).reshape(8, 4, 4, 1)), tf.eye(8)
    both, known = mixing(0.4, 1.0), (mixing(0.4, 0.0), mixing(0.0, 1.0))
    ways = []
    for number in range(60):
        seed = tf.constant([9, number])
        mixed = both(images, labels, seed)[0].numpy()
        ways.append([np.array_equal(mixed, one(images, labels, seed)[0]) for one in known])
    assert all(any(way) for way in ways)
    assert 15 < sum(way[0] for way in ways) < 45


def test_erasing_makes_one_box_the_mean_with_the_probability_asked_for():
    count = 3000
    erased = erasing(0.3, 30, 20)(tf.ones([count, 30, 20, 3]), SEED, Rows(0, count, count)).numpy()
    zeros = (erased == 0).all(axis=-1)
    np.testing.assert_array_equal(zeros, (erased == 0).any(axis=-1))
    hit = zeros[zeros.any(axis=(1, 2))]
    assert 0.265 < len(hit) / count < 0.335
    for box in hit[:100]:
        np.testing.assert_array_equal(box, np.outer(box.any(axis=1), box.any(axis=0)))
    shares = hit.mean(axis=(1, 2))
    assert shares.min() > 0.01 and shares.max() < 0.42
    assert stats.kstest(shares, stats.uniform(0.02, 0.38).cdf).statistic < 0.09  # some boxes end at the edge
    assert hit.any(axis=0).all()  # no pixel is safe, not even those in the corners
    for along in (hit.any(axis=2), hit.any(axis=1)):
        ends = along[~along.all(axis=1)][:, [0, -1]].mean(axis=0)  # of boxes that could lie elsewhere
        assert ends.min() > 0.02
    assert abs(np.log(hit.any(axis=2).sum(axis=1) / hit.any(axis=1).sum(axis=1)).mean()) < 0.1


def test_colour_jitter_stays_within_its_strength():
    count, strength = 500, 0.3
    image = np.random.default_rng(0).integers(90, 165, (6, 6, 3)).astype(np.float32)
    images = tf.constant(np.stack([image] * count))
    jittered = colour_jitter(strength, 3)(images, SEED, Rows(0, count, count)).numpy()
    assert jittered.min() >= 0 and jittered.max() <= 255
    # brightness is the first: the darkest and brightest mean are within 0.3 of the scale
    shift = (jittered.mean(axis=(1, 2, 3)) - image.mean()) / 255
    assert 0.25 < np.abs(shift).max() <= strength + 0.05
    assert abs(shift.mean()) < 0.03
    grey = colour_jitter(strength, 1)(images[..., :1], SEED, Rows(0, count, count)).numpy()
    spread = grey.std(axis=(1, 2, 3)) / image[..., 0].std()
    inside = (grey.min(axis=(1, 2, 3)) > 0) & (grey.max(axis=(1, 2, 3)) < 255)
    assert 0.69 < spread[inside].min() < 0.75 and 1.25 < spread[inside].max() < 1.31


def shifts_of(images, plain):
    """The shift of each image's hue, from -0.5 to 0.5, by the standard library's HSV of its first pixel."""
    before, after = (colorsys.rgb_to_hsv(*(each[0, 0] / 255))[0] for each in (plain, images))
    return (after - before + 0.5) % 1 - 0.5


def test_hues_are_shifted_alike_in_all_of_an_image_and_nothing_else_is():
    count, most = 600, 0.2
    image = np.random.default_rng(0).integers(20, 235, (5, 6, 3)).astype(np.float32)
    images = tf.constant(np.stack([image] * count))
    shifted = colour_jitter(0.0, 3, most)(images, SEED, Rows(0, count, count)).numpy()
    shifts = np.array([shifts_of(each, image) for each in shifted])
    assert stats.kstest(shifts, stats.uniform(-most, 2 * most).cdf).pvalue > 1e-3
    for each, shift in zip(shifted[:20], shifts, strict=False):
        for ours, plain in zip(each.reshape(-1, 3), image.reshape(-1, 3), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*plain / 255)
            np.testing.assert_allclose(ours / 255, colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value), atol=2e-3)


@pytest.mark.peers
def test_hues_are_shifted_as_by_torchvision():
    import torch
    from torchvision.transforms.functional import adjust_hue

    image = np.random.default_rng(1).random((12, 12, 3)).astype(np.float32)
    images = tf.constant(np.stack([255 * image] * 8))
    for ours in colour_jitter(0.0, 3, 0.5)(images, SEED, Rows(0, 8, 8)).numpy():
        shift = shifts_of(ours, 255 * image)
        theirs = adjust_hue(torch.tensor(image.transpose(2, 0, 1)), float(shift)).numpy().transpose(1, 2, 0)
        np.testing.assert_allclose(ours / 255, theirs, atol=5e-3)


@pytest.mark.parametrize("step", [90, 180])
def test_square_images_are_turned_by_random_multiples_of_an_angle(step):
    images = np.random.default_rng(0).random((400, 5, 5, 3)).astype(np.float32)
    found, ways = random_turn(step)(tf.constant(images), SEED, all_rows(images)).numpy(), np.zeros(4, int)
    for image, other in zip(images, found, strict=True):
        [way] = [quarters for quarters in range(4) if np.array_equal(other, np.rot90(image, quarters))]
        ways[way] += 1
    assert np.flatnonzero(ways).tolist() == list(range(0, 4, step // 90))
    assert stats.chisquare(ways[ways > 0]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("fields", "size", "told"),
    [
        ({"rotate": 90}, (16, 24), r"rotate: quarter turns need square images, but these are 16x24; use 180"),
        ({"mosaic": {}}, (16, 16), r"mosaic: only for detectors; use cutmix"),
        ({"scale": [0.5, 1]}, (16, 16), r"scale: only for detectors; use random_resized_crop"),
        ({"hue": 0.1}, (16, 16, 1), r"hue: needs colour images, but these have 1 channel$"),
    ],
)
def test_augmentations_that_classifiers_cannot_have_are_refused(fields, size, told):
    height, width, channels = (*size, 3)[:3]
    pixels = np.zeros((4, height, width, channels))
    preprocessing = Preprocessing(height, width, channels, "scale", *[np.ones(channels, np.float32)] * 2)
    with pytest.raises(ReskerasError, match=rf"^augment\.{told}"):
        batches(memory_split(pixels, np.zeros(4)), spec(**fields), preprocessing)
    half = Preprocessing(16, 24, 3, "scale", *[np.ones(3, np.float32)] * 2)
    assert batches(memory_split(np.zeros((4, 16, 24, 3)), np.zeros(4)), spec(rotate=180), half)


@pytest.mark.parametrize("angle", [45, 270, 1])
def test_other_angles_are_refused_with_the_reason(angle):
    with pytest.raises(ReskerasError, match=r"rotate: \d+: should be 90 .*which move whole pixels"):
        spec(rotate=angle)


def test_labels_are_one_hot_smoothed_as_asked():
    plain = batches(coloured(), spec(**STILL))
    smooth = batches(coloured(), spec(**STILL), classes=7, label_smoothing=0.1)
    for (_, labels), (_, targets) in zip(plain, smooth, strict=True):
        assert labels.dtype == np.int32
        np.testing.assert_allclose(targets, 0.9 * np.eye(7)[labels] + 0.1 / 7, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "more"), [({"mixup": 0.2}, {}), ({"cutmix": 1}, {}), ({}, {"label_smoothing": 0.1})]
)
def test_probabilities_without_the_number_of_classes_are_a_programming_error(fields, more):
    with pytest.raises(ValueError, match="number of classes"):
        batches(coloured(), spec(**fields), **more)


def test_lighting_of_grey_images_is_refused():
    with pytest.raises(ReskerasError, match=r"augment\.lighting: needs colour images, but these have 1 channel$"):
        batches(coloured(channels=1), spec(lighting=0.1), raw(channels=1))


def test_grey_images_can_be_augmented_in_every_other_way():
    fields = {name: value for name, value in KINDS["everything"].items() if name not in ("hue", "lighting")}
    [(images, _), _] = batches(coloured(channels=1), spec(**fields), centred(channels=1), classes=7)
    assert images.shape == (12, SIZE, SIZE, 1)


def test_existing_recipes_mean_what_they_meant():
    for name in ("quick", "step-cifar"):
        augment = recipe(name).augment
        assert (augment.padding, augment.flip) == (4, "auto")
        assert not any(
            (
                augment.random_resized_crop,
                augment.shorter_side,
                augment.lighting,
                augment.colour,
                augment.mixup,
                augment.cutmix,
                augment.rand_augment,
                augment.erase,
            )
        )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pad_crop": 4, "random_resized_crop": {}}, "pad_crop and random_resized_crop both crop"),
        ({"pad_crop": 2, "shorter_side": [256, 480]}, "pad_crop and shorter_side both crop"),
        ({"random_resized_crop": {}, "shorter_side": [256, 480]}, "random_resized_crop and shorter_side both crop"),
        ({"shorter_side": [480, 256]}, r"augment\.shorter_side: .*480 is above 256"),
        ({"shorter_side": [0, 256]}, r"augment\.shorter_side\.0: 0: should be at least 1"),
        ({"random_resized_crop": {"area": [0, 1]}}, r"area\.0: 0: should be more than 0"),
        ({"random_resized_crop": {"aspect": [2, 1]}}, "2.0 is above 1.0"),
        ({"mixup": -1}, r"augment\.mixup: -1: should be at least 0"),
        ({"erase": 2}, r"augment\.erase: 2: should be at least 0 and at most 1"),
        ({"colour": 1}, r"augment\.colour: 1: should be at least 0 and less than 1"),
        ({"rand_augment": {"operations": 0}}, r"rand_augment\.operations: 0: should be at least 1"),
        ({"rand_augment": {"magnitude": 31}}, r"rand_augment\.magnitude: 31"),
        ({"rand_augment": {"magnitud": 3}}, "did you mean rand_augment.magnitude|magnitude"),
        ({"lightning": 0.1}, "did you mean .*lighting"),
    ],
)
def test_contradictions_and_wrong_values_are_refused_by_name(fields, message):
    with pytest.raises(ReskerasError, match=message) as caught:
        validated(Recipe, {"augment": fields})
    assert caught.value.status == 2


def test_the_default_of_pad_crop_gives_way_to_another_crop_and_zero_contradicts_none():
    assert spec(random_resized_crop={}).padding == spec(shorter_side=[256, 480]).padding == 0
    assert spec(pad_crop=0, shorter_side=[256, 480]).padding == 0


def sides(seed, epochs, count=96, **more):
    """(epochs, count) whether each image, by its number, is mirrored in each epoch."""
    pixels = np.zeros((count, SIZE, SIZE, 1), np.uint8)
    pixels[:, 0, 0], pixels[:, -1, 0] = 255, np.arange(count)[:, None]  # a mark on the left, and the image's number
    pixels[:, -1, -1] = pixels[:, -1, 0]
    split = memory_split(pixels, np.zeros(count, np.int32))
    augment = spec(pad_crop=0, flip="alternating", **more)
    found = np.full((epochs, count), -1)
    for step, (images, _) in enumerate(batches(split, augment, raw(channels=1), seed=seed, epochs=epochs)):
        for image in images[..., 0]:
            found[step // (count // 12), int(image[-1, 0])] = image[0, -1] == 255
    return found


def test_alternating_flips_mirror_each_image_in_every_other_epoch_from_a_random_one_on():
    found = sides(1, 4)
    assert set(found.ravel()) == {0, 1}
    assert (found[1:] == 1 - found[:-1]).all()
    assert 30 < found[0].sum() < 66  # half of 96, by more than three deviations
    np.testing.assert_array_equal(sides(1, 2), found[:2])
    assert (sides(2, 1)[0] != found[0]).any()
