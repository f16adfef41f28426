"""The same labelled images in every kind of data that there is."""

import csv

import numpy as np
import tensorflow as tf
from PIL import Image

CLASSES = ("cat", "dog", "hat")
SIZE = 12


def images_of(count, seed=0, size=SIZE):
    """uint8 (count, size, size, 3) with int64 labels (count,), in the order in which a folder has them; each class has
    a brightness of its own."""
    rng = np.random.default_rng(seed)
    labels = np.sort(np.arange(count) % len(CLASSES))
    pixels = rng.integers(0, 120, (count, size, size, 3)) + 60 * labels[:, None, None, None]
    return pixels.astype(np.uint8), labels


def write_folder(root, train, test):
    """Folders train and test of class folders of PNGs; returns the table's rows of the same files, in that order."""
    rows = []
    for split, (pixels, labels) in (("train", train), ("test", test)):
        for index, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            path = root / split / CLASSES[label] / f"{index:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            rows.append([f"{split}/{CLASSES[label]}/{index:03}.png", CLASSES[label], split])
    return rows


def write_table(path, rows, header=("path", "label", "split")):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def every_kind(root, train, test):
    """The same images by name of the kind: what `reskeras.source` takes, and its options."""
    rows = write_folder(root / "photos", train, test)
    write_table(root / "photos" / "table.csv", rows)
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), (*train, *test), strict=True))
    np.savez(root / "photos.npz", **arrays, classes=np.array(CLASSES))
    datasets = [tf.data.Dataset.from_tensor_slices(each) for each in (train, test)]
    names = [np.array(CLASSES)[labels] for _, labels in (train, test)]
    return {
        "folder": (f"folder:{root / 'photos'}", {}),
        "csv": (f"csv:{root / 'photos' / 'table.csv'}", {}),
        "npz": (f"npz:{root / 'photos.npz'}", {}),
        "arrays": ((train, test), {"classes": CLASSES}),
        "four arrays of floats": (
            (train[0] / 255, train[1], test[0].astype(np.float32) / 255, test[1]),
            {"classes": CLASSES},
        ),
        "names": (((train[0], names[0]), (test[0], names[1])), {}),
        "datasets": (tuple(datasets), {"classes": CLASSES}),
        "batched floats": (
            tuple(each.batch(7).map(lambda x, y: (tf.cast(x, tf.float32), y)) for each in datasets),
            {"classes": CLASSES},
        ),
    }


def pixels_of(split):
    """All images of a split, with their labels."""
    found = [split.example(tf.constant(index, tf.int64)) for index in range(split.count)]
    return np.stack([image for image, _ in found]), np.stack([label for _, label in found])
