"""The Faster R-CNN of torchvision that a detector's spec is, as an architecture that its own classes build."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.documents.changes import FieldChange, changes, flat, in_words
from reskeras.errors import ReskerasError
from reskeras.networks.detector import DetectorSpec
from reskeras.porting.layouts import FASTER_RCNN, TORCHVISION_FPN, TORCHVISION_FPN_V2, WeightLayout
from reskeras.porting.original_detector import GENERAL, NAMES, RATIOS, SIZES, UNITS, WIDTH
from reskeras.porting.originals import Architecture
from reskeras.porting.rearranged import POOLED
from reskeras.porting.torch_resnets import changed, torchvision_resnet

PIXELS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation
RESNET_50 = {"block": "bottleneck", "layers": [3, 4, 6, 3]}
# arguments of torchvision's FasterRCNN: the field that each is, and its default
ARGUMENTS: Mapping[str, tuple[str, Any]] = {
    "min_size": ("resize.shorter", 800),
    "max_size": ("resize.longer", 1333),
    "size_divisible": ("resize.multiple", 32),
    "rpn_pre_nms_top_n_train": ("proposals.before", 2000),
    "rpn_pre_nms_top_n_test": ("proposals.before_testing", 1000),
    "rpn_post_nms_top_n_train": ("proposals.training", 2000),
    "rpn_post_nms_top_n_test": ("proposals.testing", 1000),
    "rpn_nms_thresh": ("proposals.overlap", 0.7),
    "box_score_thresh": ("detections.score", 0.05),
    "box_nms_thresh": ("detections.overlap", 0.5),
    "box_detections_per_img": ("detections.most", 100),
}
SUPPRESSION = {"suppression": "hard", "class_agnostic": False}  # of all of torchvision's detectors
OF_TRAINING = {  # fields that change nothing in testing
    "proposals.positive",
    "proposals.negative",
    "proposals.sample",
    "proposals.sample_share",
    "proposals.before",
    "proposals.training",
    "regions.positive",
    "regions.sample",
    "regions.sample_share",
}


def faster_rcnn(spec: DetectorSpec, preprocessing: Preprocessing | None = None) -> Architecture:
    """torchvision's constructor of a detector and its arguments, those that it has by default left out; with those of
    `preprocessing`. ReskerasError where it has no such backbone or heads; `check_same` compares what is left."""
    decided = spec.decided()
    if decided.neck is None:
        raise ReskerasError("to: torchvision's Faster R-CNN has a feature pyramid, but this detector has none (neck)")
    if decided.regions.size != POOLED:
        raise ReskerasError(
            f"to: torchvision's heads take regions of {POOLED}x{POOLED} cells, but this detector's have "
            f"{decided.regions.size}x{decided.regions.size} (regions.size)"
        )
    backbone = torchvision_resnet(decided.backbone.decided())
    fields = dict(flat(decided.model_dump(mode="json")))
    known = {name: (fields.get(field), usual) for name, (field, usual) in ARGUMENTS.items()}
    arguments = changed(**{name: pair for name, pair in known.items() if pair[0] is not None})
    if preprocessing is not None:
        for name, values, usual in zip(
            ("image_mean", "image_std"), (preprocessing.mean, preprocessing.std), PIXELS, strict=True
        ):
            if not np.allclose(values, np.multiply(usual, 255)):
                arguments[name] = [float(value) / 255 for value in np.ravel(values)]
    version = 2 if decided.neck.bn else 1
    own = {
        **backbone.arguments,
        **changed(
            version=(version, 1),
            width=(decided.neck.width, WIDTH),
            units=(decided.regions.width, UNITS),
            sizes=([*(decided.anchors.sizes or ())], SIZES),
            ratios=([*decided.anchors.ratios], RATIOS),
        ),
    }
    if {**own, "version": 1} == {**RESNET_50, "version": 1}:
        return Architecture("torchvision", NAMES[version - 1], arguments)
    return Architecture("torchvision", GENERAL, {**own, **arguments})


def layout_of_detector(spec: DetectorSpec) -> WeightLayout:
    """The layout of torchvision's tensors of a detector with a neck."""
    return TORCHVISION_FPN_V2 if spec.neck and spec.neck.bn else TORCHVISION_FPN


def check_same(spec: DetectorSpec, theirs: Mapping[str, Any]) -> None:
    """Raise ReskerasError where a detector tests images in another way than torchvision's with the fields `theirs`."""
    theirs = {**theirs, "detections": {**theirs.get("detections", {}), **SUPPRESSION}}
    own, other = (dict(flat({name: each.get(name) for name in theirs})) for each in (_tested(spec), theirs))
    found = [each for each in changes(other, own) if each.field in other and each.field not in OF_TRAINING]
    if spec.decided().geometry != FASTER_RCNN["geometry"]:
        found.insert(0, FieldChange("geometry", FASTER_RCNN["geometry"], spec.decided().geometry))
    if found:
        raise ReskerasError(f"to: torchvision's detector would find other boxes: this one has {in_words(found)}")


def _tested(spec: DetectorSpec) -> dict[str, Any]:
    whole = spec.whole()
    whole["proposals"]["before_testing"] = spec.proposals.tested
    return whole
