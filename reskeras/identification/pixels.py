"""Preprocessing inside a model, ahead of the network: rescaling, reordering of channels, resizing, augmentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from typing_extensions import TypeIs

from reskeras.identification.foreign import Foreign, OnePosition, Stack, legible
from reskeras.plans import operations as op
from reskeras.plans.nodes import Fork, Node, Sequence
from reskeras.plans.operation import Op, Shape

Config = dict[str, Any]
Numbers = tuple[float, ...]  # one for each channel, or one for all
OpenShape = tuple[int | None, ...]
# layers that are the identity at inference
AUGMENTATIONS = (
    "RandomFlip",
    "RandomRotation",
    "RandomZoom",
    "RandomTranslation",
    "RandomContrast",
    "RandomBrightness",
    "RandomShear",
    "RandomSharpness",
    "RandomHue",
    "RandomSaturation",
    "RandomColorJitter",
    "RandomColorDegeneration",
    "RandomGrayscale",
    "RandomErasing",
    "RandomElasticTransform",
    "RandomGaussianBlur",
    "RandomInvert",
    "RandomPerspective",
    "RandAugment",
    "AugMix",
    "GaussianNoise",
    "GaussianDropout",
)
AT_INFERENCE = (*AUGMENTATIONS, "Resizing", "CenterCrop")  # their recorded `training` argument makes no difference
SMALLEST_DEVIATION = 1e-7  # Keras' epsilon: its Normalization divides by at least this


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine(Foreign):
    """x * scale + offset, by channel."""

    scale: Numbers = (1.0,)
    offset: Numbers = (0.0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted(Foreign):
    """A Normalization layer whose mean and variance are weights, by channel or one for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel(Foreign):
    """One channel of the image, without an axis for it."""

    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReversedChannels(Foreign):
    """The channels in the opposite order: BGR for RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation(Foreign):
    """Random in training, the identity at inference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized(Foreign):
    """The image resized or cropped to a fixed size."""

    size: tuple[int, int]

    def output_shape(self, shape: Shape) -> Shape:
        """The channels stay."""
        return (*self.size, shape[-1])


def is_known(shape: OpenShape) -> TypeIs[Shape]:
    """Whether no part of a shape is left open."""
    return None not in shape


def split(nodes: Sequence, shape: OpenShape) -> tuple[tuple[Op, ...], Sequence, OpenShape]:
    """The preprocessing steps of an image of `shape`, the nodes after them, and the input shape of those."""
    steps: list[Op] = []
    for index, node in enumerate(nodes):
        step = _step(node, shape[-1])
        if step is None:
            return tuple(steps), nodes[index:], shape
        steps.append(step)
        if isinstance(step, Resized):
            shape = (*step.size, shape[-1])
    return tuple(steps), (), shape


def _step(node: Node, channels: int | None) -> Op | None:
    """A node as a preprocessing step; None where the network begins."""
    match node:
        case op.Scale() | Adapted() | ReversedChannels() | Augmentation() | Resized():
            return node
        case Affine() if {len(node.scale), len(node.offset)} <= {1, channels}:
            return node
        case Fork(merge=Stack()) if channels and node.branches == tuple(
            (_channel(index),) for index in reversed(range(channels))
        ):
            return _reversed()
        case _:
            return None


def affine(scale: Numbers, offset: Numbers = (0.0,)) -> Op:
    """x * scale + offset, as a plan's own operation where there is one."""
    if not all(map(isfinite, (*scale, *offset))) or 0.0 in scale:
        return Foreign(name="affine", what="arithmetic that loses pixel values")
    if len(scale) == 1 and not any(offset):
        return op.Scale(name="scale", factor=scale[0])
    words = [
        f"{word} {' '.join(f'{number:.4g}' for number in numbers)}"
        for word, numbers, neutral in (("times", scale, 1.0), ("plus", offset, 0.0))
        if set(numbers) != {neutral}
    ]
    return Affine(name="affine", what=", ".join(words), scale=scale, offset=offset)


def arithmetic(kind: str, before: tuple[Any, ...], after: tuple[Any, ...]) -> Op | None:
    """The operation that a call of `kind` performs on a tensor between the arguments `before` and `after` it; None for
    an unknown one."""
    match kind, before, after:
        case ("Add", (), (tuple() as numbers,)) | ("Add", (tuple() as numbers,), ()):
            return affine((1.0,), numbers)
        case "Subtract", (), (tuple() as numbers,):
            return affine((1.0,), tuple(-number for number in numbers))
        case "Subtract", (tuple() as numbers,), ():
            return affine((-1.0,), numbers)
        case ("Multiply", (), (tuple() as numbers,)) | ("Multiply", (tuple() as numbers,), ()):
            return affine(numbers)
        case "TrueDivide" | "Divide", (), (tuple() as numbers,) if all(numbers):
            return affine(tuple(1.0 / number for number in numbers))
        case "Maximum", (), ((0.0,),):
            return op.Relu(name="relu")
        case "GetItem", (), ("[..., ::-1]" | "[:, :, :, ::-1]",):
            return _reversed()
        case "GetItem", (), ("[:, None, None, :]" | "[:, None, None]",):
            return OnePosition(name="reshape", what="reshape to one position")
        case "GetItem", (), (str() as place,) if place.startswith("[..., ") and place[6:-1].isdecimal():
            return _channel(int(place[6:-1]))
        case _:
            return None


def _channel(index: int) -> Op:
    return Channel(name="channel", what=f"channel {index}", index=index)


def _reversed() -> Op:
    return ReversedChannels(name="reverse", what="channels reversed")


def _rescaling(config: Config) -> Op:
    scale, offset = by_channel(config["scale"]), by_channel(config.get("offset", 0.0))
    if scale is None or offset is None:
        return Foreign(name="rescaling", what="rescaling that is not per channel")
    return affine(scale, offset)


def _normalization(config: Config) -> Op:
    axis = config.get("axis", -1)
    axes = [axis] if isinstance(axis, int) else [] if axis is None else list(axis)
    mean, variance = (by_channel(config.get(name)) for name in ("mean", "variance"))
    if axes not in ([], [-1], [3]) or config.get("invert"):
        return Foreign(
            name="normalization",
            what="inverted normalisation" if config.get("invert") else legible(f"normalisation on axis {axes}"),
        )
    if config.get("mean") is None and config.get("variance") is None:
        return Adapted(name="normalization", what="normalisation by its weights")
    if mean is None or variance is None or min(variance) < 0:
        return Foreign(name="normalization", what="normalisation that is not per channel")
    return standardised(mean, variance)


def standardised(mean: Numbers, variance: Numbers) -> Op:
    """(x - mean) / sqrt(variance), as Keras' Normalization computes it."""
    deviation = [max(number**0.5, SMALLEST_DEVIATION) for number in variance]
    count = max(len(mean), len(deviation))
    if not {len(mean), len(deviation)} <= {1, count}:
        return Foreign(name="normalization", what="normalisation that is not per channel")
    means, deviations = (tuple(each) * (count // len(each)) for each in (mean, deviation))
    return affine(
        tuple(1.0 / each for each in deviations),
        tuple(-one / other for one, other in zip(means, deviations, strict=True)),
    )


def by_channel(value: Any) -> Numbers | None:
    """Numbers, or a serialised array of them, by channel; None for anything else, such as numbers by position."""
    if is_array(value):
        value = value["config"]["value"]
    while isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], list | tuple):
        value = value[0]
    values = value if isinstance(value, list | tuple) else [value]
    fits = values and all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
    return tuple(map(float, values)) if fits else None


def is_array(value: Any) -> bool:
    """Whether a value is an array as Keras serialises it."""
    return isinstance(value, dict) and value.get("class_name") in ("__tensor__", "__numpy__")


def _resizing(config: Config) -> Op:
    how = "resizing" if "interpolation" in config else "centre crop"
    size = int(config["height"]), int(config["width"])
    return Resized(name="resizing", what=f"{how} to {size[0]}x{size[1]}", size=size)


def _flip(config: Config) -> Op:
    return _reversed() if config.get("axis") in (-1, 3, [-1], [3]) else Foreign(name="flip", what="flip")


READERS: dict[str, Callable[[Config], Op]] = {
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "Resizing": _resizing,
    "CenterCrop": _resizing,
    "Flip": _flip,
    **dict.fromkeys(AUGMENTATIONS, lambda config: Augmentation(name="augmentation", what="augmentation")),
}
