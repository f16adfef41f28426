"""`huggingface:PATH`: an ImageFolder with objects in its metadata.jsonl."""

import json

import numpy as np
import pytest

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import by_id, picture

ROW = {"file_name": "a.png", "objects": {"bbox": [[10, 5, 20, 15.5], [0, 0, 4, 4]], "categories": [1, 0]}}


def opened(root):
    return open_objects(f"huggingface:{root}")


def metadata(folder, *rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def two(root, *rows):
    """Image a.png for training, with more `rows`, and b.png to test."""
    picture(root / "train" / "a.png")
    picture(root / "test" / "b.png")
    metadata(root / "train", ROW, *rows)
    metadata(root / "test", {"file_name": "b.png", "objects": {"bbox": [[1, 1, 5, 5]], "categories": [0]}})


def refusal(root, status=2):
    with pytest.raises(ReskerasError) as caught:
        opened(root)
    assert caught.value.status == status
    return str(caught.value)


def by_hand(folder):
    """The boxes of a metadata.jsonl: (class, left, top, right, bottom), by file name."""
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    return {
        f"{folder.name}/{row['file_name']}": [
            (str(name), left, top, left + width, top + height)
            for name, (left, top, width, height) in zip(
                row["objects"]["categories"], row["objects"]["bbox"], strict=True
            )
        ]
        for row in rows
    }


def test_boxes_classes_and_splits_are_read(tmp_path):
    two(tmp_path, {"file_name": "deep/C.PNG", "objects": {"bbox": [[5, 6, 7, 8], [1, 1, 3, 3]], "categories": [10, 2]}})
    picture(tmp_path / "train" / "deep" / "C.PNG")
    source = opened(tmp_path)
    assert by_id(source.train, source.classes) == by_hand(tmp_path / "train")
    assert by_id(source.test, source.classes) == by_hand(tmp_path / "test")
    assert source.classes == ("0", "1", "2", "10")  # by number
    assert (source.divided, source.notes) == ("the set's test images", ())


CARD = """\
---
license: mit
dataset_info:
  features:
  - name: image_id
    dtype: int64
  - name: objects
    sequence:
    - name: bbox
      sequence: float32
      length: 4
    - name: category
      dtype:
        class_label:
          names:
            '0': Coverall
            '1': Face Shield
%s
---
# A card
"""


def test_numbers_have_the_names_of_the_dataset_card(tmp_path):
    two(tmp_path)
    (tmp_path / "README.md").write_text(CARD % "            '2': Gloves")
    source = opened(tmp_path)
    assert source.classes == ("Coverall", "Face Shield", "Gloves")
    named = {"0": "Coverall", "1": "Face Shield"}
    expected = {
        image: [(named[label], *box) for label, *box in boxes] for image, boxes in by_hand(tmp_path / "train").items()
    }
    assert by_id(source.train, source.classes) == expected
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\nnames: class_label\n")
    assert opened(tmp_path).classes == ("0", "1")
    (tmp_path / "README.md").write_text((CARD % "").replace("\n            '1': Face Shield", ""))
    assert "line 1: categories[0] 1 has no name in README.md, which names 1" in refusal(tmp_path)
    (tmp_path / "README.md").write_text(CARD % "            '5': Gloves")
    assert "should be names of the numbers 0, 1, ..." in refusal(tmp_path)
    (tmp_path / "README.md").write_text(CARD.replace("license: mit", "license: [") % "")
    assert "README.md" in refusal(tmp_path)


def test_class_names_and_the_key_category_are_read_and_an_image_without_a_row_is_told(tmp_path):
    for index in range(10):
        picture(tmp_path / f"{index}.png")
    rows = [
        {"file_name": f"{index}.png", "objects": {"bbox": [[1, 2, 3, 4]], "category": ["mask"], "id": [7]}}
        for index in range(10)
    ]
    metadata(tmp_path, *rows)
    picture(tmp_path / "new.png")
    source = opened(tmp_path)
    assert source.classes == ("mask",)
    assert (source.train.count, source.test.count) == (8, 2)
    assert "1 image is in no annotation and is skipped: new.png" in source.notes
    np.testing.assert_array_equal(source.train.boxes[0], [2, 1, 6, 4])


def test_rows_of_missing_images_and_boxes_of_three_numbers_are_told(tmp_path):
    two(tmp_path, {"file_name": "gone.png", "objects": {"bbox": [], "categories": []}})
    metadata(
        tmp_path / "train",
        {"file_name": "gone.png", "objects": {"bbox": [], "categories": []}},
        {"file_name": "a.png", "objects": {"bbox": [[1, 2, 3], [1, 2, 3, 4]], "categories": [0, 0]}},
    )
    source = opened(tmp_path)
    assert len(source.train.labels) == 1
    assert "1 annotated image is missing or cannot be read and is skipped: train/gone.png" in source.notes
    assert any("1 object without a box of four finite numbers" in note for note in source.notes)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"objects": {"bbox": [[1, 2, 3, 4]], "categories": [1.0]}}, "categories[0] 1.0 should be a class name, or"),
        ({"objects": {"bbox": [[1, 2, 3, 4]], "categories": [True]}}, "categories[0] True should be"),
        ({"objects": {"bbox": [[1, 2, 3, 4]], "categories": [-1]}}, "categories[0] -1 should be"),
        ({"objects": {"bbox": [[1, 2, 3, 4]], "categories": ["cat"]}}, "has names and numbers; all should be of one"),
        ({"objects": {"bbox": [[1, 2, 3, 4]], "categories": []}}, "lists bbox and categories of the same length"),
        ({"objects": {"bbox": 7, "categories": 7}}, "lists bbox and categories of the same length"),
        ({"objects": [1]}, "objects [1] should be a mapping"),
        ({}, "objects None should be a mapping"),
        ({"file_name": "../../a.png"}, "file_name: '../../a.png' leads out of"),
        ({"file_name": "x\\a.png"}, "has backslashes; write paths with /"),
        ({"file_name": 7}, "file_name: 7 is not a path"),
        ({"file_name": "a.png"}, "train/a.png is also in"),
    ],
)
def test_a_line_that_breaks_a_rule_is_named_with_it(tmp_path, row, words):
    two(tmp_path, {"file_name": "c.png", **row})
    message = refusal(tmp_path)
    assert words in message
    assert f"{tmp_path / 'train' / 'metadata.jsonl'}, line 2" in message


def test_broken_json_and_other_folders_are_refused(tmp_path):
    two(tmp_path)
    with open(tmp_path / "train" / "metadata.jsonl", "a") as file:
        file.write("[" * 100_000)
    assert "line 2 cannot be read as JSON" in refusal(tmp_path, 1)
    (tmp_path / "none").mkdir()
    assert "it has no metadata.jsonl with objects" in refusal(tmp_path / "none")
