"""Proof that an exported detector or localiser is equivalent to the model: their boxes in the same real images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from math import isfinite

import numpy as np
import tensorflow as tf

from reskeras.data.broken import named_failures
from reskeras.data.decode import decode
from reskeras.export.proof import Proof
from reskeras.export.served_files import PNG
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.detector_inference import BATCH
from reskeras.tasks.detection.objects import CHANNELS, Objects

NEAR = 0.005  # largest offset of partners' corners, relative to the box's longer side; such squares have an IoU of 0.98
# of probabilities, and of corners relative to an image's longer side: the largest change of a probability when logits
# of 20 differ by the tolerance of classifiers, 1e-4 of the largest. Folding batch norm causes 1e-5 in small detectors
TOLERANCE = 1e-3
# NMS keeps the more confident of two boxes: where rounding decides which, different ones may be returned
LEAST_AGREEMENT = 0.99
PRECISION = "mAP at 0.5"

# image files, strings (B,), to boxes (B, most, 4), scores (B, most), labels (B, most), count (B,)
Find = Callable[[tf.Tensor], Mapping[str, np.ndarray]]


def sample_of(split: Objects, most: int) -> Objects:
    """Evenly spaced images of a split."""
    return split.part(split.name, np.unique(np.linspace(0, split.count - 1, min(split.count, most)).astype(int)))


def files_of(split: Objects) -> Iterable[bytes]:
    """Each image's file as a server accepts it: anything but JPEG and PNG is re-encoded as PNG.

    A missing or broken file raises ReskerasError (status 1).
    """

    def taken(index: int) -> bytes:
        data = split.read(tf.constant(index, tf.int64))
        image = decode(data, CHANNELS)  # every file, so that a broken one is reported here
        return (data if tf.io.is_jpeg(data) or data.numpy().startswith(PNG) else tf.io.encode_png(image)).numpy()

    return named_failures(map(taken, range(split.count)), split.images(), range(split.count), 1)


def answers(find: Find, files: Iterable[bytes], batch: int = BATCH) -> Detections:
    """The detections of `find` in all files, `batch` at a time."""
    rows: list[Detections] = []
    left = iter(files)
    while chosen := list(islice(left, batch)):
        found = find(tf.constant(chosen))
        for row in range(len(chosen)):
            rows.append(Detections.of({name: values[row] for name, values in found.items()}, len(rows)))
    return Detections.joined(rows)


def prove_boxes(
    kind: str,
    path: str,
    size: int,
    found: Detections,
    reference: Detections,
    split: Objects,
    accuracies: tuple[float, float],
    accuracy_of: str = PRECISION,
    tolerance: float = TOLERANCE,
) -> Proof:
    """Compare an artefact's boxes in `split` with those of the Keras model, whose `accuracies` are measured.

    Boxes of the two sides in the same image and class are partners if they are NEAR and mutually nearest. `difference`
    is the largest difference of partners: of probabilities, and of corners relative to the image's longer side;
    `agreement` is the share of both sides' boxes that have a partner. Without partners, or with non-finite numbers, the
    difference is infinite.
    """
    difference, agreement = compared(found, reference, split.sizes)
    accuracy, expected = accuracies
    return Proof(
        kind,
        path,
        size,
        split.count,
        difference,
        tolerance,
        agreement,
        expected,
        accuracy,
        accuracy_of=accuracy_of,
        least_agreement=LEAST_AGREEMENT,
    )


def compared(found: Detections, reference: Detections, sizes: np.ndarray) -> tuple[float, float]:
    """Difference and agreement, as in `prove_boxes`, of detections in images of `sizes` (n, 2)."""
    mine, theirs = partners(found, reference)
    total = len(found.image) + len(reference.image)
    if not len(mine):
        return float("inf"), 0.0
    scores = np.abs(found.scores[mine] - reference.scores[theirs])
    corners = np.abs(found.boxes[mine] - reference.boxes[theirs]).max(axis=1) / sizes[found.image[mine]].max(axis=1)
    difference = float(max(scores.max(), corners.max()))
    sound = isfinite(difference) and np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()
    return difference if sound else float("inf"), 2 * len(mine) / total


def partners(found: Detections, reference: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `found` and, for each, the row of its partner in `reference`, as in `prove_boxes`."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0, int), np.zeros(0, int))]
    for image in np.intersect1d(found.image, reference.image):
        mine, theirs = (np.flatnonzero(each.image == image) for each in (found, reference))
        boxes = reference.boxes[theirs]
        off = np.abs(found.boxes[mine][:, np.newaxis] - boxes).max(axis=-1)
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        near = (off <= NEAR * sides) & (found.labels[mine][:, np.newaxis] == reference.labels[theirs])
        off = np.where(near, off, np.inf)
        nearest = off.argmin(axis=1)
        rows = np.arange(len(mine))
        mutual = near[rows, nearest] & (off.argmin(axis=0)[nearest] == rows)
        pairs.append((mine[mutual], theirs[nearest[mutual]]))
    mine, theirs = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return mine, theirs
