"""`tfds:NAME[/CONFIG]`: sets prepared by TensorFlow Datasets, read by index from their record files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.decode import LARGEST_IMAGE, decode
from reskeras.data.division import BY_POSITION
from reskeras.data.plain import one_plain_format, plain_format
from reskeras.data.purpose import Purpose
from reskeras.data.records import Records, record_facts, split_records
from reskeras.data.source import Source, Split
from reskeras.data.survey import labels_of
from reskeras.data.tfds_builder import opened_builder
from reskeras.errors import ReskerasError

TEST_NAMES = ("test", "validation", "val")
HELD_OUT = 0.1  # of the training images, for test, where a set has no test split
UNMIRRORED = ("mnist", "svhn", "omniglot", "digits", "letters", "cmaterdb")  # parts of the names of sets of writing
LABELS_READ, LABELLED_BYTES = 100_000, 1 << 30  # records, and bytes of them, that are read for their labels at once
LOOKED_THROUGH, AT_ONCE = 1 << 28, 1_000  # bytes of images that are looked through for their format; records at once
MOST_CLASSES = 1_000_000  # TFDS makes a name for each


def open_prepared(name: str, purpose: Purpose) -> Source[Split]:
    """The TFDS set `name`, which must be prepared in the purpose's `data_dir` (default: TFDS' own folder).

    Its validation split is what training watches where it has a test split too. Without either a tenth of the training
    images are for test, or all of them when it is opened for testing only.

    Nothing is downloaded: a set that is not there is a ReskerasError (status 2) that says where it was
    looked for, what would be downloaded, and by which command. Broken record files are status 1.
    """
    testing = purpose.testing is not None
    builder = opened_builder(name, purpose.data_dir)
    (image_key, image), (label_key, label) = _features(builder, name)
    splits = builder.info.splits
    if "train" not in splits and not testing:
        raise ReskerasError(f"data: tfds:{name} has no train split; it has {', '.join(splits)}")
    channels, notes = _channels(image, name)
    sizes: dict[str, np.ndarray] = {}
    labelled = partial(
        _labelled,
        builder,
        keys=(image_key, label_key),
        channels=channels,
        classes=label.num_classes,
        notes=notes,
        sizes=sizes,
    )
    train = labelled("train") if "train" in splits else None
    if train is not None and not train.count:
        if not testing:
            raise ReskerasError(f"data: tfds:{name} has no training image with a label")
        train = None
    tested = _tested(labelled, name, splits, purpose.division, notes)
    parts = _parts(train, tested, name, splits, testing, notes)
    base = builder.info.name
    recoded = base.startswith("cifar") and _is_jpeg(builder, image_key)  # the release is lossless
    return Source(
        name=f"tfds:{name}",
        label=f"{name} (jpeg)" if recoded else name,
        classes=tuple(label.names),
        channels=channels,
        train=parts.train,
        test=parts.test,
        mirror=mirrors(base),
        notes=tuple(notes),
        divided=parts.divided,
        validation=parts.validation,
        origins=parts.origins,
        division=purpose.division,
        facts=record_facts(builder, sizes),
    )


def _tested(
    labelled: Callable[[str], Split], name: str, splits: Iterable[str], division: int, notes: list[str]
) -> dict[str, Split]:
    """The splits that are for test and have labels, by TFDS' names for them; `notes` tells of those without."""
    tested: dict[str, Split] = {}
    for test_name in (each for each in TEST_NAMES if each in splits):
        split = labelled(test_name)
        if not split.count:
            notes.append(f"tfds:{name} has no labels in its {test_name} split, which is ignored")
            continue
        tested[test_name] = split
        if division == BY_POSITION:
            break
    return tested


@dataclass(frozen=True)
class _Parts:
    """Images for training, test and validation, and where those held back come from, in words, as in a Source."""

    train: Split | None
    test: Split
    divided: str
    validation: Split | None = None
    origins: dict[str, str] = field(default_factory=dict)


def _parts(
    train: Split | None, tested: dict[str, Split], name: str, splits: Iterable[str], testing: bool, notes: list[str]
) -> _Parts:
    """The parts of a set with the splits `tested`; without any they are made of `train`."""
    if not tested:
        if train is None:
            raise ReskerasError(f"data: tfds:{name} has no split with labels; it has {', '.join(splits)}")
        return _without_test(train, name, testing, notes)
    (test_name, test), *others = tested.items()
    parts = _Parts(train, test, f"the set's {test_name} split")
    if testing or not others:
        return parts
    (watched, validation), *_ = others
    origin = f"the set's {watched} split"
    notes.append(f"validation uses the {validation.count:,} images of {origin}")
    return replace(parts, validation=replace(validation, name="validation"), origins={"validation": origin})


def _without_test(train: Split, name: str, testing: bool, notes: list[str]) -> _Parts:
    """The parts of a set without a test split."""
    if testing:
        notes.append(f"tfds:{name} has no test split with labels: testing on all its training images")
        return _Parts(None, replace(train, name="test"), "all images")
    if train.count < 2:
        raise ReskerasError(
            f"data: tfds:{name} has one training image with a label and no test split; at least two "
            "images are needed, one of them for testing"
        )
    held = max(round(train.count * HELD_OUT), 1)
    order = np.random.default_rng(0).permutation(train.count)
    notes.append(f"tfds:{name} has no test split with labels: {held} of its training images are held out for testing")
    return _Parts(
        train.part("train", np.sort(order[held:])),
        train.part("test", np.sort(order[:held])),
        "a fixed 10% of the training images",
    )


def mirrors(base: str) -> bool:
    """Whether a mirrored image of the set called `base` keeps its class: not where it shows writing."""
    return "fashion" in base or not any(word in base for word in UNMIRRORED)


def _channels(image: Any, name: str) -> tuple[int, list[str]]:
    """How many channels images are read with, 1 or 3, and notes on it."""
    stored = image.shape[-1]
    if stored in (1, 3):
        return stored, []
    if not stored:
        return 3, [f"tfds:{name} does not state the number of channels: its images are read in colour"]
    if stored == 4 and _encoding(image) != "jpeg":
        return 3, [f"tfds:{name} has images with an alpha channel, which is ignored"]
    raise ReskerasError(f"data: tfds:{name} has images with {stored} channels; supported are 1, 3, and 4 as PNG")


def _encoding(image: Any) -> str | None:
    """`png`, `jpeg`, or None where the description leaves it open."""
    form = getattr(image, "_encoding_format", None)
    return getattr(form, "value", form)


def _labelled(
    builder: Any,
    name: str,
    keys: tuple[str, str],
    channels: int,
    classes: int,
    notes: list[str],
    sizes: dict[str, np.ndarray],
) -> Split:
    """The images of a split of the set that have one of the `classes`; `notes` counts the others, and
    `sizes` gets those of its records. A label that is withheld, as all are in imagenet2012's test split, is -1.

    Labels are looked at one and all unless there are very many. Then the first decides for the whole split, and a later
    one that is no class is an error when it is read.
    """
    records = split_records(builder, name)
    sizes[name] = records.sizes
    many = len(records) > LABELS_READ or records.bytes > LABELLED_BYTES
    split = _split(name, records, keys, channels, classes if many else None)
    looked_at = split.part(split.name, np.arange(min(1, split.count))) if many else split
    labels = labels_of(looked_at)[1] if looked_at.count else np.empty(0, np.int32)
    known = (labels >= 0) & (labels < classes)
    if many or not known.any():
        return split if known.any() else split.part(split.name, np.empty(0, np.int64))
    if not known.all():
        notes.append(f"{(~known).sum():,} of {split.count:,} images in the {name} split have no label and are skipped")
    return split if known.all() else split.part(split.name, np.flatnonzero(known))


def _features(builder: Any, name: str) -> tuple[tuple[str, Any], tuple[str, Any]]:
    """Name and feature of the image and of the label; ReskerasError for anything but a set of labelled images."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items())
    image_key, label_key = keys = _keys(builder) or ("", "")
    image, label = (features.get(key) for key in keys)
    if not (isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel)):
        listed = ", ".join(f"{key}: {type(feature).__name__}" for key, feature in features.items())
        raise ReskerasError(f"data: tfds:{name} is not a set of labelled images; its features are {listed}")
    if (count := label.num_classes) is None or count > MOST_CLASSES:
        raise ReskerasError(f"data: tfds:{name} has {count} classes; at most {MOST_CLASSES:,} are supported")
    if image.np_dtype != np.uint8:
        raise ReskerasError(f"data: tfds:{name} has {np.dtype(image.np_dtype)} images; only uint8 is supported")
    return (image_key, image), (label_key, label)


def _keys(builder: Any) -> tuple[str, str] | None:
    """Names of the image and the label: those TFDS supervises by, else the only ones of their types."""
    import tensorflow_datasets as tfds

    if builder.info.supervised_keys:
        return builder.info.supervised_keys[:2]
    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    named = [[key for key, feature in builder.info.features.items() if isinstance(feature, kind)] for kind in kinds]
    return (named[0][0], named[1][0]) if len(named[0]) == len(named[1]) == 1 else None


def _is_jpeg(builder: Any, key: str) -> bool:
    """Whether the first training image is stored as JPEG, which the description need not say."""
    record = split_records(builder, "train").read(0)
    stored = tf.io.parse_single_example(record, {key: tf.io.FixedLenFeature([], tf.string)})[key]
    return stored.numpy().startswith(b"\xff\xd8")


def _split(name: str, records: Records, keys: tuple[str, str], channels: int, classes: int | None) -> Split:
    """All images of one split; with `classes` a label that is none of so many is an InvalidArgumentError."""
    image_key, label_key = keys
    plain = _plain_format(records, image_key)

    def fetch(indices: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(records.read_all, [indices], tf.string, stateful=False), [None])

    def encoded(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_single_example(
            record, {image_key: tf.io.FixedLenFeature([], tf.string), label_key: tf.io.FixedLenFeature([], tf.int64)}
        )
        label = parsed[label_key]
        if classes is not None:
            known = tf.debugging.Assert((label >= 0) & (label < classes), ["not a valid label:", label])
            with tf.control_dependencies([known]):
                label = tf.identity(label)
        return parsed[image_key], tf.cast(label, tf.int32)

    def decode_record(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, label = encoded(record)
        return decode(image, channels, plain), label

    def labels(stored: tf.Tensor) -> tf.Tensor:
        parsed = tf.io.parse_example(stored, {label_key: tf.io.FixedLenFeature([], tf.int64)})
        return tf.cast(parsed[label_key], tf.int32)

    return Split(
        "train" if name == "train" else "test",
        len(records),
        decode_record,
        fetch,
        encoded,
        labels,
        plain=plain,
        where=lambda index: f"record {index} of split {name}, in {records.file_of(index)}",
    )


def _plain_format(records: Records, image_key: str) -> str | None:
    """The plain format of all images, see plain.py; None if there is none, or inspecting them would take long."""
    if records.bytes > LOOKED_THROUGH:
        return None

    def formats() -> Iterator[str | None]:
        for places in np.array_split(np.arange(len(records)), max(len(records) // AT_ONCE, 1)):
            parsed = tf.io.parse_example(records.read_all(places), {image_key: tf.io.FixedLenFeature([], tf.string)})
            yield from (plain_format(image, LARGEST_IMAGE) for image in parsed[image_key].numpy())

    try:
        return one_plain_format(formats())
    except tf.errors.OpError:  # a broken record, which is reported when it is read
        return None
