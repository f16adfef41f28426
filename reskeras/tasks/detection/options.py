"""How a trained detector looks at images, as data: wrong requests are refused before TensorFlow loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reskeras.errors import ReskerasError, unknown

LEAST_TILE, LARGEST_TILE = 32, 8192  # pixels
CANONICAL = 224.0  # pixels: regions are pooled at the scales where their side is nearest to this, ImageNet's crop


@dataclass(frozen=True)
class Options:
    """Test-time options (v1 appendix B).

    `refine`: iterative box refinement: detected boxes are classified and regressed once more; both sets together go
    through NMS at 0.3 and box voting. `scales`: multi-scale testing: factors of the image as the detector sees it; each
    region is pooled at the two adjacent scales where its side is nearest to `canonical` pixels, and the element-wise
    maximum of the features is taken (maxout). Proposals are made at scale 1. `shorter`: the same with the pixels of the
    image's shorter side at each scale; its longer side is at most as many times that as the detector's own.
    """

    refine: bool = False
    scales: tuple[float, ...] = ()
    canonical: float = CANONICAL
    shorter: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.scales and self.shorter:
            raise ReskerasError("shorter: contradicts scales; give factors or pixels, not both")
        if self.shorter and (len(self.shorter) < 2 or sorted(set(self.shorter)) != list(self.shorter)):
            raise ReskerasError(
                f"shorter: {_listed(self.shorter)}: should be two or more increasing numbers of pixels, such as "
                "200,400,600,800,1000"
            )
        if any(not 16 <= pixels <= 4096 for pixels in self.shorter):
            raise ReskerasError(f"shorter: {_listed(self.shorter)}: should be between 16 and 4096 pixels")
        if self.scales and (len(self.scales) < 2 or sorted(set(self.scales)) != list(self.scales)):
            raise ReskerasError(
                f"scales: {_listed(self.scales)}: should be two or more increasing factors, such as 0.75,1,1.5"
            )
        if any(not 0.1 <= factor <= 8 for factor in self.scales):
            raise ReskerasError(f"scales: {_listed(self.scales)}: should be between 0.1 and 8")
        if not 1 <= self.canonical <= 8192:
            raise ReskerasError(f"canonical: {self.canonical:g}: should be between 1 and 8192 pixels")

    def describe(self) -> str:
        """The options in a few words."""
        words = ["single scale"]
        if self.scales:
            words = [f"scales {_listed(self.scales)}"]
        if self.shorter:
            words = [f"shorter sides of {_listed(self.shorter)} pixels"]
        return ", ".join([*words, *(["refined and voted"] if self.refine else [])])


@dataclass(frozen=True)
class Tiling:
    """Prediction in square tiles of `side` pixels of the image, each of which overlaps its neighbours by at least
    `overlap` pixels (default: a quarter of the side), and in the whole image: for small objects in large images."""

    side: int
    overlap: int | None = None

    def __post_init__(self) -> None:
        if not LEAST_TILE <= self.side <= LARGEST_TILE:
            raise ReskerasError(f"tile: {self.side:,}: should be {LEAST_TILE} to {LARGEST_TILE:,} pixels")
        if self.overlap is not None and not 0 <= self.overlap <= self.side // 2:
            raise ReskerasError(
                f"tile-overlap: {self.overlap:,}: should be 0 to half of the tile's side, {self.side // 2:,} pixels"
            )

    @property
    def shared(self) -> int:
        """The least overlap, in pixels."""
        return self.side // 4 if self.overlap is None else self.overlap


def _listed(scales: tuple[float, ...]) -> str:
    return ", ".join(f"{factor:g}" for factor in scales)


def check_score(score: float | None) -> None:
    """ReskerasError for a score threshold out of range."""
    if score is not None and not 0 <= score < 1:
        raise ReskerasError(f"score: {score:g}: should be 0 or more, and below 1")


def class_numbers(known: Sequence[str], wanted: str | Sequence[str] | None) -> list[int] | None:
    """The numbers of some classes, in their order; None for all. ReskerasError for one that is not `known`, or none."""
    if wanted is None:
        return None
    names = [wanted] if isinstance(wanted, str) else [*wanted]
    if not names:
        raise ReskerasError("classes: none are named; leave them out for all")
    for name in names:
        if name not in known:
            raise unknown("classes", name, known)
    return sorted({[*known].index(name) for name in names})
