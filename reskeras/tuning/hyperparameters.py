"""A space as KerasTuner's hyperparameters."""

from __future__ import annotations

from contextlib import ExitStack

import keras_tuner

from reskeras.spaces.space import Domain, Space


def declare(space: Space, hp: keras_tuner.HyperParameters) -> keras_tuner.HyperParameters:
    """Add every parameter of `space`, with its conditions, to `hp`; returns `hp`."""
    for name, domain in space.parameters.items():
        with ExitStack() as conditions:
            for other, allowed in domain.when.items():
                conditions.enter_context(hp.conditional_scope(other, list(allowed)))
            _declare(hp, name, domain)
    return hp


def _declare(hp: keras_tuner.HyperParameters, name: str, domain: Domain) -> None:
    if domain.choices is not None:
        default = domain.labels()[domain.choices.index(domain.default)] if domain.default is not None else None
        hp.Choice(name, domain.labels(), default=default)
        return
    kind = hp.Int if domain.integers else hp.Float
    step = {"step": domain.step} if domain.step is not None else {}
    kind(name, domain.low, domain.high, sampling=domain.sampling, default=domain.default, **step)
