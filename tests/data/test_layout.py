"""Folders as people have them: which are splits and which are classes, and what is told of it."""

import unicodedata

import pytest

from reskeras.data.layout import read_layout, role_of
from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError
from reskeras.walk import Walk
from tests.data.test_folder import picture, two_classes


def layout(root, classes=()):
    found = read_layout(Walk(root), classes)
    return {role: found.name(folder) for role in ("train", "validation", "test") if (folder := getattr(found, role))}


def folders(root, *names):
    for name in names:
        for each in ("cat", "dog"):
            (root / name / each).mkdir(parents=True)
            (root / name / each / "0.png").write_bytes(b"")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("Train", "Test"),
        ("TRAIN", "VAL"),
        ("train", "Test"),
        ("train", "testing"),
        ("train", "Val"),
        ("train", "dev"),
        ("train", "eval"),
        ("train", "val1"),
        ("training", "validation"),
        ("seg_train", "seg_test"),
        ("training_set", "test_set"),
        ("Train Images", "Test Images"),
        ("trainset", "testset"),
        ("TrainData", "ValidData"),
        ("train2017", "val2017"),
        ("birds-train", "birds-test"),
    ],
)
def test_splits_are_known_whatever_the_case_the_separators_and_the_words_beside(tmp_path, train, test):
    folders(tmp_path, train, test)
    assert layout(tmp_path) == {"train": train, "test": test}


def test_a_validation_split_beside_a_test_split_is_one_of_its_own(tmp_path):
    folders(tmp_path, "train", "Val", "Test")
    assert layout(tmp_path) == {"train": "train", "validation": "Val", "test": "Test"}


@pytest.mark.parametrize(
    "names",
    [
        ("train", "bus", "car"),
        ("valid", "invalid"),
        ("test", "control"),
        ("train", "test tube", "bus"),
        ("crash_train", "rescue_test"),
        ("dev", "ops"),
    ],
)
def test_classes_that_are_called_like_splits_stay_classes(tmp_path, names):
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"")
    assert layout(tmp_path) == {"train": "."}


def test_splits_inside_classes_are_refused_and_other_folders_inside_are_told(tmp_path):
    folders(tmp_path / "turned", "cat/train", "cat/test", "dog/train", "dog/test")
    with pytest.raises(
        ReskerasError,
        match=r"splits inside its classes, cat/test, cat/train, dog/test, dog/train; "
        r"put the classes inside the splits, such as test/cat",
    ):
        layout(tmp_path / "turned")
    folders(tmp_path / "masks", "cat/images", "cat/masks", "dog/images", "dog/train")
    told = read_layout(Walk(tmp_path / "masks")).notes
    assert told == [
        "images in sub-folders of a class belong to that class: cat/images, cat/masks, dog/images, dog/train"
    ]


def test_known_classes_are_never_splits(tmp_path):
    folders(tmp_path, "train", "test")
    assert layout(tmp_path, ["train", "test", "bus"]) == {"train": "."}


def test_repeated_and_wrapping_folders_are_looked_into(tmp_path):
    folders(tmp_path, "archive/seg_train/seg_train", "archive/seg_test/seg_test")
    assert layout(tmp_path) == {"train": "seg_train/seg_train", "test": "seg_test/seg_test"}


def test_two_folders_of_one_role_are_refused_unless_one_is_plainer(tmp_path):
    folders(tmp_path, "train", "train_images", "test")
    assert layout(tmp_path) == {"train": "train", "test": "test"}
    folders(tmp_path, "TRAIN")
    with pytest.raises(ReskerasError, match="TRAIN and train, which are both train splits"):
        layout(tmp_path)


@pytest.mark.parametrize("name", ["train_test", "training val", "cats", "contest", "trains"])
def test_names_of_two_roles_or_none_have_no_role(name):
    assert role_of(name) is None


@pytest.mark.parametrize("unlabelled", ["test/0.png", "test/test/0.png", "test/unknown/0.png", None])
def test_a_test_folder_without_classes_gives_way_to_validation(tmp_path, unlabelled):
    two_classes(tmp_path / "train", 3)
    (tmp_path / "test").mkdir()
    if unlabelled:
        picture(tmp_path / unlabelled)
    alone = open_source(f"folder:{tmp_path}")
    assert (alone.classes, alone.train.count + alone.test.count) == (("cat", "dog"), 6)
    two_classes(tmp_path / "val", 2)
    source = open_source(f"folder:{tmp_path}")
    assert (source.divided, source.test.count, source.validation) == ("the folder val", 4, None)
    assert any("the folder test" in note and "skipped" in note for note in source.notes)


def test_validation_is_watched_and_test_is_for_test(tmp_path):
    from reskeras.data.preprocessing import Preprocessing
    from reskeras.recipes.recipe import recipe
    from reskeras.tasks.classification.feed import Feed
    from reskeras.training.strategy import open_replicas

    for name, count in (("train", 4), ("val", 2), ("test", 3)):
        two_classes(tmp_path / name, count)
    source = open_source(f"folder:{tmp_path}")
    assert {name: split.count for name, split in source.splits().items()} == {"train": 8, "validation": 4, "test": 6}
    assert "validation uses the 4 images of the folder val" in source.notes
    feed = Feed(
        recipe("quick", holdout=0.25, batch_size=4),
        source,
        Preprocessing.fit(source.train, 8, 8, 3, "scale"),
        open_replicas("one"),
    )
    assert (feed.train.count, feed.watched.count, feed.watches) == (8, 4, "validation")


def test_class_names_of_either_normal_form_are_one_class(tmp_path):
    name = "Käse"
    for form, split in (("NFC", "train"), ("NFD", "test")):
        for each in (unicodedata.normalize(form, name), "dog"):
            picture(tmp_path / split / each / "0.png")
    source = open_source(f"folder:{tmp_path}")
    assert source.classes == (unicodedata.normalize("NFC", name), "dog")
    assert source.test.count == 2


def test_loose_images_and_classes_that_begin_with_a_dot_are_counted(tmp_path):
    two_classes(tmp_path, 3)
    picture(tmp_path / "loose.png")
    picture(tmp_path / ".bird" / "0.png")
    notes = open_source(f"folder:{tmp_path}").notes
    assert f"skipped 1 image beside the class folders: {tmp_path / 'loose.png'}" in notes
    assert f"skipped 1 hidden or thumbnail folder with 1 image: {tmp_path / '.bird'}" in notes


def test_a_folder_whose_name_ends_like_a_part_is_that_folder(tmp_path):
    two_classes(tmp_path / "birds@2023", 4)
    assert open_source(f"folder:{tmp_path / 'birds@2023'}").train.count == 6
    part = open_source(f"folder:{tmp_path / 'birds@2023'}@2")
    assert (part.train.count, part.test.count) == (2, 2)


@pytest.mark.parametrize("inside", ["", "train"])
def test_boxes_kept_as_text_beside_the_images_are_no_classes(tmp_path, inside):
    for name in ("images/0.png", "labels/0.txt"):
        (tmp_path / inside / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / inside / name).touch()
    with pytest.raises(ReskerasError, match="images and boxes in YOLO format"):
        layout(tmp_path)
    (tmp_path / inside / "labels/0.txt").rename(tmp_path / inside / "labels/0.png")  # classes that are called so
    assert layout(tmp_path)


def test_classes_that_differ_only_in_case_are_told(tmp_path):
    for name in ("Cat", "cat", "dog"):
        picture(tmp_path / name / "0.png")
        picture(tmp_path / name / "1.png")
    source = open_source(f"folder:{tmp_path}")
    assert source.classes == ("Cat", "cat", "dog")
    assert any("Cat and cat differ only in upper and lower case" in note for note in source.notes)
