"""Annotated images for classifiers: their labels are the classes that the annotation files name."""

from xml.etree import ElementTree

import numpy as np
import pytest

import reskeras
from reskeras.data.registry import open_source
from reskeras.data.survey import labels_of
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import voc_image, voc_lists, voc_object
from tests.tasks.multilabel.test_sources import HOW


def by_hand(root, names):
    """The names that each image's file has, difficult ones apart."""
    files = [ElementTree.parse(root / "Annotations" / f"{name}.xml") for name in names]
    return [
        {each.findtext("name") for each in file.iter("object") if each.findtext("difficult") != "1"} for file in files
    ]


def test_images_that_show_one_class_each_are_of_that_class(tmp_path):
    names = {f"a{number}": "dog" if number % 3 else "cat" for number in range(9)}
    for stem, name in names.items():
        voc_image(
            tmp_path, stem, [voc_object(name), voc_object(name, (2, 2, 9, 9)), voc_object("fox", (1, 1, 5, 5), 1)]
        )
    voc_image(tmp_path, "f", [voc_object("fox")])
    voc_lists(tmp_path, trainval=[*[*names][:6], "f"], test=[*names][6:])
    source = open_source(f"classes:voc:{tmp_path}")
    assert not source.multi_label and source.test.label_shape == ()
    told = [{source.classes[label]} for label in labels_of(source.training_images("train"))[1]]
    assert told == by_hand(tmp_path, [*[*names][:6], "f"])
    assert any("labelled by the classes of their objects" in note for note in source.notes)
    run = reskeras.train(
        reskeras.network(family="cifar", stages=[1], input_shape=[16, 16, 3]),
        f"classes:voc:{tmp_path}",
        out=tmp_path / "run",
        **{**HOW, "batch_size": 4},
    )
    assert run.task == "classification" and 0 <= run.evaluate().top1 <= 1


def test_images_that_show_several_are_of_all_of_these(shapes):
    source = open_source(f"classes:{shapes}")
    assert source.multi_label and source.test.label_shape == (2,)
    train = source.training_images("train")
    labels = labels_of(train)[1]
    told = [{source.classes[place] for place in np.flatnonzero(row)} for row in labels]
    stems = [name.split()[1] for name in train.names()]
    assert told == by_hand(shapes, stems) and {len(each) for each in told} == {1, 2}
    assert any("some show several, or none" in note for note in source.notes)
    part = open_source(f"classes:{shapes}@8")
    assert part.training_images("train").count == 8 and part.test.count == source.test.count


def test_digits_on_images_are_of_their_digit():
    source = open_source("classes:digits-loc@200")
    assert source.classes == tuple("0123456789") and not source.multi_label and not source.mirror
    assert sorted(np.bincount(labels_of(source.training_images("train"))[1])) == [20] * 10


@pytest.mark.parametrize(("name", "count"), [("digits-loc", 40), ("digits-loc", 203), ("digits-boxes", 60)])
def test_a_part_is_of_the_same_images_for_classifiers_and_detectors(name, count):
    objects = open_objects(f"{name}@{count}").train
    images = open_source(f"classes:{name}@{count}").train
    assert [f"image {each} of train" for each in objects.ids] == images.names()
    shown = labels_of(images)[1]
    np.testing.assert_array_equal(shown if shown.ndim == 2 else np.eye(10)[shown], objects.held(10))


def test_what_is_no_annotated_set_is_refused():
    with pytest.raises(
        ReskerasError, match=r"data: digits has images without boxes, .* annotated images are .*voc:PATH"
    ):
        open_source("classes:digits")
    with pytest.raises(ReskerasError, match=r"a classifier of what they show takes classes:digits-loc"):
        open_source("digits-loc")
