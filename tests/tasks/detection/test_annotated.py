"""The sheet of annotated images: which are chosen, and that a picture comes of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import recipe
from reskeras.tasks.detection.object_sheet import ROWS, SIDE, VERSIONS, chosen_images, object_sheet
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.scenes import annotated

BOX = (0, 0, 20, 20)


def test_every_class_has_an_image_where_there_is_room():
    split = annotated([*[[(*BOX, 0)]] * 20, [(*BOX, 1, "difficult")], [(*BOX, 1)], [(*BOX, 2), (*BOX, 0)]])
    chosen = chosen_images(split, 3)
    assert len(chosen) == len(set(chosen)) == ROWS
    assert {0, 21, 22} <= set(chosen.tolist())


def test_few_images_are_all_shown():
    np.testing.assert_array_equal(chosen_images(annotated([[(*BOX, 0)], []]), 1), [0, 1])


def test_a_sheet_has_a_row_for_each_image(shapes, tmp_path):
    path = tmp_path / "sheet.png"
    object_sheet(path, open_objects(f"voc:{shapes}"), recipe("detector"), 48, 64)
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > (VERSIONS + 1) * SIDE
        assert sheet.height > ROWS * SIDE / 2
        assert len(sheet.convert("RGB").getcolors(sheet.width * sheet.height)) > 1000


def test_recipes_of_classifiers_are_refused(shapes):
    with pytest.raises(ReskerasError, match=r"augment\.mixup: not for detectors"):
        object_sheet(Path("unused.png"), open_objects(f"voc:{shapes}"), recipe("quick", augment={"mixup": 0.2}), 48, 64)
