"""How a trained localiser looks at images, as data: wrong requests are refused before TensorFlow loads."""

from __future__ import annotations

from dataclasses import dataclass

from reskeras.errors import ReskerasError

LARGEST = 4096  # pixels of a shorter side
ALIKE = 1.15  # by which a scale may be outside those of a training


@dataclass(frozen=True)
class LocaliserViews:
    """On the centre crop, or with `dense`, pixels of the image's shorter side, on the whole image at each of these
    scales (v1 appendix C)."""

    dense: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        listed = ",".join(map(str, self.dense))
        if sorted({*self.dense}) != [*self.dense]:
            raise ReskerasError(f"dense: {listed}: should be increasing numbers of pixels, such as 224,256,384")
        if any(not 8 <= pixels <= LARGEST for pixels in self.dense):
            raise ReskerasError(f"dense: {listed}: should be between 8 and {LARGEST} pixels")

    def unseen(self, shorter: int, scales: tuple[float, float]) -> str:
        """A note on scales unlike those of a training on images of this shorter side, scaled by a factor in `scales`;
        empty where there are none."""
        low, high = shorter * scales[0] / ALIKE, shorter * scales[1] * ALIKE
        if not (odd := [pixels for pixels in self.dense if not low <= pixels <= high]):
            return ""
        seen = f"{shorter * scales[0]:.0f} to {shorter * scales[1]:.0f}" if scales[0] < scales[1] else str(shorter)
        return (
            f"dense: {', '.join(map(str, odd))}: the localiser was trained at a shorter side of {seen} pixels, and may "
            "be sure of wrong boxes at others; augment.scale in its recipe trains it at several"
        )

    def describe(self) -> str:
        """The views in a few words."""
        return f"dense, shorter sides {', '.join(map(str, self.dense))}" if self.dense else "centre crop"
