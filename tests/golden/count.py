"""Counts every catalogued network from the papers' formulas, in its own way; run as a script it writes catalogue.json.

Imports nothing from reskeras, so that the golden file is somebody else's opinion. v1 is arXiv:1512.03385, v2 is
arXiv:1603.05027. A stage of n units of width w, c channels in, e out, at S x S positions:

    convolutions   basic 9cw + 9ww, bottleneck cw + 9ww + 4ww, single 9cw; c = e after the first unit (v1 figure 5)
    projections    ce where the shape changes (B), in every unit (C), none (A, plain)
    gates          ce + e in every unit (v2 section 3.1)
    batch norm     each convolution's outputs, projections included; full pre-activation: each convolution's inputs,
                   one for a unit whose branch and projection share it, none on projections, one before the head
    multiply-adds  every weight above but biases and batch norm is used S x S times, because the first convolution,
                   the projection and the gate all carry the unit's stride
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

WEIGHTS = {  # (first unit, every later unit) without batch norm, given channels in and width; v1 figure 5
    "basic": (lambda c, w: 9 * c * w + 9 * w * w, lambda w: 18 * w * w),
    "bottleneck": (lambda c, w: c * w + 13 * w * w, lambda w: 17 * w * w),
    "single": (lambda c, w: 9 * c * w, lambda w: 9 * w * w),
}
INNER = {"basic": 1, "bottleneck": 2, "single": 0}  # widths between the first convolution's input and the last's
EXPANSION = {"basic": 1, "bottleneck": 4, "single": 1}


class Net(NamedTuple):
    """One row: `imagenet` decides stem, widths and input; units are per stage."""

    imagenet: bool
    block: str
    units: tuple[int, ...]
    shortcut: str
    preact: bool = False  # only full pre-activation moves batch norms; figure 4 (b) to (d) keep their number
    gated: bool = False


def imagenet(depth: int, shortcut: str, preact: bool = False) -> Net:
    """v1 table 1, and 200 layers of v2 table 5."""
    units = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
             200: (3, 24, 36, 3)}[depth]
    return Net(True, "basic" if depth < 50 else "bottleneck", units, shortcut, preact)


def cifar(depth: int, shortcut: str, block: str = "basic", **rest: bool) -> Net:
    """v1 section 4.2: 6n + 2 layers; 9n + 2 of bottlenecks and 3n + 2 of one-layer units (v2 table 3)."""
    n, left = divmod(depth - 2, {"basic": 6, "bottleneck": 9, "single": 3}[block])
    assert not left, depth
    return Net(False, block, (n, n, n), shortcut, **rest)


TABLE: dict[str, Net] = {
    **{f"plain-{d}": imagenet(d, "none") for d in (18, 34)},
    **{f"resnet-{d}": imagenet(d, "B") for d in (18, 34, 50, 101, 152, 200)},
    **{f"resnet-{d}-B": imagenet(d, "B") for d in (18, 34, 50, 101, 152, 200)},
    **{f"preact-{d}": imagenet(d, "B", preact=True) for d in (18, 34, 50, 101, 152, 200)},
    "resnet-18-A": imagenet(18, "A"),
    "resnet-34-A": imagenet(34, "A"),
    "resnet-34-C": imagenet(34, "C"),
    **{f"cifar-plain-{d}": cifar(d, "none") for d in (20, 32, 44, 56, 110, 1202)},
    **{f"cifar-resnet-{d}": cifar(d, "A") for d in (20, 32, 44, 56, 110, 1202)},
    **{f"cifar-resnet-{d}": cifar(d, "B", "bottleneck") for d in (164, 1001)},
    "cifar-preact-110": cifar(110, "A", preact=True),
    **{f"cifar-preact-{d}": cifar(d, "B", "bottleneck", preact=True) for d in (164, 1001)},
    "cifar-resnet-110-1layer": cifar(110, "A", "single"),
    "cifar-preact-110-1layer": cifar(110, "A", "single", preact=True),
}
GATES = [f"exclusive-gate-bias{b}" for b in (0, -1, -2, -3, -4, -5, -6, -7)]
GATES += ["shortcut-gate-bias0", "shortcut-gate-bias-6"]
WEIGHTLESS = ["scale-0-1", "scale-0.5-1", "scale-0.5-0.5", "dropout-0.5"]
SAME_COUNT = ["bn-after-add", "relu-before-add", "relu-preact"]
for _depth, _shortcut, _block in ((110, "A", "basic"), (164, "B", "bottleneck")):
    for _name in GATES + WEIGHTLESS + SAME_COUNT:
        TABLE[f"cifar-resnet-{_depth}-{_name}"] = cifar(_depth, _shortcut, _block, gated=_name in GATES)
    TABLE[f"cifar-resnet-{_depth}-conv1x1"] = cifar(_depth, "C", _block)


def count(net: Net) -> dict:
    """Trainable parameters, moving statistics, multiply-adds and shapes of one residual or plain network."""
    side, widths, classes = (56, (64, 128, 256, 512), 1000) if net.imagenet else (32, (16, 32, 64), 10)
    c = widths[0]
    stem = 3 * c * (49 if net.imagenet else 9)
    multiply_adds = stem * (112 * 112 if net.imagenet else 32 * 32)  # before the max-pool
    # the stem's batch norm; full pre-activation has it only before a max-pool, v2 appendix
    weights, biases, normed = stem, 0, 0 if net.preact and not net.imagenet else c
    shapes = {"stem": [side, side, c]}
    first, later = WEIGHTS[net.block]
    for number, (n, w) in enumerate(zip(net.units, widths, strict=True), start=1):
        e, strided = w * EXPANSION[net.block], number > 1
        side //= 1 + strided
        here = first(c, w) + (n - 1) * later(w)
        change, every = c * e, c * e + (n - 1) * e * e  # 1x1 convolutions where the shape changes, and in every unit
        changes = strided or c != e
        here += {"A": 0, "none": 0, "B": changes * change, "C": every}[net.shortcut] + net.gated * every
        biases += net.gated * n * e
        if net.preact:
            normed += c + (n - 1) * e + n * INNER[net.block] * w
        else:
            projections = {"A": 0, "none": 0, "B": int(changes), "C": n}[net.shortcut]
            normed += n * (INNER[net.block] * w + e) + projections * e
        weights, multiply_adds = weights + here, multiply_adds + here * side * side
        shapes[f"stage{number}"], c = [side, side, e], e
    normed += c * net.preact
    dense = c * classes
    return {"parameters": weights + biases + 2 * normed + dense + classes, "moving_statistics": 2 * normed,
            "multiply_adds": multiply_adds + dense, "shapes": {**shapes, "logits": [classes]}}


def vgg19() -> dict:
    """VGG-19 (arXiv:1409.1556, configuration E): biased 3x3 convolutions, no batch norm; the pool ends a stage."""
    weights = biases = multiply_adds = 0
    shapes, c, side = {}, 3, 224
    for number, (n, w) in enumerate(((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)), start=1):
        here = 9 * c * w + (n - 1) * 9 * w * w
        weights, biases, multiply_adds = weights + here, biases + n * w, multiply_adds + here * side * side
        c, side = w, side // 2
        shapes[f"stage{number}"] = [side, side, c]
    dense = 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    return {"parameters": weights + biases + dense + 4096 + 4096 + 1000, "moving_statistics": 0,
            "multiply_adds": multiply_adds + dense, "shapes": {**shapes, "logits": [1000]}}


def catalogue() -> dict[str, dict]:
    """Every name and its figures."""
    return {"vgg-19": vgg19(), **{name: count(net) for name, net in TABLE.items()}}


def text() -> str:
    """What catalogue.json holds: one network a line, sorted by name."""
    rows = sorted(catalogue().items())
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows) + "\n}\n"


if __name__ == "__main__":
    Path(__file__).with_name("catalogue.json").write_text(text(), encoding="utf-8")
