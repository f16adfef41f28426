"""Every named network, one row each: a sparse spec, and the figures that its paper printed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from reskeras.documents.validation import validated
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.inception import InceptionSpec
from reskeras.networks.inception_cells import KINDS
from reskeras.networks.network import NetworkSpec
from reskeras.networks.vgg import VggSpec


@dataclass(frozen=True)
class Row:
    """A named network: its spec and where it comes from; `flops` and `millions` are as printed there."""

    spec: AnyNetwork
    source: str
    flops: float | None = None  # multiply-adds, as v1 table 1 has them
    millions: float | None = None  # parameters, as v1 table 6 has them


def _row(source: str, flops: float | None = None, millions: float | None = None, **fields: Any) -> Row:
    return Row(NetworkSpec(**fields), source, flops, millions)


TABLE_1_FLOPS = {18: 1.8e9, 34: 3.6e9, 50: 3.8e9, 101: 7.6e9, 152: 11.3e9}
TABLE_6_MILLIONS = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7, 1202: 19.4}

# v2 table 1 (110 layers) as name -> skip; `original` and the rows of table 2 are not repeated here
SKIP_VARIANTS: dict[str, dict[str, Any]] = {
    "scale-0-1": {"kind": "scale", "shortcut": 0.0, "residual": 1.0},
    "scale-0.5-1": {"kind": "scale", "shortcut": 0.5, "residual": 1.0},
    "scale-0.5-0.5": {"kind": "scale", "shortcut": 0.5, "residual": 0.5},
    **{f"exclusive-gate-bias{bias}": {"kind": "exclusive_gate", "bias": bias} for bias in range(0, -8, -1)},
    **{f"shortcut-gate-bias{bias}": {"kind": "shortcut_gate", "bias": bias} for bias in (0, -6)},
    "conv1x1": {"kind": "conv1x1"},
    "dropout-0.5": {"kind": "dropout", "rate": 0.5},
}
# v2 table 2; full_preact has the names cifar-preact-*
ORDER_VARIANTS = {order.replace("_", "-"): order for order in ("bn_after_add", "relu_before_add", "relu_preact")}


# later bottleneck networks, as their released code has them: stride in the 3x3 (torchvision, timm)
DEEP_STEM: dict[str, Any] = {"convs": [{"width": 32, "stride": 2}, {"width": 32}, {"width": 64}], "pool": {}}
BOTTLENECK_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "resnext-50-32x4d": ("arXiv:1611.05431", {"depth": 50, "groups": 32, "inner_factor": 2.0}),
    "resnext-101-32x8d": ("arXiv:1611.05431", {"depth": 101, "groups": 32, "inner_factor": 4.0}),
    "wide-resnet-50-2": ("arXiv:1605.07146", {"depth": 50, "inner_factor": 2.0}),
    "wide-resnet-101-2": ("arXiv:1605.07146", {"depth": 101, "inner_factor": 2.0}),
    "se-resnet-50": ("arXiv:1709.01507", {"depth": 50, "squeeze": 16}),
    # 52 layers with its deep stem, so that depth: 50 cannot describe it
    "resnet-50-d": (
        "arXiv:1812.01187",
        {
            "family": "imagenet",
            "block": "bottleneck",
            "stages": [3, 4, 6, 3],
            "stem": DEEP_STEM,
            "projection": "pooled",
        },
    ),
}
# how the released Inception-ResNet-v2 (tf-slim, keras.applications) differs from the paper
RELEASED: dict[str, Any] = {
    "stem": "released",
    "cells": [10, 20, 10],
    "scaling": [0.17, 0.1, 0.2],
    "last_linear": True,
    "final_width": 1536,
    "bn": {"momentum": 0.99, "epsilon": 1e-3, "scale": False},
}
# as airbench96 (arXiv:2404.00498) has it, with strided convolutions in the place of its pools, narrower
FAST: dict[str, Any] = {
    "family": "cifar",
    "stem": {"convs": [{"kernel": 2, "width": 24, "bn": False}, {"width": 64, "stride": 2}]},
    "stages": [
        {"units": 1, "width": 64},
        {"units": 1, "width": 256, "block": "single", "shortcut": "none"},
        {"units": 1, "width": 256, "stride": 1},
        {"units": 1, "width": 256, "block": "single", "shortcut": "none"},
        {"units": 1, "width": 256, "stride": 1},
    ],
    "head": {"pool": "max", "scale": 1 / 9},
    "bn": {"scale": False},
    "activation": "gelu",
    "initialiser": "dirac",
}
SMALL: dict[str, Any] = {"stem": "small", "cells": [1, 2, 1], "width_factor": 0.25}


@cache
def catalog() -> dict[str, Row]:
    """All named networks, in the order of the papers."""
    rows: dict[str, Row] = {"vgg-19": Row(VggSpec(name="vgg-19"), "v1 figure 3", flops=19.6e9)}
    for depth in (18, 34):
        rows[f"plain-{depth}"] = _row("v1 tables 1, 2", TABLE_1_FLOPS[depth], depth=depth, shortcut="none")
    for depth in (18, 34, 50, 101, 152, 200):
        source = "v2 table 5" if depth == 200 else "v1 tables 1 to 4"
        rows[f"resnet-{depth}"] = _row(source, TABLE_1_FLOPS.get(depth), depth=depth)
        for shortcut in {18: "AB", 34: "ABC"}.get(depth, "B"):
            rows[f"resnet-{depth}-{shortcut}"] = _row(source, TABLE_1_FLOPS.get(depth), depth=depth, shortcut=shortcut)
        rows[f"preact-{depth}"] = _row(
            "v2 table 5" if depth in (152, 200) else "v2 section 5", depth=depth, order="full_preact"
        )
    for name, (source, fields) in BOTTLENECK_VARIANTS.items():
        rows[name] = _row(source, stride_on="3x3", **fields)
    rows |= _inceptions()
    for depth in (20, 32, 44, 56, 110, 1202):
        rows[f"cifar-plain-{depth}"] = _row("v1 figure 6", family="cifar", depth=depth, shortcut="none")
        rows[f"cifar-resnet-{depth}"] = _row("v1 table 6", None, TABLE_6_MILLIONS[depth], family="cifar", depth=depth)
    for depth in (164, 1001):
        rows[f"cifar-resnet-{depth}"] = _row("v2 table 3", family="cifar", depth=depth)
    for depth in (110, 164, 1001):
        rows[f"cifar-preact-{depth}"] = _row("v2 tables 2 to 4", family="cifar", depth=depth, order="full_preact")
    single: dict[str, Any] = {"family": "cifar", "depth": 110, "block": "single"}
    rows["cifar-resnet-110-1layer"] = _row("v2 table 3", **single)
    rows["cifar-preact-110-1layer"] = _row("v2 table 3", **single, order="full_preact")
    for depth in (110, 164):
        for name, skip in SKIP_VARIANTS.items():
            rows[f"cifar-resnet-{depth}-{name}"] = _row("v2 table 1", family="cifar", depth=depth, skip=skip)
        for name, order in ORDER_VARIANTS.items():
            rows[f"cifar-resnet-{depth}-{name}"] = _row("v2 table 2", family="cifar", depth=depth, order=order)
    rows["cifar-fast"] = Row(validated(NetworkSpec, FAST), "after arXiv:2404.00498")
    return rows


def _inceptions() -> dict[str, Row]:
    paper = "arXiv:1602.07261"
    rows = {
        "inception-v4": Row(InceptionSpec(inception="v4"), f"{paper} figure 9", millions=42.68),
        "inception-resnet-v1": Row(InceptionSpec(inception="resnet-v1"), f"{paper} figure 15"),
        "inception-resnet-v2": Row(InceptionSpec(inception="resnet-v2"), f"{paper} figure 15"),
        "inception-resnet-v2-released": Row(
            InceptionSpec(inception="resnet-v2", **RELEASED), "tf-slim, Keras", millions=55.84
        ),
    }
    for kind in KINDS:
        rows[f"cifar-inception-{kind}"] = Row(InceptionSpec(inception=kind, **SMALL), f"cells of {paper}")
    return rows


def name_of(network: AnyNetwork) -> str:
    """A network's name: its own, else that in the catalogue, else one made of family and depth.

    Classes and input shape do not affect it.
    """
    decided = network.decided()
    name = _catalogued(decided) or decided.fallback_name
    return decided.name or (f"{name}-{decided.quantise}" if decided.quantise else name)


def _catalogued(decided: AnyNetwork) -> str | None:
    """The name of the first equal row, which is the shortest; only rows of the same depth are resolved."""
    wanted = decided.identity()
    likely = (name for name, row in catalog().items() if getattr(row.spec, "depth", None) in (None, decided.depth))
    return next((name for name in likely if catalog()[name].spec.decided().identity() == wanted), None)
