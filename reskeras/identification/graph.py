"""The configuration of a Keras model as a graph of operations: nested models flattened, layer names as addresses."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reskeras.errors import ReskerasError, failure
from reskeras.identification.arguments import Address, CallArguments, arguments, keywords
from reskeras.identification.dtype_policies import FLOATS, precision
from reskeras.identification.foreign import Unlike, legible
from reskeras.identification.layer_classes import (
    LAMBDAS,
    OURS,
    class_of,
    has_weights,
    is_model,
    name_of_layer,
    packages_of,
)
from reskeras.identification.layer_configs import Config, merging, operations, own_record
from reskeras.identification.pixels import AT_INFERENCE
from reskeras.plans.merges import Merge
from reskeras.plans.operation import Op

DEEPEST_MODELS = 20
MOST_NAMED = 5
MOST_CALLS = 200_000
INSIDE = "/"  # separates the name of a model from that of a layer in it
OPTIONS = ("axis", "keepdims", "data_format", "dtype")  # call arguments in Keras 2 that are configuration in Keras 3
ORDERS = {"NHWC": "channels_last", "NCHW": "channels_first"}


@dataclass
class Tensors:
    """A graph in topological order: tensor i comes from `makers[i]` and is made of the tensors `inputs[i]`.

    Tensor 0 is the image, which has no maker; `shape` is its (height, width, channels), None where it is left open. A
    maker is an operation of one input, named after its layer, or a merge of several. `precisions` are the layers' dtype
    policies, by Keras' names.
    """

    shape: tuple[int | None, ...]
    makers: dict[int, Op | Merge] = field(default_factory=dict)
    inputs: list[tuple[int, ...]] = field(default_factory=lambda: [()])
    output: int = 0
    precisions: list[str] = field(default_factory=list)

    def add(self, maker: Op | Merge, *inputs: int) -> int:
        """Add a tensor; returns its number."""
        number = len(self.inputs)
        self.makers[number] = maker
        self.inputs.append(inputs)
        return number


def read_graph(model: Config) -> Tensors:
    """The graph of a Functional or Sequential model from its configuration.

    Raises Unlike for a graph that no network in this design space has, and ReskerasError: status 2 for a model without
    a graph, 1 for a broken configuration.
    """
    if not is_model(model):
        raise ReskerasError(
            f"model: {class_of(model)} is a subclassed model, whose graph is Python code and not in the "
            "file; if it is made of its inputs and outputs, load it with its own library and pass "
            "the object: reskeras.conform(model), reskeras.port(model)"
        )
    try:
        tensors = Tensors(_image_shape(model["config"]))
        [tensors.output] = _Reader(tensors).model(model["config"], [0])
    except ReskerasError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        reason = legible(f"{type(error).__name__} {error}")
        raise failure(f"model: its configuration is broken: {reason}") from error
    return tensors


def _image_shape(config: Config) -> tuple[int | None, ...]:
    """(height, width, channels) of a model's one input; an open dimension is None."""
    first = config["layers"][0]
    if "input_layers" in config:
        [(name, _)] = _addresses(config["input_layers"], "input")
        first = next(layer for layer in config["layers"] if name_of_layer(layer) == name)
    while is_model(first):  # a Sequential that begins with a whole model
        return _image_shape(first["config"])
    shape: list[Any] = (
        first["config"].get("batch_shape")
        or first["config"].get("batch_input_shape")
        or config.get("build_input_shape")
        or []
    )
    if len(shape) != 4:
        return (None, None, None) if len(shape) != 2 else (1, 1, shape[1])
    return tuple(None if size is None else int(size) for size in shape[1:])


class _Reader:
    """Adds models and their layers to `tensors`."""

    def __init__(self, tensors: Tensors):
        self.tensors, self.depth, self.calls = tensors, 0, 0
        self.path: list[str] = []  # names of the nested models around the current layer

    def model(self, config: Config, inputs: list[int]) -> list[int]:
        """The output tensors of a model for `inputs`."""
        self.depth += 1
        if self.depth > DEEPEST_MODELS:
            raise failure(f"model: models are nested deeper than {DEEPEST_MODELS} levels")
        made = (self._functional if "input_layers" in config else self._sequential)(config, inputs)
        self.depth -= 1
        return made

    def _sequential(self, config: Config, inputs: list[int]) -> list[int]:
        for layer in config["layers"]:
            inputs = [self._layer(layer, inputs, CallArguments())]
        return inputs

    def _functional(self, config: Config, inputs: list[int]) -> list[int]:
        calls: dict[Address, tuple[Config, list[Address], CallArguments]] = {}
        floating = all(
            layer["config"].get("dtype") in (None, *FLOATS)
            for layer in config["layers"]
            if layer["class_name"] == "InputLayer"
        )
        for layer in config["layers"]:
            nodes = layer.get("inbound_nodes") or []
            if len(nodes) > 1 and has_weights(layer):
                raise Unlike(f"it applies a {class_of(layer)} {len(nodes)} times with the same weights")
            for index, node in enumerate(nodes):
                calls[name_of_layer(layer), index] = (_as_called(layer, node), *_taken(layer, node, floating))
        begins = _addresses(config["input_layers"], "input" if self.depth == 1 else None)
        if len(begins) != len(inputs):
            raise failure(f"model: a model of {len(begins)} inputs is called with {len(inputs)}")
        values: dict[Address, int] = dict(zip(begins, inputs, strict=True))
        nested = {
            name_of_layer(layer): len(layer.get("inbound_nodes") or [None])
            for layer in config["layers"]
            if "input_layers" in layer["config"]
        }
        sources = {call: [_called(source, nested) for source in found[1]] for call, found in calls.items()}
        for call in _in_order(sources, set(values)):
            layer, _, beside = calls[call]
            values[call] = self._layer(layer, [values[source] for source in sources[call]], beside)
        return [values[_called(end, nested)] for end in _addresses(config["output_layers"], "output")]

    def _layer(self, layer: Config, inputs: list[int], beside: CallArguments) -> int:
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise failure(f"model: more than {MOST_CALLS:,} layers")
        config, kind = layer["config"], class_of(layer)
        if is_model(layer):
            self.path.append(name_of_layer(layer))
            [output] = self.model(config, inputs)
            self.path.pop()
            return output
        own = own_record(kind, config) if packages_of(layer) == {OURS} else None
        merged = own if isinstance(own, Merge) else merging(kind, config)
        if kind != "InputLayer":
            self.tensors.precisions.append(precision(config.get("dtype")))
        if len(inputs) == 1 and (merged is None or beside):
            [tensor] = inputs
            name = INSIDE.join([*self.path, name_of_layer(layer)])
            for made in (own,) if isinstance(own, Op) and not beside else operations(kind, config, beside):
                tensor = self.tensors.add(replace(made, name=name), tensor)
            return tensor
        if merged is None or beside or not inputs:
            raise Unlike(f"it has a {kind} of {len(inputs)} tensors")
        return inputs[0] if len(inputs) == 1 else self.tensors.add(merged, *inputs)


def _addresses(places: Any, what: str | None) -> list[Address]:
    """Addresses of a model's inputs or outputs; with `what`, Unlike unless there is exactly one."""
    if isinstance(places, dict):
        places = list(places.values())
    if len(places) == 3 and isinstance(places[0], str):
        places = [places]
    found = [(str(name), int(call)) for name, call, _ in places]
    if what is not None and len(found) != 1:
        more = ", ..." if len(found) > MOST_NAMED else ""
        names = ", ".join(legible(name) for name, _ in found[:MOST_NAMED]) + more
        raise Unlike(f"it has {len(found)} {what}s ({names}) but should have one; build a keras.Model with one")
    return found


def _called(address: Address, nested: Mapping[str, int]) -> Address:
    """The call that a tensor comes from. Keras counts the calls of a nested Functional model from 1, in some places
    from 0, which it then reads as the last; `nested` has the number of calls of each."""
    name, call = address
    return (name, (call - 1) % nested[name]) if name in nested else address


def _as_called(layer: Config, node: Any) -> Config:
    """A layer as one call configures it: training mode is part of the class name, and the options of a Keras 2
    function are part of the configuration."""
    given, kind = keywords(node), layer["class_name"]
    # Keras 3 records the default `training` of a layer's call, which inference overrides
    if given.get("training") is True and not (isinstance(node, dict) and class_of(layer) in AT_INFERENCE):
        return {**layer, "class_name": f"{kind} in training mode"}
    if kind in LAMBDAS:
        options = {
            key: ORDERS.get(given[key], given[key]) if key == "data_format" else given[key]
            for key in OPTIONS
            if key in given
        }
        return {**layer, "config": {**layer["config"], **options}}
    return layer


def _taken(layer: Config, node: Any, floating: bool) -> tuple[list[Address], CallArguments]:
    """The tensors that one layer call takes, and its other arguments; arithmetic on integers, which wraps around, is
    marked."""
    sources, beside, floating = arguments(node, floating, OPTIONS if layer["class_name"] in LAMBDAS else ())
    if beside and not floating and class_of(layer) != "TrueDivide":
        beside = replace(beside, after=(*beside.after, "of integers"))
    return sources, beside


def _in_order(sources: dict[Address, list[Address]], known: set[Address]) -> Iterator[Address]:
    """Calls in topological order, whatever order the file has; those that cannot be computed are left out."""
    waiting = {call: len([source for source in taken if source not in known]) for call, taken in sources.items()}
    takers: dict[Address, list[Address]] = {}
    for call, taken in sources.items():
        for source in taken:
            if source not in known:
                takers.setdefault(source, []).append(call)
    ready = deque(call for call, count in waiting.items() if count == 0 and call not in known)
    while ready:
        call = ready.popleft()
        yield call
        for taker in takers.get(call, []):
            waiting[taker] -= 1
            if waiting[taker] == 0:
                ready.append(taker)
