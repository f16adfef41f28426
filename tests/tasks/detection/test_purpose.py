"""Annotated images opened for testing, or divided as a run of before divided them."""

import numpy as np
import pytest

from reskeras.data.division import BY_POSITION
from reskeras.data.fingerprint import fingerprint
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.test_voc import voc_image


@pytest.fixture
def lone(tmp_path):
    for index in range(15):
        voc_image(tmp_path, f"i{index}")
    return tmp_path


def test_all_of_a_folder_is_for_testing(lone):
    classes = open_objects(f"voc:{lone}").classes
    source = open_objects(f"voc:{lone}", testing=(*classes, "more"))
    assert (source.test.count, source.train, source.classes) == (15, None, (*classes, "more"))
    with pytest.raises(ReskerasError, match="needs training images"):
        source.training_images("split")
    with pytest.raises(ReskerasError, match="no object of the classes"):
        open_objects(f"voc:{lone}", testing=("nothing",))


def test_an_image_that_is_added_moves_no_other(lone):
    before = open_objects(f"voc:{lone}")
    voc_image(lone, "a")
    after = open_objects(f"voc:{lone}")
    assert not set(before.train.ids) & set(after.test.ids)
    assert fingerprint(before).differences(fingerprint(after)) == ["1 image is new"]


def test_runs_of_before_keep_their_division(lone):
    source = open_objects(f"voc:{lone}", division=BY_POSITION)
    names = sorted(f"i{index}" for index in range(15))
    order = np.random.default_rng(1506_01497).permutation(15)
    assert list(source.test.ids) == [names[index] for index in np.sort(order[:3])]
