"""WhitenSpec: a first convolution that whitens the training images, as data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reskeras.documents.fields import Spec, whole, within
from reskeras.errors import ReskerasError
from reskeras.plans.operations import Conv
from reskeras.plans.plan import Plan
from reskeras.printable import counted


class WhitenSpec(Spec):
    """Whitening (hlb-CIFAR10; arXiv:2404.00498, section 3.2): the network's first convolution begins with the
    eigenvectors of its window's patches of training images, each divided by the root of its eigenvalue plus `epsilon`,
    and their negatives."""

    images: Annotated[
        int,
        whole(1, 1_000_000),
        Field(description="Maximum number of training images; fewer if they are large, for five million patches"),
    ] = 5000
    epsilon: Annotated[
        float, within(0, 1, above=True), Field(description="Added to each eigenvalue before its root is taken")
    ] = 5e-4
    frozen: Annotated[bool, Field(description="Its kernel is not trained; its bias is")] = True

    def convolution(self, plan: Plan) -> Conv:
        """The convolution of `plan` to whiten with; ReskerasError where it cannot be that."""
        first = next((node for node in plan.ops() if node.weighted), None)
        if not isinstance(first, Conv) or first.groups > 1:
            raise ReskerasError("whiten: needs a network that begins with a convolution")
        rows, columns = first.kernel
        wanted = 2 * rows * columns * plan.input_shape[-1]
        if first.filters != wanted:
            raise ReskerasError(
                f"whiten: {first.name} has {first.filters} filters, but a whitening {rows}x{columns} convolution of "
                f"{counted(plan.input_shape[-1], 'channel')} has {wanted}; set "
                f"stem.convs.0.width to {wanted}, or whiten to null"
            )
        return first
