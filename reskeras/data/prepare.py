"""Prepare a source for training: its images, not larger than needed, as a set of TensorFlow Datasets in a few files."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tensorflow as tf

from reskeras.data.batches import READERS, mapped, read_batches
from reskeras.data.decode import to_pixels
from reskeras.data.registry import Data, open_source
from reskeras.data.resample import resampled
from reskeras.data.source import Source, Split, unsaid_mirror
from reskeras.data.tfds_builder import first_line
from reskeras.data.windows import decode_window, shape_of
from reskeras.errors import ReskerasError, failure
from reskeras.files import local_path, move, workspace
from reskeras.readers import is_path_kind

VERSION = "1.0.0"
AT_ONCE = 64  # images that are read together
NAME = re.compile(r"[a-z][a-z0-9_]*")  # what TFDS takes for a name
QUALITY = 95

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PreparedSet:
    """A set in `folder`, read as `tfds:name` with --data-dir `data_dir`: images of each split, and bytes in all;
    `notes` say what the source says and the set cannot."""

    name: str
    data_dir: Path
    folder: Path
    images: dict[str, int]
    bytes: int
    notes: tuple[str, ...] = ()


def prepare_data(
    source: Data,
    out: str | Path,
    *,
    data_dir: str | Path | None = None,
    size: int | None = 256,
    quality: int = QUALITY,
    name: str | None = None,
    progress: Progress = lambda done, of: None,
) -> PreparedSet:
    """Write the images of `source` (a name, or what `reskeras.source` takes) as the set `name` (default: made from the
    source's name) into the folder `out`.

    Images whose shorter side is longer than `size` pixels are resized to it (bilinear, antialiased) as shown, JPEGs to
    JPEGs of `quality`, others to PNGs; smaller ones keep their bytes, and all do if `size` is None. Splits, order,
    labels and names of classes stay. `progress` is called with the number of images done and of all.

    Raises ReskerasError: status 2 for wrong arguments, a source that cannot be opened, and a set that exists; status 1
    for an image that cannot be read and for what the system refuses. Nothing is left then.
    """
    if size is not None and size < 1:
        raise ReskerasError(f"size: {size}: should be at least 1 pixel, or none to keep all images as they are")
    if not 1 <= quality <= 100:
        raise ReskerasError(f"quality: {quality}: should be from 1 to 100, the range of JPEG")
    name = None if name is None else _checked_name(name)
    opened = open_source(source, data_dir)
    name = name or _name_from(opened.name)
    out = local_path(out, "out", only=name)
    if (out / name).exists():
        raise ReskerasError(f"out: {out / name} exists; remove it, or choose another --out or --name")
    with workspace(out) as place:
        _store(opened, place, name, size, quality, progress)
        again = open_source(f"tfds:{name}", place)
        images = {split: found.count for split, found in opened.splits().items()}
        if again.classes != opened.classes or images != {key: each.count for key, each in again.splits().items()}:
            raise failure(f"out: {out / name} would not be read as it was written; its splits are {images}")
        total = sum(path.stat().st_size for path in (place / name).rglob("*") if path.is_file())
        move(place / name, out / name)
    notes = (unsaid_mirror("the set"),) if again.mirror and not opened.mirror else ()
    return PreparedSet(name, out, out / name / VERSION, images, total, notes)


def _name_from(source: str) -> str:
    """A TFDS name for a source: of folder:~/My photos my_photos, of tfds:beans/small beans_small."""
    last = source.partition(":")[2] or source
    last = Path(last).name if is_path_kind(source.partition(":")[0]) else last
    name = re.sub(r"[^a-z0-9]+", "_", last.lower()).strip("_")
    return name if NAME.fullmatch(name) else f"set_{name}".rstrip("_")


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ReskerasError(
            f"name: {name!r}: should be lowercase letters, digits and underscores, starting with a letter"
        )
    return name


def _store(source: Source[Split], place: Path, name: str, size: int | None, quality: int, progress: Progress) -> None:
    """Write all splits by TFDS' own writer."""
    import tensorflow_datasets as tfds

    if source.multi_label:
        raise ReskerasError(f"data: {source.name} has several classes per image, which a prepared set cannot hold")
    if unwritable := [each for each in source.classes if "\n" in each or each != each.strip()]:
        raise ReskerasError(
            f"data: class {unwritable[0]!r}: TFDS keeps no names with line breaks, or with spaces at either end"
        )
    logging.getLogger("absl").setLevel(logging.ERROR)
    tfds.disable_progress_bar()
    splits, done = source.splits(), 0
    total = sum(split.count for split in splits.values())

    def examples(split: Split) -> Iterator[tuple[int, dict[str, object]]]:
        nonlocal done
        for index, (image, label) in enumerate(_encoded_images(split, source.channels, size, quality)):
            yield index, {"image": io.BytesIO(image), "label": label}
            done += 1
            progress(done, total)

    features = {
        "image": tfds.features.Image(shape=(None, None, source.channels)),
        "label": tfds.features.ClassLabel(names=list(source.classes)),
    }
    described = f"{source.label}, prepared by reskeras" + (f"; shorter sides up to {size} pixels" if size else "")
    try:
        with redirect_stdout(io.StringIO()):  # TFDS prints the workspace's name
            tfds.dataset_builders.store_as_tfds_dataset(
                name,
                VERSION,
                tfds.features.FeaturesDict(features),
                {key: examples(split) for key, split in splits.items()},
                data_dir=place,
                description=described,
                disable_shuffling=True,
            )
    except tf.errors.OpError as error:
        raise failure(f"out: {place.parent}: {first_line(error)}") from error


def _encoded_images(split: Split, channels: int, size: int | None, quality: int) -> Iterator[tuple[bytes, int]]:
    """Each image's bytes and label, in order. One that cannot be read is a ReskerasError that names it."""
    encode = partial(_encoded, split, channels, size, quality)
    specs = tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)
    batches = read_batches(
        split, range(split.count), AT_ONCE, 2, lambda indices: mapped(encode, split.fetch(indices), specs, READERS)
    )
    for images, labels in batches:
        yield from zip(images.numpy().tolist(), labels.numpy().tolist(), strict=True)


def _encoded(
    split: Split, channels: int, size: int | None, quality: int, stored: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """One image as it is written, and its label, in a graph."""
    if split.encoded is None:
        image, label = split.decode(stored)
        return tf.io.encode_png(image if size is None else _smaller(image, size)), label
    data, label = split.encoded(stored)
    shape = shape_of(data)

    def reduced() -> tf.Tensor:
        whole = tf.concat([[0, 0], shape], axis=0)
        pixels = to_pixels(decode_window(data, channels, lambda _: whole, split.plain, _reduced_size(shape, size or 0)))
        jpeg = partial(tf.io.encode_jpeg, pixels, format="grayscale" if channels == 1 else "rgb", quality=quality)
        return tf.cond(tf.io.is_jpeg(data), jpeg, lambda: tf.io.encode_png(pixels))

    if size is None:
        return data, label
    return tf.cond(tf.reduce_min(shape) > size, reduced, lambda: data), label


def _smaller(image: tf.Tensor, size: int) -> tf.Tensor:
    """uint8 pixels, resized where the shorter side is longer than `size`."""
    shape = tf.shape(image)[:2]
    return tf.cond(
        tf.reduce_min(shape) > size, lambda: to_pixels(resampled(image, _reduced_size(shape, size))), lambda: image
    )


def _reduced_size(shape: tf.Tensor, size: int) -> tf.Tensor:
    """int32 (height, width) whose shorter side is `size`, of the same aspect."""
    scale = size / tf.reduce_min(shape)
    return tf.cast(tf.round(tf.cast(shape, tf.float64) * scale), tf.int32)
