"""A folder of JPEGs of ImageNet's usual sizes, cut from the photographs that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIDES = ((500, 375), (375, 500), (500, 333))  # the commonest of ImageNet, width and height
CLASSES = ("a", "b")


def write_photos(folder: Path, count: int) -> Path:
    """Write `count` images in two classes below `folder`: a random part of a photograph each, enlarged to one of
    SIDES, at JPEG quality 92. The same for the same count."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    random = np.random.default_rng(0)
    photos = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        width, height = SIDES[index % len(SIDES)]
        photo = photos[index % len(photos)]
        scale = random.uniform(0.5, 1) * min(photo.width / width, photo.height / height)
        left = random.uniform(0, photo.width - scale * width)
        top = random.uniform(0, photo.height - scale * height)
        box = (left, top, left + scale * width, top + scale * height)
        part = photo.resize((width, height), Image.Resampling.BICUBIC, box)
        part.save(folder / CLASSES[index % len(CLASSES)] / f"{index:05}.jpg", quality=92)
    return folder
