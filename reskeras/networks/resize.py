"""ResizeSpec: how large a detector sees its images, by their shorter side, and the canvases that hold them; as data."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from reskeras.documents.fields import Pixels, Spec, whole

Canvas = tuple[int, int]  # height and width
LONGER = Fraction(5, 3)  # the longer side's bound over the shorter's: 1000 for 600 (arXiv:1506.01497 section 3.3)
PHOTOGRAPH = Fraction(4, 3)  # the aspect of most photographs, which have a canvas of their own
MOST_CANVASES = 128


class Resampling(NamedTuple):
    """How an image is scaled: its size rounded to whole pixels or `down` to them, and with antialiasing or without."""

    down: bool = False
    antialias: bool = True


ANTIALIASED = Resampling()


class ResizeSpec(Spec):
    """Images scaled by their shorter side, each on the smallest of a few canvases that holds it.

    An image is scaled until its shorter side has `shorter` pixels or its longer side has `longer`, whichever comes
    first.
    """

    shorter: Annotated[Pixels, Field(description="Pixels of an image's shorter side, as far as `longer` allows")] = 600
    longer: Annotated[
        Pixels | None,
        Field(description="Maximum pixels of its longer side; default: 5/3 of the shorter, such as 1000 for 600"),
    ] = None
    canvases: Annotated[
        tuple[tuple[Pixels, Pixels], ...] | None,
        Field(
            min_length=1,
            max_length=MOST_CANVASES,
            description="Heights and widths; an image is placed on the smallest that holds it. Default: squares, and "
            "aspects of 4/3 and longer/shorter in both directions, rounded up to multiples of the network's stride",
        ),
    ] = None
    multiple: Annotated[
        Annotated[int, whole(8, 1024)] | None,
        Field(
            description="Instead of `canvases`: round the sides of images up to multiples of this many pixels, as "
            "torchvision does with a single image, and make every canvas that this needs"
        ),
    ] = None
    rounding: Annotated[
        Literal["nearest", "down"], Field(description="How a scaled side becomes whole pixels; torchvision rounds down")
    ] = "nearest"
    antialias: Annotated[
        bool, Field(description="Average pixels when an image is made smaller; torchvision does not")
    ] = True

    @property
    def sides(self) -> Canvas:
        """Largest shorter and longer side of a scaled image."""
        return self.shorter, self.longer or round(self.shorter * LONGER)

    @property
    def resampling(self) -> Resampling:
        """How images are scaled."""
        return Resampling(self.rounding == "down", self.antialias)

    @model_validator(mode="after")
    def _holds_every_image(self) -> ResizeSpec:
        shorter, longer = self.sides
        follow = self._multiples()
        if follow and len(follow) > MOST_CANVASES:
            raise ValueError(
                f"multiple: {self.multiple} makes {len(follow)} canvases for sides of {shorter} and {longer}, more "
                f"than {MOST_CANVASES}; choose a larger multiple, or leave it out"
            )
        if follow and self.canvases and {*self.canvases} != {*follow}:
            raise ValueError("canvases: contradict multiple, from which canvases follow; set only one of them")
        if shorter > longer:
            raise ValueError(f"shorter: {shorter} is above longer ({longer})")
        for wanted in ((shorter, longer), (longer, shorter)):
            if self.canvases and not any(all(map(int.__ge__, each, wanted)) for each in self.canvases):
                raise ValueError(
                    f"canvases: none holds an image of {wanted[0]}x{wanted[1]} pixels, which {shorter} and {longer} "
                    "allow; add one, or leave canvases out"
                )
        return self

    def at_stride(self, stride: tuple[int, int]) -> ResizeSpec:
        """The same with everything filled in for a network of that stride, canvases in ascending order of area."""
        shorter, longer = self.sides
        canvases = self.canvases or self._multiples()
        if canvases is None:
            wide = (shorter, min(round(shorter * PHOTOGRAPH), longer), longer)
            lying = [(shorter, width) for width in wide]
            canvases = tuple(_rounded_up(each, stride) for row in lying for each in (row, row[::-1]))
        ordered = sorted(dict.fromkeys(canvases), key=lambda each: (each[0] * each[1], each[0]))
        return self.model_copy(update={"longer": longer, "canvases": tuple(ordered)})

    def _multiples(self) -> tuple[Canvas, ...] | None:
        """The canvases that follow from `multiple`, if it is set."""
        return in_multiples(self.sides, self.multiple) if self.multiple else None


def in_multiples(sides: Canvas, multiple: int) -> tuple[Canvas, ...]:
    """The canvases that scaled images of these largest `sides` need, rounded up to multiples of so many pixels."""
    (shorter, longer), step = sides, (multiple, multiple)
    lying = [(shorter, width) for width in range(shorter, longer)] + [(row, longer) for row in range(1, shorter + 1)]
    return tuple({_rounded_up(each, step): None for row in lying for each in (row, row[::-1])})


def largest(canvases: tuple[Canvas, ...]) -> Canvas:
    """The canvas of the largest area; of equal ones the widest."""
    return max(canvases, key=lambda each: (each[0] * each[1], each[1]))


def smallest(canvases: tuple[Canvas, ...]) -> list[Canvas]:
    """Those that hold no other."""
    return [own for own in canvases if not any(other != own and all(map(int.__ge__, own, other)) for other in canvases)]


def _rounded_up(canvas: Canvas, stride: tuple[int, int]) -> Canvas:
    height, width = (-(-side // step) * step for side, step in zip(canvas, stride, strict=True))
    return height, width
