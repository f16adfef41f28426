"""The configuration of a Keras model as a graph of operations: nested models flattened, layer names as addresses."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reskeras.errors import ReskerasError, failure
from reskeras.identification.arguments import Address, arguments, keywords
from reskeras.identification.foreign import MODELS, Unlike, is_own, legible
from reskeras.identification.layer_configs import (
    FLOATS,
    CallArguments,
    Config,
    merging,
    operations,
    own_record,
    precision,
)
from reskeras.identification.pixels import AT_INFERENCE
from reskeras.plans.merges import Merge
from reskeras.plans.operation import Op

DEEPEST_MODELS = 20
MOST_NAMED = 5
MOST_CALLS = 200_000
INSIDE = "/"  # separates the name of a model from that of a layer in it
OURS = "reskeras"  # the package that our own layers are registered under
# TensorFlow functions, which Keras 2 keeps as TFOpLambda or SlicingOpLambda layers, to Keras 3's operations
FUNCTIONS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "nn.bias_add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
    "math.divide": "TrueDivide",
    "nn.relu": "Relu",
    "nn.softmax": "Softmax",
    "nn.sigmoid": "Sigmoid",
    "math.sigmoid": "Sigmoid",
    "math.reduce_mean": "Mean",
    "math.reduce_max": "Max",
    "cast": "Cast",
    "expand_dims": "ExpandDims",
    "__operators__.getitem": "GetItem",
}
LAMBDAS = ("TFOpLambda", "SlicingOpLambda")
OPTIONS = ("axis", "keepdims", "data_format", "dtype")  # call arguments in Keras 2 that are configuration in Keras 3
ORDERS = {"NHWC": "channels_last", "NCHW": "channels_first"}
KERAS_REGISTERED = ("Custom>CustomScaleLayer",)  # Keras' own classes that Keras 2 registers like custom ones


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

    Raises Unlike for a graph that a network of this space cannot have, and ReskerasError: status 2 for a model without
    a graph, 1 for a broken configuration.
    """
    if not _is_model(model):
        raise ReskerasError(
            f"model: {_kind(model)} is a subclassed model, whose graph is Python code and not in the "
            "file; where it is made of its inputs and outputs, load it with its own library and give "
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
        first = next(layer for layer in config["layers"] if _name(layer) == name)
    while _is_model(first):  # a Sequential that begins with a whole model
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
            if len(nodes) > 1 and _has_weights(layer):
                raise Unlike(f"it applies a {_kind(layer)} {len(nodes)} times with the same weights")
            for index, node in enumerate(nodes):
                calls[_name(layer), index] = (_as_called(layer, node), *_taken(layer, node, floating))
        begins = _addresses(config["input_layers"], "input" if self.depth == 1 else None)
        if len(begins) != len(inputs):
            raise failure(f"model: a model of {len(begins)} inputs is given {len(inputs)}")
        values: dict[Address, int] = dict(zip(begins, inputs, strict=True))
        nested = {
            _name(layer): len(layer.get("inbound_nodes") or [None])
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
        config, kind = layer["config"], _kind(layer)
        if _is_model(layer):
            self.path.append(_name(layer))
            [output] = self.model(config, inputs)
            self.path.pop()
            return output
        own = own_record(kind, config) if _packages(layer) == {OURS} else None
        merged = own if isinstance(own, Merge) else merging(kind, config)
        if kind != "InputLayer":
            self.tensors.precisions.append(precision(config.get("dtype")))
        if len(inputs) == 1 and (merged is None or beside):
            [tensor] = inputs
            name = INSIDE.join([*self.path, _name(layer)])
            for made in (own,) if isinstance(own, Op) and not beside else operations(kind, config, beside):
                tensor = self.tensors.add(replace(made, name=name), tensor)
            return tensor
        if merged is None or beside or not inputs:
            raise Unlike(f"it has a {kind} of {len(inputs)} tensors")
        return inputs[0] if len(inputs) == 1 else self.tensors.add(merged, *inputs)


def strange_layers(model: Config) -> dict[str, str]:
    """Layers whose class is neither Keras' own nor ours, in nested models too: name to class."""
    found, waiting = {}, list(model["config"]["layers"]) if _is_model(model) else []
    for layer in waiting:
        if _is_model(layer):
            waiting += layer["config"]["layers"]
        elif ">" in (kind := _kind(layer)):
            found[legible(_name(layer))] = kind
    return found


def _is_model(layer: Config) -> bool:
    """Whether a layer is a whole model that its configuration defines: Keras' own class, not another one of that name
    or with such fields."""
    return _kind(layer) in MODELS and isinstance(layer["config"].get("layers"), list)


def _kind(layer: Config) -> str:
    """The class name of a layer. A class that is not known to be Keras' own or ours keeps its package or module, so
    that it is never mistaken for one of theirs: Keras 3 records a module and registers none of its own classes under a
    package (except KERAS_REGISTERED); Keras 2 records no module, and marks custom classes by a package."""
    kind, module, registered = str(layer["class_name"]), layer.get("module"), layer.get("registered_name")
    packages = _packages(layer)
    own = packages == {OURS} or (not packages and (is_own(module) if module else registered is None))
    kind = kind.rpartition(">")[2]
    if not own:
        place = min(packages - {OURS}, default="") or str(module or "custom").partition(".")[0]
        return legible(f"{place}>{kind}")
    if kind in LAMBDAS:
        return legible(FUNCTIONS.get(function := layer["config"].get("function"), f"{function} function"))
    return legible(kind)


def _packages(layer: Config) -> set[str]:
    """The packages that the class of a layer is registered under; none for Keras' own."""
    kind, registered = str(layer["class_name"]), layer.get("registered_name")
    names = () if registered in KERAS_REGISTERED and is_own(layer.get("module")) else (kind, str(registered or ""))
    return {name.rpartition(">")[0] for name in names} - {""}


def _has_weights(layer: Config) -> bool:
    """Whether a layer, or a model used as one, has weights that a second call would share."""
    config = layer["config"]
    if _is_model(layer):
        return any(map(_has_weights, config["layers"]))
    return any(key.endswith("_initializer") for key in config)


def _name(layer: Config) -> str:
    return str(layer.get("name") or layer["config"]["name"])


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
        raise Unlike(f"it has {len(found)} {what}s ({names}), and should have one; make a keras.Model of one")
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
    if given.get("training") is True and not (isinstance(node, dict) and _kind(layer) in AT_INFERENCE):
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
    if beside and not floating and _kind(layer) != "TrueDivide":
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
