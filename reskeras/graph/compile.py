"""The compiler: from a plan to a Keras functional model, one layer per operation.

Keras traverses a functional graph recursively, about one frame per layer on the path that it follows first, and Python
limits recursion to 1,000 frames. Deep plans become a chain of nested models, cut between units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import keras

from reskeras.graph.keras_layers import PLAIN, Context
from reskeras.graph.scanned import ScannedUnits, skeleton
from reskeras.plans.nodes import fold
from reskeras.plans.operation import Shape
from reskeras.plans.plan import Plan, Unit

FLAT_PATH = 400  # layers on the path Keras follows first, below which one flat graph is safe
NESTED_PATH = 200  # layers on that path in one nested model

Tensor: TypeAlias = keras.KerasTensor


def compile_plan(
    plan: Plan,
    name: str,
    context: Context = PLAIN,
    *,
    outputs: Iterable[str] | None = None,
    any_size: bool = False,
    cut: str | None = None,
    model_class: type[keras.Model] = keras.Model,
) -> keras.Model:
    """A functional model of `plan`: float32 images (batch, height, width, channels) to float32 logits.

    With `outputs`, names of units or stages, the model gives a dict from each name to its feature maps
    (batch, height, width, channels); `logits` names the last output. `context` says how layers are made.
    No layer or nested model spans the end of endpoint `cut`, so that everything before it can be frozen.
    `any_size` leaves height and width of the images open. `model_class` is what to make: Keras' model, or a
    subclass with steps of its own.
    """
    ends = {endpoint: plan.endpoint("head" if endpoint == "logits" else endpoint) for endpoint in outputs or ()}
    cuts = {*ends.values(), *([plan.endpoint(cut)] if cut else [])}
    context = replace(context, ranges={})  # of this model alone
    shape = (None, None, plan.input_shape[-1]) if any_size else plan.input_shape
    images = tensor = keras.Input(shape, name="image", dtype="float32")
    after: dict[int, Tensor] = {}
    add: Callable[[tuple[Unit, ...], Tensor, Context], Tensor]
    if context.form == "scanned":
        names = (unit.name for unit in plan.units)
        shapes = dict(zip(names, (plan.input_shape, *plan.unit_shapes()), strict=False))
        segments, add = _runs(plan.units, cuts), partial(_scanned, shapes)
    else:
        segments = _segments(plan.units, cuts)
        add = _units if _path(plan.units) <= FLAT_PATH else _nested
    for first, last in segments:
        after[last] = tensor = add(plan.units[first : last + 1], tensor, context)
    results = {endpoint: after[index] for endpoint, index in ends.items()} or tensor
    return model_class(images, results, name=name)


def _segments(units: tuple[Unit, ...], ends: set[int]) -> Iterable[tuple[int, int]]:
    """First and last index of runs of units, cut at endpoints and where the path grows too long."""
    first, length = 0, 0
    for index, unit in enumerate(units):
        length += _path([unit])
        following = _path([units[index + 1]]) if index + 1 < len(units) else NESTED_PATH
        if index in ends or length + following > NESTED_PATH:
            yield first, index
            first, length = index + 1, 0


def _runs(units: tuple[Unit, ...], ends: set[int]) -> Iterable[tuple[int, int]]:
    """First and last index of runs of equal units, cut at endpoints."""
    first = 0
    skeletons = [skeleton(unit) for unit in units]
    for index in range(len(units)):
        if index in ends or index + 1 == len(units) or skeletons[index] != skeletons[index + 1]:
            yield first, index
            first = index + 1


def _scanned(shapes: dict[str, Shape], units: tuple[Unit, ...], tensor: Tensor, context: Context) -> Tensor:
    """Equal units as one layer; `shapes` are those before each unit, which the tensor's leaves open for any size."""
    while len(units) > 1 and shapes[units[0].name] != shapes[units[1].name]:
        # the first of equal units may change the stream's shape to the one that the others keep
        tensor, units = _units(units[:1], tensor, context), units[1:]
    if len(units) == 1:
        return _units(units, tensor, context)
    layer = ScannedUnits(
        units, context.seed, context.recompute, name=f"{units[0].name}_to_{units[-1].name}", dtype=context.precision
    )
    layer.build((None, *shapes[units[0].name]))
    return layer(tensor)


def _path(units: Iterable[Unit]) -> int:
    # the first branch is the one that Keras follows before the others
    return sum(
        fold(unit.nodes, 0, lambda node, length: length + 1, lambda fork, lengths: lengths[0] + 1) for unit in units
    )


def _nested(units: tuple[Unit, ...], tensor: Tensor, context: Context) -> Tensor:
    inside = keras.Input(tensor.shape[1:], name="stream", dtype=tensor.dtype)
    name = units[0].name if len(units) == 1 else f"{units[0].name}_to_{units[-1].name}"
    return keras.Model(inside, _units(units, inside, context), name=name)(tensor)


def _units(units: tuple[Unit, ...], tensor: Tensor, context: Context) -> Tensor:
    for unit in units:
        tensor = fold(
            unit.nodes,
            tensor,
            lambda node, before: context.layer(node)(before),
            lambda fork, branches: context.layer(fork)(branches),
        )
    return tensor
