"""Precisions of layers by their dtype policies."""

from __future__ import annotations

from typing import Any

from reskeras.identification.foreign import legible

FLOAT32, QUANTISED = "float32", " from "
FLOATS = ("float16", "bfloat16", FLOAT32, "float64")


def precision(policy: Any) -> str:
    """The dtype policy of a layer by name, such as float32 or mixed_float16; of a quantised layer with its mode, such
    as `int8 from float32`."""
    if policy is None:
        return FLOAT32
    if not isinstance(policy, dict):
        return legible(policy)
    config = policy.get("config") or {}
    return legible(f"{config['mode']}{QUANTISED}{config['source_name']}" if "mode" in config else config["name"])
