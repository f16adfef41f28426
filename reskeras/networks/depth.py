"""Depth to stages: a catalogued depth, else 6n+2 basic or 9n+2 bottleneck layers (v1 section 4.2, v2 section 5)."""

from __future__ import annotations

from collections.abc import Iterator

from reskeras.errors import ReskerasError
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.families import CIFAR_DEPTHS, FAMILIES, IMAGENET_DEPTHS

Reading = tuple[str, str, tuple[int, ...]]  # family, block, units in each stage
DEEPEST = 20_000


def read_depth(depth: int, family: str | None = None, block: str | None = None) -> Reading:
    """Family, block and units per stage of a depth: the first reading that agrees with `family` and `block`, if given.

    Raises ReskerasError naming the nearest depths that have a reading.
    """
    reading = next(_readings(depth, family, block), None)
    if reading is None:
        raise ReskerasError(_no_reading(depth, family, block))
    return reading


def _readings(depth: int, family: str | None, block: str | None) -> Iterator[Reading]:
    for name, table in (("imagenet", IMAGENET_DEPTHS), ("cifar", CIFAR_DEPTHS)):
        if depth in table and family in (None, name) and block in (None, table[depth][0]):
            yield name, *table[depth]
    if family in (None, "cifar"):
        stages = len(FAMILIES["cifar"].widths)
        for form in ("basic", "bottleneck") if block is None else (block,):
            units, rest = divmod(depth - 2, stages * len(BLOCKS[form].kernels))
            if units > 0 and rest == 0:
                yield "cifar", form, (units,) * stages


def _no_reading(depth: int, family: str | None, block: str | None) -> str:
    nearest = []
    for step in (-1, 1):
        candidates = range(depth + step, 1 if step < 0 else DEEPEST, step)
        nearest += [next((near for near in candidates if next(_readings(near, family, block), None)), None)]
    choices = " and ".join(str(near) for near in nearest if near is not None)
    given = " and ".join(f"{field} {value}" for field, value in (("family", family), ("block", block)) if value)
    rule = "imagenet has " + ", ".join(map(str, IMAGENET_DEPTHS)) + "; cifar has 6n+2 basic, 9n+2 bottleneck"
    rule += ", 3n+2 single" if block == "single" else ""
    kind = f"a network with {given}" if given else "a network"
    near = f"the nearest {'is' if None in nearest else 'are'} {choices}" if choices else "no depth is"
    return f"depth: {depth} is not a possible depth of {kind}; {near} ({rule})"
