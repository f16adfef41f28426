"""Pixel normalisation of pretrained weights: keras.applications' three modes, two common ones, and published ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from reskeras.data.decode import WHOLE, Framing
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.resample import INTERPOLATIONS
from reskeras.errors import ReskerasError, failure, unknown
from reskeras.identification.pixels import Adapted, Affine, Augmentation, Resized, ReversedChannels, standardised
from reskeras.plans import operations as op
from reskeras.porting.originals import Published

CENTRE = Framing(224 / 256)  # published accuracies are for the centre crop of a slightly larger image
RANDOM = "random"  # timm's value for weights trained with random interpolation


@dataclass(frozen=True)
class Normalise:
    """Mean and standard deviation of each channel (red, green, blue) on the 0..255 scale, and how images are brought
    to the network's size. With `reverse` the weights expect BGR; a port reverses its first convolution instead."""

    kind: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reverse: bool = False
    framing: Framing = CENTRE

    def preprocessing(self, height: int, width: int, channels: int) -> Preprocessing:
        """The same as a run keeps it; images that have not three channels get the average over the channels."""
        mean, std = (np.asarray(values, np.float32) for values in (self.mean, self.std))
        if channels != len(mean):
            mean, std = (np.full(channels, values.mean(), np.float32) for values in (mean, std))
        return Preprocessing(height, width, channels, self.kind, mean, std, self.framing)


NORMALISE = {
    "caffe": Normalise("per_channel", (123.68, 116.779, 103.939), (1.0, 1.0, 1.0), reverse=True),
    "tf": Normalise("scale", (127.5,) * 3, (127.5,) * 3),
    "torch": Normalise("per_channel", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "unit": Normalise("per_channel", (0.0,) * 3, (255.0,) * 3, framing=WHOLE),
    "raw": Normalise("per_channel", (0.0,) * 3, (1.0,) * 3, framing=WHOLE),
}


def normalise(name: str) -> Normalise:
    """The mode called `name`; ReskerasError for an unknown one."""
    if name not in NORMALISE:
        raise unknown("normalise", name, NORMALISE)
    return NORMALISE[name]


def as_published(told: Published, otherwise: Normalise) -> Normalise:
    """The preprocessing that a library or a file publishes with its weights; what it omits is as in `otherwise`.

    `failure` for what reskeras cannot do: a crop other than the centre's, an unknown interpolation.
    """
    mean = tuple(255.0 * value for value in told["mean"]) if "mean" in told else otherwise.mean
    std = tuple(255.0 * value for value in told["std"]) if "std" in told else otherwise.std
    interpolation = told.get("interpolation", otherwise.framing.interpolation)
    interpolation = CENTRE.interpolation if interpolation == RANDOM else interpolation
    crop = told.get("crop_pct", otherwise.framing.crop)
    if (
        told.get("crop_mode", "center") != "center"
        or interpolation not in INTERPOLATIONS
        or not 0 < crop <= 1
        or len(mean) != len(std)
        or not all(value > 0 for value in std)
        or not np.isfinite([*mean, *std, *np.divide(255, std)]).all()
    ):
        raise failure(
            "port: the published preprocessing is not supported: "
            + ", ".join(
                f"{key} {told[key]}" for key in ("crop_mode", "crop_pct", "interpolation", "mean", "std") if key in told
            )
            + "; set another with --normalise"
        )
    return Normalise(_kind(mean, std), mean, std, framing=Framing(crop, interpolation))


def as_modelled(steps: Iterable[op.Op], tensors: Mapping[str, np.ndarray], channels: int) -> Normalise | None:
    """A model's own preprocessing of pixels in 0..255 as a Normalise; None where it leaves them unchanged. `tensors`
    has the statistics of an adapted Normalization layer.

    ReskerasError for steps that a run cannot do, or does in another way.
    """
    scale, offset, reverse, changed = np.ones(channels), np.zeros(channels), False, False
    for step in steps:
        if isinstance(step, Adapted):
            step = standardised(
                *(tuple(map(float, np.ravel(tensors[f"{step.name}/{role}"]))) for role in ("mean", "variance"))
            )
        match step:
            case op.Scale():
                scale, offset, changed = scale * step.factor, offset * step.factor, True
            case Affine():
                scale, offset, changed = scale * step.scale, offset * step.scale + step.offset, True
            case ReversedChannels():
                scale, offset, reverse, changed = scale[::-1], offset[::-1], not reverse, True
            case Resized():
                raise ReskerasError(
                    f"port: the model resizes its images itself ({step.what}), but a run does it differently; port "
                    f"what follows: keras.Model(model.get_layer({step.name!r}).output, model.output)"
                )
            case Augmentation():
                pass
            case _:
                raise ReskerasError(f"port: a run cannot do this part of the model's preprocessing: {step.words}")
    if not changed:
        return None
    if not (scale > 0).all():
        raise ReskerasError("port: the model inverts its pixels, which a run cannot do")
    mean, std = (tuple(map(float, (each[::-1] if reverse else each))) for each in (-offset / scale + 0.0, 1 / scale))
    return Normalise(_kind(mean, std), mean, std, reverse, WHOLE)


def _kind(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    return "scale" if {*mean, *std} == {127.5} else "per_channel"
