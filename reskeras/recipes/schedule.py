"""ScheduleSpec: the course of the learning rate, as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reskeras.documents.fields import Spec, whole, within


class ErrorWarmupSpec(Spec):
    """A warm-up that ends when the network has begun to learn: `rate` times the learning rate until the training
    error is below `error` (v1 section 4.2: 0.01 instead of 0.1 until 80 %, for 110 layers)."""

    rate: Annotated[float, within(0, 1, above=True, below=True)] = 0.1
    error: Annotated[float, within(0, 1, above=True, below=True)] = 0.8
    from_layers: Annotated[int, whole(0, 10_000), Field(description="Networks of fewer layers do not warm up")] = 0


class ScheduleSpec(Spec):
    """The learning rate as a multiple of `learning_rate`: a linear warm-up from 0, then `kind`.

    constant: 1. cosine: half a cosine from 1 to 0. linear: a line from 1 to 0. steps: times `factor` at each of
    `drops`. plateau: times `factor` when the watched error has not fallen by `least` for `patience` epochs (v1
    section 3.4). Positions are fractions of the whole training (v1 section 4.2 drops at 1/2 and 3/4), so that a
    recipe keeps its shape for any number of epochs.
    """

    kind: Literal["constant", "cosine", "linear", "steps", "plateau"] = "cosine"
    warmup: Annotated[float, within(0, 1, below=True)] = 0.0
    warmup_until: ErrorWarmupSpec | None = None
    drops: tuple[Annotated[float, within(0, 1)], ...] = (0.5, 0.75)
    factor: Annotated[float, within(0, 1, above=True, below=True)] = 0.1
    patience: Annotated[int, whole(1, 10_000)] = 5
    least: Annotated[float, within(0, 1)] = 0.001

    @property
    def follows_length(self) -> bool:
        """Whether the rate at a step depends on how long the whole training is."""
        return self.warmup > 0 or self.kind in ("cosine", "linear", "steps")

    @property
    def in_words(self) -> str:
        """`cosine after a warm-up`."""
        return f"{self.kind} after a warm-up" if self.warmup else self.kind
