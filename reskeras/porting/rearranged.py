"""Layers whose numbers another library has in another order: torchvision's heads of a detector, to ours and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

POOLED = 7  # height and width of a region's map that torchvision's heads flatten
SIDES = 4  # numbers of a box
Turn = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Rearranged:
    """How a layer's outputs, the last axis of its kernel and of its bias, and its inputs, the axis before, are turned
    to our order and back; both in Keras' layout."""

    outputs: Turn = np.asarray
    outputs_back: Turn = np.asarray
    inputs: Turn = np.asarray
    inputs_back: Turn = np.asarray

    def ours(self, values: np.ndarray) -> np.ndarray:
        """A kernel (..., in, out) or bias (out,) in our order."""
        return self.outputs(self.inputs(values) if values.ndim > 1 else values)

    def theirs(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `ours`."""
        return self.outputs_back(self.inputs_back(values) if values.ndim > 1 else values)


def _swapped(values: np.ndarray) -> np.ndarray:
    """Deltas dx, dy, dw, dh of each box as dy, dx, dh, dw, or the other way round."""
    boxes = values.reshape(*values.shape[:-1], -1, SIDES)
    return boxes[..., [1, 0, 3, 2]].reshape(values.shape)


def _channels_last(values: np.ndarray) -> np.ndarray:
    """Inputs of a dense layer flattened from (C, H, W), in the order of (H, W, C)."""
    maps = values.reshape(-1, POOLED, POOLED, values.shape[-1])
    return maps.transpose(1, 2, 0, 3).reshape(values.shape)


def _channels_first(values: np.ndarray) -> np.ndarray:
    maps = values.reshape(POOLED, POOLED, -1, values.shape[-1])
    return maps.transpose(2, 0, 1, 3).reshape(values.shape)


def _with_background_boxes(values: np.ndarray) -> np.ndarray:
    """Deltas of all classes behind those of a background, which are 0."""
    return np.concatenate([np.zeros_like(values[..., :SIDES]), _swapped(values)], axis=-1)


X_FIRST = Rearranged(_swapped, _swapped)
BACKGROUND_FIRST = Rearranged(lambda values: np.roll(values, -1, axis=-1), lambda values: np.roll(values, 1, axis=-1))
BACKGROUND_FIRST_BOXES = Rearranged(lambda values: _swapped(values[..., SIDES:]), _with_background_boxes)
CHANNELS_FIRST = Rearranged(inputs=_channels_last, inputs_back=_channels_first)
