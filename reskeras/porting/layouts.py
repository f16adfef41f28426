"""How other libraries name and hold the weights of residual networks: one row each, names as data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from reskeras.errors import ReskerasError
from reskeras.spec.operations import Op
from reskeras.spec.plan import Plan

PLACES = re.compile(r"\{(\w+)\}")
TAIL = re.compile(r"(?:_(\d+))?$")


@dataclass(frozen=True)
class Library:
    """Where weights come from: what parts a layer's name from its tensor's, and what the tensors of each kind of
    operation are called there. `transposed` ones keep a convolution as (out, in, rows, columns)."""

    separator: str
    tensors: Mapping[str, Mapping[str, str]]
    transposed: bool
    ignored: tuple[str, ...] = ()


SAME = {"kernel": "kernel", "bias": "bias"}
KERAS = Library("/", {"conv": SAME, "dense": SAME,
                      "bn": {role: role for role in ("gamma", "beta", "moving_mean", "moving_variance")}}, False)
WEIGHT = {"kernel": "weight", "bias": "bias"}
TORCH = Library(".", {"conv": WEIGHT, "dense": WEIGHT,
                      "bn": {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
                             "moving_variance": "running_var"}}, True, ("num_batches_tracked",))


@dataclass(frozen=True)
class Layout:
    """One way of writing a residual network down.

    `names` leads from our operations to their layers: in ours {s} is the stage, {u} the unit, both from 1, {i} a
    number; theirs has also {s0} and {u0}, from 0, and {s1}, one more. `numbered` layers have no names of their own and
    are counted as they are made. `marks` are layers that tell this layout from others. `fields` is what is so in each
    of its networks, or `network` the one that it is; `stem` what no tensor tells: strides and pool. `normalise` and
    `interpolation` are how its library prepares pixels for most such weights.
    """

    title: str
    library: Library
    marks: tuple[str, ...]
    names: Mapping[str, str]
    normalise: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    stem: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    numbered: Mapping[str, str] = field(default_factory=dict)
    size: int = 224
    interpolation: str = "bilinear"

    def layer(self, ours: str) -> str | None:
        """Their name of our operation; None when they have none such."""
        return next(_translated(self.names, ours), None)

    def layers(self, plan: Plan, found: tuple[str, ...]) -> dict[str, str]:
        """Our operations that have weights to their layers, of which those in `found` are there."""
        unnamed = {kind: iter(_counted(found, prefix)) for kind, prefix in self.numbered.items()}
        pairs = {}
        for each in with_weights(plan):
            theirs = self.layer(each.name) or next(unnamed.get(each.kind, iter(())), None)
            if theirs is None:
                raise ReskerasError(f"port: {self.title} has no layer for {each.name}")
            pairs[each.name] = theirs
        return pairs

    def tensor(self, layer: str, kind: str, role: str) -> str:
        """The name of a tensor: `layer` is theirs, `kind` and `role` are ours."""
        return f"{layer}{self.library.separator}{self.library.tensors[kind][role]}"


def with_weights(plan: Plan) -> Iterator[Op]:
    """The operations of a plan that have weights."""
    return (each for each in plan.ops() if each.kind in KERAS.tensors)


def _translated(names: Mapping[str, str], ours: str) -> Iterator[str]:
    for pattern, theirs in names.items():
        if match := _compiled(pattern).fullmatch(ours):
            numbers = {name: int(text) for name, text in match.groupdict().items()}
            before, after = ({f"{name}{step > 0:d}": number + step for name, number in numbers.items()}
                             for step in (-1, 1))
            yield theirs.format(**numbers, **before, **after)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(PLACES.sub(r"(?P<\1>\\d+)", pattern))


def _counted(found: tuple[str, ...], prefix: str) -> list[str]:
    """Layers that Keras called `prefix`, `prefix_1` and so on, in that order; it goes on counting between models."""
    layers = {name for name in found if re.fullmatch(rf"{prefix}(_\d+)?", name)}
    return sorted(layers, key=lambda name: int(TAIL.search(name.removeprefix(prefix))[1] or 0))


UNIT = "stage{s}_unit{u}"
IMAGENET = {"family": "imagenet", "shortcut": "B", "padding": "symmetric"}
STEM_7X7 = {"strides": [2], "pool": {"kernel": 3, "stride": 2}}
STEM_DEEP = {"strides": [2, 1, 1], "pool": {"kernel": 3, "stride": 2}}

KERAS_FIELDS = {**IMAGENET, "conv_bias": True, "bn": {"momentum": 0.99, "epsilon": 1.001e-5}}
TORCH_FIELDS = {**IMAGENET, "stride_on": "3x3"}
THEIR_UNIT = "conv{s1}_block{u}"
KERAS_UNIT = {f"{UNIT}_conv{{i}}": f"{THEIR_UNIT}_{{i}}_conv", f"{UNIT}_shortcut_conv": f"{THEIR_UNIT}_0_conv"}
TORCH_UNIT = "layer{s}.{u0}"
TIMM_UNIT = "stages.{s0}.blocks.{u0}"

KERAS_RESNET = Layout(
    "keras.applications ResNet", KERAS, ("conv1_conv", "conv1_bn", "conv2_block1_1_bn"),
    {"stem_conv": "conv1_conv", "stem_bn": "conv1_bn", **KERAS_UNIT, f"{UNIT}_bn{{i}}": f"{THEIR_UNIT}_{{i}}_bn",
     f"{UNIT}_shortcut_bn": f"{THEIR_UNIT}_0_bn", "logits": "predictions"},
    "caffe", {**KERAS_FIELDS, "stride_on": "first_1x1", "order": "original"}, STEM_7X7)
KERAS_RESNET_V2 = Layout(
    "keras.applications ResNetV2", KERAS, ("conv1_conv", "post_bn"),
    {"stem_conv": "conv1_conv", **KERAS_UNIT, f"{UNIT}_pre_bn1": f"{THEIR_UNIT}_preact_bn",
     f"{UNIT}_pre_bn2": f"{THEIR_UNIT}_1_bn", f"{UNIT}_pre_bn3": f"{THEIR_UNIT}_2_bn", "head_bn": "post_bn",
     "logits": "predictions"},
    "tf", {**KERAS_FIELDS, "stride_on": "3x3", "downsample": "last", "order": "full_preact"},
    {**STEM_7X7, "activated": False})
KERAS_INCEPTION_RESNET_V2 = Layout(
    "keras.applications InceptionResNetV2", KERAS, ("conv_7b", "block35_1_conv"),
    {"head_conv": "conv_7b", "head_bn": "conv_7b_bn", "stage1_unit{u}_expansion_conv": "block35_{u}_conv",
     "stage2_unit{u}_expansion_conv": "block17_{u0}_conv", "stage3_unit{u}_expansion_conv": "block8_{u0}_conv",
     "logits": "predictions"},
    "tf", network="inception-resnet-v2-released", numbered={"conv": "conv2d", "bn": "batch_normalization"}, size=299)
TORCHVISION = Layout(
    "torchvision ResNet", TORCH, ("conv1", "bn1", "layer1.0.conv1"),
    {"stem_conv": "conv1", "stem_bn": "bn1", f"{UNIT}_conv{{i}}": f"{TORCH_UNIT}.conv{{i}}",
     f"{UNIT}_bn{{i}}": f"{TORCH_UNIT}.bn{{i}}", f"{UNIT}_shortcut_conv": f"{TORCH_UNIT}.downsample.0",
     f"{UNIT}_shortcut_bn": f"{TORCH_UNIT}.downsample.1", f"{UNIT}_se_conv{{i}}": f"{TORCH_UNIT}.se.fc{{i}}",
     "logits": "fc"},
    "torch", {**TORCH_FIELDS, "order": "original"}, STEM_7X7)
DEEP_TORCH_STEM = {"stem_conv1": "conv1.0", "stem_bn1": "conv1.1", "stem_conv2": "conv1.3", "stem_bn2": "conv1.4",
                   "stem_conv3": "conv1.6", "stem_bn3": "bn1"}
POOLED_SHORTCUT = {f"{UNIT}_shortcut_conv": f"{TORCH_UNIT}.downsample.1",
                   f"{UNIT}_shortcut_bn": f"{TORCH_UNIT}.downsample.2"}
TIMM_RESNET_D = replace(
    TORCHVISION, title="timm ResNet-D", marks=("conv1.6", "layer1.0.conv1", "layer2.0.downsample.2"),
    names={**TORCHVISION.names, **DEEP_TORCH_STEM, **POOLED_SHORTCUT},
    fields={**TORCHVISION.fields, "projection": "pooled"}, stem=STEM_DEEP, interpolation="bicubic")
TIMM_RESNET_V2 = Layout(
    "timm ResNetV2", TORCH, ("stem.conv", "stages.0.blocks.0.norm1", "norm"),
    {"stem_conv": "stem.conv", f"{UNIT}_conv{{i}}": f"{TIMM_UNIT}.conv{{i}}",
     f"{UNIT}_pre_bn{{i}}": f"{TIMM_UNIT}.norm{{i}}", f"{UNIT}_shortcut_conv": f"{TIMM_UNIT}.downsample.conv",
     "head_bn": "norm", "logits": "head.fc"},
    "tf", {**TORCH_FIELDS, "order": "full_preact"},
    {"strides": [2], "pool": {"kernel": 3, "stride": 2, "border": "edge"}, "activated": False},
    interpolation="bicubic")
TIMM_RESNET_V2_D = replace(
    TIMM_RESNET_V2, title="timm ResNetV2-D", marks=("stem.conv3", "stages.0.blocks.0.norm1", "norm"),
    names={**TIMM_RESNET_V2.names, "stem_conv{i}": "stem.conv{i}", "stem_bn{i}": "stem.norm{i}"},
    fields={**TIMM_RESNET_V2.fields, "projection": "pooled"},
    stem={**TIMM_RESNET_V2.stem, "strides": STEM_DEEP["strides"]})

LAYOUTS = (KERAS_RESNET, KERAS_RESNET_V2, KERAS_INCEPTION_RESNET_V2, TIMM_RESNET_D, TORCHVISION, TIMM_RESNET_V2,
           TIMM_RESNET_V2_D)
APPLICATIONS = ("ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2", "InceptionResNetV2")
