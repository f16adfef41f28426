"""Small networks of every kind that has an integer form, with weights and ranges as a training leaves them."""

from functools import cache

import numpy as np

import reskeras
from reskeras.graph.integers import calibrated, integer_form, settled
from tests.graph.test_fold import shaken

STAGES = [{"units": 1, "width": 4}, {"units": 2, "width": 8}]
SMALL = {
    "family": "cifar",
    "stages": STAGES,
    "stem": {"convs": [{"kernel": 3, "width": 4}]},
    "input_shape": [12, 12, 3],
    "classes": 5,
}
CELLS = {"stem": "small", "cells": [1, 1, 1], "width_factor": 0.1, "input_shape": [17, 17, 3], "classes": 5}
NETWORKS = {
    **{
        order: {**SMALL, "order": order}
        for order in ("original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact")
    },
    **{f"shortcut-{shortcut}": {**SMALL, "shortcut": shortcut} for shortcut in ("A", "B", "C", "none")},
    "scale": {**SMALL, "skip": "scale"},
    "scale-B": {**SMALL, "skip": "scale", "shortcut": "B"},
    "scale-0": {**SMALL, "skip": {"kind": "scale", "shortcut": 0.0, "residual": 1.0}},
    "scale-relu-preact": {**SMALL, "skip": "scale", "order": "relu_preact"},
    "conv1x1": {**SMALL, "skip": "conv1x1"},
    "dropout": {**SMALL, "skip": "dropout"},
    "dropout-B-preact": {**SMALL, "skip": "dropout", "shortcut": "B", "order": "full_preact"},
    "drop-path": {**SMALL, "drop_path": 0.2},
    "no-gamma": {**SMALL, "bn": {"scale": False}},
    "bottleneck": {**SMALL, "block": "bottleneck"},
    "bottleneck-preact": {**SMALL, "block": "bottleneck", "order": "full_preact"},
    "groups": {**SMALL, "block": "bottleneck", "groups": 2},
    "depthwise": {**SMALL, "block": "bottleneck", "groups": 4, "stages": [{"units": 2, "width": 4}]},
    "squeeze": {**SMALL, "squeeze": 2},
    "squeeze-preact": {**SMALL, "squeeze": 2, "order": "full_preact"},
    "pooled": {**SMALL, "block": "bottleneck", "squeeze": 4, "projection": "pooled"},
    "single": {**SMALL, "block": "single"},
    "gelu": {**SMALL, "activation": "gelu"},
    "silu": {**SMALL, "activation": "silu"},
    "gelu-preact": {**SMALL, "activation": "gelu", "order": "full_preact"},
    "max-head": {**SMALL, "head": {"pool": "max"}},
    "head-scale": {**SMALL, "head": {"scale": 0.125}},
    "imagenet": {
        "family": "imagenet",
        "stages": [{"units": 1, "width": 4}, {"units": 1, "width": 8}],
        "stem": {"convs": [{"kernel": 7, "width": 4, "stride": 2}]},
        "block": "bottleneck",
        "input_shape": [32, 32, 3],
        "classes": 5,
    },
    "vgg": {
        "name": "vgg-19",
        "units": [1, 2],
        "widths": [4, 8],
        "dense": [12, 10],
        "input_shape": [12, 12, 3],
        "classes": 5,
    },
    "inception-v4": {"inception": "v4", **CELLS},
    "inception-resnet-v1": {"inception": "resnet-v1", **CELLS},
    "inception-resnet-v2": {"inception": "resnet-v2", **CELLS},
}
GATED = {f"{kind}_gate": {**SMALL, "skip": f"{kind}_gate"} for kind in ("exclusive", "shortcut")}


@cache
def network(name):
    """The spec, its plan, and lively weights, which are not to be changed."""
    fields = dict(NETWORKS[name])
    spec = reskeras.network(fields.pop("name"), **fields) if "name" in fields else reskeras.network(**fields)
    plan = spec.lower()
    return spec, plan, shaken(plan)


@cache
def integers(name, bits=8):
    """The integer form of a network with calibrated ranges and whole biases: its plan and weights."""
    _, plan, weights = network(name)
    made, held = integer_form(plan, weights, bits)
    return made, settled(made, calibrated(made, held, normalised(plan, 24)))


def normalised(plan, count, seed=1):
    """Images as networks take them."""
    return np.random.default_rng(seed).normal(size=(count, *plan.input_shape)).astype(np.float32)
