"""Activation orders (v2 figure 4, table 2): where BN and ReLU are in a unit."""

from __future__ import annotations

from dataclasses import dataclass

Words = tuple[str, ...]
BN: Words = ("bn",)
RELU: Words = ("relu",)
BN_RELU: Words = ("bn", "relu")
NOTHING: Words = ()


@dataclass(frozen=True)
class Order:
    """BN and ReLU before each convolution, after each but the last, after the last, after the addition,
    after a projection shortcut, after the stem's convolution, and before the head."""

    before: Words
    between: Words
    last: Words
    add: Words
    projection: Words
    stem: Words
    head: Words

    @property
    def preactivates(self) -> bool:
        """Whether the stream between units is raw, so that a unit activates its own input (v2 section 4)."""
        return bool(self.before)


ORDERS: dict[str, Order] = {
    # before, between, last, add, projection, stem, head
    "original": Order(NOTHING, BN_RELU, BN, RELU, BN, BN_RELU, NOTHING),
    "bn_after_add": Order(NOTHING, BN_RELU, NOTHING, BN_RELU, BN, BN_RELU, NOTHING),
    "relu_before_add": Order(NOTHING, BN_RELU, BN_RELU, NOTHING, BN, BN_RELU, NOTHING),
    "relu_preact": Order(RELU, BN, BN, NOTHING, BN, BN, RELU),
    "full_preact": Order(BN_RELU, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, BN_RELU),
}
