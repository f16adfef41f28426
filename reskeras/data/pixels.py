"""Images of any dtype as uint8: which range was understood, what rounding loses, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reskeras.errors import ReskerasError
from reskeras.launch.cluster import workers_here
from reskeras.machine import memory

WHOLE, UNIT = 1, 255  # what pixels are multiplied by: those of 0 to 255, of 0 to 1
RANGES = {WHOLE: "0 to 255", UNIT: "0 to 1"}
EXACT = 0.01  # levels; x / 255 * 255 in float32 is nearer
DARKEST = 2.0  # floats between 1 and this are of no plausible range
SHARE = 3  # of the memory that the workers on this machine may use; images are copied once, and need room to be made
AT_ONCE = 64 << 20  # bytes that are converted at once
CHANNELS = (1, 3)
TEXT = "bytes or text; decode them first"
NO_NUMBERS = {  # by kind of dtype
    "S": TEXT,
    "U": TEXT,
    "O": "Python objects, as NumPy makes of images of several sizes; stack equal ones, or use csv:PATH or folder:PATH",
}


@dataclass
class Levels:
    """Turns images of one data set into uint8, all on one scale: WHOLE or UNIT, or None while none is decided.

    `loss` is the largest change by rounding so far, in levels of 255; `floats` whether there were any.
    """

    scale: int | None = None
    loss: float = 0.0
    floats: bool = False

    def decide(self, highest: float, name: str) -> None:
        """Take the scale of floats up to `highest`, or check that they are on the one that was taken; `name` is what
        has them."""
        scale = WHOLE if highest > 1 else UNIT
        if 1 < highest < DARKEST:
            raise ReskerasError(
                f"data: {name} has floats up to {highest:.6g}, neither 0 to 1 nor 0 to 255; clip or scale them"
            )
        if self.scale not in (None, scale):
            raise ReskerasError(
                f"data: {name} has floats up to {highest:.6g}, but training images are from {RANGES[self.scale or 0]}"
            )
        self.scale = scale

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Checked images as uint8."""
        if images.dtype.kind != "f":
            return images.astype(np.uint8)
        levels = images.astype(np.float64) * (self.scale or WHOLE)
        whole = np.rint(levels)
        self.loss, self.floats = max(self.loss, float(np.abs(levels - whole).max(initial=0.0))), True
        return whole.astype(np.uint8)

    def note(self, name: str) -> str:
        """What was understood and lost; "" for images that were whole numbers."""
        if not self.floats:
            return ""
        how = "exactly" if self.loss < EXACT else f"rounded by up to {self.loss:.2f} of a level"
        return f"{name}: float images from {RANGES[self.scale or WHOLE]} became uint8, {how}"


def check_dtype(dtype: np.dtype, name: str) -> None:
    """ReskerasError for images that are not numbers."""
    if dtype.kind not in "uif":
        said = NO_NUMBERS.get(dtype.kind, f"dtype {dtype}")
        raise ReskerasError(f"data: {name} has {said}; images are uint8, or floats from 0 to 1 or 0 to 255")


def check_shape(shape: tuple[int, ...], name: str) -> tuple[int, int, int]:
    """Height, width and channels of an image of `shape`, with channels or without."""
    sized = shape if len(shape) == 3 else (*shape, 1)
    if len(sized) != 3 or sized[2] not in CHANNELS or not all(sized):
        last = " (channels come last)" if len(shape) == 3 and shape[0] in CHANNELS else ""
        raise ReskerasError(
            f"data: {name} has images of shape {shape}; (height, width), or with 1 or 3 channels, is needed{last}"
        )
    return sized


def check_range(images: np.ndarray, where: Callable[[int], str]) -> float:
    """The highest pixel; ReskerasError naming `where` the first image is that has a pixel below 0, above 255 or NaN."""
    low, high = float(images.min(initial=0)), float(images.max(initial=0))
    if low >= 0 and high <= 255:  # which NaN is not
        return high
    wrong = ~((images >= 0) & (images <= 255)).reshape(len(images), -1)
    index = int(wrong.any(axis=1).argmax())
    pixel = images[index].ravel()[int(wrong[index].argmax())]
    raise ReskerasError(
        f"data: {where(index)} has a pixel {pixel:.6g}; images are uint8, or floats from 0 to 1 or 0 to 255"
    )


def check_room(size: int, name: str) -> None:
    """ReskerasError for images of so many bytes that this machine has no room to hold."""
    if size > (room := memory() // SHARE // workers_here()):
        raise ReskerasError(
            f"data: {name} has {size:,} bytes of pixels or more, and there is room for {room:,} in memory; write the "
            "images to files, for folder:PATH or csv:PATH"
        )


def _places(name: str, start: int) -> Callable[[int], str]:
    return lambda place: f"{name}[{start + place}]"


def as_uint8(images: np.ndarray, levels: Levels, name: str) -> np.ndarray:
    """Images (n, height, width) or (n, height, width, 1 or 3) of any numbers to uint8 (n, height, width, channels)."""
    check_dtype(images.dtype, name)
    if images.ndim not in (3, 4):
        raise ReskerasError(
            f"data: {name} has shape {images.shape}; images are (n, height, width), or with 1 or 3 channels"
        )
    if not len(images):
        raise ReskerasError(f"data: {name} has no images")
    shape = check_shape(images.shape[1:], name)
    check_room(len(images) * int(np.prod(shape)), name)
    some = max(AT_ONCE // (int(np.prod(shape)) * 8), 1)
    starts = range(0, len(images), some)
    highest = 0.0
    for start in starts if images.dtype != np.uint8 else ():
        highest = max(highest, check_range(images[start : start + some], _places(name, start)))
    if images.dtype.kind == "f":
        levels.decide(highest, name)
    found = np.empty((len(images), *shape), np.uint8)
    for start in starts:
        part = images[start : start + some]
        found[start : start + some] = levels(part).reshape(len(part), *shape)
    return found
