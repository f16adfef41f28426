"""Every epoch is a pure function of (seed, epoch); augmentation and preprocessing against NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data import decode
from reskeras.data.batches import fitted
from reskeras.data.decode import Framing, fit_image
from reskeras.data.division import divided_by_position
from reskeras.data.epoch_order import EpochOrder
from reskeras.data.pipeline import evaluation_batches
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.random_change import random_crop, random_flip
from reskeras.data.registry import open_source
from reskeras.data.resample import INTERPOLATIONS
from reskeras.data.sample import split_off
from reskeras.data.shard_rows import Rows
from reskeras.data.source import Split
from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import AugmentSpec
from tests.data.images import training_dataset

STILL = AugmentSpec(pad_crop=0, flip=False)


def numbered(count, size=6):
    """Images whose label is their index, and whose pixels hold it too."""

    def example(index):
        marked = tf.constant(np.eye(size, dtype=np.uint8)[..., None])
        return tf.cast(tf.fill([size, size, 1], index), tf.uint8) + marked, tf.cast(index, tf.int32)

    return Split("train", count, example)


def as_they_are(size=6):
    return Preprocessing(size, size, 1, "scale", np.zeros(1, np.float32), np.ones(1, np.float32))


def labels(split=None, **arguments):
    split = split or numbered(40)
    defaults = {"batch_size": 10, "seed": 1, "epochs": 3, "augment": STILL, "mirror": False}
    return [batch.numpy() for _, batch in training_dataset(split, as_they_are(), **{**defaults, **arguments})]


def test_each_epoch_visits_every_image_once():
    order = np.concatenate(labels())
    for epoch in range(3):
        assert sorted(order[40 * epoch : 40 * epoch + 40]) == list(range(40))


def test_an_epoch_is_a_function_of_seed_and_epoch_alone():
    first, again, later = labels(), labels(), labels(start_epoch=2)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[8:], later)
    assert not np.array_equal(first[:4], first[4:8])


def test_seeds_share_no_shuffle():
    # seed + epoch would give epoch 1 of seed 1 and epoch 0 of seed 2 the same order
    orders = {
        tuple(np.concatenate(labels(seed=seed, start_epoch=epoch, epochs=epoch + 1)))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_a_position_inside_an_epoch_is_reached_without_decoding_what_comes_before():
    decoded = []

    def watched(index):
        tf.py_function(lambda value: decoded.append(int(value)), [index], [])
        return numbered(40).example(index)

    rest = labels(Split("train", 40, watched), epochs=1, start_step=3)
    np.testing.assert_array_equal(rest, labels(epochs=1)[3:])
    assert len(decoded) == 10


def test_augmentation_too_is_the_same_after_a_jump():
    def images(**arguments):
        batches = training_dataset(
            numbered(40),
            as_they_are(),
            batch_size=10,
            seed=1,
            epochs=2,
            augment=AugmentSpec(pad_crop=2, flip=True),
            mirror=True,
            **arguments,
        )
        return np.concatenate([batch for batch, _ in batches])

    np.testing.assert_array_equal(images()[60:], images(start_epoch=1, start_step=2))


def test_what_does_not_fill_a_batch_is_left_out_and_a_small_split_is_one_batch():
    assert EpochOrder(40, 16).steps == 2
    assert [len(batch) for batch in labels(batch_size=16, epochs=1)] == [16, 16]
    assert [len(batch) for batch in labels(numbered(7), batch_size=16, epochs=2)] == [7, 7]


def test_every_crop_is_a_window_of_the_zero_padded_image_and_all_windows_occur():
    image = np.arange(1, 37, dtype=np.float32).reshape(6, 6, 1)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
    windows = {padded[row : row + 6, column : column + 6].tobytes() for row in range(5) for column in range(5)}
    crops = random_crop(2)(tf.constant(np.stack([image] * 2000)), tf.constant([3, 4]), Rows(0, 2000, 2000)).numpy()
    assert {crop.tobytes() for crop in crops} == windows


def test_half_of_the_images_are_mirrored_whole():
    image = np.arange(18, dtype=np.float32).reshape(3, 3, 2)
    images = tf.constant(np.stack([image] * 2000))
    flipped = random_flip(axis=2)(images, tf.constant([3, 4]), Rows(0, 2000, 2000)).numpy()
    mirrored = (flipped == image[:, ::-1]).all(axis=(1, 2, 3))
    assert ((flipped == image).all(axis=(1, 2, 3)) ^ mirrored).all()
    assert 0.45 < mirrored.mean() < 0.55


@pytest.mark.parametrize(
    ("flip", "mirror", "expected"),
    [("auto", True, True), ("auto", False, False), (True, False, True), (False, True, False)],
)
def test_flip_auto_follows_the_source(flip, mirror, expected):
    batches = training_dataset(
        numbered(64),
        as_they_are(),
        batch_size=64,
        seed=0,
        epochs=1,
        augment=AugmentSpec(pad_crop=0, flip=flip),
        mirror=mirror,
    )
    images, _ = next(iter(batches))
    diagonal = images.numpy()[:, 0, 0, 0] > images.numpy()[:, 0, 1, 0]
    assert (not diagonal.all()) == expected


def test_evaluation_sees_every_image_once_in_order():
    seen = [batch.numpy() for _, batch in evaluation_batches(numbered(23), as_they_are(), 10)]
    assert [len(batch) for batch in seen] == [10, 10, 3]
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(23))


@pytest.mark.parametrize("kind", ["per_pixel_mean", "per_channel", "scale"])
def test_preprocessing_equals_numpy(kind, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (700, 5, 4, 3)).astype(np.uint8)
    held = tf.constant(pixels)
    split = Split("train", 700, lambda index: (tf.gather(held, index), tf.constant(0)))
    fitted = Preprocessing.fit(split, 5, 4, 3, kind)
    exact = pixels.astype(np.float64)
    expected = {
        "per_pixel_mean": exact - exact.mean(axis=0),
        "per_channel": (exact - exact.mean(axis=(0, 1, 2))) / exact.std(axis=(0, 1, 2)),
        "scale": exact / 127.5 - 1,
    }[kind]
    np.testing.assert_allclose(fitted.normalise(held), expected, atol=2e-4)
    fitted.save(tmp_path / "preprocessing.npz")
    loaded = Preprocessing.load(tmp_path / "preprocessing.npz")
    assert (loaded.kind, loaded.height, loaded.width, loaded.channels) == (kind, 5, 4, 3)
    np.testing.assert_array_equal(loaded.normalise(held), fitted.normalise(held))


def test_a_broken_preprocessing_file_is_named(tmp_path):
    np.savez(tmp_path / "pickled.npz", mean=np.array([object()]))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 nothing")
    for name in ("pickled.npz", "cut.npz"):
        with pytest.raises(ReskerasError, match=name) as caught:
            Preprocessing.load(tmp_path / name)
        assert caught.value.status == 1


def test_preprocessing_with_any_byte_wrong_is_read_or_refused_by_name(tmp_path):
    file, rng = tmp_path / "preprocessing.npz", np.random.default_rng(1)
    as_they_are().save(file)
    whole = file.read_bytes()
    for _ in range(300):
        spoiled = bytearray(whole)
        spoiled[rng.integers(len(whole))] = rng.integers(256)
        spoiled = spoiled[: rng.integers(len(whole))] if rng.random() < 0.2 else spoiled
        file.write_bytes(bytes(spoiled))
        try:
            Preprocessing.load(file)
        except ReskerasError as error:
            assert (error.status, "preprocessing.npz" in str(error)) == (1, True)


def test_preprocessing_for_another_size_than_the_networks_is_refused(tmp_path):
    as_they_are().save(tmp_path / "preprocessing.npz")
    size = as_they_are().size
    assert Preprocessing.load(tmp_path / "preprocessing.npz", size).size == size
    with pytest.raises(ReskerasError, match="but the network takes 12x1000000000x3"):
        Preprocessing.load(tmp_path / "preprocessing.npz", (12, 1_000_000_000, 3))


def test_preprocessing_whose_arrays_do_not_fit_its_size_is_refused(tmp_path):
    wrong = Preprocessing(6, 6, 1, "per_pixel_mean", np.zeros((5, 6, 1), np.float32), np.ones(1, np.float32))
    np.savez(tmp_path / "wrong.npz", height=6, width=6, channels=1, kind=wrong.kind, mean=wrong.mean, std=wrong.std)
    with pytest.raises(ReskerasError, match=r"wrong\.npz is broken: 'per_pixel_mean' with a mean of shape"):
        Preprocessing.load(tmp_path / "wrong.npz")


def test_fitting_covers_then_crops_the_centre():
    image = np.zeros((8, 20, 1), np.uint8)
    image[:, 6:14] = 200  # the middle square
    np.testing.assert_array_equal(fit_image(tf.constant(image), 8, 8), np.full((8, 8, 1), 200))
    same = np.random.default_rng(0).integers(0, 255, (7, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(fit_image(tf.constant(same), 7, 9), same)
    assert fit_image(tf.zeros([3, 100, 3], tf.uint8), 32, 16).shape == (32, 16, 3)


def test_pipelines_share_one_graph_that_fits_to_a_size():
    """It is a third of what a training traces before its first step, and a training has four pipelines."""
    images = [np.random.default_rng(side).integers(0, 255, (side, side, 1)).astype(np.uint8) for side in (13, 14)]
    for image in images:
        [found] = tf.data.Dataset.from_tensors(image).map(lambda one: fit_image(one, 11, 17))
        np.testing.assert_array_equal(found, fit_image(tf.constant(image), 11, 17))
    assert decode._fitting(11, 17, 1, Framing()).experimental_get_tracing_count() == 1


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("crop", [1.0, 0.875, 0.95])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((120, 50), (32, 32)), ((41, 83), (32, 32)), ((9, 40), (20, 30)), ((64, 64), (24, 10)), ((8, 8), (32, 32))],
)
def test_fitting_is_pillows_resize_and_torchvisions_centre_crop(shape, size, crop, interpolation):
    """Of the covering size the longer side is rounded down, the corner to the nearest, ties to even."""
    # of middling values, past whose ends no kernel goes: Pillow would cut them off between its two passes
    image = np.random.default_rng(0).integers(80, 176, (*shape, 3)).astype(np.uint8)
    covering = [int(side / crop + 1e-6) for side in size]
    tight = int(np.argmax(np.array(size) / shape))
    whole = [max(covering[tight] * shape[axis] // shape[tight], size[axis]) for axis in (0, 1)]
    resized = Image.fromarray(image).resize(whole[::-1], getattr(Image.Resampling, interpolation.upper()))
    top, left = (round((whole[axis] - size[axis]) / 2) for axis in (0, 1))
    expected = np.asarray(resized, np.int32)[top : top + size[0], left : left + size[1]]
    found = fit_image(tf.constant(image), *size, Framing(crop, interpolation)).numpy()
    assert np.abs(found - expected).max() <= (1 if interpolation == "bilinear" else 2)  # it rounds between them too


def test_a_strip_of_pixels_is_fitted_without_making_the_image_it_would_cover():
    # resized whole this would be 224 x 13,440,000 pixels, 36 GB
    assert (fit_image(tf.fill([1, 60_000, 3], tf.constant(9, tf.uint8)), 224, 224).numpy() == 9).all()


def test_every_pipeline_runs_without_the_autotuner():
    split, still = numbered(20), as_they_are()
    for dataset in (
        training_dataset(split, still, batch_size=5, seed=0, epochs=1, augment=STILL, mirror=False),
        evaluation_batches(split, still, 5).dataset,
        fitted(split, range(20), (6, 6, 1), 5).dataset,
    ):
        assert dataset.options().autotune.enabled is False
        assert dataset.options().deterministic is True


def test_a_batch_is_fetched_in_one_call_and_only_the_batches_asked_for():
    fetched = []

    def fetch(indices):
        tf.py_function(lambda values: fetched.append(len(values)), [indices], [])
        return indices

    whole = numbered(40)
    rest = labels(Split("train", 40, whole.decode, fetch), epochs=1, start_step=2)
    np.testing.assert_array_equal(rest, labels(epochs=1)[2:])
    assert fetched == [10, 10]


def test_held_out_images_are_a_fixed_part_of_training():
    train, held = split_off(numbered(100), 0.1, seed=5)
    seen = [
        int(split.example(tf.constant(index, tf.int64))[1]) for split in (train, held) for index in range(split.count)
    ]
    assert (train.count, held.count) == (90, 10)
    assert sorted(seen) == list(range(100))
    again = split_off(numbered(100), 0.1, seed=5)[1]
    assert [int(again.example(tf.constant(index, tf.int64))[1]) for index in range(10)] == seen[90:]
    assert split_off(numbered(100), 0.0, seed=5)[1] is None


def test_a_split_by_class_takes_the_same_share_of_each():
    classes = np.repeat([0, 1, 2], [50, 10, 2])
    train, test = divided_by_position(classes, 0.2)
    assert [int((classes[test] == label).sum()) for label in range(3)] == [10, 2, 1]
    assert sorted([*train, *test]) == list(range(62))


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    source, original = open_source("digits"), load_digits()
    images = {original.images[index].astype(int).tobytes(): int(original.target[index]) for index in range(1797)}
    assert (source.train.count + source.test.count, len(source.classes), source.channels, source.mirror) == (
        1797,
        10,
        1,
        False,
    )
    for index in range(0, source.test.count, 20):
        image, label = source.test.example(tf.constant(index, tf.int64))
        assert images[np.round(image.numpy()[..., 0] * 16.0 / 255).astype(int).tobytes()] == int(label)


def test_unknown_data_is_refused_with_the_choices():
    with pytest.raises(
        ReskerasError, match=r"'digit' is not one of digits, .*folder:PATH, csv:.*; did you mean digits\?"
    ):
        open_source("digit")
