"""Transfer learning: weights and preprocessing taken over from another run, and frozen layers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import ClassVar

import keras
import numpy as np

from reskeras.data.decode import WHOLE
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.graph.layers.batch_norm import FusedBatchNormalization
from reskeras.graph.scanned import ScannedUnits
from reskeras.graph.weights import leaves
from reskeras.plans.nodes import sequence_ops
from reskeras.plans.plan import Plan


def digest_of(weights: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over weights and their names: what workers compare that start from copies of a run."""
    total = hashlib.sha256()
    for name in sorted(weights):
        total.update(name.encode())
        total.update(np.ascontiguousarray(weights[name]).tobytes())
    return total.hexdigest()


@dataclass(frozen=True)
class Start:
    """The weights, by canonical name, and the preprocessing that a training starts from; `name` names their run.

    Layers in `fresh`, names or patterns such as `lateral*`, keep their random initialisation where the start has no
    weights of their shape.
    """

    name: str
    weights: Mapping[str, np.ndarray]
    preprocessing: Preprocessing
    fresh: tuple[str, ...] = ("logits",)
    measures: ClassVar[int] = 0  # training images that `fitted_weights` needs

    def fitted_preprocessing(self, plan: Plan) -> Preprocessing:
        """The preprocessing adapted to the plan's input: another size, or grey instead of RGB images.

        A per-pixel mean becomes a per-channel mean at another size. Framing is of whole images, as in training.
        ReskerasError for RGB images when the start was trained on grey ones.
        """
        height, width, channels = plan.input_shape
        own = self.preprocessing
        if (height, width, channels) == own.size:
            return own if own.framing == WHOLE else replace(own, framing=WHOLE)
        if (height, width) != (own.height, own.width):
            own = own.by_channel()
        mean, std = own.mean, own.std
        if channels != own.channels:
            mean, std = grey(mean, own.channels, channels), grey(std, own.channels, channels)
        return replace(own, height=height, width=width, channels=channels, mean=mean, std=std, framing=WHOLE)

    def fitted_weights(self, own: Mapping[str, np.ndarray], images: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """The weights `own` of a newly initialised model, replaced by those of the start.

        The logits, or whatever else is `fresh`, keep their initialisation when their shapes differ. An RGB stem
        convolution is summed over its input channels for grey images, which equals applying it to a grey image in three
        equal channels. Anything else that does not fit is a ReskerasError (status 2) that names it.
        """
        both = {name for name in own if self._is_fresh(name)} | self.weights.keys()
        if strange := sorted(own.keys() ^ both):
            raise ReskerasError(f"from: {self.name} is a different network: only one of the two has {strange[0]}")
        fitted = {}
        for name, mine in own.items():
            given = self.weights.get(name, mine)
            if self._is_fresh(name) and given.shape != mine.shape:
                given = mine
            elif given.ndim == 4 and mine.ndim == 4 and mine.shape[2] == 1 and given.shape[2] == 3:
                given = given.sum(axis=2, keepdims=True)
            if given.shape != mine.shape:
                raise ReskerasError(f"from: {name} has shape {given.shape} in {self.name}; expected {mine.shape}")
            fitted[name] = given
        return fitted

    def _is_fresh(self, name: str) -> bool:
        return any(fnmatchcase(name.rpartition("/")[0], pattern) for pattern in self.fresh)


def grey(values: np.ndarray, channels: int, wanted: int) -> np.ndarray:
    """Per-channel values reduced to one grey channel: their mean."""
    if (channels, wanted) != (3, 1):
        raise ReskerasError(f"from: a network trained on {channels}-channel images cannot take {wanted}-channel images")
    return values.mean(axis=-1, keepdims=True)


def freeze(model: keras.Model, plan: Plan, until: str | None, batch_norm: bool) -> None:
    """Freeze the layers of `model` up to and including endpoint `until`; with `batch_norm` all batch norms of `plan`.

    A frozen batch norm normalises by its moving statistics and does not update them. Layers of `model` that are not in
    `plan` stay trainable.
    """
    names = {each.name for each in plan.ops()}
    last = -1 if until is None else plan.endpoint(until)
    inside = {each.name for unit in plan.units[: last + 1] for each in sequence_ops(unit.nodes)}
    units = {unit.name for unit in plan.units[: last + 1]}
    for layer in leaves(model):
        if isinstance(layer, ScannedUnits):
            if layer.units[0].name in units:
                layer.trainable = False
            elif batch_norm:
                layer.freeze_batch_norm()
        elif layer.name in inside or (
            batch_norm and layer.name in names and isinstance(layer, FusedBatchNormalization)
        ):
            layer.trainable = False
