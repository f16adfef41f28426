"""AugmentSpec: what is done to training images, as data; everything but the first paper's crop and flip is off."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from reskeras.documents.fields import Pixels, Spec, whole, within


def _rising(pair: tuple) -> tuple:
    if pair[0] > pair[1]:
        raise ValueError(f"should be the lower bound, then the upper bound, but {pair[0]} is above {pair[1]}")
    return pair


T = TypeVar("T")
Rising = Annotated[tuple[T, T], AfterValidator(_rising)]  # two numbers, the lower first


class ResizedCropSpec(Spec):
    """A window of random area and shape, resized to the network's size (arXiv:1409.4842, section 6)."""

    area: Annotated[
        Rising[Annotated[float, within(0, 1, above=True)]], Field(description="Fraction of the image's area")
    ] = (0.08, 1.0)
    aspect: Annotated[
        Rising[Annotated[float, within(0.01, 100)]], Field(description="Width over height, log-uniform")
    ] = (3 / 4, 4 / 3)


class RandAugmentSpec(Spec):
    """`operations` of fourteen, drawn anew for each image, all of one magnitude (arXiv:1909.13719).

    timm counts magnitudes up to 10: its `rand-m7-mstd0.5-inc1` is magnitude 21, deviation 1.5, probability 0.5 and
    increasing.
    """

    operations: Annotated[int, whole(1, 8), Field(description="Number of operations per image")] = 2
    magnitude: Annotated[
        float, within(0, 30), Field(description="Strength of the operations: 0 is none, 30 the maximum")
    ] = 9.0
    deviation: Annotated[
        float,
        within(0, 30),
        Field(description="Standard deviation of the magnitude, drawn for each operation on each image"),
    ] = 0.0
    probability: Annotated[
        float,
        within(0, 1, above=True),
        Field(description="Probability of each operation; otherwise the image is left as it is"),
    ] = 1.0
    increasing: Annotated[
        bool,
        Field(
            description="timm's fifteen operations, which change images more at larger magnitudes: they also invert "
            "and brighten dark pixels, posterise to 4 bits or fewer, and have no identity"
        ),
    ] = False


class MosaicSpec(Spec):
    """Four images on one canvas, the batch's own and three others, cut by a horizontal and a vertical line at random
    places (arXiv:2004.10934, section 3.4). Objects with less than 40% of their area left are ignored: detecting them
    is neither right nor wrong."""

    probability: Annotated[
        float, within(0, 1, above=True), Field(description="Probability of a mosaic; otherwise the image stands alone")
    ] = 1.0
    scale: Annotated[
        Rising[Annotated[float, within(0.05, 20)]],
        Field(
            description="Random scaling of each of the four, log-uniform, instead of augment.scale: 1 fits the whole "
            "canvas, 0.5 about a quarter of it"
        ),
    ] = (0.5, 1.5)
    except_last: Annotated[
        int, whole(0, 100_000), Field(description="Number of epochs at the end without mosaics; YOLOX has 15")
    ] = 0


def _quarters(angle: int) -> int:
    if angle not in (0, 90, 180):
        raise ValueError(
            "should be 90 (quarter turns), 180 (half-turns) or 0, which move whole pixels: at other angles neither "
            "images nor the boxes in them would stay exact"
        )
    return angle


class AugmentSpec(Spec):
    """What is done to training images. `flip: auto` flips horizontally unless the data source forbids it, `alternating`
    mirrors each image in every other epoch, beginning in the first or the second (arXiv:2404.00498, section 3.6).

    At most one of `pad_crop`, `random_resized_crop` and `shorter_side` may crop; the others replace `pad_crop`'s
    default.
    """

    pad_crop: Annotated[
        int, whole(0, 64), Field(description="Zero padding in pixels before a random crop (v1 4.2)")
    ] = 4
    random_resized_crop: Annotated[
        ResizedCropSpec | None, Field(description="A window of random area and shape instead of a padded crop")
    ] = None
    shorter_side: Annotated[
        Rising[Pixels] | None,
        Field(description="Resize the shorter side to a random length in this range, then a random crop (v1 3.4)"),
    ] = None
    flip: Annotated[
        bool | Literal["auto", "alternating"],
        Field(description="Flip horizontally: with probability 1/2, or alternating by epochs"),
    ] = "auto"
    flip_rows: Annotated[bool, Field(description="Also flip vertically, with probability 1/2")] = False
    rotate: Annotated[
        int,
        AfterValidator(_quarters),
        Field(
            description="Rotate by a random multiple of this angle, 90 or 180 degrees; classifiers need square images"
        ),
    ] = 0
    scale: Annotated[
        Rising[Annotated[float, within(0.05, 20)]] | None,
        Field(description="Detection only: random scaling of the image on its canvas, log-uniform in this range"),
    ] = None
    mosaic: Annotated[
        MosaicSpec | None, Field(description="Detection only: four images with their boxes on one canvas")
    ] = None
    rand_augment: Annotated[RandAugmentSpec | None, Field(description="Random operations on colours and geometry")] = (
        None
    )
    colour: Annotated[
        float,
        within(0, 1, below=True),
        Field(description="Maximum change of brightness, contrast and saturation, as a fraction"),
    ] = 0.0
    hue: Annotated[
        float, within(0, 0.5), Field(description="Maximum shift of the hue, as a fraction of the colour circle")
    ] = 0.0
    lighting: Annotated[
        float,
        within(0, 10),
        Field(description="Standard deviation of AlexNet's PCA colour shift with ImageNet's components; 0.1 in v1 3.4"),
    ] = 0.0
    erase: Annotated[float, within(0, 1), Field(description="Probability of erasing a random box of an image")] = 0.0
    mixup: Annotated[float, within(0, 100), Field(description="Alpha of mixup's Beta(alpha, alpha); 0 is off")] = 0.0
    cutmix: Annotated[float, within(0, 100), Field(description="Alpha of CutMix's Beta(alpha, alpha); 0 is off")] = 0.0
    repeats: Annotated[
        int,
        whole(1, 16),
        Field(
            description="Repeated augmentation: each image this many times in a batch, augmented differently each "
            "time; an epoch keeps its length, with as many times fewer images"
        ),
    ] = 1

    @model_validator(mode="after")
    def _crops_once(self) -> AugmentSpec:
        crops = [name for name in ("random_resized_crop", "shorter_side") if getattr(self, name) is not None]
        if self.pad_crop and "pad_crop" in self.model_fields_set:
            crops = ["pad_crop", *crops]
        if len(crops) > 1:
            raise ValueError(f"{crops[0]} and {crops[1]} both crop an image; set only one of them")
        return self

    @property
    def padding(self) -> int:
        """Pixels of padding before a random crop; none where the image is cropped in another way."""
        return self.pad_crop if self.random_resized_crop is None and self.shorter_side is None else 0

    @property
    def mixes(self) -> bool:
        """Whether images and labels are mixed, so that labels must be probabilities."""
        return self.mixup > 0 or self.cutmix > 0
