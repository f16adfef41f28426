"""Claims about what a training step computes, moves and reduces: PyTorch's own count, and counts by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import reskeras
from reskeras.recipes.recipe import recipe
from reskeras.scaling.step import collectives, moved_bytes, step_work

ROOT = Path(__file__).parents[2]
# a 3x3 convolution of stride 2 from 3 channels to 2, a 3x3 convolution, each with batch norm and ReLU; logits
TINY = {
    "stem": {"convs": [{"kernel": 3, "width": 2, "stride": 2}]},
    "stages": [{"units": 1, "width": 2, "block": "single"}],
    "shortcut": "none",
    "input_shape": [4, 4, 3],
    "classes": 5,
}


# in a process of its own: the counter imports triton, if it is there, which crashes beside TensorFlow
COUNTED = """
import sys
import torch
from torch.utils.flop_counter import FlopCounterMode
from benchmarks.networks.torch_nets import build
name, height, width = sys.argv[1], *map(int, sys.argv[2:])
with torch.device("meta"):
    model, images = build(name), torch.empty(1, 3, height, width)
counter = FlopCounterMode(display=False)
with counter:
    model(images).sum().backward()
print(counter.get_total_flops())
"""


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", ["resnet-50", "cifar-resnet-20", "cifar-resnet-110"])
def test_a_step_multiplies_as_often_as_pytorch_counts(name):
    plan = reskeras.plan(name)
    command = [sys.executable, "-c", COUNTED, name, *map(str, plan.input_shape[:2])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 2 * step_work(plan).multiply_adds == int(done.stdout)


def test_resnet_50_costs_what_is_published():
    # torchvision's table: 4.09 G multiply-adds for one image, 25,557,032 parameters, with the stride in the 3x3
    plan = reskeras.plan("resnet-50", stride_on="3x3")
    stem = 7 * 7 * 3 * 64 * 112 * 112
    assert step_work(plan).multiply_adds == 3 * plan.complexity().multiply_adds - stem
    assert plan.complexity().multiply_adds / 1e9 == pytest.approx(4.09, abs=0.005)
    assert collectives(plan, recipe(), 8, 1).bytes == 4 * (25_557_032 + 53_120)  # 102 MB of gradients, and statistics


def test_a_step_moves_what_a_hand_counts():
    plan = reskeras.plan(**TINY)
    image, maps, classes = 4 * 4 * 3, 2 * 2 * 2, 5
    stem = 2 * (image + maps)  # forward, and the weights' gradient: an image has none
    norm = 2 * maps + 3 * maps
    conv = 3 * (maps + maps)
    dense = 3 * (2 + classes)
    assert step_work(plan).moved == stem + norm + conv + norm + dense
    parameters = plan.complexity().parameters
    moved = step_work(plan).moved
    assert moved_bytes(plan, recipe(), 7, "float32") == 7 * 4 * moved + 16 * parameters
    assert moved_bytes(plan, recipe(), 7, "mixed_float16") == 7 * 2 * moved + 16 * parameters
    assert moved_bytes(plan, recipe(momentum=0.0), 7, "float32") == 7 * 4 * moved + 8 * parameters


def test_a_stride_passes_over_what_a_1x1_convolution_does_not_use_and_padded_channels_are_not_read():
    stages = [{"units": 1, "width": 2, "block": "single"}, {"units": 1, "width": 4, "block": "single", "stride": 2}]
    plan = reskeras.plan(**{**TINY, "stages": stages, "input_shape": [8, 8, 3]})
    with_b = reskeras.plan(**{**TINY, "stages": stages, "input_shape": [8, 8, 3], "shortcut": "B"})
    with_a = reskeras.plan(**{**TINY, "stages": stages, "input_shape": [8, 8, 3], "shortcut": "A"})
    quarter, wide = 2 * 2 * 2, 2 * 2 * 4
    projection = 3 * (quarter + wide) + 5 * wide
    assert step_work(with_b).moved - step_work(plan).moved == projection
    assert step_work(with_a).moved == step_work(plan).moved


@pytest.mark.parametrize("name", ["resnet-18", "vgg-19", "inception-v4", "se-resnet-50", "cifar-preact-110"])
def test_every_kept_activation_is_moved(name):
    plan = reskeras.plan(name)
    cost = plan.complexity().total
    assert step_work(plan).moved > 2 * cost.activations  # each is written, and read again
    assert 2 * cost.multiply_adds < step_work(plan).multiply_adds < 3 * cost.multiply_adds


def test_a_network_without_batch_norm_reduces_its_gradients_alone():
    plan = reskeras.plan("vgg-19")
    assert collectives(plan, recipe(), 2, 1).vectors == 1
    assert collectives(plan, recipe(sync_bn=True), 2, 1).vectors == 1
    assert collectives(plan, recipe(), 1, 1).bytes == collectives(plan, recipe(), 1, 1).vectors == 0
