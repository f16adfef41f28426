"""A folder that a run was not trained on is for testing: all of it, by the names of its classes."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.errors import ReskerasError


@pytest.fixture
def digits(trained, tmp_path):
    """A function that writes so many test digits of some classes below a folder, as `NAME/NUMBER.png`."""
    source, written = trained.source(), {}
    for index in range(120):
        image, label = source.test.example(tf.constant(index, tf.int64))
        written.setdefault(int(label), []).append(Image.fromarray(image.numpy()[..., 0]))

    def write(folder, classes, count):
        for name in classes:
            (tmp_path / folder / str(name)).mkdir(parents=True)
            for index in range(count):
                written[name][index].save(tmp_path / folder / str(name) / f"{index}.png")
        return f"folder:{tmp_path / folder}"

    return write


def expected(trained, data):
    """Predictions of every file below the folder, and labels by the folders' names."""
    files = sorted(__import__("pathlib").Path(data.removeprefix("folder:")).rglob("*.png"))
    return np.mean([trained.predict(file, top=1)[0].top[0][0] == file.parent.name for file in files])


@pytest.mark.slow
def test_all_of_a_folder_is_looked_at_and_said_so(trained, digits):
    data, told = digits("all", range(10), 5), []
    result = trained.evaluate(data, tell=told.append)
    assert (result.images, result.top1) == (50, pytest.approx(expected(trained, data)))
    assert told == [f"testing on all images of {data.removeprefix('folder:')}"]


def test_classes_are_matched_by_name_and_missing_ones_are_named(trained, digits):
    data, told = digits("some", (7, 3, 9), 4), []
    result = trained.evaluate(data, tell=told.append)
    assert result.images == 12
    assert result.top1 == pytest.approx(expected(trained, data))
    assert sorted(set(result.labels)) == [3, 7, 9]
    assert any("no images of 7 of the 10 classes: 0, 1, 2, 4, 5 and 2 more" in note for note in told)


def test_one_class_and_one_image_a_class_are_enough(trained, digits):
    assert trained.evaluate(digits("one", (4,), 1)).images == 1
    assert trained.evaluate(digits("each", range(10), 1)).images == 10


@pytest.mark.parametrize(
    ("folders", "images"),
    [
        ({"test": 3}, 6),
        ({"val": 2}, 4),
        ({"train": 5, "test": 3}, 6),
        ({"train": 5, "Val": 2}, 4),
        ({"train": 5}, 10),
        ({"train": 5, "val": 2, "test": 3}, 6),
    ],
)
def test_of_a_folder_with_splits_the_test_split_is_looked_at(trained, digits, tmp_path, folders, images):
    for name, count in folders.items():
        digits(f"splits/{name}", (1, 2), count)
    told = []
    assert trained.evaluate(f"folder:{tmp_path / 'splits'}", tell=told.append).images == images
    assert "test" in told[0]


def test_unknown_classes_are_refused_by_name(trained, digits, tmp_path):
    digits("odd", (1,), 1)
    (tmp_path / "odd" / "1").rename(tmp_path / "odd" / "one")
    with pytest.raises(ReskerasError, match="'one' is not one of 0, 1") as caught:
        trained.evaluate(f"folder:{tmp_path / 'odd'}")
    assert caught.value.status == 2


@pytest.mark.parametrize("asked", [{"split": "train"}, {"recalibrate": 10}])
def test_what_needs_training_images_says_so(trained, digits, asked):
    with pytest.raises(ReskerasError, match="needs training images") as caught:
        trained.evaluate(digits("all", range(10), 2), **asked)
    assert caught.value.status == 2


def test_predictions_name_their_files(trained, digits, tmp_path):
    data = digits("all", (0, 1), 2)
    trained.evaluate(data).save_predictions(tmp_path / "predictions.csv")
    first = (tmp_path / "predictions.csv").read_text().splitlines()[1].split(",")
    assert first[:3] == ["0", f"{tmp_path / 'all' / '0' / '0.png'}", "0"]


def test_analyses_and_proofs_take_such_folders(trained, digits, tmp_path):
    import shutil

    import reskeras

    run = reskeras.Run(shutil.copytree(trained.path, tmp_path / "run"))
    data = digits("all", range(10), 3)
    assert run.analyse(data, images=30, lesions=0).images == 30
    [proof] = run.export("tflite", data=data, timing=False)
    assert proof.holds and proof.images == 30


def test_a_run_without_names_of_classes_takes_data_with_as_many(copied, tmp_path):
    """As a port is that nobody named the classes of."""
    told = copied.folder.provenance()
    del told["data"]
    (copied.path / "provenance.json").write_text(json.dumps(told))
    assert copied.evaluate("digits").images == 359
    for name in "ab":
        for number in range(2):
            image = tmp_path / "two" / name / f"{number}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 90 + number, np.uint8)).save(image)
    with pytest.raises(ReskerasError, match=r"has 2 classes, but .* has 10 without names"):
        copied.evaluate(f"folder:{tmp_path / 'two'}")
