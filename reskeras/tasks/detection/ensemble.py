"""Ensembles of detectors (v1 appendix B): the union of all detectors' proposals, each region judged by all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from reskeras.data.class_labels import other_classes
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.suppression import LOWEST, suppressed

if TYPE_CHECKING:
    from reskeras.tasks.detection.seen import Seen

MOST = 8  # detectors: a batch of one image then takes twice the memory that a batch takes of a single detector


def proposed(seen: Sequence[Seen], count: int) -> tuple[tf.Tensor, ...]:
    """The regions to judge (B, R, 4), and what the detectors propose, best first: boxes (B, P, 4), their objectness
    (B, P), and the places of the maps that they are of (B, P), where P is R, or `count` if that is more. All boxes are
    on the first detector's canvas.

    The regions are the union of all detectors' proposals, as in the paper: of each as many as it classifies alone,
    without suppression between detectors, since NMS by class follows in the end. What is ours: the proposals that are
    returned, of which recall is measured, go through NMS by objectness at the first detector's overlap.
    """
    first = seen[0]
    regions, proposals = [], []
    for each in seen:
        testing = each.detector.spec.proposals.testing
        # NMS is greedy, so the first of many proposals are the same as of few
        found, *rest = each.proposals(max(testing, count))
        found = each.first.carried(found, first.first)
        regions.append(found[:, :testing])
        proposals.append((found, *rest))
    if len(seen) == 1:
        return regions[0], *proposals[0]
    together = tf.concat(regions, axis=1)
    every, probability, maps = (tf.concat(each, axis=1) for each in zip(*proposals, strict=True))
    most, overlap = max(count, together.shape[1]), first.detector.spec.proposals.overlap
    boxes, objectness, places, _ = suppressed(every, tf.where(probability > 0, probability, LOWEST), most, overlap)
    return together, boxes, objectness, tf.gather(maps, places, batch_dims=1)


def judged(seen: Sequence[Seen], regions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Boxes (B, R, C, 4) on the first detector's canvas, and probabilities (B, R, C), of regions (B, R, 4) of it.

    The paper has the regions "processed by an ensemble of per-region classifiers". Here the probabilities of all
    detectors are averaged, after the softmax, and the boxes that each decodes from the same region and clips to the
    image, in pixels of the image; all detectors weigh the same.
    """
    canvas = seen[0].first
    boxes: list[tf.Tensor] = []
    scores: list[tf.Tensor] = []
    for each in seen:
        # one after the other, so that the regions' features of one detector at a time take memory
        with tf.control_dependencies(scores[-1:]):
            own, probabilities = each.classified(canvas.carried(regions, each.first))
            flat = tf.reshape(own, [-1, own.shape[1] * own.shape[2], 4])
            boxes.append(tf.reshape(each.first.carried(flat, canvas), [-1, *own.shape[1:]]))
            scores.append(probabilities)
    return tf.add_n(boxes) / len(seen), tf.add_n(scores) / len(seen)


def check_others(count: int) -> None:
    """ReskerasError for more detectors beside the first than an ensemble may have."""
    if count >= MOST:
        raise ReskerasError(f"with: {count:,} detectors besides the first; an ensemble has at most {MOST} in all")


def class_order(path: Path, classes: Sequence[str], first: Path, wanted: Sequence[str]) -> list[int]:
    """The place of each `wanted` class, those of the detector `first`, among the `classes` of the one at `path`.

    ReskerasError if one has a class that the other has not.
    """
    if differ := other_classes(classes, wanted):
        raise ReskerasError(
            f"with: {path} has different classes from {first}: it {differ}; the detectors of an ensemble "
            "need the same classes, in any order"
        )
    places = {name: place for place, name in enumerate(classes)}
    return [places[name] for name in wanted]
