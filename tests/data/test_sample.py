"""A part of the training images by `@N`: of each class alike, the same each time, all test images kept."""

import numpy as np
import pytest

from reskeras.data.registry import open_source
from reskeras.data.survey import labels_of
from reskeras.errors import ReskerasError


def test_a_part_has_each_class_alike_and_all_test_images():
    whole, part = open_source("digits"), open_source("digits@100")
    assert (part.name, part.label) == ("digits@100", f"{whole.label}, 100 training images")
    assert (part.train.count, part.test.count) == (100, whole.test.count)
    labels = labels_of(part.train)[1]
    assert np.bincount(labels).tolist() == [10] * 10
    np.testing.assert_array_equal(labels, labels_of(open_source("digits@100").train)[1])


def test_images_of_a_part_are_images_of_the_whole():
    whole, part = open_source("digits").train, open_source("digits@30").train
    known = {whole.example(np.int64(index))[0].numpy().tobytes() for index in range(whole.count)}
    assert {part.example(np.int64(index))[0].numpy().tobytes() for index in range(30)} <= known


def test_all_images_as_a_part_are_all_images():
    assert open_source("digits@1438").train.count == 1438


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("digits@9", r"digits@9: 9 images requested; use 10 \(one per class\) to 1,438 \(all training images\)"),
        ("digits@1439", "1,439 images requested; use 10"),
        ("digits@", "'digits@' is not one of"),
        ("@5", "'' is not one of"),
        ("", "'' is not one of"),
        ("digits@-5", "'digits@-5' is not one of"),
    ],
)
def test_a_part_that_is_not_there_is_refused(name, why):
    with pytest.raises(ReskerasError, match=why):
        open_source(name)


def test_a_folder_by_its_bare_path_is_told_what_it_is_called(tmp_path):
    with pytest.raises(ReskerasError, match=f"data: {tmp_path} is a folder; if .* use folder:{tmp_path}"):
        open_source(str(tmp_path))
