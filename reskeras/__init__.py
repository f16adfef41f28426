"""reskeras: residual networks as data, compiled to Keras graphs. The public names, loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from reskeras.registration import register_with_keras

_HOMES = {
    "ReskerasError": "reskeras.errors",
    "NetworkSpec": "reskeras.networks.network",
    "Plan": "reskeras.plans.plan",
    "network": "reskeras.networks.request",
    "resolve": "reskeras.networks.any_network",
    "catalog": "reskeras.networks.catalog",
    "plan": "reskeras.networks.request",
    "recipe": "reskeras.recipes.recipe",
    "space": "reskeras.spaces.space",
    "source": "reskeras.data.request",
    "Source": "reskeras.data.source",
    "build": "reskeras.api",
    "load": "reskeras.api",
    "train": "reskeras.tasks.train",
    "train_seeds": "reskeras.experiments.seeds",
    "tune": "reskeras.api",
    "analyse_fresh": "reskeras.api",
    "port": "reskeras.api",
    "conform": "reskeras.identification.conform",
    "read_analysis": "reskeras.analysis.analysis",
    "Run": "reskeras.tasks.run",
    "write_report": "reskeras.api",
    "doctor": "reskeras.diagnosis.doctor",
    "reproduce": "reskeras.experiments.reproduce",
    "reproduce_all": "reskeras.experiments.reproduce",
    "HyperModel": "reskeras.tuning.hypermodel",
    "prepare_data": "reskeras.data.prepare",
    "convert_data": "reskeras.tasks.detection.annotations.convert",
    "DetectorSpec": "reskeras.networks.detector",
    "LocaliserSpec": "reskeras.networks.localiser",
    "RefinerSpec": "reskeras.networks.refiner",
    "localiser": "reskeras.networks.request",
    "refiner": "reskeras.networks.request",
    "DetectorRun": "reskeras.tasks.detection.run",
    "detector": "reskeras.networks.request",
    "train_detector": "reskeras.tasks.train",
    "Search": "reskeras.tuning.search",
    "Client": "reskeras.client",
}

__all__ = list(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reskeras' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]


register_with_keras()
