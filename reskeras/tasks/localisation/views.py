"""How a trained localiser looks at images, as data: wrong requests are refused before TensorFlow loads."""

from __future__ import annotations

from dataclasses import dataclass

from reskeras.errors import ReskerasError

LARGEST = 4096  # pixels of a shorter side


@dataclass(frozen=True)
class LocaliserViews:
    """On the centre crop, or with `dense`, pixels of the image's shorter side, on the whole image at each of these
    scales (v1 appendix C)."""

    dense: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        listed = ", ".join(map(str, self.dense))
        if sorted({*self.dense}) != [*self.dense]:
            raise ReskerasError(f"dense: {listed}: should be increasing numbers of pixels, such as 224,256,384")
        if any(not 8 <= pixels <= LARGEST for pixels in self.dense):
            raise ReskerasError(f"dense: {listed}: should be between 8 and {LARGEST} pixels")

    def describe(self) -> str:
        """The views in a few words."""
        return f"dense, shorter sides {', '.join(map(str, self.dense))}" if self.dense else "centre crop"
