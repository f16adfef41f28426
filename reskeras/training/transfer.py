"""What a training begins with from another run: weights that fit, its preprocessing; and what of it is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np

from reskeras.data.decode import WHOLE
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.graph.layers.batch_norm import FusedBatchNormalization
from reskeras.graph.scanned import ScannedUnits
from reskeras.graph.weights import leaves
from reskeras.spec.nodes import sequence_ops
from reskeras.spec.plan import Plan


@dataclass(frozen=True)
class Start:
    """The weights, by canonical name, and the preprocessing that a training begins with; `name` says whose.

    The layers `fresh` keep their own weights where the start has none that fit.
    """

    name: str
    weights: Mapping[str, np.ndarray]
    preprocessing: Preprocessing
    fresh: tuple[str, ...] = ("logits",)

    def fitted_preprocessing(self, plan: Plan) -> Preprocessing:
        """The preprocessing for the plan's input: of other sizes, or of grey instead of coloured images.

        The mean of every pixel becomes one of each channel at another size. Whole images are looked at, as in training.
        ReskerasError when coloured images are asked for and the start knows grey ones alone.
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

    def fitted_weights(self, own: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """`own` weights of a fresh model with those of the start in place.

        The logits, or what else is `fresh`, stay so when there are other classes. A first convolution of coloured
        images gets the sum over the colours for grey ones, which is what it computes of a grey image in three equal
        channels. Anything else that does not fit is a ReskerasError (status 2) with its name.
        """
        both = {name for name in own if self._is_fresh(name)} | self.weights.keys()
        if strange := sorted(own.keys() ^ both):
            raise ReskerasError(f"from: {self.name} is another network: {strange[0]} is in one and not in the other")
        fitted = {}
        for name, mine in own.items():
            given = self.weights.get(name, mine)
            if self._is_fresh(name) and given.shape != mine.shape:
                given = mine
            elif given.ndim == 4 and mine.ndim == 4 and mine.shape[2] == 1 and given.shape[2] == 3:
                given = given.sum(axis=2, keepdims=True)
            if given.shape != mine.shape:
                raise ReskerasError(f"from: {name} has shape {given.shape} in {self.name} and should have {mine.shape}")
            fitted[name] = given
        return fitted

    def _is_fresh(self, name: str) -> bool:
        return name.rpartition("/")[0] in self.fresh


def grey(values: np.ndarray, channels: int, wanted: int) -> np.ndarray:
    """Numbers by channel for one grey channel instead of three: their mean."""
    if (channels, wanted) != (3, 1):
        raise ReskerasError(f"from: images of {wanted} channels cannot go into a network trained on {channels}")
    return values.mean(axis=-1, keepdims=True)


def freeze(model: keras.Model, plan: Plan, until: str | None, batch_norm: bool) -> None:
    """Keep what `model` has learned up to and with the endpoint `until`; with `batch_norm` that of every batch norm.

    A frozen batch norm normalises by its moving statistics, which do not move. What is in `model` and not in `plan`
    learns.
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
                batch_norm and layer.name in names and isinstance(layer, FusedBatchNormalization)):
            layer.trainable = False
