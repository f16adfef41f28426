"""From a decoded image to the network's input: fitted to its size, then normalised. Kept with the weights."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np
import tensorflow as tf

from reskeras.bounded import check_archive
from reskeras.data.batches import fitted
from reskeras.data.decode import WHOLE, Framing, fit_image
from reskeras.data.resample import INTERPOLATIONS, resampled
from reskeras.data.source import Split
from reskeras.errors import failure
from reskeras.files import atomic_file, scratch, write_bytes

SAMPLE = 10_000  # training images that the mean is taken over, evenly spaced where there are more
BATCH, READ = 500, 4 << 20  # images that are read at once: so many, or of so many bytes
KINDS = ("per_pixel_mean", "per_channel", "scale")


@dataclass(frozen=True)
class Preprocessing:
    """Size of the input in pixels, and the mean and standard deviation on the 0..255 scale.

    `mean` is float32 (height, width, channels) for `per_pixel_mean`, else (channels,); `std` is (channels,). `framing`
    says how an image is brought to that size: published ImageNet weights use the central 224 of 256 pixels, or more.
    """

    height: int
    width: int
    channels: int
    kind: str
    mean: np.ndarray = field(repr=False)
    std: np.ndarray = field(repr=False)
    framing: Framing = WHOLE

    @property
    def size(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's input."""
        return self.height, self.width, self.channels

    @classmethod
    def fit(cls, split: Split, height: int, width: int, channels: int, kind: str) -> Preprocessing:
        """Measure mean and deviation over the training images, not augmented.

        per_pixel_mean: subtract each pixel's mean and no more (v1 section 4.2). per_channel: subtract each
        channel's mean, divide by its deviation. scale: 0..255 to -1..1, nothing is measured.
        """
        ones = np.ones(channels, np.float32)
        if kind == "scale":
            return cls(height, width, channels, kind, ones * 127.5, ones * 127.5)
        # sums of whole numbers below 2**53 are exact, in whatever order and however many at a time
        total, squares, count = np.zeros((height, width, channels)), np.zeros(channels), 0
        for image in _fitted_images(split, (height, width, channels)):
            pixels = image.astype(np.float64)
            total += pixels
            if kind == "per_channel":
                by_channel = pixels.reshape(-1, channels)
                squares += np.einsum("pc,pc->c", by_channel, by_channel)
            count += 1
        if kind == "per_pixel_mean":
            return cls(height, width, channels, kind, (total / count).astype(np.float32), ones)
        mean = total.mean(axis=(0, 1)) / count
        deviation = np.sqrt(np.maximum(squares / (count * height * width) - np.square(mean), 0))
        return cls(
            height, width, channels, kind, mean.astype(np.float32), np.maximum(deviation, 1.0).astype(np.float32)
        )  # a constant channel is not blown up

    def at(self, height: int, width: int) -> Preprocessing:
        """The same for images of another size: a per-pixel mean is resized as they are."""
        mean = self.mean
        if self.kind == "per_pixel_mean" and (height, width) != mean.shape[:2]:
            mean = resampled(tf.constant(mean), (height, width)).numpy()
        return replace(self, height=height, width=width, mean=mean)

    def by_channel(self) -> Preprocessing:
        """The same with the per-pixel mean averaged to one per channel, for images of any size."""
        if self.kind != "per_pixel_mean":
            return self
        return replace(self, kind="per_channel", mean=self.mean.mean(axis=(0, 1)))

    def fit_image(self, image: tf.Tensor) -> tf.Tensor:
        """uint8 (h, w, channels) to uint8 of the input's size, not normalised."""
        return fit_image(image, self.height, self.width, self.framing)

    def normalise(self, images: tf.Tensor, in_step: bool = False) -> tf.Tensor:
        """(x - mean) / std as float32, of images (..., height, width, channels) on the 0..255 scale.

        In the graph of a training step (`in_step`) TensorFlow would multiply by 1 / std instead, which rounds
        differently; it leaves this division alone.
        """
        centred = tf.cast(images, tf.float32) - self.mean
        if (self.std == 1).all():
            return centred
        return tf.math.divide_no_nan(centred, self.std) if in_step else centred / self.std

    def pixels(self, images: tf.Tensor) -> tf.Tensor:
        """The images on the 0..255 scale that `normalise` gives `images`, float32, for."""
        return tf.cast(images, tf.float32) * self.std + self.mean

    def normalises_like(self, other: Preprocessing) -> bool:
        """Whether both normalise images of one size alike."""
        return all(np.array_equal(*both) for both in ((self.mean, other.mean), (self.std, other.std)))

    def describe(self) -> str:
        """One readable line."""
        steps = {
            "per_pixel_mean": f"subtract the mean of each of {self.height}x{self.width}x{self.channels} pixels",
            "per_channel": f"subtract {_numbers(self.mean)}"
            + ("" if (self.std == 1).all() else f", divide by {_numbers(self.std)}")
            + " (by channel)",
            "scale": "scale 0..255 to -1..1",
        }
        sides = self.height, self.width
        size, cover = ("x".join(map(str, each)) for each in (sides, map(self.framing.covering, sides)))
        crop = "crop its centre" if self.framing.crop == 1 else f"crop {size} from its centre"
        how = "" if self.framing.interpolation == WHOLE.interpolation else f" ({self.framing.interpolation})"
        return f"resize to cover {cover}{how}, {crop}, {steps[self.kind]}"

    def save(self, path: Path) -> None:
        """Write an .npz, whole or not at all."""
        with atomic_file(path) as beside:
            np.savez(
                beside,
                height=self.height,
                width=self.width,
                channels=self.channels,
                kind=self.kind,
                mean=self.mean,
                std=self.std,
                crop=self.framing.crop,
                interpolation=self.framing.interpolation,
                description=self.describe(),
            )

    @classmethod
    def load(cls, path: Path, size: tuple[int, ...] | None = None) -> Preprocessing:
        """Read what `save` wrote; nothing in the file is executed. A broken file is a ReskerasError (status 1), as is
        one for another `size` (height, width, channels) than that of the network's images, where it is given."""
        try:
            check_archive(path, "preprocessing")
            with np.load(path, allow_pickle=False) as saved:
                height, width, channels = (int(saved[name]) for name in ("height", "width", "channels"))
                kind, mean, std = str(saved["kind"]), saved["mean"], saved["std"]
                # older runs have neither
                crop = float(saved["crop"]) if "crop" in saved else WHOLE.crop
                how = str(saved["interpolation"]) if "interpolation" in saved else WHOLE.interpolation
            shape = (height, width, channels) if kind == "per_pixel_mean" else (channels,)
            numeric = all(part.dtype.kind == "f" and np.isfinite(part).all() for part in (mean, std))
            if not numeric or not (std > 0).all():
                raise ValueError("its mean and standard deviation must be finite, the latter above 0")
            if size not in (None, (height, width, channels)):
                raise ValueError(
                    f"it is for images of {height}x{width}x{channels}, but the network takes {'x'.join(map(str, size))}"
                )
            if (
                kind not in KINDS
                or mean.shape != shape
                or std.shape != (channels,)
                or not 0 < crop <= 1
                or how not in INTERPOLATIONS
            ):
                raise ValueError(f"{kind!r} with a mean of shape {mean.shape} for {height}x{width}x{channels}")
            return cls(height, width, channels, kind, mean, std, Framing(crop, how))
        except (
            OSError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            EOFError,
            zipfile.BadZipFile,
            zlib.error,
            RuntimeError,
            MemoryError,
            OverflowError,
        ) as error:  # what zipfile and NumPy make of wrong bits
            raise failure(f"preprocessing: {path} is broken: {' '.join(str(error).split())}") from error


def packed(preprocessing: Preprocessing) -> bytes:
    """What `save` writes, as bytes."""
    with scratch() as place:
        preprocessing.save(place / "preprocessing.npz")
        return (place / "preprocessing.npz").read_bytes()


def unpacked(content: bytes) -> Preprocessing:
    """What `packed` made; checked as a file is."""
    with scratch() as place:
        write_bytes(place / "preprocessing.npz", content)
        return Preprocessing.load(place / "preprocessing.npz")


def _fitted_images(split: Split, size: tuple[int, int, int]) -> Iterator[np.ndarray]:
    """uint8 images (height, width, channels), at most SAMPLE of them, evenly spaced; a few MB are read at a time."""
    indices = np.unique(np.linspace(0, split.count - 1, min(split.count, SAMPLE)).astype(np.int64))
    for images, _ in fitted(split, indices, size, max(min(READ // prod(size), BATCH), 1)):
        yield from images.numpy()


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.4g}" for value in np.ravel(values))
