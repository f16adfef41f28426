"""`openimages:PATH`: tables of boxes as Open Images, FiftyOne and CVAT have them."""

import csv

import numpy as np
import pytest

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import SIZE, by_id, picture

HEIGHT, WIDTH = SIZE
HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
CAT, DOG = "/m/01yrx", "/m/0bt9lr"
ROWS = (
    f"0001eeaf4aed83f9,xclick,{DOG},1,0.022673031,0.9642005,0.07103825,0.80054647,0,0,0,0,0",
    f"0001eeaf4aed83f9,xclick,{CAT},1,0.25,0.5,0.5,1,0,0,1,0,0",
    f"000595fe6fee6369,xclick,{CAT},1,0,1,0.25,0.75,0,1,0,0,-1",
)


def opened(root):
    return open_objects(f"openimages:{root}")


def table(path, *rows, header=HEADER):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in (header, *rows)))
    return path


def two(root, *rows, names=True):
    """Two images for training and one to test, laid out as CVAT does."""
    for name in ("train/0001eeaf4aed83f9.jpg", "train/000595fe6fee6369.JPG", "test/0a.png"):
        picture(root / "images" / name)
    file = table(root / "annotations" / "train-annotations-bbox.csv", *(rows or ROWS))
    table(root / "annotations" / "test-annotations-bbox.csv", f"0a,xclick,{CAT},1,0.1,0.2,0.1,0.2,0,0,0,0,0")
    if names:
        (root / "annotations" / "class-descriptions.csv").write_text(f'{DOG},Dog\n{CAT},Cat\n/m/07j7r,"Tree, tall"\n')
    return file


def refusal(root, status=2):
    with pytest.raises(ReskerasError) as caught:
        opened(root)
    assert caught.value.status == status
    return str(caught.value)


def by_hand(file, names):
    """The boxes of a table: (class, left, top, right, bottom) in pixels, by image."""
    found = {}
    with open(file, newline="") as rows:
        for row in csv.DictReader(rows):
            x, y = ([float(row[f"{axis}{end}"]) for end in ("Min", "Max")] for axis in "XY")
            box = (x[0] * WIDTH, y[0] * HEIGHT, x[1] * WIDTH, y[1] * HEIGHT)
            found.setdefault(row["ImageID"], []).append((names[row["LabelName"]], *box))
    return found


def test_shares_names_splits_and_groups_are_read(tmp_path):
    file = two(tmp_path)
    source = opened(tmp_path)
    found, expected = by_id(source.train, source.classes), by_hand(file, {CAT: "Cat", DOG: "Dog"})
    assert found.keys() == expected.keys()
    for number, boxes in expected.items():
        assert [each[0] for each in found[number]] == [each[0] for each in boxes]
        np.testing.assert_allclose([each[1:] for each in found[number]], [each[1:] for each in boxes], rtol=1e-6)
    assert source.classes == ("Dog", "Cat")  # in the order of the table, those that occur
    np.testing.assert_array_equal(source.train.crowd, [False, True, False])
    assert (source.test.ids, source.divided) == (("0a",), "the set's test images")
    assert source.notes == ("1 crowd is ignored: it counts neither when found nor when missed",)


def test_the_layout_of_fiftyone_is_read(tmp_path):
    picture(tmp_path / "train" / "data" / "a.jpg")
    picture(tmp_path / "validation" / "data" / "a.jpg", seed=1)  # the same id in another split
    for split in ("train", "validation"):
        table(tmp_path / split / "labels" / "detections.csv", f"a,x,{CAT},1,0.1,0.9,0.1,0.9,0,0,0,0,0")
        folder = tmp_path / split / "metadata"
        folder.mkdir()
        (folder / "classes.csv").write_text(f"LabelName,DisplayName\n{CAT},Cat\n")
    source = opened(tmp_path)
    assert (source.train.count, source.test.count, source.classes) == (1, 1, ("Cat",))
    assert source.train.read(0).numpy() == (tmp_path / "train" / "data" / "a.jpg").read_bytes()


def test_without_names_labels_are_the_classes_and_what_is_not_there_is_counted(tmp_path):
    gone = [f"gone{index},x,{CAT},1,0,1,0,1,0,0,0,0,0" for index in range(3)]
    two(tmp_path, *ROWS, *gone, *gone, names=False)
    picture(tmp_path / "images" / "train" / "unseen.jpg")
    source = opened(tmp_path)
    assert source.classes == (CAT, DOG)
    assert "3 annotated images are missing or cannot be read and are skipped" in source.notes
    assert "1 image is in no annotation and is skipped: images/train/unseen.jpg" in source.notes


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("0001eeaf4aed83f9,x,/m/none,1,0,1,0,1,0,0,0,0,0", "LabelName '/m/none' is not in the table of class names"),
        (f"0001eeaf4aed83f9,x,{CAT},1,0,640,0,1,0,0,0,0,0", "XMax: '640' should be a share of the image's side"),
        (f"0001eeaf4aed83f9,x,{CAT},1,0,1,nan,1,0,0,0,0,0", "YMin: 'nan' should be a share"),
        (f"0001eeaf4aed83f9,x,{CAT},1,0,1,,1,0,0,0,0,0", "YMin: '' should be a share"),
        (f"0001eeaf4aed83f9,x,{CAT},1,0,1,0", "has 7 cells, but the header has 13"),
    ],
)
def test_a_row_that_breaks_a_rule_is_named_with_it(tmp_path, row, words):
    file = two(tmp_path, *ROWS, row)
    message = refusal(tmp_path)
    assert f"{file}, line 5" in message
    assert words in message


def test_two_images_of_one_id_other_folders_and_broken_tables_are_refused(tmp_path):
    file = two(tmp_path)
    picture(tmp_path / "images" / "train" / "0001eeaf4aed83f9.png")
    assert "have the same id; keep one of the two" in refusal(tmp_path)
    (tmp_path / "images" / "train" / "0001eeaf4aed83f9.png").unlink()
    file.write_bytes(file.read_bytes() + b"\xff")
    assert "is not UTF-8 text" in refusal(tmp_path, 1)
    table(file, "a,b\n", header="ImageID,LabelName")
    table(tmp_path / "annotations" / "test-annotations-bbox.csv", header="x,y")
    assert "no .csv has the columns ImageID, LabelName, YMin, XMin, YMax, XMax" in refusal(tmp_path)


def test_a_cell_beyond_all_bounds_is_refused(tmp_path):
    file = two(tmp_path)
    file.write_text(f"{HEADER}\n{'x' * 200_000},x\n")
    assert "field larger than field limit" in refusal(tmp_path, 1)
