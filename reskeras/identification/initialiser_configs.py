"""Initialisers of layers as Keras serialises them: a weight's initial value, and a spec's name for them."""

from __future__ import annotations

from typing import Any

from reskeras.identification.foreign import legible
from reskeras.plans.initialisers import IDENTITIES, INITIALISERS

KERAS_INITIALISERS = {  # Keras' classes as the VarianceScaling that they are
    "HeNormal": (2.0, "fan_in", "truncated_normal"),
    "HeUniform": (2.0, "fan_in", "uniform"),
    "GlorotNormal": (1.0, "fan_avg", "truncated_normal"),
    "GlorotUniform": (1.0, "fan_avg", "uniform"),
    "LecunNormal": (1.0, "fan_in", "truncated_normal"),
    "LecunUniform": (1.0, "fan_in", "uniform"),
}


def initial_value(data: Any, default: float) -> float:
    """The initial value of a weight by its initialiser; a random one counts as its mean."""
    if not isinstance(data, dict):
        return {"zeros": 0.0, "ones": 1.0}.get(data, default)
    config = data.get("config") or {}
    kinds: dict[Any, Any] = {"Zeros": 0.0, "Ones": 1.0, "Constant": config.get("value", 0.0)}
    return float(kinds.get(data.get("class_name"), config.get("mean", default)))


def initialiser_name(data: Any) -> str:
    """An initialiser by a spec's name for it, else as text."""
    if not isinstance(data, dict):
        return legible(data or "glorot_uniform")
    kind, config = str(data.get("class_name")), data.get("config") or {}
    numbers: tuple[Any, ...] | None
    if kind in ("VarianceScaling", "Dirac"):
        numbers = tuple(config.get(name) for name in ("scale", "mode", "distribution"))
    else:
        numbers = KERAS_INITIALISERS.get(kind)
    alike = (name for name in INITIALISERS if (name in IDENTITIES) == (kind == "Dirac"))
    known = {tuple(INITIALISERS[name].values()): name for name in alike}
    if numbers in known:
        return known[numbers]
    if numbers is None:
        return legible(kind)
    return legible(f"{numbers[2]}, {numbers[0]} / {numbers[1]}")
