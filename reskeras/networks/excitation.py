"""Squeeze-and-excitation (arXiv:1709.01507 section 3): the width of its bottleneck."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import gcd


def middle(channels: int, squeeze: int, multiple: int = 1) -> int:
    """Bottleneck width: `channels` / `squeeze`, at least 1, or rounded to a `multiple`, at least one, as in timm."""
    if multiple == 1:
        return max(channels // squeeze, 1)
    return max(multiple, int(channels / squeeze + multiple / 2) // multiple * multiple)


def squeeze_of(pairs: Sequence[tuple[int, int]]) -> tuple[int | None, int]:
    """(squeeze, multiple) that yield all `pairs` of (channels, bottleneck width), or the commonest ratio if none do.

    Squeeze is None without pairs.
    """
    ratios = [each for each, _ in Counter(channels // inside for channels, inside in pairs).most_common()]
    multiples = dict.fromkeys((1, gcd(*(inside for _, inside in pairs))))
    for multiple in multiples:
        for ratio in ratios:
            if all(inside == middle(channels, ratio, multiple) for channels, inside in pairs):
                return ratio, multiple
    return (ratios[0] if ratios else None), 1
