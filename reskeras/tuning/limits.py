"""Upper bounds on a candidate's cost, and the refusals of candidates that exceed them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields

from reskeras.errors import ReskerasError
from reskeras.plans.complexity import Cost
from reskeras.printable import counted
from reskeras.recipes.recipe import Recipe


@dataclass(frozen=True)
class Limits:
    """Upper bounds on a candidate; None is no bound.

    params: trainable parameters. multiply_adds: for one image. activation_memory: bytes that one training step keeps
    for the backward pass. These are counted from the plan. latency_ms: for one image in float32 on this machine,
    measured on the built model.
    """

    params: int | None = None
    multiply_adds: int | None = None
    activation_memory: int | None = None
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        """Refuse a bound that no network can meet."""
        for field in fields(self):
            bound = getattr(self, field.name)
            if bound is not None and not bound > 0:
                raise ReskerasError(f"max_{field.name}: {bound}: should be more than 0")

    def check(self, cost: Cost, recipe: Recipe) -> None:
        """Raise Refused when `cost` exceeds a bound."""
        found = {
            "params": cost.parameters,
            "multiply_adds": cost.multiply_adds,
            "activation_memory": activation_bytes(cost, recipe),
        }
        for name, value in found.items():
            bound = getattr(self, name)
            if bound is not None and value > bound:
                raise Refused(f"max_{name}", f"{name} {value:,} is more than {bound:,}")

    def check_latency(self, milliseconds: float) -> None:
        """Raise Refused when the latency of an image exceeds the bound."""
        if self.latency_ms is not None and milliseconds > self.latency_ms:
            raise Refused("max_latency_ms", f"latency {milliseconds:.2f} ms is more than {self.latency_ms:g} ms")


class Refused(ReskerasError):
    """A refused candidate; `kind` is the limit that it exceeds, or `invalid`."""

    def __init__(self, kind: str, reason: str):
        super().__init__(reason)
        self.kind = kind


class Refusals:
    """Counts of refused candidates by kind, with the last reason of each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}

    def add(self, refused: Refused) -> None:
        """Count one."""
        self.counts[refused.kind] += 1
        self.reasons[refused.kind] = str(refused)

    def describe(self) -> str:
        """`12 candidates rejected: 10 max_params (such as ...), 2 invalid (such as ...)`; empty when there are none."""
        if not self.counts:
            return ""
        parts = (f"{count:,} {kind} (such as: {self.reasons[kind]})" for kind, count in self.counts.most_common())
        return f"{counted(self.counts.total(), 'candidate')} rejected: {', '.join(parts)}"


def activation_bytes(cost: Cost, recipe: Recipe) -> int:
    """Bytes that a training step keeps for the backward pass, at the recipe's batch size and precision."""
    precision = "float32" if recipe.precision == "auto" else recipe.precision
    return cost.activation_bytes(recipe.step_images, precision)
