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

Later bottlenecks have i inside instead of w (ResNeXt, wide networks), 9ii/g in the 3x3 of g groups, the stride in that
3x3 (so that the first 1x1 works on the larger image), and with squeeze-and-excitation 2ee/r weights and e + e/r biases
used once an image. ResNet-D has three 3x3 convolutions in its stem; its projection follows the pool, so costs the same.

Inception (arXiv:1602.07261) is a list of convolutions: area of the kernel, channels in, filters. See `inception`.
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
    units = {
        18: (2, 2, 2, 2),
        34: (3, 4, 6, 3),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
        200: (3, 24, 36, 3),
    }[depth]
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
    return {
        "parameters": weights + biases + 2 * normed + dense + classes,
        "moving_statistics": 2 * normed,
        "multiply_adds": multiply_adds + dense,
        "shapes": {**shapes, "logits": [classes]},
    }


BOTTLENECKS = {  # units, inner width over w, groups, squeeze, deep stem
    "resnext-50-32x4d": ((3, 4, 6, 3), 2, 32, 0, False),
    "resnext-101-32x8d": ((3, 4, 23, 3), 4, 32, 0, False),
    "wide-resnet-50-2": ((3, 4, 6, 3), 2, 1, 0, False),
    "wide-resnet-101-2": ((3, 4, 23, 3), 2, 1, 0, False),
    "se-resnet-50": ((3, 4, 6, 3), 1, 1, 16, False),
    "resnet-50-d": ((3, 4, 6, 3), 1, 1, 0, True),
}


def bottlenecks(units: tuple[int, ...], inner: int, groups: int, squeeze: int, deep: bool) -> dict:
    """A bottleneck network for ImageNet whose 3x3 convolutions carry the stride."""
    weights = 27 * 32 + 9 * 32 * 32 + 9 * 32 * 64 if deep else 49 * 3 * 64
    biases, normed, multiply_adds = 0, 128 if deep else 64, weights * 112 * 112
    c, large, shapes = 64, 56, {"stem": [56, 56, 64]}
    for number, n in enumerate(units, start=1):
        w, small = 64 << (number - 1), 56 >> (number - 1)
        i, e = inner * w, 4 * w
        at_large = c * i  # the first 1x1 of the first unit, before the stride
        at_small = (n - 1) * e * i + n * (9 * i * i // groups + i * e) + c * e
        once = n * 2 * e * (e // squeeze) if squeeze else 0
        biases += n * (e + e // squeeze) if squeeze else 0
        normed += n * (2 * i + e) + e
        weights += at_large + at_small + once
        multiply_adds += at_large * large * large + at_small * small * small + once
        c, large = e, small
        shapes[f"stage{number}"] = [small, small, e]
    return {
        "parameters": weights + biases + 2 * normed + 2048 * 1000 + 1000,
        "moving_statistics": 2 * normed,
        "multiply_adds": multiply_adds + 2048 * 1000,
        "shapes": {**shapes, "logits": [1000]},
    }


# (area, channels in, filters) of every convolution of a cell; 0 in: what the cell gets; a negative area: with stride 2
INCEPTION = {
    "v4": {  # figures 4 to 8, table 1
        "A": [(1, 0, 96), (1, 0, 96), (1, 0, 64), (9, 64, 96), (1, 0, 64), (9, 64, 96), (9, 96, 96)],
        "to B": [(-9, 0, 384), (1, 0, 192), (9, 192, 224), (-9, 224, 256)],
        "B": [
            (1, 0, 128),
            (1, 0, 384),
            (1, 0, 192),
            (7, 192, 224),
            (7, 224, 256),
            (1, 0, 192),
            (7, 192, 192),
            (7, 192, 224),
            (7, 224, 224),
            (7, 224, 256),
        ],
        "to C": [(1, 0, 192), (-9, 192, 192), (1, 0, 256), (7, 256, 256), (7, 256, 320), (-9, 320, 320)],
        "C": [
            (1, 0, 256),
            (1, 0, 256),
            (1, 0, 384),
            (3, 384, 256),
            (3, 384, 256),
            (1, 0, 384),
            (3, 384, 448),
            (3, 448, 512),
            (3, 512, 256),
            (3, 512, 256),
        ],
    },
    "resnet-v1": {  # figures 10 to 13
        "A": [(1, 0, 32), (1, 0, 32), (9, 32, 32), (1, 0, 32), (9, 32, 32), (9, 32, 32)],
        "to B": [(-9, 0, 384), (1, 0, 192), (9, 192, 192), (-9, 192, 256)],
        "B": [(1, 0, 128), (1, 0, 128), (7, 128, 128), (7, 128, 128)],
        "to C": [(1, 0, 256), (-9, 256, 384), (1, 0, 256), (-9, 256, 256), (1, 0, 256), (9, 256, 256), (-9, 256, 256)],
        "C": [(1, 0, 192), (1, 0, 192), (3, 192, 192), (3, 192, 192)],
    },
    "resnet-v2": {  # figures 16 to 19
        "A": [(1, 0, 32), (1, 0, 32), (9, 32, 32), (1, 0, 32), (9, 32, 48), (9, 48, 64)],
        "to B": [(-9, 0, 384), (1, 0, 256), (9, 256, 256), (-9, 256, 384)],
        "B": [(1, 0, 192), (1, 0, 128), (7, 128, 160), (7, 160, 192)],
        "to C": [(1, 0, 256), (-9, 256, 384), (1, 0, 256), (-9, 256, 288), (1, 0, 256), (9, 256, 288), (-9, 288, 320)],
        "C": [(1, 0, 192), (1, 0, 192), (3, 192, 224), (3, 224, 256)],
    },
}
# what the branches of a cell end in, together; in the residual networks it goes into the linear 1x1 convolution
ENDS = {
    "v4": {"A": 384, "B": 1024, "C": 1536},
    "resnet-v1": {"A": 96, "B": 256, "C": 384},
    "resnet-v2": {"A": 128, "B": 384, "C": 448},
}
ADDED = {"v4": (640, 512), "resnet-v1": (640, 896), "resnet-v2": (768, 992)}  # channels that a reduction puts on top
# stems for 299 pixels: (area, channels in, filters, positions along a side), and the channels they end in
INCEPTION_STEMS = {
    "v4": (
        [
            (9, 3, 32, 149),
            (9, 32, 32, 147),
            (9, 32, 64, 147),
            (9, 64, 96, 73),
            (1, 160, 64, 73),
            (9, 64, 96, 71),
            (1, 160, 64, 73),
            (7, 64, 64, 73),
            (7, 64, 64, 73),
            (9, 64, 96, 71),
            (9, 192, 192, 35),
        ],
        384,
    ),
    "resnet-v1": (
        [(9, 3, 32, 149), (9, 32, 32, 147), (9, 32, 64, 147), (1, 64, 80, 73), (9, 80, 192, 71), (9, 192, 256, 35)],
        256,
    ),
    "released": (
        [
            (9, 3, 32, 149),
            (9, 32, 32, 147),
            (9, 32, 64, 147),
            (1, 64, 80, 73),
            (9, 80, 192, 71),
            (1, 192, 96, 35),
            (1, 192, 48, 35),
            (25, 48, 64, 35),
            (1, 192, 64, 35),
            (9, 64, 96, 35),
            (9, 96, 96, 35),
            (1, 192, 64, 35),
        ],
        320,
    ),
    "small": ([(9, 3, 8, 32), (9, 8, 16, 16)], 16),  # a quarter of 32 and 64
}


def inception(kind: str, stem: str, cells: tuple[int, int, int], final: int = 0, gamma: bool = True) -> dict:
    """An Inception network: for 299 pixels and 1000 classes, or of a quarter of the widths for 32 pixels and 10.

    `final` filters of a last 1x1 convolution. Batch norm has a shift, and with `gamma` a scale, for every convolution
    but the linear ones, which have biases.
    """
    small = stem == "small"
    sides, quarter, classes = ((16, 7, 3), 4, 10) if small else ((35, 17, 8), 1, 1000)
    convs, c = INCEPTION_STEMS[stem]
    totals = {"weights": 0, "normed": 0, "biases": 0, "multiply_adds": 0}

    def add(area: int, narrow: int, filters: int, side: int, linear: bool = False, times: int = 1) -> None:
        totals["weights"] += times * area * narrow * filters
        totals["multiply_adds"] += times * area * narrow * filters * side * side
        totals["biases" if linear else "normed"] += times * filters

    for conv in convs:
        add(*conv)
    shapes = {"stem": [sides[0], sides[0], c]}
    for stage, (letter, n) in enumerate(zip("ABC", cells, strict=True)):
        if stage:
            for area, narrow, filters in INCEPTION[kind][f"to {letter}"]:
                add(abs(area), narrow // quarter or c, filters // quarter, sides[stage - (area > 0)])
            c += ADDED[kind][stage - 1] // quarter
        end = ENDS[kind][letter] // quarter
        for place in range(n):
            for area, narrow, filters in INCEPTION[kind][letter]:
                add(area, narrow // quarter or c, filters // quarter, sides[stage])
            if kind == "v4":
                assert end == c or (stage, place) == (0, 0)
                c = end
            else:
                add(1, end, c, sides[stage], linear=True)
        shapes[f"stage{stage + 1}"] = [sides[stage], sides[stage], c]
    if final:
        add(1, c, final, sides[-1])
        c = final
    parameters = totals["weights"] + totals["biases"] + c * classes + classes
    return {
        "parameters": parameters + (1 + gamma) * totals["normed"],
        "moving_statistics": 2 * totals["normed"],
        "multiply_adds": totals["multiply_adds"] + c * classes,
        "shapes": {**shapes, "logits": [classes]},
        "parameters_with_scale": parameters + 2 * totals["normed"],
    }


INCEPTIONS = {
    "inception-v4": inception("v4", "v4", (4, 7, 3)),
    "inception-resnet-v1": inception("resnet-v1", "resnet-v1", (5, 10, 5)),
    "inception-resnet-v2": inception("resnet-v2", "v4", (5, 10, 5)),
    "inception-resnet-v2-released": inception("resnet-v2", "released", (10, 20, 10), final=1536, gamma=False),
    **{f"cifar-inception-{kind}": inception(kind, "small", (1, 2, 1)) for kind in INCEPTION},
}


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
    return {
        "parameters": weights + biases + dense + 4096 + 4096 + 1000,
        "moving_statistics": 0,
        "multiply_adds": multiply_adds + dense,
        "shapes": {**shapes, "logits": [1000]},
    }


def fast() -> dict:
    """cifar-fast, after airbench96 (arXiv:2404.00498): a biased 2x2 convolution, then three groups of a strided 3x3 and
    a residual pair of 3x3, all with batch norm that only shifts."""
    weights = 2 * 2 * 3 * 24
    multiply_adds, biases, normed, shapes = weights * 32 * 32, 24, 0, {}
    for group, (c, w, side) in enumerate(((24, 64, 16), (64, 256, 8), (256, 256, 4))):
        alone, pair = 9 * c * w, 2 * 9 * w * w
        weights, multiply_adds = weights + alone + pair, multiply_adds + (alone + pair) * side * side
        normed += 3 * w
        names = ("stem", "stage1") if group == 0 else (f"stage{2 * group}", f"stage{2 * group + 1}")
        shapes |= {name: [side, side, w] for name in names}
    return {
        "parameters": weights + biases + normed + 256 * 10 + 10,
        "moving_statistics": 2 * normed,
        "multiply_adds": multiply_adds + 256 * 10,
        "shapes": {**shapes, "logits": [10]},
    }


def catalogue() -> dict[str, dict]:
    """Every name and its figures."""
    return {
        "vgg-19": vgg19(),
        **{name: count(net) for name, net in TABLE.items()},
        **{name: bottlenecks(*row) for name, row in BOTTLENECKS.items()},
        **INCEPTIONS,
        "cifar-fast": fast(),
    }


def text() -> str:
    """What catalogue.json holds: one network a line, sorted by name."""
    rows = sorted(catalogue().items())
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows) + "\n}\n"


if __name__ == "__main__":
    Path(__file__).with_name("catalogue.json").write_text(text(), encoding="utf-8")
