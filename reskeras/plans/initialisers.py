"""Initialisers by name, as arguments of Keras' VarianceScaling."""

from __future__ import annotations

from typing import Any

# He et al. 2015 draw from an untruncated normal of variance 2 / fan_in; Keras' own he_normal truncates it
INITIALISERS: dict[str, dict[str, Any]] = {
    "he_normal": {"scale": 2.0, "mode": "fan_in", "distribution": "untruncated_normal"},
    "he_normal_fan_out": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
    "he_uniform": {"scale": 2.0, "mode": "fan_in", "distribution": "uniform"},
    "glorot_uniform": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform"},
    # for a detector's last layers: about the standard deviation of 0.01 of Faster R-CNN's new layers
    "small_normal": {"scale": 0.02, "mode": "fan_in", "distribution": "untruncated_normal"},
}
