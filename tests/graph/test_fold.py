"""Batch norm folded into convolutions: the same function, by hand and over the space of networks."""

import numpy as np
import pytest

import reskeras
from reskeras.graph.compile import Context, compile_plan
from reskeras.graph.fold import folded
from reskeras.graph.weights import read, write
from reskeras.plans import operations as op
from reskeras.plans.plan import Plan, Unit

ORDERS = ("original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact")
SKIPS = ("scale", "exclusive_gate", "shortcut_gate", "dropout")
SMALL = {"family": "cifar", "stages": [2, 2], "input_shape": [12, 12, 3]}
NETWORKS = [
    *({**SMALL, "order": order} for order in ORDERS),
    *({**SMALL, "skip": skip} for skip in SKIPS),
    {**SMALL, "shortcut": "C"},
    {**SMALL, "shortcut": "none"},
    {**SMALL, "conv_bias": True},
    {**SMALL, "bn": {"scale": False}},
    {**SMALL, "block": "bottleneck", "order": "full_preact"},
    {**SMALL, "block": "bottleneck", "groups": 4, "squeeze": 8, "projection": "pooled"},
    {"inception": "v4", "stem": "small", "cells": [1, 1, 1], "width_factor": 0.1, "input_shape": [17, 17, 3]},
    {"inception": "resnet-v2", "stem": "small", "cells": [1, 1, 1], "width_factor": 0.1, "input_shape": [17, 17, 3]},
    {"family": "imagenet", "stages": [1, 1], "block": "bottleneck", "input_shape": [32, 32, 3], "classes": 5},
]


def shaken(plan, seed=0):
    """Weights of `plan` in which nothing is 0 or 1: statistics, scales and shifts as a training leaves them."""
    rng = np.random.default_rng(seed)
    values = read(compile_plan(plan, "start", Context(seed=1)))
    for name, value in values.items():
        role = name.rpartition("/")[2]
        if role in ("gamma", "moving_variance"):
            values[name] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
        elif role in ("beta", "moving_mean", "bias"):
            values[name] = rng.normal(0, 0.3, value.shape).astype(np.float32)
    return values


def outputs(plan, weights, images):
    model = compile_plan(plan, "asked")
    write(model, weights)
    return model.predict(images, verbose=0)


def norms(plan):
    return sum(isinstance(each, op.BatchNorm) for each in plan.ops())


@pytest.mark.sample(8)
@pytest.mark.parametrize("fields", NETWORKS, ids=str)
def test_folding_changes_no_output(fields):
    plan = reskeras.network(**fields).lower()
    weights = shaken(plan)
    images = np.random.default_rng(1).normal(size=(3, *plan.input_shape)).astype(np.float32)
    expected = outputs(plan, weights, images)
    short, merged = folded(plan, weights)
    assert norms(short) < norms(plan)
    found = outputs(short, merged, images)
    assert np.isfinite(expected).all()
    assert np.ptp(expected, axis=0).max() > 1e-3
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_what_follows_a_convolution_goes_and_what_follows_an_addition_stays():
    def left(order):
        plan = reskeras.network(**SMALL, order=order).lower()
        return norms(folded(plan, shaken(plan))[0])

    assert left("original") == 0
    assert left("full_preact") == 5  # the first of each unit, and the last: v2 figure 4 (e)
    assert left("bn_after_add") == 4  # one after each addition, v2 figure 4 (b)


def test_one_convolution_by_hand():
    conv = op.Conv(name="u_conv", filters=4, kernel=(1, 1), bias=True)
    norm = op.BatchNorm(name="u_bn", momentum=0.9, epsilon=1e-3)
    plan = Plan(units=(Unit(stage="u", nodes=(conv, norm)),), input_shape=(2, 2, 3))
    rng = np.random.default_rng(0)
    weights = {"u_conv/kernel": rng.normal(size=(1, 1, 3, 4)).astype(np.float32)}
    weights |= {
        name: rng.uniform(0.5, 2, 4).astype(np.float32)
        for name in ("u_conv/bias", "u_bn/gamma", "u_bn/beta", "u_bn/moving_mean", "u_bn/moving_variance")
    }
    short, merged = folded(plan, weights)
    assert [type(node).__name__ for node in short.units[0].nodes] == ["Conv"]
    assert sorted(merged) == ["u_conv/bias", "u_conv/kernel"]
    x = rng.normal(size=(5, 3))
    response = x @ weights["u_conv/kernel"][0, 0] + weights["u_conv/bias"]
    centred = (response - weights["u_bn/moving_mean"]) / np.sqrt(weights["u_bn/moving_variance"] + 1e-3)
    np.testing.assert_allclose(
        x @ merged["u_conv/kernel"][0, 0] + merged["u_conv/bias"],
        centred * weights["u_bn/gamma"] + weights["u_bn/beta"],
        rtol=1e-5,
    )
