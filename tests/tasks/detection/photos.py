"""Photographs with an EXIF orientation: a white object on black, and where it lies as viewers show it."""

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from tests.data.images import encoded

STORED = 40, 60
BOX = 8, 5, 20, 31  # top, left, bottom, right in the image as stored


def photo(value, form, size=STORED, turned=True):
    """A black image with a white object at BOX and an EXIF orientation."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[BOX[0] : BOX[2], BOX[1] : BOX[3]] = 255
    exif = Image.Exif()
    if turned:
        exif[0x0112] = value
    return encoded(
        Image.fromarray(pixels),
        form,
        exif=exif.tobytes(),
        **({"lossless": True} if form == "WEBP" else {"quality": 98}),
    )


def object_of(path):
    """Size (height, width) and the object's box as viewers show them: (left, top, right, bottom)."""
    with Image.open(path) as image:
        shown = ImageOps.exif_transpose(image).convert("L").point(lambda value: 255 * (value > 127))
        return (shown.height, shown.width), shown.getbbox()


def written(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def lies_on_the_object(split, index):
    """Whether the white pixels of the image, and no others, are in its one box."""
    pixels = split.images().example(tf.constant(index, tf.int64))[0].numpy()
    [box], labels, _ = split.rows(index)
    top, left, bottom, right = box.astype(int)
    white = pixels.min(axis=-1) > 127
    assert tuple(split.sizes[index]) == pixels.shape[:2]
    return len(labels) == 1 and white[top:bottom, left:right].all() and white.sum() == (bottom - top) * (right - left)
