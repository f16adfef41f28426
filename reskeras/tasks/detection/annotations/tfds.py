"""`tfds:NAME[/CONFIG]`: sets of annotated images prepared by TensorFlow Datasets, read by index."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.batches import READERS, pipeline_options
from reskeras.data.prepared import TEST_NAMES, mirrors
from reskeras.data.purpose import Purpose
from reskeras.data.records import Records, record_facts, split_records
from reskeras.data.tfds_builder import first_line, opened_builder
from reskeras.errors import ReskerasError, failure
from reskeras.tasks.detection.annotations.folder import split_in
from reskeras.tasks.detection.cleaning import Annotated, AnnotatedSet, as_shown, printable
from reskeras.tasks.detection.image_headers import header
from reskeras.tasks.detection.objects import Read
from reskeras.tasks.detection.tally import Tally

FLAGS = {"is_difficult": "ignored", "is_crowd": "crowd"}
IDS = ("image/id", "image/filename")
Place = tuple[str, int]  # split, index of the record


def read_tfds(name: str, purpose: Purpose) -> AnnotatedSet:
    """The TFDS data set `name`, which must be prepared in the purpose's `data_dir` (default: TFDS' own folder), with
    features image and objects: a sequence of bbox, label and optionally is_difficult and is_crowd.

    Test is the first of the splits test, validation and val that has objects, else one training image in five, by a
    hash of its name, or all if `purpose` is testing. If it is the split test, validation is added to training, like
    VOC's trainval. Boxes are fractions of the image and used as they are: those of TFDS' own voc are offset by a pixel
    to the lower right, because TFDS keeps VOC's counting from 1. All records are read once, for their images' headers.

    Dropped, each counted in the notes: unreadable images, objects without a class or four finite numbers, empty boxes.
    Difficult objects and crowds are ignored, images without objects are background. Raises ReskerasError: status 2 for
    a set that is missing or has other features, 1 for broken record files.
    """
    builder = opened_builder(name, purpose.data_dir)
    wanted = _wanted(builder, name)
    splits = [split for split in ("train", *TEST_NAMES) if split in builder.info.splits]
    if "train" not in splits:
        raise ReskerasError(f"data: tfds:{name} has no train split; it has {', '.join(builder.info.splits)}")
    tally, divided = Tally(), ""
    records = {split: split_records(builder, split) for split in splits}
    train = _annotated(builder, "train", records, wanted, tally)
    test: list[Annotated] = []
    for split in splits[1:]:
        found = _annotated(builder, split, records, wanted, tally)
        if not any(image.names for image in found):
            tally.said.append(f"tfds:{name} has no objects in its {split} split, which is ignored")
        elif not test:
            test, divided = found, f"the set's {split} split"
        else:
            train += found
    return AnnotatedSet(
        f"tfds:{name}",
        name,
        tuple(builder.info.features["objects"].feature["label"].names),
        train,
        test,
        divided,
        lambda places: _reader(records, places),
        mirrors(builder.info.name),
        record_facts(builder, {split: each.sizes for split, each in records.items()}),
        tally,
    )


def _wanted(builder: Any, name: str) -> dict[str, Any]:
    """The features to decode, as `PartialDecoding` takes them."""
    from tensorflow_datasets import features as kinds

    features = builder.info.features
    known = dict(features.items())
    image, objects = known.get("image"), known.get("objects")
    inner = None
    if objects is not None and type(objects) is kinds.Sequence:  # its subclass Dataset is read otherwise
        inner = objects.feature
    inner = dict(inner.items()) if isinstance(inner, kinds.FeaturesDict) else {}
    box, label = inner.get("bbox"), inner.get("label")
    if not (
        isinstance(image, kinds.Image)
        and isinstance(box, kinds.BBoxFeature)
        and isinstance(label, kinds.ClassLabel)
        and label.num_classes
    ):
        listed = ", ".join(f"{key}: {type(feature).__name__}" for key, feature in features.items())
        raise ReskerasError(
            f"data: tfds:{name} is not a set of images and objects with bbox and label; its features are {listed}"
        )
    if image.np_dtype != np.uint8:
        raise ReskerasError(f"data: tfds:{name} has {np.dtype(image.np_dtype)} images; only uint8 is supported")
    layout = getattr(box.bbox_format, "value", box.bbox_format)
    if layout not in (None, "REL_YXYX"):
        raise ReskerasError(
            f"data: tfds:{name} has {layout} boxes; only REL_YXYX, fractions of the image, is supported"
        )
    flags = [flag for flag in FLAGS if flag in inner and inner[flag].shape == ()]
    ids = [key for key in IDS if key in known and known[key].shape == ()]
    return {"image": True, "objects": {"bbox", "label", *flags}, **dict.fromkeys(ids[:1], True)}


def _examples(builder: Any, records: Records, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The features of each record, with its image as encoded bytes."""
    from tensorflow_datasets import decode

    features = decode.PartialDecoding(wanted).extract_features(builder.info.features)

    def parsed(index: tf.Tensor) -> dict[str, Any]:
        record = _read_in_graph(records.read, index)
        return features.deserialize_example(record, decoders={"image": decode.SkipDecoding()})

    dataset = tf.data.Dataset.range(len(records)).map(parsed, num_parallel_calls=READERS, deterministic=True)
    yield from dataset.with_options(pipeline_options()).as_numpy_iterator()


def _annotated(
    builder: Any, split: str, records: dict[str, Records], wanted: dict[str, Any], tally: Tally
) -> list[Annotated]:
    """The readable images of a split."""
    found = []
    classes = builder.info.features["objects"].feature["label"].names
    try:
        for index, example in enumerate(_examples(builder, records[split], wanted)):
            number = _id(example, index)
            where = f"{printable(str(number))} of {split}"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # Pillow warns about files that are refused here anyway
                    image = header(example["image"])
            except ReskerasError:
                tally.add("imageless", where)
                continue
            one = _image(number, where, (split, index), image.size, example["objects"], classes)
            boxes = as_shown(one.boxes, None, image, where, tally)
            found.append(replace(one, boxes=boxes, part=split_in(split), format=image.format))
    except (tf.errors.OpError, UnicodeDecodeError) as error:  # the latter if TensorFlow's message quotes the record
        why = f": {printable(first_line(error))}" if isinstance(error, tf.errors.OpError) else ""
        raise failure(f"data: a record of split {split} in {builder.data_dir} is broken{why}") from error
    return found


def _id(example: dict[str, Any], index: int) -> int | str:
    """COCO's number, or the stem of the file's name, or the index of the record."""
    given = next((example[key] for key in IDS if key in example), index)
    return PurePath(given.decode("utf-8", "replace")).stem if isinstance(given, bytes) else int(given)


def _image(
    number: int | str,
    where: str,
    place: Place,
    size: tuple[int, int],
    objects: dict[str, np.ndarray],
    classes: list[str],
) -> Annotated:
    labels, boxes = objects["label"], objects["bbox"].astype(np.float64).reshape(-1, 4)
    if len(labels) != len(boxes):
        labels = np.full(len(boxes), -1)  # labels that cannot be assigned to boxes
    none = np.zeros(len(boxes), bool)
    given = {ours: objects.get(theirs, none).astype(bool) for theirs, ours in FLAGS.items()}
    flags = {ours: flag if len(flag) == len(boxes) else none for ours, flag in given.items()}
    return Annotated(
        id=number,
        where=where,
        stored=place,
        size=size,
        boxes=boxes * [*size, *size],
        ignored=flags["ignored"],
        crowd=flags["crowd"],
        names=tuple(classes[label] if 0 <= label < len(classes) else None for label in labels),
    )


def _reader(records: dict[str, Records], places: list[Place]) -> Read:
    """`Objects.read` for records of several splits."""

    def stored(index: int) -> bytes:
        split, record = places[index]
        return records[split].read(record)

    def read(index: tf.Tensor) -> tf.Tensor:
        features = {"image": tf.io.FixedLenFeature([], tf.string)}
        return tf.io.parse_single_example(_read_in_graph(stored, index), features)["image"]

    return read


def _read_in_graph(read: Callable[[int], Any], index: tf.Tensor) -> tf.Tensor:
    """Call a Python function of a scalar index that returns bytes, as an op with a scalar string output."""
    return tf.ensure_shape(tf.numpy_function(read, [index], tf.string, stateful=False), [])
