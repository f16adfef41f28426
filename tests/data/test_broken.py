"""Images that go away or change while they are in use end in one line that names the file."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.data.broken import reading_failure
from reskeras.data.pipeline import evaluation_batches
from reskeras.data.registry import open_source
from reskeras.recipes.augment import AugmentSpec
from tests.data.images import picture, raw, training_dataset


@pytest.fixture
def folder(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "my images" / name).mkdir(parents=True)
        for index in range(5):
            picture(20, 18, index).save(tmp_path / "my images" / name / f"{index}.jpg")
    return tmp_path / "my images"


def told(dataset):
    with pytest.raises(tf.errors.OpError) as caught:
        list(dataset)
    error = reading_failure(caught.value)
    assert error.status == 1
    assert len(str(error).splitlines()) == 1
    return str(error)


def every_way(source):
    yield evaluation_batches(source.train, raw(), 4).dataset
    for fields in ({}, {"random_resized_crop": {}}):
        yield training_dataset(
            source.train, raw(), batch_size=4, seed=0, epochs=1, mirror=True, augment=AugmentSpec.model_validate(fields)
        )


def test_a_deleted_file_is_named(folder):
    source = open_source(f"folder:{folder}")
    for file in folder.rglob("*.jpg"):
        file.unlink()
    for dataset in every_way(source):
        message = told(dataset)
        assert message.startswith(f"data: {folder}/")
        assert message.endswith(".jpg has disappeared since the data was opened")


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff cut off", b"GIF89a"])
def test_a_file_that_was_replaced_is_named(folder, content):
    source = open_source(f"folder:{folder}")
    for file in folder.rglob("*.jpg"):
        file.write_bytes(content)
    for dataset in every_way(source):
        message = told(dataset)
        assert message.startswith(f"data: {folder}/")
        assert message.endswith(".jpg changed since the data was opened")


def test_bytes_that_are_no_image_any_more_are_told_in_a_line(folder):
    source = open_source(f"folder:{folder}")
    for file in folder.rglob("*.jpg"):
        file.write_bytes(b"\0" * file.stat().st_size)
    for dataset in every_way(source):
        assert told(dataset).startswith("data: an image could not be read: ")


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("content", "words"), [(None, "has disappeared since"), (b"GIF89a", "changed since"), (b"", "changed since")]
)
def test_inside_fit_the_file_is_named_too(folder, content, words):
    import keras

    source = open_source(f"folder:{folder}")
    for file in folder.rglob("*.jpg"):
        file.unlink() if content is None else file.write_bytes(content)
    model = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for dataset in every_way(source):
        with pytest.raises(tf.errors.OpError) as caught:
            model.fit(dataset, verbose=0, shuffle=False)
        message = str(reading_failure(caught.value))
        assert message.startswith(f"data: {folder}/") and words in message


def test_what_a_model_fails_of_is_not_blamed_on_the_data():
    message = "Graph execution error:\n\nOOM when allocating tensor\n [[{{node dense/MatMul}}]] [Op:__inference_1]"
    error = tf.errors.ResourceExhaustedError(None, None, message)
    assert str(reading_failure(error)) == "TensorFlow failed: OOM when allocating tensor"


def test_files_that_stay_are_read_as_before(folder):
    source = open_source(f"folder:{folder}")
    for index in range(source.train.count):
        stored = source.train.fetch(tf.constant([index], tf.int64))[0]
        image, label = source.train.decode(stored)
        data, same = source.train.encoded(stored)
        np.testing.assert_array_equal(tf.io.decode_jpeg(data, dct_method="INTEGER_ACCURATE"), image)
        assert int(label) == int(same)
