"""`csv:PATH`: tables of image files as people and programs write them, mistakes among them."""

import os

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.registry import open_source
from reskeras.data.survey import labels_of
from reskeras.errors import ReskerasError
from tests.cli.running import printed, refused
from tests.data.test_folder import picture

CLASSES = ("cat", "dog")


def table(root, lines, name="photos.csv", encoding="utf-8"):
    (root / name).write_bytes("\n".join(lines).encode(encoding))
    return f"csv:{root / name}"


def photos(root, count=6):
    """Pictures 0.png, 1.png, ... in `root`, and the rows of their table: cats and dogs in turn."""
    for index in range(count):
        picture(root / f"{index}.png")
    return [f"{index}.png,{CLASSES[index % 2]}" for index in range(count)]


def refusal(name, status=2):
    with pytest.raises(ReskerasError) as caught:
        open_source(name)
    assert caught.value.status == status and "\n" not in str(caught.value)
    assert str(caught.value).startswith("data: ")
    return str(caught.value)


def names_of(split):
    return [os.path.basename(name) for name in split.names()]


def test_rows_keep_their_order_and_splits_have_the_words_that_folders_have(tmp_path):
    rows = photos(tmp_path, 9)
    words = ["train", "Training", "val", "test", "TEST", "train", "validation", "trainset", "train"]
    source = open_source(table(tmp_path, ["path,label,split", *map(",".join, zip(rows[::-1], words, strict=True))]))
    assert names_of(source.train) == ["8.png", "7.png", "3.png", "1.png", "0.png"]
    assert names_of(source.validation) == ["6.png", "2.png"] and names_of(source.test) == ["5.png", "4.png"]
    assert source.classes == CLASSES and labels_of(source.train)[1].tolist() == [0, 1, 1, 1, 0]
    assert (source.label, source.divided) == ("photos.csv", "the test rows")
    assert source.origins == {"train": "the training rows", "validation": "the validation rows"}
    image, label = source.train.example(tf.constant(1, tf.int64))
    assert image.shape == (7, 9, 3) and label == 1


def test_validation_rows_are_for_test_where_there_are_no_others(tmp_path):
    rows = photos(tmp_path)
    lines = [f"{row},{'train' if index < 4 else 'val'}" for index, row in enumerate(rows)]
    source = open_source(table(tmp_path, ["path,label,split", *lines]))
    assert source.validation is None and names_of(source.test) == ["4.png", "5.png"]


def test_without_a_split_one_in_five_is_held_out_and_stays_so(tmp_path):
    rows = photos(tmp_path, 40)
    source = open_source(table(tmp_path, ["path,label", *rows]))
    assert source.train.count + source.test.count == 40 and 4 <= source.test.count <= 13
    assert set(labels_of(source.test)[1]) == {0, 1}
    assert any(f"{source.test.count} of 40 images are held out" in note for note in source.notes)
    fewer = open_source(table(tmp_path, ["path,label", *rows[10:]], "fewer.csv"))
    assert set(names_of(fewer.test)) <= set(names_of(source.test))


def test_a_byte_order_mark_windows_lines_quotes_spaces_and_blank_rows_are_read(tmp_path):
    picture(tmp_path / "a, b.png")
    picture(tmp_path / "deep" / "c.png")
    picture(tmp_path / "d.png")
    text = '\ufeffPath , LABEL\r\n"a, b.png","big ""cat"""\r\n\r\ndeep/../deep/c.png, dog \r\n,\r\nd.png,dog\r\n'
    (tmp_path / "photos.csv").write_bytes(text.encode())
    source = open_source(f"csv:{tmp_path / 'photos.csv'}", testing=())
    assert source.classes == ('big "cat"', "dog") and names_of(source.test) == ["a, b.png", "c.png", "d.png"]


def test_absolute_paths_and_names_in_other_forms_are_found(tmp_path):
    decomposed = "e\u0301.png"
    picture(tmp_path / "far" / decomposed)
    picture(tmp_path / "far" / "b.png")
    (tmp_path / "near").mkdir()
    rows = [f"{tmp_path}/far/{decomposed},caf\u00e9", "../far/b.png,cafe\u0301"]
    source = open_source(table(tmp_path / "near", ["path,label", *rows]), testing=())
    assert source.classes == ("caf\u00e9",) and source.test.count == 2


@pytest.mark.parametrize("column", ["labels", "label"])
def test_labels_with_bars_are_several_classes(tmp_path, column):
    photos(tmp_path)
    cells = ["cat|dog", "dog", "", "dog | cat|cat", "hat", "cat"]
    lines = [f"{index}.png,{cell}" for index, cell in enumerate(cells)]
    source = open_source(table(tmp_path, [f"path,{column}", *lines]), testing=())
    expected = [[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert source.multi_label and source.classes == ("cat", "dog", "hat")
    assert labels_of(source.test)[1].tolist() == expected
    assert source.test.encoded(source.test.fetch(tf.constant([3], tf.int64))[0])[1].numpy().tolist() == [1, 1, 0]


def test_a_column_labels_is_of_several_classes_even_if_each_image_has_one(tmp_path):
    rows = photos(tmp_path, 20)
    assert open_source(table(tmp_path, ["path,labels", *rows])).multi_label
    assert not open_source(table(tmp_path, ["path,label", *rows], "one.csv")).multi_label


def test_a_survey_of_the_table_counts_and_tells(tmp_path):
    rows = [f"{row}|wet" if index % 3 == 0 else row for index, row in enumerate(photos(tmp_path, 30))]
    shown = printed("data", table(tmp_path, ["path,label", *rows]))
    source = open_source(f"csv:{tmp_path / 'photos.csv'}")
    mean = labels_of(source.train)[1].sum(axis=1).mean()
    assert f"labels {mean:.2f} classes per training image, at most 2; none in 0 training" in " ".join(shown.split())
    assert "wet" in shown and "held out for testing" in shown


def test_broken_images_are_skipped_and_named_as_in_folders(tmp_path):
    rows = photos(tmp_path, 20)
    (tmp_path / "3.png").write_bytes(b"no image")
    source = open_source(table(tmp_path, ["path,label", *rows]))
    assert source.train.count + source.test.count == 19
    assert any(
        "skipped 1 of 20 images, which cannot be read" in note and "3.png (is not an image" in note
        for note in source.notes
    )


def test_grey_images_have_one_channel(tmp_path):
    for index in range(4):
        picture(tmp_path / f"{index}.png", "L")
    lines = [f"{index}.png,{CLASSES[index % 2]},{'train' if index < 2 else 'test'}" for index in range(4)]
    assert open_source(table(tmp_path, ["path,label,split", *lines])).channels == 1


def test_opened_for_testing_the_test_rows_are_tested_or_all_of_them(tmp_path):
    rows = photos(tmp_path)
    name = table(
        tmp_path, ["path,label,split", *(f"{row},{'test' if i > 3 else 'train'}" for i, row in enumerate(rows))]
    )
    source = open_source(name, testing=("dog", "cat", "cow"))
    assert source.classes == ("dog", "cat", "cow") and labels_of(source.test)[1].tolist() == [1, 0]
    assert source.train.count == 4
    alone = open_source(table(tmp_path, ["path,label", rows[0]], "alone.csv"), testing=("dog", "cat"))
    assert (alone.train, alone.test.count, alone.divided) == (None, 1, "all rows")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "line 1: '' is not a header; its first line names the columns path, label"),
        (["path,label"], "has no rows below its header"),
        (["0.png,cat", "1.png,dog"], "line 1: '0.png,cat' is not a header"),
        (["path;label", "0.png;cat"], "line 1: columns are separated by commas"),
        ([",path,label", "0,0.png,cat"], "line 1: column 1 has no name; leave out the index, as pandas' to_csv"),
        (
            ["path,label,colour", "0.png,cat,red"],
            "column: 'colour' is not one of path, label, labels, split (in {}, line 1)",
        ),
        (["path,label,spilt", "0.png,cat,test"], "did you mean split?"),
        (["path,path,label", "0.png,1.png,cat"], "line 1: one path and one column of labels are needed"),
        (["path,label,labels", "0.png,cat,dog"], "line 1: one path and one column of labels are needed"),
        (["path,label", "0.png,cat", "1.png"], "line 3: has 1 cells, but the header has 2"),
        (
            ["path,label", "0.png,cat,test"],
            "line 2: has 3 cells, but the header has 2; a cell with a comma needs quotes",
        ),
        (["path,label", "0.png,cat", "", ",dog"], "line 4: '' is not the path of an image"),
        (["path,label", "0.png,cat", "1.png,"], "line 3: the label of '1.png' is empty; only in a column named labels"),
        (["path,label", '"0.png\n",cat', "1.png,"], "line 4: the label of '1.png' is empty"),
        (["path,label", "0.png,cat|"], "line 2: the label of '0.png' is empty"),
        (["path,label", '0.png,"cat\ndog"'], r"line 2: 'cat\ndog' is not a valid class name"),
        (["path,label", '0.png,"cat'], "line 2: unexpected end of data"),
        (["path,label", "0.png,cat", "./0.png,dog"], "line 3: '0.png' is also in line 2"),
        (["path,label", "0.png,cat", "9.png,dog", "1.png,dog"], "line 3: '9.png' is missing, of 3 images"),
        (
            ["path,label", "0.png,cat", "9.png,dog", "8.png,dog"],
            "line 3: '9.png' is missing; so is one more, of 3 images",
        ),
        (["path,label", "s3://bucket/0.png,cat"], "line 2: 's3://bucket/0.png' is an address"),
        (["path,label", "0\0.png,cat"], r"line 2: '0\x00.png' is not the path"),
        (
            ["path,label,split", "0.png,cat,train", "1.png,dog,later"],
            "split: 'later' is not one of train, validation, test",
        ),
        (["path,label,split", "0.png,cat,train", "1.png,dog,"], "split: '' is not one of train, validation, test"),
        (
            ["path,label,split", "0.png,cat,train", "1.png,dog,train", "2.png,cow,test"],
            "line 4: class 'cow' is in a test row, but in no training row",
        ),
        (["path,label,split", "0.png,cat,test", "1.png,dog,test"], "has no training rows; all are test rows"),
        (["path,label", "0.png,cat", "2.png,cat"], "has one class (cat)"),
        (["path,label", "0.png,cat", "1.png,dog"], "has one image per class; at least two are needed"),
        (["path,labels", "0.png,", "1.png,"], "has no labels"),
        (
            ["path,label", "0.png,cat", "2.png,cat", "broken.png,dog"],
            "class dog of {} has no image that can be read; skipped 1 of 3",
        ),
        (["path,label", "broken.png,dog"], "line 2: none of the training images can be read"),
        (["path,label", "0.png," + "x" * 200_000], "line 2: field larger than field limit"),
    ],
)
def test_wrong_tables_are_refused_with_the_line(tmp_path, lines, told):
    photos(tmp_path, 4)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    name = table(tmp_path, lines)
    found = refusal(name)
    assert told.format(tmp_path / "photos.csv") in found and "photos.csv" in found
    assert len(refused("train", "resnet-18", "--data", name, "--out", tmp_path / "run").splitlines()) <= 2
    assert not (tmp_path / "run").exists()


def test_files_that_are_no_table_are_refused(tmp_path):
    assert "file not found" in refusal(f"csv:{tmp_path / 'none.csv'}")
    assert "not a regular file" in refusal(f"csv:{tmp_path}")
    os.mkfifo(tmp_path / "pipe.csv")
    assert "not a regular file" in refusal(f"csv:{tmp_path / 'pipe.csv'}")
    assert "is not UTF-8 text" in refusal(table(tmp_path, ["path,label", "\u00e9.png,cat"], encoding="latin-1"))
    photos(tmp_path)
    name = table(tmp_path, ["path,label", "0.png,cat"])
    assert f"is a file; use {name}" in refusal(name.removeprefix("csv:"))


def test_a_table_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("reskeras.data.csv_table.LARGEST", 20)
    assert "larger than 20 bytes" in refusal(table(tmp_path, ["path,label", *["0.png,cat"] * 9]))


def test_devices_are_not_read_as_images(tmp_path):
    rows = photos(tmp_path, 6)
    os.mkfifo(tmp_path / "pipe.png")
    source = open_source(table(tmp_path, ["path,label", *rows, "pipe.png,cat", "/dev/zero,cat"]))
    assert any("skipped 2 of 8" in note and "not a regular file" in note for note in source.notes)


def test_a_part_of_a_table_has_images_of_each_class(tmp_path):
    rows = photos(tmp_path, 20)
    name = table(tmp_path, ["path,label", *rows])
    part = open_source(f"{name}@4")
    assert part.train.count == 4 and np.bincount(labels_of(part.train)[1]).tolist() == [2, 2]
