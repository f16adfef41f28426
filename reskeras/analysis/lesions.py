"""Lesion studies: accuracy when single units are removed, or two of a stage are swapped, without retraining.

After Veit, Wilber, Belongie: Residual Networks Behave Like Ensembles of Relatively Shallow Networks, 2016
(arXiv:1605.06431), sections 4.1 and 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from reskeras.analysis.tapped import batch_signature, removable, run, told_right
from reskeras.graph.functions import Weights
from reskeras.graph.spread import inference_devices, spread
from reskeras.graph.watched import as_tensors
from reskeras.plans.nodes import sequence_ops
from reskeras.plans.plan import Plan, Unit

REMOVED, SWAPPED = "removed", "swapped"


@dataclass(frozen=True)
class Lesion:
    """`kind` (removed or swapped), the units affected, and the remaining accuracy."""

    kind: str
    units: tuple[str, ...]
    accuracy: float


def lesions(
    plan: Plan,
    weights: dict[str, np.ndarray],
    batches: tf.data.Dataset,
    most: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> list[Lesion]:
    """At most `most` removals and `most` swaps, evenly spaced over the network, with the accuracy on `batches`.

    Swaps are of equal neighbours in a stage. `progress` gets how many are done, of how many.
    """
    tensors, names = as_tensors(weights), [unit.name for unit in plan.units]
    devices = inference_devices()
    single = [(REMOVED, (name,)) for name in spaced(removable(plan), most)]
    pairs = [(SWAPPED, (one.name, other.name)) for one, other in spaced(swappable(plan), most)]

    held = list(batches)
    signature = [
        *batch_signature(plan, held[0][1]),
        tf.nest.map_structure(tf.TensorSpec.from_tensor, tensors),
        tf.TensorSpec([len(names)]),
    ]

    @tf.function(input_signature=signature, autograph=False)
    def right(images: tf.Tensor, labels: tf.Tensor, tensors: Weights, kept: tf.Tensor) -> tf.Tensor:
        def of_rows(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
            return told_right(run(plan, tensors, images, kept=kept), labels)

        return tf.reduce_sum(spread(of_rows, devices)(images, labels))

    found, count = [], right.get_concrete_function()
    labelled = sum(int(tf.size(labels)) for _, labels in held)
    for place, (kind, units) in enumerate([*single, *pairs]):
        kept = tf.constant([float(kind != REMOVED or name not in units) for name in names])
        changed = exchanged(plan, tensors, *units) if kind == SWAPPED else tensors
        correct = sum(int(count(batch, labels, changed, kept)) for batch, labels in held)
        found.append(Lesion(kind, units, correct / labelled))
        progress(place + 1, len(single) + len(pairs))
    return found


def swappable(plan: Plan) -> list[tuple[Unit, Unit]]:
    """Neighbouring units of a stage that are equal but for their weights."""
    return [
        (one, other)
        for one, other in zip(plan.units, plan.units[1:], strict=False)
        if one.stage == other.stage and one == other
    ]


def exchanged(plan: Plan, tensors: Weights, one: str, other: str) -> Weights:
    """`tensors` with the weights of two equal units exchanged."""
    units = {unit.name: unit for unit in plan.units}
    names = [[each.name for each in sequence_ops(units[name].nodes)] for name in (one, other)]
    into = dict(zip(*names, strict=True)) | dict(zip(*reversed(names), strict=True))
    return {(name, role): tensors[into.get(name, name), role] for name, role in tensors}


def spaced(items: list, most: int) -> list:
    """At most `most` of `items`, evenly spaced, including the first and the last."""
    if len(items) <= most:
        return items
    return [items[place] for place in np.unique(np.linspace(0, len(items) - 1, most).round().astype(int))]
