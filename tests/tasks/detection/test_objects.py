"""Objects of a split: the same rows in Python and in a graph, padded, and parts of them."""

import numpy as np
import pytest
import tensorflow as tf

from reskeras.tasks.detection.objects import IGNORED, PADDING, Objects

COUNTS = (2, 0, 3, 1)


def objects(counts=COUNTS):
    """A split whose boxes are numbered by their rows, and whose images are the bytes of their indices."""
    total = sum(counts)
    rng = np.random.default_rng(1)
    stored = tf.constant([f"image {index}" for index in range(len(counts))])
    return Objects(
        name="train",
        ids=tuple(f"id{index}" for index in range(len(counts))),
        sizes=np.array([[10 + index, 20] for index in range(len(counts))], np.int32),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=np.arange(total * 4, dtype=np.float32).reshape(-1, 4) + 1,
        labels=rng.integers(0, 5, total).astype(np.int32),
        ignored=np.arange(total) % 3 == 1,
        crowd=np.arange(total) % 6 == 1,
        read=lambda index: tf.gather(stored, index),
    )


def expected(split, index):
    """Padded boxes and labels by plain loops."""
    boxes, labels = np.zeros((split.most, 4), np.float32), np.full(split.most, PADDING, np.int32)
    for place, row in enumerate(range(split.starts[index], split.starts[index + 1])):
        boxes[place] = split.boxes[row]
        labels[place] = IGNORED if split.ignored[row] else split.labels[row]
    return boxes, labels


def in_pipeline(split):
    """What `in_graph` and `read` give of each image inside of tf.data."""
    dataset = tf.data.Dataset.range(split.count).map(lambda index: (*split.in_graph(index), split.read(index)))
    assert dataset.element_spec[0].shape == (split.most, 4)
    return list(dataset.as_numpy_iterator())


def test_rows_in_a_graph_are_those_in_python_padded_to_the_most():
    split = objects()
    assert (split.count, split.most) == (4, 3)
    for index, (boxes, labels, stored) in enumerate(in_pipeline(split)):
        np.testing.assert_array_equal(boxes, expected(split, index)[0])
        np.testing.assert_array_equal(labels, expected(split, index)[1])
        assert (boxes.dtype, labels.dtype, stored) == (np.float32, np.int32, f"image {index}".encode())


def test_rows_of_one_image_keep_the_true_class_of_ignored_objects():
    split = objects()
    boxes, labels, ignored = split.rows(2)
    np.testing.assert_array_equal(boxes[:, 0], [9, 13, 17])
    np.testing.assert_array_equal(labels, split.labels[2:5])
    np.testing.assert_array_equal(ignored, [False, False, True])
    assert len(split.rows(1)[0]) == 0


def test_a_part_holds_the_chosen_images_in_their_order_and_a_part_of_it_too():
    split = objects()
    part = split.part("some", np.array([3, 0, 1]))
    assert (part.name, part.ids, part.count, part.most) == ("some", ("id3", "id0", "id1"), 3, 2)
    again = part.part("fewer", np.array([1, 2]))
    assert again.ids == ("id0", "id1")
    for one, origins in ((part, (3, 0, 1)), (again, (0, 1))):
        for index, origin in enumerate(origins):
            for ours, theirs in zip(one.rows(index), split.rows(origin), strict=True):
                np.testing.assert_array_equal(ours, theirs)
            np.testing.assert_array_equal(one.sizes[index], split.sizes[origin])
            boxes, labels, stored = in_pipeline(one)[index]
            np.testing.assert_array_equal(boxes, expected(one, index)[0])
            np.testing.assert_array_equal(labels, expected(one, index)[1])
            assert stored == f"image {origin}".encode()
    np.testing.assert_array_equal(part.crowd, split.crowd[[5, 0, 1]])


@pytest.mark.parametrize("chosen", [[1], []])
def test_a_split_without_a_box_still_has_a_row_of_padding(chosen):
    part = objects().part("bare", np.array(chosen, np.int64))
    assert (part.count, part.most, len(part.boxes)) == (len(chosen), 1, 0)
    for boxes, labels, _ in in_pipeline(part):
        np.testing.assert_array_equal(boxes, [[0, 0, 0, 0]])
        np.testing.assert_array_equal(labels, [PADDING])


def test_as_images_a_split_decodes_what_is_stored_with_label_zero():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 7, 3), np.uint8)
    stored = tf.constant([tf.io.encode_png(each).numpy() for each in pixels])
    split = Objects(**{**vars(objects()), "read": lambda index: tf.gather(stored, index)}).images()
    for index in range(4):
        image, label = split.example(tf.constant(index, tf.int64))
        np.testing.assert_array_equal(image, pixels[index])
        assert int(label) == 0
    assert split.encoded(tf.constant(2, tf.int64))[0].numpy() == stored[2].numpy()
    np.testing.assert_array_equal(split.label(tf.constant([1, 3], tf.int64)), [0, 0])
