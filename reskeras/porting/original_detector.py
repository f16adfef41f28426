"""torchvision's Faster R-CNN on a feature pyramid: built, described as our fields, and asked about one image at a time.

It runs in the process of `original_network`, beside the classifiers there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NAMES = ("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2")
GENERAL = "FasterRCNN"  # of any ResNet, with the arguments of `general`
WIDTH, UNITS = 256, 1024  # channels of the pyramid, units of dense layers
SIZES, RATIOS = [32.0, 64.0, 128.0, 256.0, 512.0], [0.5, 1.0, 2.0]  # of anchors, by level
USUAL = {  # module classes of these detectors, besides those of a ResNet
    "AnchorGenerator",
    "BackboneWithFPN",
    "Conv2dNormActivation",
    "FastRCNNConvFCHead",
    "FastRCNNPredictor",
    "FasterRCNN",
    "FeaturePyramidNetwork",
    "FrozenBatchNorm2d",
    "GeneralizedRCNNTransform",
    "IntermediateLayerGetter",
    "LastLevelMaxPool",
    "MultiScaleRoIAlign",
    "RPNHead",
    "RegionProposalNetwork",
    "RoIHeads",
    "TwoMLPHead",
}
Arrays = dict[str, np.ndarray]


def general(
    block: str,
    layers: list[int],
    version: int = 1,
    groups: int = 1,
    width_per_group: int = 64,
    width: int = WIDTH,
    units: int = UNITS,
    sizes: Sequence[float] = SIZES,
    ratios: Sequence[float] = RATIOS,
    num_classes: int = 91,
    **others: Any,
) -> Any:
    """FasterRCNN on a ResNet as torchvision's own constructors make it on resnet50, of either `version`; `width` are
    the channels of the pyramid, `units` those of the dense layers, `sizes` those of anchors, as many for each level."""
    from torch import nn
    from torchvision.models import resnet
    from torchvision.models.detection import backbone_utils, faster_rcnn, rpn
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    blocks = {"basic": resnet.BasicBlock, "bottleneck": resnet.Bottleneck}
    body = resnet.ResNet(blocks[block], layers, groups=groups, width_per_group=width_per_group)
    norm = nn.BatchNorm2d if version == 2 else None
    inner = body.inplanes // 8
    backbone = backbone_utils.BackboneWithFPN(
        body,
        {f"layer{number + 1}": str(number) for number in range(4)},
        [inner << number for number in range(4)],
        width,
        norm_layer=norm,
    )
    levels, several = 5, len(sizes) // 5
    anchors = AnchorGenerator(
        tuple(tuple(sizes[level * several : (level + 1) * several]) for level in range(levels)),
        (tuple(ratios),) * levels,
    )
    each = anchors.num_anchors_per_location()[0]
    head: Any = faster_rcnn.TwoMLPHead(width * 7**2, units)
    if version == 2:
        head = faster_rcnn.FastRCNNConvFCHead((width, 7, 7), [width] * 4, [units], norm_layer=norm)
    return faster_rcnn.FasterRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        rpn_head=rpn.RPNHead(width, each, conv_depth=version),
        box_head=head,
        box_predictor=faster_rcnn.FastRCNNPredictor(units, num_classes),
        **others,
    )


def settings(network: Any) -> dict[str, Any]:
    """What no tensor shows of a detector, as fields of a DetectorSpec."""
    transform, rpn, heads, pool = network.transform, network.rpn, network.roi_heads, network.roi_heads.box_roi_pool
    return {
        "anchors": {
            "sizes": [size for sizes in rpn.anchor_generator.sizes for size in sizes],
            "ratios": list(rpn.anchor_generator.aspect_ratios[0]),
        },
        "neck": {"canonical": pool.canonical_scale, "extra": int(network.backbone.fpn.extra_blocks is not None)},
        "proposals": {
            **_matched(rpn),
            "before": rpn._pre_nms_top_n["training"],
            "before_testing": rpn._pre_nms_top_n["testing"],
            "training": rpn._post_nms_top_n["training"],
            "testing": rpn._post_nms_top_n["testing"],
            "overlap": rpn.nms_thresh,
            "negative": rpn.proposal_matcher.low_threshold,
        },
        "regions": {
            **_matched(heads),
            "size": pool.output_size[0],
            "points": pool.sampling_ratio,
            "deviations": [1 / heads.box_coder.weights[side] for side in (1, 0, 3, 2)],
        },
        "detections": {"score": heads.score_thresh, "overlap": heads.nms_thresh, "most": heads.detections_per_img},
        "resize": {
            "shorter": transform.min_size[-1],
            "longer": transform.max_size,
            "multiple": transform.size_divisible,
            "rounding": "down",
            "antialias": False,
        },
    }


def _matched(part: Any) -> dict[str, Any]:
    """How a part samples what it is trained on."""
    return {
        "positive": part.proposal_matcher.high_threshold,
        "sample": part.fg_bg_sampler.batch_size_per_image,
        "sample_share": part.fg_bg_sampler.positive_fraction,
    }


def unusual(network: Any) -> list[str]:
    """What neither tensors nor the fields of `settings` say."""
    transform, rpn, heads = network.transform, network.rpn, network.roi_heads
    generator, matcher = rpn.anchor_generator, heads.proposal_matcher
    told = {
        f"a score threshold of {rpn.score_thresh:g} for proposals": rpn.score_thresh != 0,
        f"a smallest proposal of {rpn.min_size:g} pixels": rpn.min_size != 1e-3,
        "weights of the offsets of proposals": rpn.box_coder.weights != (1.0, 1.0, 1.0, 1.0),
        "other ratios of anchors at other levels": len({*generator.aspect_ratios}) > 1,
        "other numbers of anchors at other levels": len({len(sizes) for sizes in generator.sizes}) > 1,
        "an IoU between those of positive and negative regions": matcher.high_threshold != matcher.low_threshold,
        "regions that are not square": len({*heads.box_roi_pool.output_size}) > 1,
        "a fixed size of images": bool(transform.fixed_size),
        "images that are not resized": transform._skip_resize,
    }
    return [words for words, here in told.items() if here]


def asking(network: Any) -> Callable[[np.ndarray], Arrays]:
    """The forward pass of a detector, transform included: an image float32 (height, width, channels), 0..255, to

    `canvas` (1, channels, h, w), the image as the backbone gets it; `proposals` (R, 4) on it, and of each all classes,
    background first: `scores` (R, C) and `boxes` (R, C, 4), decoded and clipped; and what is found: `found` (n, 4),
    `found_scores` (n,), `found_labels` (n,). Boxes are left, top, right, bottom, those found in pixels of the image.
    """
    import torch
    from torchvision.ops import clip_boxes_to_image

    heads, kept = network.roi_heads, dict[str, Any]()

    def entering(_: Any, given: tuple[Any, ...]) -> None:
        kept["proposals"], kept["sizes"] = given[1], given[2]

    network.backbone.register_forward_pre_hook(lambda _, given: kept.update(canvas=given[0]))
    heads.register_forward_pre_hook(entering)
    heads.box_predictor.register_forward_hook(lambda _, given, told: kept.update(told=told))

    def ask(image: np.ndarray) -> Arrays:
        pixels = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0))) / 255
        with torch.inference_mode():
            [found] = network([pixels])
            logits, deltas = kept["told"]
            boxes = clip_boxes_to_image(heads.box_coder.decode(deltas, kept["proposals"]), kept["sizes"][0])
        answers = {
            "canvas": kept["canvas"],
            "proposals": kept["proposals"][0],
            "scores": logits.softmax(-1),
            "boxes": boxes,
            "found": found["boxes"],
            "found_scores": found["scores"],
            "found_labels": found["labels"],
        }
        return {name: np.asarray(values.numpy(), np.float32) for name, values in answers.items()}

    return ask


def with_epsilon(network: Any, epsilon: float) -> None:
    """Give every batch norm `epsilon`, as torchvision does after it has loaded weights that need it."""
    for module in network.modules():
        if hasattr(module, "running_var"):
            module.eps = epsilon


def class_names(categories: Sequence[str]) -> list[str]:
    """The names of published weights without the background; COCO's numbers that are not in use have one each."""
    return [f"{name} {number}" if name == "N/A" else name for number, name in enumerate(categories)][1:]
