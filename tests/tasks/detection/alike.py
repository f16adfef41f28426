"""The same detections worked out on two ways, which rounding may put in another order."""

import numpy as np

from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.detection_proof import compared

LEAST = 0.9  # where rounding decides which of two boxes is more confident, suppression may keep the other


def alike(found, expected, sizes, within, classes=()):
    """Assert that detections in the first images of a batch, which have these `sizes`, have partners of the same class,
    with scores, and corners as shares of the image's longer side, that differ by at most `within`. What a server
    answers has the names of `classes` for labels."""
    ours, theirs = (_listed(answer, len(sizes), classes) for answer in (found, expected))
    if len(ours.image) or len(theirs.image):
        difference, agreement = compared(ours, theirs, np.asarray(sizes))
        assert agreement >= LEAST and difference <= within, (difference, agreement)


def one_of(found, row):
    """The batch of which image number `row` is the only one."""
    return {name: values[row : row + 1] for name, values in found.items()}


def _listed(found, images, classes):
    found = {name: np.asarray(values) for name, values in found.items()}
    if "labels" not in found:
        names = ["", *classes]
        found["labels"] = np.array([[names.index(name.decode()) - 1 for name in row] for row in found["classes"]])
    rows = ({name: values[row] for name, values in found.items()} for row in range(images))
    return Detections.joined([Detections.of(row, image) for image, row in enumerate(rows)])
