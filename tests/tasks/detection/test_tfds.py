"""Annotated TFDS sets by index: equal to what TFDS itself reads, in pixels."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from reskeras.errors import ReskerasError
from reskeras.tasks.detection.opening import annotates_objects, open_objects

NAMES = ["cat", "dog", "yak"]
KINDS = tfds.features


def example(index, objects=None):
    """A voc-like example with an image of a size of its own; `objects` are (box as fractions, label, difficult)."""
    rng = np.random.default_rng(index)
    if objects is None:
        corners = rng.uniform(0, 0.5, (index % 3, 2))
        objects = [(np.concatenate([corner, corner + 0.4]), rng.integers(3), index % 2) for corner in corners]
    return {
        "image": rng.integers(0, 256, (20 + index, 30, 3), np.uint8),
        "image/filename": f"{index:06}.jpg",
        "objects": {
            "bbox": np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4),
            "label": np.array([label for _, label, _ in objects], np.int64),
            "is_difficult": np.array([hard for _, _, hard in objects], bool),
        },
    }


def examples(indices):
    return [example(index) for index in indices]


FEATURES = {
    "image": KINDS.Image(shape=(None, None, 3), encoding_format="png"),
    "image/filename": KINDS.Text(),
    "objects": KINDS.Sequence(
        {"bbox": KINDS.BBoxFeature(), "label": KINDS.ClassLabel(names=NAMES), "is_difficult": np.bool_}
    ),
}


def stored(folder, name, splits, features=None):
    """A prepared set that no code in this process describes: {split: its examples}."""
    features = KINDS.FeaturesDict(features or FEATURES)
    datasets = {
        split: tf.data.Dataset.from_generator(
            lambda held=held: iter(held),
            output_signature=tf.nest.map_structure(
                lambda spec: tf.TensorSpec(spec.shape, spec.dtype), features.get_tensor_spec()
            ),
        )
        for split, held in splits.items()
    }
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name, version="1.0.0", features=features, data_dir=folder, split_datasets=datasets
    )
    return tfds.builder(name, data_dir=folder)


def opened(folder, name):
    return open_objects(f"tfds:{name}", folder)


def test_records_are_those_that_tfds_reads_with_boxes_in_pixels(tmp_path):
    builder = stored(
        tmp_path,
        "zoo",
        {"train": examples(range(5)), "validation": examples(range(5, 7)), "test": examples(range(7, 12))},
    )
    source = opened(tmp_path, "zoo")
    assert (source.classes, source.channels, source.mirror) == (tuple(NAMES), 3, True)
    assert (source.train.count, source.test.count, source.divided) == (7, 5, "the set's test split")
    for split, theirs in ((source.train, ("train", "validation")), (source.test, ("test",))):
        read = [each for name in theirs for each in builder.as_dataset(split=name, shuffle_files=False)]
        files = list(tf.data.Dataset.range(split.count).map(split.read).as_numpy_iterator())
        for index, each in enumerate(read):
            height, width = each["image"].shape[:2]
            expected = [
                np.float32([box[0] * height, box[1] * width, box[2] * height, box[3] * width])
                for box in each["objects"]["bbox"].numpy().astype(np.float64)
            ]
            boxes, labels, ignored = split.rows(index)
            np.testing.assert_array_equal(boxes, np.array(expected, np.float32).reshape(-1, 4))
            np.testing.assert_array_equal(labels, each["objects"]["label"])
            np.testing.assert_array_equal(ignored, each["objects"]["is_difficult"])
            np.testing.assert_array_equal(split.sizes[index], (height, width))
            np.testing.assert_array_equal(tf.io.decode_image(files[index]), each["image"])
            assert f"{split.ids[index]}.jpg" == each["image/filename"].numpy().decode()
    part = source.train.part("some", np.array([6, 0]))
    assert part.read(tf.constant(0, tf.int64)) == source.train.read(tf.constant(6, tf.int64))


def test_a_set_with_objects_is_told_from_one_of_classified_images(tmp_path):
    stored(tmp_path, "zoo", {"train": examples(range(2))})
    labelled = [{**each, "label": 1} for each in examples(range(2))]
    stored(tmp_path, "both", {"train": labelled}, {**FEATURES, "label": KINDS.ClassLabel(names=NAMES)})
    assert annotates_objects("tfds:zoo", tmp_path)
    assert not annotates_objects("tfds:both", tmp_path)
    assert annotates_objects("voc:x") and annotates_objects("coco:x")
    assert not annotates_objects("digits") and not annotates_objects("folder:x")


def test_objects_are_cleaned_as_those_of_files_are(tmp_path):
    objects = [((0.1, 0.1, 0.5, 0.5), 1, 0), ((0.1, 0.1, 0.1, 0.5), 1, 0), ((0.2, 0.2, 0.4, 1.0), 0, 1)]
    stored(tmp_path, "odd", {"train": [example(0, objects), example(1, [])], "test": [example(2)]})
    source = opened(tmp_path, "odd")
    np.testing.assert_array_equal(source.train.labels, [1, 0])
    assert source.notes == (
        "1 box without height or width is skipped: 000000 of train",
        "1 difficult object is ignored: it counts neither when found nor when missed",
        "1 image has no object and is kept as background",
    )


def test_a_test_split_without_objects_gives_way_to_validation(tmp_path):
    # coco/2017 is such a set: its test split has images alone
    stored(
        tmp_path,
        "withheld",
        {
            "train": examples(range(1, 5)),
            "validation": examples(range(5, 7)),
            "test": [example(index, []) for index in range(7, 9)],
        },
    )
    source = opened(tmp_path, "withheld")
    assert (source.train.count, source.test.count, source.divided) == (4, 2, "the set's validation split")
    assert source.notes[0] == "tfds:withheld has no objects in its test split, which is ignored"


def test_without_a_test_split_one_image_in_five_is_for_it_always_the_same(tmp_path):
    stored(tmp_path, "lone", {"train": examples(range(10))})
    source, again = opened(tmp_path, "lone"), opened(tmp_path, "lone")
    assert (source.train.count, source.test.count) == (8, 2)
    assert source.test.ids == again.test.ids
    assert "no test images: 2 of 10 images are held out for testing" in source.notes


def test_numbers_and_crowds_of_a_set_like_coco_are_read(tmp_path):
    features = {
        **FEATURES,
        "image/id": np.int64,
        "extra": np.int64,
        "objects": KINDS.Sequence(
            {
                "area": np.int64,
                "bbox": KINDS.BBoxFeature(),
                "is_crowd": np.bool_,
                "label": KINDS.ClassLabel(names=NAMES),
            }
        ),
    }
    box = np.array([[0, 0, 0.5, 0.5]] * 2, np.float32)
    held = [
        {
            **example(index),
            "image/id": 900 + index,
            "extra": 1,
            "objects": {
                "area": np.ones(2, np.int64),
                "bbox": box,
                "is_crowd": np.array([index == 0, False]),
                "label": np.array([0, 2], np.int64),
            },
        }
        for index in range(4)
    ]
    stored(tmp_path, "like_coco", {"train": held[:3], "validation": held[3:]}, features)
    source = opened(tmp_path, "like_coco")
    assert {*source.train.ids, *source.test.ids} == {900, 901, 902, 903}
    place = int(source.train.starts[source.train.ids.index(900)])
    assert np.flatnonzero(source.train.crowd).tolist() == np.flatnonzero(source.train.ignored).tolist() == [place]


LABEL = {"label": KINDS.ClassLabel(num_classes=2)}
NONE = {"label": np.zeros(0, np.int64)}


@pytest.mark.parametrize(
    ("name", "feature", "value", "words"),
    [
        ("objects", LABEL["label"], np.int64(1), "its features are .*objects: ClassLabel"),
        ("objects", KINDS.Sequence(LABEL["label"]), NONE["label"], "objects with bbox and label"),
        ("objects", KINDS.Sequence(LABEL), NONE, "objects with bbox and label"),
        (
            "objects",
            KINDS.Sequence({"bbox": KINDS.BBoxFeature(bbox_format="XYWH"), **LABEL}),
            {"bbox": np.zeros((0, 4), np.float32), **NONE},
            "XYWH boxes",
        ),
        (
            "image",
            KINDS.Image(shape=(4, 4, 1), dtype=np.uint16, encoding_format="png"),
            np.zeros((4, 4, 1), np.uint16),
            "uint16 images",
        ),
    ],
)
def test_sets_of_another_kind_are_refused_by_their_features(tmp_path, name, feature, value, words):
    stored(tmp_path, "other", {"train": [{**example(0), name: value}]}, {**FEATURES, name: feature})
    with pytest.raises(ReskerasError, match=f"tfds:other .*{words}") as caught:
        opened(tmp_path, "other")
    assert caught.value.status == 2


def test_broken_records_are_told_apart_from_a_set_that_is_not_there(tmp_path):
    stored(tmp_path, "broken", {"train": examples(range(3))})
    [file] = (tmp_path / "broken" / "1.0.0").glob("*tfrecord*")
    whole = file.read_bytes()
    for spoiled, words in ((whole[:-5], "cut off"), (whole[:12] + b"\xff" * 40 + whole[52:], "broken")):
        file.write_bytes(spoiled)
        with pytest.raises(ReskerasError, match=words) as caught:
            opened(tmp_path, "broken")
        assert caught.value.status == 1
    with pytest.raises(ReskerasError, match="no_such_set") as caught:
        opened(tmp_path, "no_such_set")
    assert caught.value.status == 2
