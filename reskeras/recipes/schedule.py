"""ScheduleSpec: the course of the learning rate, as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reskeras.documents.fields import Spec, whole, within


class ErrorWarmupSpec(Spec):
    """A warm-up that ends when the network has begun to learn: `rate` times the learning rate until the training
    error is below `error` (v1 section 4.2: 0.01 instead of 0.1 until 80%, for 110 layers)."""

    rate: Annotated[
        float,
        within(0, 1, above=True, below=True),
        Field(description="Multiple of the learning rate during the warm-up"),
    ] = 0.1
    error: Annotated[
        float, within(0, 1, above=True, below=True), Field(description="Training error below which it ends")
    ] = 0.8
    from_layers: Annotated[int, whole(0, 10_000), Field(description="Networks of fewer layers do not warm up")] = 0


class ScheduleSpec(Spec):
    """The learning rate as a multiple of `learning_rate`: a linear warm-up from 0, then `kind`.

    constant: 1. cosine: half a cosine from 1 to 0. linear: a line from 1 to 0. steps: times `factor` at each of
    `drops`. plateau: times `factor` when the watched error has not fallen by `least` for `patience` epochs (v1
    section 3.4). Positions are fractions of the whole training (v1 section 4.2 drops at 1/2 and 3/4), so that a
    recipe keeps its shape for any number of epochs.
    """

    kind: Annotated[
        Literal["constant", "cosine", "linear", "steps", "plateau"],
        Field(description="How the rate changes after the warm-up"),
    ] = "cosine"
    warmup: Annotated[
        float, within(0, 1, below=True), Field(description="Fraction of the training that is warm-up")
    ] = 0.0
    warmup_until: Annotated[
        ErrorWarmupSpec | None, Field(description="A warm-up that lasts until a training error is reached")
    ] = None
    drops: Annotated[
        tuple[Annotated[float, within(0, 1)], ...],
        Field(description="For steps: fractions of the training at which the rate drops"),
    ] = (0.5, 0.75)
    factor: Annotated[
        float,
        within(0, 1, above=True, below=True),
        Field(description="For steps and plateau: factor by which a drop multiplies the rate"),
    ] = 0.1
    patience: Annotated[
        int, whole(1, 10_000), Field(description="For plateau: epochs without improvement before a drop")
    ] = 5
    least: Annotated[float, within(0, 1), Field(description="For plateau: the smallest improvement that counts")] = (
        0.001
    )

    @property
    def follows_length(self) -> bool:
        """Whether the rate at a step depends on how long the whole training is."""
        return self.warmup > 0 or self.kind in ("cosine", "linear", "steps")

    @property
    def in_words(self) -> str:
        """`cosine after a warm-up`."""
        return f"{self.kind} after a warm-up" if self.warmup else self.kind
