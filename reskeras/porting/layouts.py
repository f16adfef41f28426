"""Weight layouts of other libraries as data: tensor names and axes, and the layer names of residual networks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from reskeras.errors import ReskerasError
from reskeras.plans.operation import Op
from reskeras.plans.plan import Plan
from reskeras.porting.rearranged import BACKGROUND_FIRST, BACKGROUND_FIRST_BOXES, CHANNELS_FIRST, X_FIRST, Rearranged

PLACES = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Library:
    """A library's tensors: the separator between a layer's name and its tensor's, and the tensors' names by kind of
    operation, None where they are ours. With `transposed` a convolution's kernel is (out, in, rows, columns). `ignored`
    are tensors that are not weights."""

    separator: str
    tensors: Mapping[str, Mapping[str, str]] | None = None
    transposed: bool = False
    ignored: tuple[str, ...] = ()

    def tensor(self, layer: str, kind: str, role: str) -> str:
        """The name of a tensor: `layer` is theirs, `kind` and `role` are ours."""
        return f"{layer}{self.separator}{role if self.tensors is None else self.tensors[kind][role]}"


KERAS = Library("/")
WEIGHT = {"kernel": "weight", "bias": "bias"}
TORCH = Library(
    ".",
    {
        "conv": WEIGHT,
        "dense": WEIGHT,
        "bn": {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"},
    },
    True,
    ("num_batches_tracked",),
)


@dataclass(frozen=True)
class WeightLayout:
    """One way of naming a residual network's layers in a state dict.

    `names` maps our operations to their layers: in ours {s} is the stage, {u} the unit, both from 1, {i} a number;
    theirs may also have {s0} and {u0}, from 0. `marks` are layers that distinguish this layout. `fields` holds for
    all its networks, `blocks` for those of a block; `stem` is what no tensor shows: strides and pool. `normalise` and
    `interpolation` are the library's usual preprocessing for such weights. `pointwise` are layers that are a 1x1
    convolution there and dense in ours. `rearranged` are operations of ours whose numbers are in another order there.
    With `detector`, the fields that all its detectors have, it is a detector's, on the `backbone` of another layout;
    `epsilons` then tells which epsilon of batch norm belongs to which weights, where no tensor and no name does.
    `note` is what a user should know of the way between the two.
    """

    title: str
    marks: tuple[str, ...]
    names: Mapping[str, str]
    normalise: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    blocks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stem: Mapping[str, Any] = field(default_factory=dict)
    interpolation: str = "bilinear"
    pointwise: tuple[str, ...] = ()
    rearranged: Mapping[str, Rearranged] = field(default_factory=dict)
    detector: Mapping[str, Any] | None = None
    epsilons: str = ""
    note: str = ""

    def layer(self, ours: str) -> str | None:
        """Their layer for our operation; None when they have none."""
        return next(_translated(self.names, ours), None)

    def layers(self, plan: Plan) -> dict[str, str]:
        """Our operations that have weights, mapped to their layers."""
        pairs = {}
        for each in with_weights(plan):
            theirs = self.layer(each.name)
            if theirs is None:
                raise ReskerasError(f"port: {self.title} has no layer for {each.name}")
            pairs[each.name] = theirs
        return pairs


def with_weights(plan: Plan) -> Iterator[Op]:
    """The operations of a plan that have weights."""
    return (each for each in plan.ops() if each.held)


def _translated(names: Mapping[str, str], ours: str) -> Iterator[str]:
    for pattern, theirs in names.items():
        if match := _compiled(pattern).fullmatch(ours):
            numbers = {name: int(text) for name, text in match.groupdict().items()}
            yield theirs.format(**numbers, **{f"{name}0": number - 1 for name, number in numbers.items()})


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(PLACES.sub(r"(?P<\1>\\d+)", pattern))


UNIT = "stage{s}_unit{u}"
IMAGENET = {"family": "imagenet", "shortcut": "B", "padding": "symmetric"}
STEM_7X7 = {"strides": [2], "pool": {"kernel": 3, "stride": 2}}
STEM_DEEP = {"strides": [2, 1, 1], "pool": {"kernel": 3, "stride": 2}}

STRIDES = {"bottleneck": {"stride_on": "3x3"}}
TORCH_UNIT = "layer{s}.{u0}"
TIMM_UNIT = "stages.{s0}.blocks.{u0}"

TORCHVISION = WeightLayout(
    "torchvision ResNet",
    ("conv1", "bn1", "layer1.0.conv1"),
    {
        "stem_conv": "conv1",
        "stem_bn": "bn1",
        f"{UNIT}_conv{{i}}": f"{TORCH_UNIT}.conv{{i}}",
        f"{UNIT}_bn{{i}}": f"{TORCH_UNIT}.bn{{i}}",
        f"{UNIT}_shortcut_conv": f"{TORCH_UNIT}.downsample.0",
        f"{UNIT}_shortcut_bn": f"{TORCH_UNIT}.downsample.1",
        f"{UNIT}_se_conv{{i}}": f"{TORCH_UNIT}.se.fc{{i}}",
        "logits": "fc",
    },
    "torch",
    {**IMAGENET, "order": "original"},
    STRIDES,
    STEM_7X7,
)
DEEP_TORCH_STEM = {
    "stem_conv1": "conv1.0",
    "stem_bn1": "conv1.1",
    "stem_conv2": "conv1.3",
    "stem_bn2": "conv1.4",
    "stem_conv3": "conv1.6",
    "stem_bn3": "bn1",
}
POOLED_SHORTCUT = {
    f"{UNIT}_shortcut_conv": f"{TORCH_UNIT}.downsample.1",
    f"{UNIT}_shortcut_bn": f"{TORCH_UNIT}.downsample.2",
}
TIMM_RESNET_C = replace(
    TORCHVISION,
    title="timm ResNet-C",
    marks=("conv1.6", "layer1.0.conv1", "layer2.0.downsample.0"),
    names={**TORCHVISION.names, **DEEP_TORCH_STEM},
    stem=STEM_DEEP,
    interpolation="bicubic",
)
TIMM_RESNET_D = replace(
    TIMM_RESNET_C,
    title="timm ResNet-D",
    marks=("conv1.6", "layer1.0.conv1", "layer2.0.downsample.2"),
    names={**TIMM_RESNET_C.names, **POOLED_SHORTCUT},
    fields={**TORCHVISION.fields, "projection": "pooled"},
)
TIMM_RESNET_POOLED = replace(  # avg_down
    TORCHVISION,
    title="timm ResNet with pooled projections",
    marks=(*TORCHVISION.marks, "layer2.0.downsample.2"),
    names={**TORCHVISION.names, **POOLED_SHORTCUT},
    fields={**TORCHVISION.fields, "projection": "pooled"},
    interpolation="bicubic",
)
TIMM_RESNET_V2 = WeightLayout(
    "timm ResNetV2",
    ("stem.conv", "stages.0.blocks.0.norm1", "norm"),
    {
        "stem_conv": "stem.conv",
        f"{UNIT}_conv{{i}}": f"{TIMM_UNIT}.conv{{i}}",
        f"{UNIT}_pre_bn{{i}}": f"{TIMM_UNIT}.norm{{i}}",
        f"{UNIT}_shortcut_conv": f"{TIMM_UNIT}.downsample.conv",
        "head_bn": "norm",
        "logits": "head.fc",
    },
    "tf",
    {**IMAGENET, "order": "full_preact"},
    {**STRIDES, "basic": {"first_shortcut": "raw"}},
    {"strides": [2], "pool": {"kernel": 3, "stride": 2, "border": "edge"}, "activated": False},
    interpolation="bicubic",
    pointwise=("head.fc",),
)
TIMM_RESNET_V2_D = replace(
    TIMM_RESNET_V2,
    title="timm ResNetV2-D",
    marks=("stem.conv3", "stages.0.blocks.0.norm1", "norm"),
    names={**TIMM_RESNET_V2.names, "stem_conv{i}": "stem.conv{i}", "stem_bn{i}": "stem.norm{i}"},
    fields={**TIMM_RESNET_V2.fields, "projection": "pooled"},
    stem={**TIMM_RESNET_V2.stem, "strides": STEM_DEEP["strides"]},
)

# what torchvision's constructors set, which no tensor shows; arXiv:1612.03144 where nothing else is said
FASTER_RCNN = {
    "geometry": "torchvision",
    "anchors": {"sizes": [32, 64, 128, 256, 512], "ratios": [0.5, 1.0, 2.0]},
    "proposals": {"before": 2000, "before_testing": 1000, "training": 2000, "testing": 1000},
    "regions": {"sample": 512},
    "resize": {"shorter": 800, "longer": 1333, "multiple": 32, "rounding": "down", "antialias": False},
}
STRIDES_OF_MAPS = {number: 4 << number for number in range(4)}
TORCHVISION_FPN = replace(
    TORCHVISION,
    title="torchvision Faster R-CNN",
    marks=("backbone.body.conv1", "rpn.head.cls_logits", "roi_heads.box_head.fc6"),
    names={
        **{ours: f"backbone.body.{theirs}" for ours, theirs in TORCHVISION.names.items() if ours != "logits"},
        **{
            f"lateral{stride}_conv": f"backbone.fpn.inner_blocks.{number}.0"
            for number, stride in STRIDES_OF_MAPS.items()
        },
        **{
            f"smooth{stride}_conv": f"backbone.fpn.layer_blocks.{number}.0"
            for number, stride in STRIDES_OF_MAPS.items()
        },
        "rpn_conv": "rpn.head.conv.0.0",
        "rpn_conv{i}": "rpn.head.conv.{i0}.0",
        "objectness": "rpn.head.cls_logits",
        "anchor_deltas": "rpn.head.bbox_pred",
        "region_dense1": "roi_heads.box_head.fc6",
        "region_dense2": "roi_heads.box_head.fc7",
        "logits": "roi_heads.box_predictor.cls_score",
        "box_deltas": "roi_heads.box_predictor.bbox_pred",
    },
    rearranged={
        "region_dense1": CHANNELS_FIRST,
        "anchor_deltas": X_FIRST,
        "logits": BACKGROUND_FIRST,
        "box_deltas": BACKGROUND_FIRST_BOXES,
    },
    detector=FASTER_RCNN,
    note="background, first there, is behind the classes here, and its box offsets are dropped; y is before x",
    epsilons="0 for COCO_V1 of fasterrcnn_resnet50_fpn and for what was fine-tuned from it, else 1e-5",
)
TORCHVISION_FPN_V2 = replace(
    TORCHVISION_FPN,
    title="torchvision Faster R-CNN v2",
    marks=("backbone.body.conv1", "rpn.head.cls_logits", "roi_heads.box_head.5"),
    names={
        **{ours: theirs for ours, theirs in TORCHVISION_FPN.names.items() if not ours.startswith("region_")},
        **{
            f"lateral{stride}_bn": f"backbone.fpn.inner_blocks.{number}.1" for number, stride in STRIDES_OF_MAPS.items()
        },
        **{f"smooth{stride}_bn": f"backbone.fpn.layer_blocks.{number}.1" for number, stride in STRIDES_OF_MAPS.items()},
        "region_conv{i}_conv": "roi_heads.box_head.{i0}.0",
        "region_conv{i}_bn": "roi_heads.box_head.{i0}.1",
        "region_dense1": "roi_heads.box_head.5",
    },
    epsilons="",
)

OF_CLASSIFIERS = (TIMM_RESNET_D, TIMM_RESNET_C, TIMM_RESNET_POOLED, TORCHVISION, TIMM_RESNET_V2, TIMM_RESNET_V2_D)
LAYOUTS = (TORCHVISION_FPN, TORCHVISION_FPN_V2, *OF_CLASSIFIERS)
APPLICATIONS = ("ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2", "InceptionResNetV2")
# networks outside this design space that are asked for: layers that mark them, and what they are
REFUSED = {
    ("backbone.body.0.0", "rpn.head.cls_logits"): "torchvision's fasterrcnn_mobilenet_v3, whose inverted residuals and "
    "hard-swish no network of this design space has; port fasterrcnn_resnet50_fpn or fasterrcnn_resnet50_fpn_v2"
}
