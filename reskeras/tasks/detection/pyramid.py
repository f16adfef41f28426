"""The feature pyramid of a detector: the wiring between its backbone's maps and those that heads run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from reskeras.networks.detector_plan import Level
from reskeras.tasks.detection.layers import TopDown

Tensor: TypeAlias = "keras.KerasTensor | tf.Tensor"
Maps: TypeAlias = list[Tensor]  # those that heads run on, from the finest on


class Pyramid:
    """The wiring of a feature pyramid (arXiv:1612.03144 figure 3): lateral convolutions, the way down, smoothing, and
    every second cell for the extra maps."""

    def __init__(self, ends: Sequence[str], levels: Sequence[Level], parts: Mapping[str, keras.Model], precision: str):
        self.ends, self.strides, self.parts = ends, [round(level.stride) for level in levels if level.pooled], parts
        self.merges = [TopDown(name=f"merge{stride}", dtype=precision) for stride in self.strides[:-1]]
        extra = range(len(levels) - len(ends))
        self.extra = [keras.layers.MaxPooling2D(1, 2, name=f"extra{number + 1}", dtype=precision) for number in extra]

    def __call__(self, shared: Mapping[str, Tensor]) -> Maps:
        """The maps of the backbone's, by unit."""
        laterals = [
            self.parts[f"lateral{stride}"](shared[end]) for stride, end in zip(self.strides, self.ends, strict=True)
        ]
        merged = [laterals[-1]]
        for lateral, merge in zip(reversed(laterals[:-1]), reversed(self.merges), strict=True):
            merged.append(merge([lateral, merged[-1]]))
        maps = [
            self.parts[f"smooth{stride}"](each) for stride, each in zip(self.strides, reversed(merged), strict=True)
        ]
        for pool in self.extra:
            maps.append(pool(maps[-1]))
        return maps
