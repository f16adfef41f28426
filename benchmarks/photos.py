"""JPEGs of ImageNet's sizes: parts of the two photographs that scikit-learn brings, enlarged, with a camera's noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

# the longer side of ImageNet's images is mostly 500 pixels; a few are cameras' own
LONGER = (500, 500, 500, 500, 640, 400, 333, 1024, 1600)
QUALITY, NOISE = 90, 4.0


def make_photos(folder: Path, count: int, longer: tuple[int, ...] = LONGER) -> int:
    """Write `count` JPEGs of two classes into `folder`; returns the median of their bytes."""
    from sklearn.datasets import load_sample_images

    photos = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    rng, sizes = np.random.default_rng(0), []
    for number in range(count):
        photo, side = photos[number % 2], int(rng.choice(longer))
        sides = side, int(side * rng.uniform(0.6, 0.85))
        width, height = sides if rng.random() < 0.75 else sides[::-1]
        scale = min(photo.width / width, photo.height / height) * rng.uniform(0.7, 1)
        left, top = rng.uniform(0, photo.width - width * scale), rng.uniform(0, photo.height - height * scale)
        box = left, top, left + width * scale, top + height * scale
        pixels = np.asarray(photo.resize((width, height), Image.Resampling.BICUBIC, box=box)).astype(float)
        pixels += rng.normal(0, NOISE, (height, width, 1))
        path = folder / ("temple", "flower")[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=QUALITY)
        sizes.append(path.stat().st_size)
    return int(np.median(sizes))
