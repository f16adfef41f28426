"""Annotated images and detections without image files: by hand, or drawn at random."""

import numpy as np

from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.objects import Objects

SIDE = 200  # of every image, in pixels


def annotated(images, ids=None):
    """An `Objects` of images that are lists of (top, left, bottom, right, label[, "difficult" or "crowd"])."""
    rows = [row for image in images for row in image]
    kinds = [row[5] if len(row) > 5 else "" for row in rows]
    return Objects(
        name="test",
        ids=tuple(ids or range(1, len(images) + 1)),
        sizes=np.full((len(images), 2), SIDE, np.int32),
        starts=np.cumsum([0, *map(len, images)]).astype(np.int64),
        boxes=np.array([row[:4] for row in rows], np.float32).reshape(-1, 4),
        labels=np.array([row[4] for row in rows], np.int32),
        ignored=np.array([bool(kind) for kind in kinds], bool),
        crowd=np.array([kind == "crowd" for kind in kinds], bool),
        read=None,
    )


def detected(rows):
    """`Detections` of (image, label, score, top, left, bottom, right)."""
    table = np.array(rows, np.float64).reshape(-1, 7)
    return Detections(
        table[:, 0].astype(np.int32),
        table[:, 1].astype(np.int32),
        table[:, 2].astype(np.float32),
        table[:, 3:].astype(np.float32),
    )


def drawn(generator, classes, images=10, apart=False, ignored="difficult", whole=True, ties=True):
    """Random objects and detections of classes 0..classes-1: near the objects, duplicates of these, and anywhere.

    The last class has no objects and the first no detections. `apart` keeps the objects of an image from touching,
    `whole` keeps corners on whole pixels, `ties` gives few different scores.
    """
    scene, rows = [], []
    for image in range(images):
        scene.append([])
        for cell in generator.permutation(16)[: generator.integers(0, 9)]:
            corner = np.array(divmod(cell, 4)) * 50
            size = generator.integers(8, 48 if apart else 100, 2)
            box = np.minimum(np.concatenate([corner, corner + size]), SIDE)
            kind = ignored if generator.random() < 0.2 else ""
            label = int(generator.integers(0, classes - 1))
            scene[-1].append((*box.tolist(), label, kind))
            for _ in range(generator.integers(0, 4)):
                near = box + generator.integers(-8, 9, 4) + (0 if whole else generator.normal(0, 1, 4))
                rows.append((image, label, *_box(near)))
        for _ in range(generator.integers(0, 5)):
            corner = generator.integers(0, 150, 2)
            size = generator.integers(5, 50, 2)
            rows.append((image, int(generator.integers(0, classes)), *_box([*corner, *(corner + size)])))
    scores = generator.integers(1, 12, len(rows)) / 16 if ties else generator.permutation(len(rows)) / len(rows)
    order = generator.permutation(len(rows))
    found = [(rows[k][0], rows[k][1], scores[k], *rows[k][2:]) for k in order if rows[k][1] != 0]
    return annotated(scene), detected(found)


def _box(corners):
    top, left, bottom, right = corners
    return top, left, max(bottom, top + 1), max(right, left + 1)
