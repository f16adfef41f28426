"""Weights by canonical name, one for each unit whatever the form: `stage2_unit1_conv1/kernel`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from reskeras.errors import ReskerasError
from reskeras.graph.scanned import ScannedUnits

Place = tuple[keras.Variable, int | None]  # a variable, and which entry of a stack


def places(model: keras.Model) -> dict[str, Place]:
    """Canonical name of every weight of `model` to the variable that holds it."""
    return dict(_places(model))


def placed(
    model: keras.Model, above: str = "", nested: type[Any] = keras.Model
) -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layers of `model` and of the models nested in it (instances of `nested`), with the path of model names:
    MODEL/LAYER."""
    for layer in model.layers:
        if isinstance(layer, nested):
            yield from placed(layer, f"{above}{layer.name}/", nested)
        else:
            yield f"{above}{layer.name}", layer


def leaves(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The same layers alone."""
    return (layer for _, layer in placed(model))


def _places(model: keras.Model) -> Iterator[tuple[str, Place]]:
    for layer in leaves(model):
        if isinstance(layer, ScannedUnits):
            for (name, role), stack in layer.stacks.items():
                for index, unit in enumerate(layer.units):
                    yield f"{unit.name}_{name}/{role}", (stack, index)
        else:
            for variable in layer.weights:
                yield f"{layer.name}/{variable.name}", (variable, None)


def read(model: keras.Model, instead: Mapping[int, keras.Variable] | None = None) -> dict[str, np.ndarray]:
    """Every weight of `model` by canonical name; `instead` substitutes variables, by `id`."""
    stacks: dict[int, np.ndarray] = {}
    values = {}
    for name, (variable, index) in places(model).items():
        if id(variable) not in stacks:
            stacks[id(variable)] = keras.ops.convert_to_numpy((instead or {}).get(id(variable), variable))
        whole = stacks[id(variable)]
        values[name] = whole if index is None else whole[index]
    return values


def write(model: keras.Model, values: dict[str, np.ndarray]) -> None:
    """Give every weight of `model` its value, bit for bit; ReskerasError when names or shapes do not match."""
    wanted = places(model)
    if strange := sorted(wanted.keys() ^ values.keys()):
        raise ReskerasError(f"weights: {len(strange)} names are in only one of the networks, such as {strange[0]}")
    whole: dict[int, np.ndarray] = {}
    for name, (variable, index) in wanted.items():
        target = whole.setdefault(id(variable), np.empty(variable.shape, variable.dtype))
        part = target if index is None else target[index : index + 1]
        if values[name].shape != (part.shape if index is None else part.shape[1:]):
            raise ReskerasError(f"weights: {name} has shape {values[name].shape} but should have {part.shape}")
        part[...] = values[name]
    for variable in {id(variable): variable for variable, _ in wanted.values()}.values():
        variable.assign(whole[id(variable)])


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Give `target` the weights of `source`, another form of the same network."""
    write(target, read(source))


def names_of(model: keras.Model) -> dict[int, list[str]]:
    """`id` of each variable of `model` to its canonical names: one, or one for each entry of a stack."""
    names: dict[int, list[str]] = {}
    for name, (variable, _) in places(model).items():
        names.setdefault(id(variable), []).append(name)
    return names
