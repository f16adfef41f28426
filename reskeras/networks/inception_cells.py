"""The cells, reductions and stems of Inception-v4 and Inception-ResNet (arXiv:1602.07261), as tables of branches."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

# A word is a convolution with batch norm and ReLU, kernel rows x columns and filters, or a 3x3 pool; `V` is without
# padding, as in the figures. A tuple in a branch is a fork whose branches are concatenated.
WORD = re.compile(
    r"(?:(?P<rows>\d)x(?P<columns>\d) (?P<filters>\d+)|(?P<pool>max|average))"
    r"(?: /(?P<stride>\d))?(?P<valid> V)?"
)
Branch = tuple[Any, ...]  # of words and of tuples of branches
Branches = tuple[Branch, ...]
Name = Literal["v4", "resnet-v1", "resnet-v2"]
StemName = Literal["v4", "resnet-v1", "released", "small"]

STEMS: dict[StemName, Branch] = {
    # figure 3
    "v4": (
        "3x3 32 /2 V",
        "3x3 32 V",
        "3x3 64",
        (("max /2 V",), ("3x3 96 /2 V",)),
        (("1x1 64", "3x3 96 V"), ("1x1 64", "7x1 64", "1x7 64", "3x3 96 V")),
        (("3x3 192 /2 V",), ("max /2 V",)),
    ),
    # figure 14
    "resnet-v1": ("3x3 32 /2 V", "3x3 32 V", "3x3 64", "max /2 V", "1x1 80", "3x3 192 V", "3x3 256 /2 V"),
    # the released Inception-ResNet-v2 has Inception-v3's stem and first cell
    "released": (
        "3x3 32 /2 V",
        "3x3 32 V",
        "3x3 64",
        "max /2 V",
        "1x1 80",
        "3x3 192 V",
        "max /2 V",
        (("1x1 96",), ("1x1 48", "5x5 64"), ("1x1 64", "3x3 96", "3x3 96"), ("average", "1x1 64")),
    ),
    # our own, for images of about 32 pixels: cells A work at half that size
    "small": ("3x3 32", "3x3 64 /2"),
}


@dataclass(frozen=True)
class CellKind:
    """One network of the paper: its stem, the number of cells A, B and C, the cells, and the two reductions between
    them. `residual` cells end in a linear 1x1 convolution and are added to the stream."""

    stem: StemName
    counts: tuple[int, int, int]
    cells: tuple[Branches, Branches, Branches]
    reductions: tuple[Branches, Branches]
    residual: bool


KINDS: dict[Name, CellKind] = {
    # figures 4 to 8; figure 7 has its numbers in table 1
    "v4": CellKind(
        "v4",
        (4, 7, 3),
        (
            (("1x1 96",), ("1x1 64", "3x3 96"), ("1x1 64", "3x3 96", "3x3 96"), ("average", "1x1 96")),
            (
                ("1x1 384",),
                ("1x1 192", "1x7 224", "7x1 256"),
                ("1x1 192", "1x7 192", "7x1 224", "1x7 224", "7x1 256"),
                ("average", "1x1 128"),
            ),
            (
                ("1x1 256",),
                ("1x1 384", (("1x3 256",), ("3x1 256",))),
                ("1x1 384", "1x3 448", "3x1 512", (("3x1 256",), ("1x3 256",))),
                ("average", "1x1 256"),
            ),
        ),
        (
            (("3x3 384 /2 V",), ("1x1 192", "3x3 224", "3x3 256 /2 V"), ("max /2 V",)),
            (("1x1 192", "3x3 192 /2 V"), ("1x1 256", "1x7 256", "7x1 320", "3x3 320 /2 V"), ("max /2 V",)),
        ),
        residual=False,
    ),
    # figures 10 to 13
    "resnet-v1": CellKind(
        "resnet-v1",
        (5, 10, 5),
        (
            (("1x1 32",), ("1x1 32", "3x3 32"), ("1x1 32", "3x3 32", "3x3 32")),
            (("1x1 128",), ("1x1 128", "1x7 128", "7x1 128")),
            (("1x1 192",), ("1x1 192", "1x3 192", "3x1 192")),
        ),
        (
            (("3x3 384 /2 V",), ("1x1 192", "3x3 192", "3x3 256 /2 V"), ("max /2 V",)),
            (
                ("1x1 256", "3x3 384 /2 V"),
                ("1x1 256", "3x3 256 /2 V"),
                ("1x1 256", "3x3 256", "3x3 256 /2 V"),
                ("max /2 V",),
            ),
        ),
        residual=True,
    ),
    # figures 16 to 19. The stream after the reductions is 1,152 and 2,144 wide; figures 17 and 19 print 1,154 and
    # 2,048 for the convolution that is added to it, which fits no stream, so it is made as wide as the stream
    "resnet-v2": CellKind(
        "v4",
        (5, 10, 5),
        (
            (("1x1 32",), ("1x1 32", "3x3 32"), ("1x1 32", "3x3 48", "3x3 64")),
            (("1x1 192",), ("1x1 128", "1x7 160", "7x1 192")),
            (("1x1 192",), ("1x1 192", "1x3 224", "3x1 256")),
        ),
        (
            (("3x3 384 /2 V",), ("1x1 256", "3x3 256", "3x3 384 /2 V"), ("max /2 V",)),
            (
                ("1x1 256", "3x3 384 /2 V"),
                ("1x1 256", "3x3 288 /2 V"),
                ("1x1 256", "3x3 288", "3x3 320 /2 V"),
                ("max /2 V",),
            ),
        ),
        residual=True,
    ),
}
SCALING = (0.17, 0.1, 0.2)  # the released factors; section 3.3 has "between 0.1 and 0.3"
