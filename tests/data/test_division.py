"""An image keeps its side whatever is added or removed beside it, and classes keep their share."""

import numpy as np
import pytest

from reskeras.data.division import divided, drawn, held_by_position, held_out
from reskeras.data.registry import open_source
from tests.data.test_folder import picture, two_classes

RNG = np.random.default_rng(0)


def sides(names, labels=None):
    train, test = divided(names, np.zeros(len(names)) if labels is None else labels, 0.2)
    return {names[index] for index in train}, {names[index] for index in test}


def test_no_image_changes_sides_when_others_are_added_or_removed():
    names = [f"{number:06x}.jpg" for number in RNG.integers(0, 1 << 24, 600)]
    train, test = sides(names[:300])
    more_train, more_test = sides(names)
    assert not train & more_test
    assert not test & more_train
    fewer_train, fewer_test = sides(names[100:300])
    assert not train & fewer_test and not test & fewer_train


def test_the_order_of_the_images_does_not_matter():
    names = [f"{number}.png" for number in range(50)]
    assert sides(names) == sides(names[::-1])


def test_each_class_has_about_one_in_five_and_at_least_one_of_either():
    for count in range(2, 30):
        for start in range(20):
            train, test = sides([f"photo {start * 100 + index}.jpg" for index in range(count)])
            assert train and test
    labels = np.repeat(np.arange(4), 500)
    _, test = divided([f"{index}.jpg" for index in range(2000)], labels, 0.2)
    assert np.bincount(labels[test]) == pytest.approx(np.full(4, 100), rel=0.25)
    assert sides(["one.png"]) == ({"one.png"}, set())


def test_a_growing_class_never_takes_a_training_image_for_test_unless_all_were():
    for start in range(30):
        names = [f"{start}-{index}" for index in range(40)]
        for count in range(3, 40):
            (train, _), (_, test) = sides(names[:count]), sides(names[: count + 1])
            if len(train) > 1:
                assert not train & test


def test_held_out_images_are_of_every_class_alike_and_the_seed_decides():
    labels = np.repeat([0, 1, 2], [200, 100, 20])
    names = [f"{index}" for index in range(320)]
    kept, held = held_out(names, labels, 0.1, 5)
    assert np.bincount(labels[held]).tolist() == [20, 10, 2]
    assert sorted([*kept, *held]) == list(range(320))
    assert set(held) == set(held_out(names, labels, 0.1, 5)[1])
    assert set(held) != set(held_out(names, labels, 0.1, 6)[1])
    assert len(held_out(names, labels, 0.0, 5)[1]) == 0


def test_images_are_drawn_class_by_class_and_fewer_are_among_more():
    labels = np.repeat([0, 1, 2], [200, 100, 20])
    names = [f"{index}" for index in range(320)]
    before: set[int] = set()
    for count in range(1, 321, 11):
        found = drawn(names, labels, count, 5)
        assert len(set(found.tolist())) == count and before <= set(found.tolist())
        before = set(found.tolist())
        assert (np.abs(np.bincount(labels[found], minlength=3) - count * np.array([200, 100, 20]) / 320) <= 2).all()
    assert np.bincount(labels[drawn(names, labels, 3, 5)]).tolist() == [1, 1, 1]
    assert set(drawn(names, labels, 32, 5)) != set(drawn(names, labels, 32, 6))
    order = np.random.default_rng(0).permutation(320)  # names decide, not the order that images come in
    shuffled = drawn([names[index] for index in order], labels[order], 32, 5)
    assert sorted(order[shuffled]) == drawn(names, labels, 32, 5).tolist()


def test_images_are_drawn_for_every_class_that_they_hold():
    several = np.random.default_rng(0).random((2000, 40)) < np.geomspace(0.3, 0.002, 40)
    names = [str(index) for index in range(2000)]
    counts = several.sum(axis=0)
    for seed in range(3):
        found = several[drawn(names, several, 40, seed)]
        assert found.any(axis=0)[counts > 0].all()
        half = several[drawn(names, several, 1000, seed)].sum(axis=0)
        assert (half >= counts / 2 - 1).all()
    bare = np.zeros((6, 2), bool)
    bare[3, 0] = True
    assert 3 in drawn(list("abcdef"), bare, 2, 0)  # those without a class are a class of their own


def test_held_out_shares_add_up_over_small_classes():
    labels = np.repeat(np.arange(50), 4)
    _, held = held_out([str(index) for index in range(200)], labels, 0.1, 0)
    assert len(held) == 20
    assert np.bincount(labels[held]).max() == 1


def test_positions_are_drawn_as_they_were_for_runs_of_before():
    order = np.random.default_rng(7).permutation(30)
    kept, held = held_by_position(30, 0.1, 7)
    assert held.tolist() == sorted(order[:3])
    assert kept.tolist() == sorted(order[3:])


def test_an_image_that_is_added_moves_no_other_of_the_folder(tmp_path):
    two_classes(tmp_path, 12)

    def files(split):
        return set(split.names())

    before = open_source(f"folder:{tmp_path}")
    picture(tmp_path / "cat" / "0a.png")
    picture(tmp_path / "dog" / "new.png")
    after = open_source(f"folder:{tmp_path}")
    assert not files(before.train) & files(after.test)
    assert not files(before.test) & files(after.train)
    assert after.train.count + after.test.count == 26
