"""LookaheadSpec: slow weights that lead the training, as data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reskeras.documents.fields import Spec, whole, within


class LookaheadSpec(Spec):
    """Lookahead (arXiv:1907.08610): every `steps` updates slow weights move towards the weights, which continue there.

    The slow weights begin as the weights after the first update; they are validated and saved instead of the weights.
    """

    steps: Annotated[int, whole(1, 10_000), Field(description="Updates between moves of the slow weights")] = 5
    momentum: Annotated[
        float,
        within(0, 1, below=True),
        Field(description="Share of the old slow weights in the new ones; 1 - alpha of the paper"),
    ] = 0.5
    ramp: Annotated[
        float,
        within(0, 20),
        Field(
            description="The momentum rises with this power of the finished share of the training, 3 in "
            "arXiv:2404.00498; 0: constant"
        ),
    ] = 0.0
