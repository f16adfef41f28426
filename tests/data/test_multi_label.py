"""Images of several classes each: their labels are vectors of 0 and 1 wherever a single label is a number."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.cached import cached
from reskeras.data.class_labels import are_of_class, as_numbers, counts_by_class, members
from reskeras.data.division import divided, held_out
from reskeras.data.fingerprint import entries
from reskeras.data.pipeline import evaluation_batches, evaluation_images
from reskeras.data.sample import part_of_each_class, sample_of_each_class, split_off
from reskeras.data.source import Source, Split
from reskeras.data.survey import labels_of, survey
from reskeras.errors import ReskerasError
from tests.data.images import batches, encoded, picture, raw, spec

CLASSES = ("cat", "dog", "hat")


def labels_at_random(count=60, classes=3, share=0.4, seed=0):
    return (np.random.default_rng(seed).random((count, classes)) < share).astype(np.uint8)


def several(labels, files=False):
    """A split of pictures with these labels, uint8 (n, classes), in memory or as files."""
    pictures = [picture(12, 12, seed) for seed in range(len(labels))]
    targets = tf.constant(labels)
    pixels = tf.constant(np.stack([np.asarray(each) for each in pictures]))
    stored = tf.constant([encoded(each, "PNG") for each in pictures])
    return Split(
        "train",
        len(labels),
        lambda index: (tf.gather(pixels, index), tf.gather(targets, index)),
        encoded=(lambda index: (tf.gather(stored, index), tf.gather(targets, index))) if files else None,
        label=lambda indices: tf.gather(targets, indices),
        label_shape=labels.shape[1:],
    )


def source_of(labels, test=None, **how):
    test = labels[:4] if test is None else test
    splits = several(labels, **how), several(test, **how).part("test", np.arange(len(test)))
    return Source("pictures", "pictures", CLASSES, 3, *splits, multi_label=True)


def test_batches_have_vectors_of_labels():
    labels = labels_at_random(24)
    split = several(labels)
    for images, targets in batches(split, spec(pad_crop=0, flip=False), raw(12), classes=3):
        for image, target in zip(images, targets, strict=True):
            [index] = [i for i in range(24) if (np.asarray(picture(12, 12, i)) == image).all()]
            np.testing.assert_array_equal(target, labels[index].astype(np.float32))
    read = [targets.numpy() for _, targets in evaluation_batches(split, raw(12), 10)]
    np.testing.assert_array_equal(np.concatenate(read), labels)
    np.testing.assert_array_equal(evaluation_images(split, raw(12), 5)[1], labels[[0, 5, 11, 17, 23]])


def test_windows_and_files_have_them_too():
    labels = labels_at_random(12)
    split = several(labels, files=True)
    found = batches(split, spec(random_resized_crop={}), raw(8), classes=3)
    assert sorted(map(tuple, np.concatenate([targets for _, targets in found]))) == sorted(map(tuple, labels))


def test_classes_in_another_order_move_columns_and_missing_ones_are_empty():
    labels = labels_at_random(20)
    wanted = ("hat", "bird", "cat", "dog")
    matched = source_of(labels).matched(wanted)
    expected = np.stack([labels[:, 2], np.zeros(20), labels[:, 0], labels[:, 1]], axis=1)
    np.testing.assert_array_equal(labels_of(matched.train)[1], expected)
    np.testing.assert_array_equal(matched.train.example(tf.constant(7, tf.int64))[1], expected[7])
    assert matched.train.label_shape == (4,) and matched.multi_label


@pytest.mark.parametrize("place", ["ram", "folder"])
def test_a_cache_keeps_them(place, tmp_path):
    labels = labels_at_random(9, classes=11)
    source = Source("s", "s", tuple("abcdefghijk"), 3, several(labels, files=True), several(labels), multi_label=True)
    kept = cached(source, place if place == "ram" else tmp_path, print).train
    for _ in range(2):
        for index in range(9):
            image, label = kept.example(tf.constant(index, tf.int64))
            np.testing.assert_array_equal(label, labels[index])
            np.testing.assert_array_equal(image, np.asarray(picture(12, 12, index)))


def test_images_are_members_of_each_of_their_classes():
    labels = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], np.uint8)
    assert [group.tolist() for group in members(labels)] == [[0, 1], [1, 3], [2]]
    assert counts_by_class(labels, 2).tolist() == [2, 2]
    assert are_of_class(labels, 1).tolist() == [False, True, False, True]
    single = np.array([2, 0, 2])
    assert [group.tolist() for group in members(single)] == [[1], [0, 2]]
    assert counts_by_class(single, 4).tolist() == [1, 0, 2, 0]
    assert are_of_class(single, 2).tolist() == [True, False, True]


@pytest.mark.parametrize("seed", range(5))
def test_every_class_has_images_to_train_on_however_images_are_divided(seed):
    labels = labels_at_random(80, classes=12, share=0.05, seed=seed)
    labels[0] = 0
    labels[0, 3] = 1
    names = [f"{index}.png" for index in range(80)]
    for train, test in (divided(names, labels, 0.2), held_out(names, labels, 0.2, seed)):
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(80))
        assert (labels[train].any(axis=0) == labels.any(axis=0)).all()
        assert 8 <= len(test) <= 24


def test_holding_out_keeps_the_share_of_each_class():
    labels = labels_at_random(400, classes=5, share=0.2)
    labels[:, 4] = np.arange(400) % 40 == 0  # ten images
    split = several(labels[:, :3])
    _, held = held_out([str(index) for index in range(400)], labels, 0.1, 3)
    counts, every = labels[held].sum(axis=0), labels.sum(axis=0)
    np.testing.assert_allclose(counts, every * 0.1, atol=1.01)  # a random tenth is off by three and more
    assert abs(len(held) - 40) <= 2 and counts[4] == 1
    kept, apart = split_off(split, 0.1, 0)
    assert kept.count + apart.count == 400 and apart.label_shape == (3,)


def test_a_part_has_images_of_each_class_once():
    labels = labels_at_random(50, classes=4, share=0.3)
    for count in (4, 20, 49):
        chosen = sample_of_each_class(labels, count)
        assert len(np.unique(chosen)) == count == len(chosen)
        assert labels[chosen].any(axis=0).all()
    assert part_of_each_class(several(labels), 10).count == 10


def test_a_survey_counts_an_image_in_each_of_its_classes():
    labels = labels_at_random(30)
    labels[3] = 0
    found = survey(source_of(labels))
    assert [train for train, _ in found.classes.values()] == labels.sum(axis=0).tolist()
    assert found.several.none == ((labels.sum(axis=1) == 0).sum(), (labels[:4].sum(axis=1) == 0).sum())
    assert found.several.mean == pytest.approx(labels.sum(axis=1).mean(), abs=1e-4)
    assert found.as_dict()["several"]["most"] == labels.sum(axis=1).max()


def test_a_changed_label_changes_the_fingerprint():
    labels = labels_at_random(6, classes=40)
    changed = labels.copy()
    changed[2, 39] ^= 1
    first, second = (entries(list("abcdef"), range(6), each) for each in (labels, changed))
    assert (first != second).tolist() == [False, False, True, False, False, False]
    assert as_numbers(labels).dtype == np.int32


def test_a_sheet_shows_an_image_of_each_class(tmp_path):
    from reskeras.recipes.recipe import recipe
    from reskeras.report.sheet import contact_sheet

    contact_sheet(tmp_path / "sheet.png", source_of(labels_at_random(30)), recipe("quick"), 12, 12)
    assert (tmp_path / "sheet.png").stat().st_size


def test_a_prepared_set_has_no_place_for_them(tmp_path, monkeypatch):
    import reskeras

    monkeypatch.setattr("reskeras.data.prepare.open_source", lambda *_: source_of(labels_at_random(9)))
    with pytest.raises(ReskerasError, match="several classes per image") as caught:
        reskeras.prepare_data("pictures", tmp_path / "sets")
    assert caught.value.status == 2 and not list((tmp_path / "sets").glob("*/*"))
