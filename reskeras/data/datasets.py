"""A `tf.data.Dataset` of (image, label) to arrays: read once, because training reads by index, in its own order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from reskeras.data.arrays import Part, Pixels, read_labels
from reskeras.data.pixels import UNIT, WHOLE, Levels, check_dtype, check_range, check_room, check_shape
from reskeras.data.tfds_builder import first_line
from reskeras.errors import ReskerasError, failure

STRUCTURE = "(image, label), or batches of them, is needed; use .map"


def part_of_dataset(dataset: tf.data.Dataset, name: str, levels: Levels) -> tuple[Part, list[str]]:
    """The images and labels of a finite dataset, in the order of one pass, and notes; `name` is what messages call it.

    Batches are taken apart. Raises ReskerasError (status 2) for a dataset of another structure, one that says not how
    many elements it has, and one that does not fit into memory; status 1 where the dataset itself fails.
    """
    single, notes = _single(dataset, name)
    trial = levels
    for scale in (UNIT, WHOLE) if levels.scale is None else (levels.scale,):
        trial = Levels(scale)
        pixels, given, highest = _read(single, name, trial)
        if pixels or not highest:
            break
    if not pixels and not highest:
        raise ReskerasError(f"data: {name} has no images")
    if trial.floats:
        levels.decide(highest, name)
        levels.loss, levels.floats = max(levels.loss, trial.loss), True
    channels = {image.shape[-1] for image in pixels}
    if len(channels) > 1:
        raise ReskerasError(f"data: {name} has both grey and colour images; convert all to one of the two")
    same = len({image.shape for image in pixels}) == 1
    stacked: Pixels = np.stack(pixels) if same else pixels
    return Part(stacked, read_labels(given, len(pixels), (name, f"{name}'s labels")), (name, f"{name}'s labels")), notes


def _single(dataset: tf.data.Dataset, name: str) -> tuple[tf.data.Dataset, list[str]]:
    """`dataset` image by image."""
    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and len(spec) == 2 and all(isinstance(each, tf.TensorSpec) for each in spec)):
        raise ReskerasError(f"data: {name} has elements of a different structure, {_described(spec)}; {STRUCTURE}")
    count = int(dataset.cardinality())
    if count == tf.data.INFINITE_CARDINALITY:
        raise ReskerasError(f"data: {name} is infinite; leave out .repeat(), or use .take(count)")
    if count == tf.data.UNKNOWN_CARDINALITY:
        raise ReskerasError(
            f"data: {name} does not say how many elements it has; "
            "use .apply(tf.data.experimental.assert_cardinality(count))"
        )
    image, label = spec
    check_dtype(np.dtype("S" if image.dtype == tf.string else image.dtype.as_numpy_dtype), name)
    if image.shape.rank == 4 and label.shape.rank in (1, 2):
        return dataset.unbatch(), [f"{name} is batched; its images were taken one by one"]
    if image.shape.rank not in (None, 2, 3) or label.shape.rank not in (None, 0, 1):
        raise ReskerasError(f"data: {name} has elements {_described(spec)}; {STRUCTURE}")
    return dataset, []


def _described(spec: Any) -> str:
    """The shapes of a dataset's elements, shortened."""
    if isinstance(spec, dict):
        text = f"a dict of {', '.join(map(str, spec))}"
    elif isinstance(spec, tuple):
        text = f"({', '.join(str(getattr(each, 'shape', each)) for each in spec)})"
    else:
        text = str(getattr(spec, "shape", spec))
    return text if len(text) <= 100 else f"{text[:100]}..."


def _read(dataset: tf.data.Dataset, name: str, levels: Levels) -> tuple[list[np.ndarray], list[Any], float]:
    """All images, uint8, their labels, and the highest pixel, in one pass; no images once a float exceeds the scale
    of `levels`."""
    pixels, labels, size, highest = [], [], 0, 0.0
    for index, (image, label) in enumerate(_elements(dataset, name)):
        where = f"{name}, element {index},"
        shape = check_shape(image.shape, where)
        highest = max(highest, check_range(image[np.newaxis], [where].__getitem__))
        if image.dtype.kind == "f" and highest > 1 and levels.scale == UNIT:
            levels.floats = True
            return [], [], highest
        size += int(np.prod(shape))
        check_room(size, name)
        pixels.append(levels(image).reshape(shape))
        labels.append(label)
    return pixels, labels, highest


def _elements(dataset: tf.data.Dataset, name: str) -> Iterator[tuple[np.ndarray, Any]]:
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:
        raise failure(f"data: {name} could not be read: {first_line(error)}") from error
