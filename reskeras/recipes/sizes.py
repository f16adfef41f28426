"""Progressive image sizes, as data: which size the training images have from which epoch on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, Field

from reskeras.documents.fields import Pixels, within
from reskeras.errors import ReskerasError
from reskeras.plans.plan import Plan

Size = tuple[int, int]  # height and width
Change = tuple[Annotated[float, within(0, 1, below=True)], Pixels]


def _in_order(sizes: tuple[Change, ...]) -> tuple[Change, ...]:
    shares = [share for share, _ in sizes]
    if sizes and shares[0] != 0:
        raise ValueError(f"the first size should begin at share 0 of the training, not at {shares[0]:g}")
    for before, after in pairwise(shares):
        if after <= before:
            raise ValueError(f"shares of the training should rise, but {after:g} comes after {before:g}")
    return sizes


Sizes = Annotated[
    tuple[Change, ...],
    AfterValidator(_in_order),
    Field(
        max_length=100,
        description="Sizes of the training images: pairs of a share of the training and the length of the shorter side "
        "from the nearest start of an epoch on, such as [[0, 128], [0.6, 192]]. Validation, evaluation and export "
        "use the network's input_shape, as does training without sizes",
    ),
]


def sized(side: int, shape: tuple[int, ...]) -> Size:
    """The height and width of training images whose shorter side is `side`, as near to the aspect of the network's
    `shape` (height, width, channels) as whole pixels allow."""
    height, width = (round(side * each / min(shape[:2])) for each in shape[:2])
    return height, width


def size_changes(
    sizes: tuple[Change, ...], shape: tuple[int, ...], steps_per_epoch: int, steps: int
) -> dict[int, Size]:
    """The size of the training images from each epoch on (counted from 0) that begins with another one, in order.

    Of sizes whose shares are nearest to the same epoch the last one counts; those nearest to the end are left out.
    """
    epochs = -(-steps // steps_per_epoch)
    begins = {int(share * steps / steps_per_epoch + 0.5): sized(side, shape) for share, side in sizes}
    return {epoch: size for epoch, size in begins.items() if epoch < epochs}


def in_words(changes: Mapping[int, str], asked: int) -> str:
    """`128x128 from epoch 1, 192x192 from epoch 7`, and how many of the sizes `asked` for have no epoch."""
    told = ", ".join(f"{size} from epoch {epoch + 1}" for epoch, size in changes.items())
    left = asked - len(changes)
    return told + (f" ({left} of {asked} left out: the training has too few epochs)" if left else "")


def at_size(plan: Plan, size: Size) -> Plan:
    """`plan` for images of another height and width."""
    return replace(plan, input_shape=(*size, *plan.input_shape[2:]))


def at_largest(plan: Plan, sizes: tuple[Change, ...]) -> Plan:
    """`plan` at the largest size of the training images."""
    return at_size(plan, sized(max(side for _, side in sizes), plan.input_shape)) if sizes else plan


def check_sizes(sizes: tuple[Change, ...], plan: Plan) -> None:
    """Raise ReskerasError for a size that the network of `plan` cannot take."""
    for _, side in sizes:
        size = sized(side, plan.input_shape)
        other, stride = at_size(plan, size), plan.stride
        if any(own < least for own, least in zip(size, stride, strict=True)):
            raise ReskerasError(
                f"sizes: {side} is below the network's stride of {max(stride)} pixels; choose at least {max(stride)}"
            )
        try:
            shapes = other.weight_shapes()
        except ReskerasError as error:
            raise ReskerasError(f"sizes: {side} is too small for this network: {error}") from error
        for name, shape in plan.weight_shapes().items():
            if shapes[name] != shape:
                raise ReskerasError(
                    f"sizes: {name} of this network depends on the size of its images, so it can only be trained "
                    f"at {'x'.join(map(str, plan.input_shape[:2]))}; leave sizes out"
                )
