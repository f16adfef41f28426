"""Steps of detectors, for `workers`: ours and torchvision's Faster R-CNN on resnet-50, on the same images and objects.

With a pyramid there are as many proposals as torchvision has by default: in testing 1,000 of each map before NMS and
1,000 after it, in training 2,000 of each; 256 anchors and 512 regions of each image are trained. C4 is as ours by
default. All weights are random, and trained.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

Steps = Callable[[int], float]  # number of steps to seconds
SIZE = (608, 800)  # height and width
CLASSES = 90  # as in the weights that torchvision publishes for COCO
OBJECTS = 8  # in each image
HEADS: dict[str, dict[str, Any]] = {
    "FPN": {
        "neck": {},
        "geometry": "torchvision",
        "anchors": {"sizes": [32, 64, 128, 256, 512], "ratios": [0.5, 1, 2]},
        "proposals": {"before": 2000, "before_testing": 1000, "training": 2000, "testing": 1000, "sample": 256},
        "regions": {"size": 7, "sample": 512, "dense": 2, "width": 1024},
    },
    "C4": {},
}


def batch_of(batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (batch, *SIZE, 3) of normal noise, objects' boxes (batch, OBJECTS, 4) top, left, bottom, right, and their
    labels (batch, OBJECTS): the same for every contender."""
    random = np.random.default_rng(0)
    images = random.normal(size=(batch, *SIZE, 3)).astype(np.float32)
    corners = random.uniform(0, 0.6, (batch, OBJECTS, 2)) * SIZE
    sides = random.uniform(0.05, 0.4, (batch, OBJECTS, 2)) * SIZE
    boxes = np.concatenate([corners, corners + sides], axis=-1).astype(np.float32)
    return images, boxes, random.integers(0, CLASSES, (batch, OBJECTS)).astype(np.int32)


def detector_steps(detector: str, precision: str, task: str, batch: int) -> Steps:
    """Steps of a contender: `torchvision FPN`, `reskeras FPN` or `reskeras C4`; its task is training or evaluation."""
    library, heads = detector.split()
    if library == "torchvision":
        return torchvision_steps(precision, task, batch)
    return reskeras_steps(heads, precision, task, batch)


def reskeras_steps(heads: str, precision: str, task: str, batch: int) -> Steps:
    """Steps of our detector: a training step, or images to detections."""
    import tensorflow as tf

    from benchmarks.workers import POLICIES
    from reskeras.diagnosis.speed import repeated_batch, seconds_of
    from reskeras.graph.keras_layers import Context
    from reskeras.networks.detector import DetectorSpec
    from reskeras.networks.detector_plan import lower_detector
    from reskeras.recipes.recipe import recipe
    from reskeras.tasks.detection.model import detector_model, training_model
    from reskeras.tasks.detection.select import region_boxes, selected
    from reskeras.training.optimizer import optimizer_of

    backbone = {"family": "imagenet", "depth": 50, "stride_on": "3x3", "input_shape": [*SIZE, 3]}
    spec = DetectorSpec.model_validate({"backbone": backbone, "classes": CLASSES, **HEADS[heads]})
    plan, context = lower_detector(spec), Context(precision=POLICIES[precision])
    images, boxes, labels = batch_of(batch)
    window = np.tile(np.float32([0, 0, *SIZE]), [batch, 1])
    if task == "training":
        model = training_model(plan, "detector", OBJECTS, context)
        chosen = recipe("paper-detection", precision=POLICIES[precision])
        model.compile(optimizer=optimizer_of(model, chosen, 1000, None), jit_compile=False)
        seeds = np.stack([np.zeros(batch), np.arange(batch)], axis=1).astype(np.int32)
        parts = {"image": images, "window": window, "boxes": boxes, "labels": labels, "seed": seeds}
        data = repeated_batch(parts, np.ones(batch, np.float32))
        return lambda count: seconds_of(model, data, count)
    model = detector_model(plan, "detector", context)

    @tf.function(autograph=False)
    def find(image: tf.Tensor, window: tf.Tensor) -> dict[str, tf.Tensor]:
        told = model({"image": image, "window": window})
        return selected(
            *region_boxes(told["proposals"], told["logits"], told["box_deltas"], window, plan.spec), plan.spec
        )

    image, whole = tf.constant(images), tf.constant(window)

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            find(image, whole)["count"].numpy()
        return time.perf_counter() - began

    return run


def torchvision_steps(precision: str, task: str, batch: int) -> Steps:
    """Steps of torchvision's fasterrcnn_resnet50_fpn; bfloat16 by autocast. Images are not normalised and resized, on
    neither side."""
    import torch
    from torchvision.models.detection import fasterrcnn_resnet50_fpn
    from torchvision.models.detection.image_list import ImageList

    class Given(torch.nn.Module):
        """Images that have the size of the network's input already."""

        def forward(self, images: list[torch.Tensor], targets: Any = None) -> tuple[ImageList, Any]:
            return ImageList(torch.stack(images), [SIZE] * len(images)), targets

        def postprocess(self, found: Any, *_: Any) -> Any:
            return found

    model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=CLASSES + 1)
    model.transform = Given()
    model = model.to(memory_format=torch.channels_last)
    images, boxes, labels = batch_of(batch)
    pixels = [*torch.from_numpy(images).permute(0, 3, 1, 2)]
    targets = [
        {"boxes": torch.from_numpy(each[:, [1, 0, 3, 2]]), "labels": torch.from_numpy(of + 1).long()}
        for each, of in zip(boxes, labels, strict=True)
    ]
    cast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    optimiser = torch.optim.SGD(model.parameters(), 0.001, momentum=0.9, weight_decay=5e-4)

    def infer(count: int) -> float:
        model.eval()
        with torch.inference_mode(), cast:
            began = time.perf_counter()
            for _ in range(count):
                model(pixels)
        return time.perf_counter() - began

    def train(count: int) -> float:
        model.train()
        began = time.perf_counter()
        for _ in range(count):
            with cast:
                loss = sum(model(pixels, targets).values())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        return time.perf_counter() - began

    return infer if task == "evaluation" else train
