"""A detector of torchvision as ours: its weights in our networks, and both compared on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from reskeras.data.decode import WHOLE
from reskeras.errors import ReskerasError, failure
from reskeras.evaluation.difference import TOLERANCE
from reskeras.graph.weights import read
from reskeras.networks.built_on import built_name
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.porting.foreign_model import Ask, ForeignModel
from reskeras.porting.normalise import as_published
from reskeras.porting.originals import Absent, original
from reskeras.porting.port import Port, check_recognised, filled, random_images, weights_of
from reskeras.porting.recognise import Recognised
from reskeras.porting.torch_detector import faster_rcnn
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.detection.detection_proof import LEAST_AGREEMENT, partners
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.model import detector_model
from reskeras.tasks.detection.seen import Seen
from reskeras.tasks.detection.select import region_boxes

# test images: height, width, and which of `random_images`
ASKED = ((480, 640, 4), (500, 333, 5), (231, 640, 6), (301, 203, 0))
TIED = 2  # detections without a partner where rounding decided between two boxes: one on either side
THEIR_SIDES = [1, 0, 3, 2]  # left, top, right, bottom as top, left, bottom, right, and back


class Compared(NamedTuple):
    """An image in both detectors. Given the original's proposals: the largest differences of a corner, as a share of
    the image's longer side, and of a probability. End to end: the detections of both, in pixels of the image."""

    corner: float
    score: float
    ours: Detections
    theirs: Detections


def port_detector(
    source: ForeignModel,
    known: Recognised,
    spec: DetectorSpec,
    normalised: str | None = None,
    fold_biases: bool = False,
    with_proof: bool = True,
) -> Port:
    """`source` as our detector `spec`, which it is `known` as.

    Raises ReskerasError when tensors do not fit, `with_proof` is set and the source cannot be run (status 2), or
    boxes, probabilities or detections differ by more than TOLERANCE (status 1).
    """
    for name, value in (("normalise", normalised), ("fold-biases", fold_biases)):
        if value:
            raise ReskerasError(f"{name}: only for classifiers; {source.name} is a detector")
    check_recognised(source, known, None)
    plan, name = lower_detector(spec), built_name(spec)
    model = detector_model(plan, name)
    model = filled(model, weights_of(source, known, model))
    pixels = known.normalise
    if pixels is None:  # no layout of detectors is without
        raise ReskerasError(f"normalise: unknown for {source.name}")
    pixels = replace(as_published(source.published, pixels), framing=WHOLE)
    preprocessing = pixels.preprocessing(*plan.input_shape)
    measured = None
    if with_proof:
        ask = source.asked() if source.original else _assumed(source, spec)
        measured = measured_on(ask, Detector(plan, read(model), preprocessing), whose(source), source.name)
    return Port(
        source,
        known.title,
        name,
        spec,
        plan.spec.classes or 0,
        model,
        preprocessing,
        measured,
        assumed=source.original is None,
        note=known.note,
    )


def whose(source: ForeignModel) -> str:
    """The network that a source's port is compared with, in words."""
    return source.original.words if source.original else "the default network with these names"


def _assumed(source: ForeignModel, spec: DetectorSpec) -> Ask:
    """The forward pass of torchvision's network with these names, with the settings that it has by default."""
    found = replace(faster_rcnn(spec), epsilon=source.epsilon)
    try:
        _, ask = original(found, source.tensors)
    except Absent as reason:
        raise ReskerasError(
            f"port: {source.name} cannot be run, because {reason}; install it, or port with --without-proof"
        ) from reason
    return ask


def measured_on(ask: Ask, detector: Detector, words: str, name: str) -> dict[str, Any]:
    """What the proof of a port found, for provenance; ReskerasError (status 1) where it fails."""
    found = [
        compared(ask, detector, random_images(height, width, 3)[number], place)
        for place, (height, width, number) in enumerate(ASKED)
    ]
    corner, score = (float(np.max([each[side] for each in found])) for side in (0, 1))  # NaN if any is
    ours, theirs = (Detections.joined([getattr(each, side) for each in found]) for side in ("ours", "theirs"))
    mine, _ = partners(ours, theirs)
    count = len(ours.image) + len(theirs.image)
    alone = count - 2 * len(mine)
    if not (corner <= TOLERANCE and score <= TOLERANCE):
        raise failure(
            f"port: given the proposals of {words}, the port of {name} differs by {score:.2g} in a probability and by "
            f"{corner:.2g} of the image's longer side in a corner, more than {TOLERANCE:g}; nothing was saved"
        )
    if alone > max(count * (1 - LEAST_AGREEMENT), TIED):
        raise failure(
            f"port: {alone} of the {count} detections of {words} and of the port of {name} have no partner, more than "
            f"{1 - LEAST_AGREEMENT:.0%}; nothing was saved"
        )
    return {
        "difference": max(corner, score),
        "tolerance": TOLERANCE,
        "images": len(ASKED),
        "detections": len(theirs.image),
        "agreement": 1 - alone / count if count else 1.0,
    }


def compared(ask: Ask, detector: Detector, image: np.ndarray, place: int = 0) -> Compared:
    """A uint8 image (height, width, 3), number `place`, in the original and in `detector`."""
    answer: Mapping[str, np.ndarray] = ask(image.astype(np.float32))
    [number] = detector.canvases.chosen(np.array([image.shape[:2]])).numpy()
    files = tf.io.encode_png(image)[tf.newaxis]
    [placed], _ = detector.placed(files, int(number))
    seen = detector.seen([placed])
    longer = float(tf.reduce_max(placed.window))
    corner, score = _given_proposals(seen, answer, longer)
    found = {name: values.numpy()[0] for name, values in detector.found_in([seen]).items()}
    return Compared(corner, score, Detections.of(found, place), detections_of(answer, place))


def detections_of(answer: Mapping[str, np.ndarray], place: int = 0) -> Detections:
    """What the original found in image number `place`, as our detections."""
    labels = answer["found_labels"].astype(np.int32) - 1  # background is 0
    image = np.full(len(labels), place, np.int32)
    return Detections(image, labels, answer["found_scores"], answer["found"][:, THEIR_SIDES])


def _given_proposals(seen: Seen, answer: Mapping[str, np.ndarray], longer: float) -> tuple[float, float]:
    """The largest difference of a corner, as a share of `longer` pixels, and of a probability, of all regions and
    classes; infinite where nothing depends on the region, which proves nothing."""
    regions = tf.constant(answer["proposals"][np.newaxis, :, THEIR_SIDES])
    logits, deltas = seen.judged(regions)
    boxes, _ = region_boxes(regions, logits, deltas, seen.first.window, seen.detector.spec)
    scores = np.roll(tf.nn.softmax(logits).numpy()[0], 1, axis=-1)  # background first
    their_boxes, their_scores = answer["boxes"][:, 1:, THEIR_SIDES], answer["scores"]
    if not len(their_scores) or not np.ptp(their_scores, axis=0).any():
        return np.inf, np.inf
    return float(np.abs(boxes.numpy()[0] - their_boxes).max() / longer), float(np.abs(scores - their_scores).max())
