"""`folder:PATH` with the images that people really have, broken ones among them."""

import os
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.data.decode import decode_file
from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError

RNG = np.random.default_rng(0)


def picture(path, mode="RGB", size=(9, 7)):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": 3, "RGBA": 4, "CMYK": 4}.get(mode)
    if mode == "I;16":
        image = Image.fromarray(RNG.integers(0, 65535, size[::-1]).astype(np.uint16))
    elif mode == "P":
        image = Image.fromarray(RNG.integers(0, 255, (*size[::-1], 3), np.uint8)).convert("P")
    else:
        shape = (*size[::-1], channels) if channels else size[::-1]
        image = Image.fromarray(RNG.integers(0, 255, shape, np.uint8), mode if mode == "CMYK" else None)
    image.save(path)
    return path


def two_classes(root, count=5, mode="RGB"):
    for name in ("cat", "dog"):
        for index in range(count):
            picture(root / name / f"{index}.png", mode)


def everything(split):
    return [
        (image.numpy(), int(label))
        for image, label in (split.example(tf.constant(index, tf.int64)) for index in range(split.count))
    ]


def refusal(path):
    with pytest.raises(ReskerasError) as caught:
        open_source(f"folder:{path}")
    assert caught.value.status == 2
    return str(caught.value)


def test_without_a_test_folder_one_in_five_of_each_class_is_kept_for_test(tmp_path):
    two_classes(tmp_path, 10)
    source = open_source(f"folder:{tmp_path}")
    assert (source.classes, source.train.count, source.test.count, source.channels) == (("cat", "dog"), 16, 4, 3)
    assert sorted(label for _, label in everything(source.test)) == [0, 0, 1, 1]
    again = open_source(f"folder:{tmp_path}")
    for (image, _), (same, _) in zip(everything(source.test), everything(again.test), strict=True):
        np.testing.assert_array_equal(image, same)


@pytest.mark.parametrize("name", ["test", "val", "validation"])
def test_with_train_and_test_folders_they_are_the_splits(tmp_path, name):
    two_classes(tmp_path / "train", 4)
    two_classes(tmp_path / name, 2)
    source = open_source(f"folder:{tmp_path}")
    assert (source.train.count, source.test.count) == (8, 4)


def test_pixels_are_those_of_the_file(tmp_path):
    two_classes(tmp_path / "train", 1)
    two_classes(tmp_path / "test", 1)
    image, label = everything(open_source(f"folder:{tmp_path}").train)[0]
    np.testing.assert_array_equal(image, np.asarray(Image.open(tmp_path / "train" / "cat" / "0.png")))
    assert label == 0


def test_grey_folders_have_one_channel_and_one_coloured_image_makes_three(tmp_path):
    two_classes(tmp_path, 3, mode="L")
    assert open_source(f"folder:{tmp_path}").channels == 1
    picture(tmp_path / "cat" / "colour.png")
    source = open_source(f"folder:{tmp_path}")
    assert source.channels == 3
    assert {image.shape[-1] for image, _ in everything(source.train)} == {3}


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGBA", "png"),
        ("P", "png"),
        ("I;16", "png"),
        ("CMYK", "jpg"),
        ("RGB", "bmp"),
        ("L", "bmp"),
        ("P", "gif"),
        ("L", "jpg"),
        ("RGB", "webp"),
    ],
)
def test_every_kind_of_image_that_is_accepted_decodes(tmp_path, mode, suffix):
    two_classes(tmp_path / "train", 1)
    two_classes(tmp_path / "test", 1)
    picture(tmp_path / "train" / "cat" / f"odd.{suffix}", mode)
    source = open_source(f"folder:{tmp_path}")
    assert source.train.count == 3
    assert source.notes == ()
    assert {image.shape for image, _ in everything(source.train)} == {(7, 9, 3)}


def test_unreadable_images_are_named_skipped_and_counted(tmp_path):
    two_classes(tmp_path, 5)
    whole = picture(tmp_path / "dog" / "cut.jpg", size=(64, 64)).read_bytes()
    (tmp_path / "dog" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "cat" / "text.png").write_text("no image")
    (tmp_path / "cat" / ".hidden.png").write_text("no image")
    (tmp_path / "cat" / "empty.jpg").write_bytes(b"")
    source = open_source(f"folder:{tmp_path}")
    assert source.train.count + source.test.count == 10
    [skipped] = [note for note in source.notes if "which cannot be read" in note]
    assert "skipped 3 of 13" in skipped
    assert all(name in skipped for name in ("cut.jpg", "text.png", "empty.jpg"))
    for name, why in (("empty.jpg", "is empty"), ("cut.jpg", "is a broken JPEG"), ("text.png", "is not an image")):
        assert f"{name} ({why}" in skipped


def test_a_bmp_with_a_palette_is_skipped_because_tensorflow_decodes_it_wrongly(tmp_path):
    two_classes(tmp_path, 3)
    file = picture(tmp_path / "cat" / "palette.bmp", "P")
    assert "palette.bmp" in open_source(f"folder:{tmp_path}").notes[0]
    with pytest.raises(ReskerasError, match=r"palette\.bmp is a BMP with a palette") as caught:
        decode_file(file, 3)
    assert caught.value.status == 1


def test_what_was_accepted_has_the_pixels_that_pillow_reads(tmp_path):
    two_classes(tmp_path / "test", 1)
    for index, (mode, suffix) in enumerate([("RGB", "bmp"), ("L", "bmp"), ("P", "png"), ("RGBA", "png"), ("P", "gif")]):
        picture(tmp_path / "train" / "cat" / f"{index}.{suffix}", mode)
    picture(tmp_path / "train" / "dog" / "0.png")
    decoded = everything(open_source(f"folder:{tmp_path}").train)[:5]
    for (image, _), file in zip(decoded, sorted((tmp_path / "train" / "cat").iterdir()), strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(file).convert("RGB")))


def test_files_of_other_kinds_are_counted_and_the_first_five_named(tmp_path):
    two_classes(tmp_path, 3)
    picture(tmp_path / "cat" / "a.tiff")
    for index in range(6):
        (tmp_path / "dog" / f"note{index}.txt").write_text("no image")
    [note] = [note for note in open_source(f"folder:{tmp_path}").notes if "skipped" in note]
    assert note.startswith("skipped 7 files")
    assert "a.tiff" in note
    assert note.endswith("note3.txt and 2 more")


def test_a_train_folder_alone_is_divided_and_a_test_folder_alone_is_refused(tmp_path):
    two_classes(tmp_path / "train", 5)
    source = open_source(f"folder:{tmp_path}")
    assert (source.classes, source.train.count, source.test.count) == (("cat", "dog"), 8, 2)
    (tmp_path / "train").rename(tmp_path / "val")
    assert "has no train folder" in refusal(tmp_path)


def test_folders_beside_train_and_test_are_named_with_what_is_left_out(tmp_path):
    for name in ("train", "test", "more"):
        two_classes(tmp_path / name, 2)
    [note] = open_source(f"folder:{tmp_path}").notes
    assert note == f"skipped 1 folder that is not a split with 4 images: {tmp_path / 'more'}"


def test_file_names_that_are_no_text_are_skipped_in_notes_that_can_be_printed(tmp_path):
    two_classes(tmp_path, 3)
    os.rename(tmp_path / "cat" / "0.png", os.fsencode(tmp_path / "cat") + b"/\xff.png")
    [note] = [note for note in open_source(f"folder:{tmp_path}").notes if "skipped" in note]
    assert note.encode("utf-8").endswith(rb"\xff.png (has a name that is not UTF-8; rename it)")


def test_a_class_name_that_fills_two_lines_is_refused(tmp_path):
    two_classes(tmp_path)
    (tmp_path / "cat").rename(tmp_path / "c\nat")
    assert "is not a valid class name" in refusal(tmp_path)


def test_checking_images_leaves_warnings_as_they_were(tmp_path):
    two_classes(tmp_path, 20)
    before = list(warnings.filters)
    open_source(f"folder:{tmp_path}")
    assert list(warnings.filters) == before


def test_an_enormous_image_is_skipped(tmp_path, monkeypatch):
    from reskeras.data import decode

    two_classes(tmp_path, 3)
    picture(tmp_path / "cat" / "large.png", size=(200, 200))
    monkeypatch.setattr(decode, "LARGEST_IMAGE", 1000)
    assert "large.png" in open_source(f"folder:{tmp_path}").notes[0]


def test_a_link_to_a_folder_above_is_not_followed(tmp_path):
    two_classes(tmp_path, 3)
    (tmp_path / "cat" / "loop").symlink_to(tmp_path, target_is_directory=True)
    source = open_source(f"folder:{tmp_path}")
    assert source.train.count + source.test.count == 6


def test_wrong_folders_are_refused_by_name(tmp_path):
    assert "folder not found" in refusal(tmp_path / "absent")
    assert "has no sub-folders" in refusal(tmp_path)
    picture(tmp_path / "cat" / "1.png")
    picture(tmp_path / "cat" / "2.png")
    assert "has one class (cat)" in refusal(tmp_path)
    (tmp_path / "dog").mkdir()
    assert "class dog" in refusal(tmp_path)
    picture(tmp_path / "dog" / "1.png")
    open_source(f"folder:{tmp_path}")


def test_one_image_a_class_leaves_none_for_test(tmp_path):
    two_classes(tmp_path, 1)
    assert "one image per class" in refusal(tmp_path)


def test_a_class_that_only_the_test_folder_has_is_refused(tmp_path):
    two_classes(tmp_path / "train")
    two_classes(tmp_path / "test")
    picture(tmp_path / "test" / "bird" / "1.png")
    assert "class bird" in refusal(tmp_path)
