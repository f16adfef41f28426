"""Initialisers by name, as arguments of Keras' VarianceScaling; which of them begin convolutions as the identity."""

from __future__ import annotations

from typing import Any

# He et al. 2015 draw from an untruncated normal of variance 2 / fan_in; Keras' own he_normal truncates it
INITIALISERS: dict[str, dict[str, Any]] = {
    "he_normal": {"scale": 2.0, "mode": "fan_in", "distribution": "untruncated_normal"},
    "he_normal_fan_out": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
    "he_uniform": {"scale": 2.0, "mode": "fan_in", "distribution": "uniform"},
    "glorot_uniform": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform"},
    "fan_in_uniform": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},  # PyTorch's default
    # of convolutions the first filters are the identity, one for each channel (arXiv:1706.00388, arXiv:2404.00498)
    "dirac": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
    # for a detector's last layers: about the standard deviation of 0.01 of Faster R-CNN's new layers
    "small_normal": {"scale": 0.02, "mode": "fan_in", "distribution": "untruncated_normal"},
}
IDENTITIES = {"dirac": "fan_in_uniform"}  # those that begin convolutions as the identity, to the same without it
