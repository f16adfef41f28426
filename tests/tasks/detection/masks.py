"""Rectangles drawn as masks in images of odd sizes and every orientation, and their edges measured in any pixels."""

import numpy as np
from PIL import Image

from reskeras.tasks.detection.opening import open_objects
from tests.tasks.detection.folders import coco_image, coco_json, coco_object

# height and width as shown; a rectangle has at least LEAST pixels, and MARGIN to a border that it does not touch
SIZES = (37, 53), (61, 40), (45, 45), (65, 97), (97, 31), (31, 111), (53, 64), (96, 128)
LEAST, MARGIN = 12, 9
STORED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what turns a picture into what is stored, Pillow's Transpose
TAG = 0x0112
FLAT = 2e-3  # of a mask's 0 and 1


def rectangles(generator, height, width):
    """Three boxes: the first touches no border, the second one of them, the third any number, or all."""
    touching = np.zeros((3, 4), bool)
    touching[1, generator.integers(4)] = True
    touching[2] = generator.random(4) < 0.7
    return np.array([_rectangle(generator, height, width, sides) for sides in touching])


def _rectangle(generator, height, width, touching):
    box = np.array([0, 0, height, width])
    for axis, length in enumerate((height, width)):
        low, high = (0 if touching[axis + side] else MARGIN for side in (0, 2))
        size = generator.integers(LEAST, length - low - high + 1)
        first = low if touching[axis] else length - high - size if touching[axis + 2] else None
        if touching[axis] and touching[axis + 2]:
            size = length
        if first is None:
            first = generator.integers(low, length - high - size + 1)
        box[axis], box[axis + 2] = first, first + size
    return box


def drawn(height, width, boxes):
    """uint8 (height, width, 3), whose channels are the masks of three boxes."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for channel, (top, left, bottom, right) in enumerate(boxes):
        pixels[top:bottom, left:right, channel] = 255
    return pixels


def masks(root, count=24, seed=0):
    """A source of so many images as `drawn`, of all SIZES and orientations, each with the classes 0, 1 and 2 of its
    channels in this order; and as many for test."""
    generator = np.random.default_rng(seed)
    for part in ("train", "test"):
        images, objects = [], []
        (root / part).mkdir(parents=True)
        for number in range(count):
            height, width = SIZES[number % len(SIZES)]
            boxes, orientation = rectangles(generator, height, width), 1 + (number + number // 8) % 8
            shown = Image.fromarray(drawn(height, width, boxes))
            stored = shown if orientation == 1 else shown.transpose(Image.Transpose(STORED[orientation]))
            exif = Image.Exif()
            exif[TAG] = orientation
            stored.save(root / part / f"{number}.png", exif=exif.tobytes())
            # half of those that lie on their side are annotated as they are stored, which their size tells
            frame = stored if number % 2 and orientation >= 5 and height != width else shown
            images.append(coco_image(number, f"{number}.png", frame.size[::-1]))
            objects += [
                coco_object(number, 1 + channel, (left, top, right - left, bottom - top))
                for channel, (left, top, right, bottom) in enumerate(band.getbbox() for band in frame.split())
            ]
        coco_json(root / "annotations" / f"instances_{part}.json", images, objects, {1: "red", 2: "green", 3: "blue"})
    return open_objects(f"coco:{root}")


def edges(mask, window):
    """Top, left, bottom and right of the rectangle in a resampled mask, (height, width) of 0..1, as visible in `window`
    (4,): NaN where an edge cannot be seen whole, all NaN where no pixel is wholly inside.

    From a pixel that is wholly inside, the sum of a row's pixels up to the border is the distance to the edge, however
    the edge is blurred, as long as the blur is symmetrical and ends before the border.
    """
    top, left, bottom, right = np.asarray(window, int)
    seen = mask[top:bottom, left:right].astype(np.float64)
    inside = np.argwhere(seen > 1 - FLAT)
    if not len(inside):
        return np.full(4, np.nan)
    y, x = np.round(inside.mean(axis=0)).astype(int)
    found = np.full(4, np.nan)
    for axis, (line, place, corner) in enumerate(((seen[:, x], y, top), (seen[y], x, left))):
        if _whole(line[0]):
            found[axis] = corner + place - line[:place].sum()
        if _whole(line[-1]):
            found[axis + 2] = corner + place + line[place:].sum()
    return found


def _whole(value):
    """Whether a mask at a border says that no blurred edge is cut there."""
    return min(abs(value), abs(value - 1)) < FLAT
