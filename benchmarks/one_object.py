"""Cuts an annotated set into images of one object each, for trials of localisers: a folder in Pascal VOC's form.

    python -m benchmarks.one_object voc:BCCD cells

Each object gets a square window at a random place around it, 1.5 to 4 times as long as its longer side, if there is
one inside its image with at most a tenth of any other object of its class, and half of any of another class. Of each
class at most as many windows are kept as there are of the rarest that has `--least` or more. The windows are always
the same.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tensorflow as tf
from PIL import Image

from reskeras.data.decode import decode
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.opening import open_objects

SEED = 1512_03385
LARGER, TRIES, SEEN, OTHER = (1.5, 4.0), 20, 0.1, 0.5
Cut = tuple[int, np.ndarray, np.ndarray]  # an image, a window in it, and the object


def windows(split: Objects, random: np.random.Generator) -> dict[int, list[Cut]]:
    """Windows with one object, by its class; both are top, left, bottom, right in pixels of the image."""
    found: dict[int, list[Cut]] = defaultdict(list)
    for image in range(split.count):
        boxes, labels, ignored = split.rows(image)
        for place in np.flatnonzero(~ignored):
            shown = np.where(np.delete(labels, place) == labels[place], SEEN, OTHER)
            window = _window(boxes[place], np.delete(boxes, place, axis=0), shown, split.sizes[image], random)
            if window is not None:
                found[int(labels[place])].append((image, window, boxes[place]))
    return found


def _window(
    own: np.ndarray, others: np.ndarray, shown: np.ndarray, size: np.ndarray, random: np.random.Generator
) -> np.ndarray | None:
    """A window around `own` (4,) that has at most `shown` (k,) of the area of each of `others` (k, 4)."""
    for _ in range(TRIES):
        longest = float((own[2:] - own[:2]).max())
        side = round(longest * np.exp(random.uniform(*np.log(LARGER))))
        low, high = np.maximum(np.ceil(own[2:]) - side, 0), np.minimum(np.floor(own[:2]), size - side)
        if side > size.min() or (low > high).any():
            continue
        corner = random.integers(low.astype(int), high.astype(int) + 1)
        window = np.concatenate([corner, corner + side])
        shared = np.clip(np.minimum(others[:, 2:], window[2:]) - np.maximum(others[:, :2], window[:2]), 0, None)
        if (shared.prod(axis=1) <= shown * (others[:, 2:] - others[:, :2]).prod(axis=1)).all():
            return window
    return None


def write(source: str, folder: Path, least: int) -> dict[str, dict[str, int]]:
    """Cut the set called `source` into `folder`; how many images there are by split and class."""
    opened, random = open_objects(source), np.random.default_rng(SEED)
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    counts: dict[str, dict[str, int]] = {}
    for name, split in (("trainval", opened.training_images("train")), ("test", opened.test)):
        found = windows(split, random)
        most = min([len(cuts) for cuts in found.values() if len(cuts) >= least], default=least)
        stems = []
        for label, cuts in sorted(found.items()):
            for number in sorted(random.permutation(len(cuts))[:most].tolist()):
                stems.append(f"{name}-{opened.classes[label]}-{number:05d}")
                _write_one(folder, stems[-1], split, cuts[number], opened.classes[label])
            counts.setdefault(name, {})[opened.classes[label]] = min(len(cuts), most)
        (folder / "ImageSets/Main" / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems))
    return counts


def _write_one(folder: Path, stem: str, split: Objects, cut: Cut, name: str) -> None:
    image, (top, left, bottom, right), box = cut
    pixels = decode(split.read(tf.constant(image, tf.int64)), 3).numpy()[top:bottom, left:right]
    Image.fromarray(pixels).save(folder / "JPEGImages" / f"{stem}.png")
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = f"{stem}.png"
    one = ElementTree.SubElement(root, "object")
    ElementTree.SubElement(one, "name").text = name
    sides = ElementTree.SubElement(one, "bndbox")
    # of VOC's numbers the first pixel is 1, and the last is inside
    numbers = {"xmin": box[1] - left + 1, "ymin": box[0] - top + 1, "xmax": box[3] - left, "ymax": box[2] - top}
    for side, number in numbers.items():
        ElementTree.SubElement(sides, side).text = f"{number:g}"
    ElementTree.ElementTree(root).write(folder / "Annotations" / f"{stem}.xml")


def main() -> None:
    """Cut a set, and say how many images there are."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    reader.add_argument("source", help="annotated images, such as voc:PATH")
    reader.add_argument("folder", type=Path, help="where to write")
    reader.add_argument("--least", type=int, default=50, help="windows that the rarest class should have")
    asked = reader.parse_args()
    for split, counts in write(asked.source, asked.folder, asked.least).items():
        print(f"{split}: {', '.join(f'{count:,} {name}' for name, count in counts.items())}")


if __name__ == "__main__":
    main()
