"""The configuration of a Keras model as a graph of operations: nested models opened, layer names used as addresses."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reskeras.conformity.foreign import MODELS, Unlike, is_own, legible
from reskeras.conformity.layers import Config, Merging, merging, operations, precision
from reskeras.errors import ReskerasError, failure
from reskeras.spec.operations import Op, Shape

DEEPEST_MODELS = 20
MOST_CALLS = 200_000
INSIDE = "/"  # between the names of a model and of a layer in it
OURS = "reskeras"  # the package that our own layers are registered in
FUNCTIONS = {"__operators__.add": "Add", "math.add": "Add", "math.multiply": "Multiply", "nn.relu": "Relu"}
Address = tuple[str, int]  # a layer's name, and which of its calls


@dataclass
class Tensors:
    """A graph in topological order: tensor i comes from `makers[i]` and is made of the tensors `inputs[i]`.

    Tensor 0 is the image; `shape` is its (height, width, channels), None where it is left open. A maker is an operation
    of one input, which is called what its layer is, or the merging of several. `precisions` are those of the layers, in
    Keras' words.
    """

    shape: tuple[int | None, ...]
    makers: list[Op | Merging | None] = field(default_factory=lambda: [None])
    inputs: list[tuple[int, ...]] = field(default_factory=lambda: [()])
    output: int = 0
    precisions: list[str] = field(default_factory=list)

    def add(self, maker: Op | Merging, *inputs: int) -> int:
        """A new tensor; returns its number."""
        self.makers.append(maker)
        self.inputs.append(inputs)
        return len(self.makers) - 1

    @property
    def image(self) -> Shape | None:
        """The shape that goes in, if it is fixed."""
        return None if None in self.shape else self.shape


def read_graph(model: Config) -> Tensors:
    """The graph of a model, Functional or Sequential, as Keras writes it down.

    Raises Unlike for a graph that a network of this space cannot have, and ReskerasError: status 2 for a model without
    a graph, 1 for a broken configuration.
    """
    if not _is_model(model):
        raise ReskerasError(f"model: {_kind(model)} is a subclassed model, whose graph is Python code and not "
                            "in the file; only Functional and Sequential models can be read")
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
    """(height, width, channels) of a model's one input; a part that is open is None."""
    first = config["layers"][0]
    if "input_layers" in config:
        [(name, _)] = _addresses(config["input_layers"], "input")
        first = next(layer for layer in config["layers"] if _name(layer) == name)
    while _is_model(first):  # a Sequential that begins with a whole model
        return _image_shape(first["config"])
    shape = first["config"].get("batch_shape") or first["config"].get("batch_input_shape") \
        or config.get("build_input_shape") or ()
    if len(shape) != 4:
        return (None, None, None) if len(shape) != 2 else (1, 1, shape[1])
    return tuple(None if size is None else int(size) for size in shape[1:])


class _Reader:
    """Adds models and their layers to `tensors`."""

    def __init__(self, tensors: Tensors):
        self.tensors, self.depth, self.calls = tensors, 0, 0
        self.path: list[str] = []  # names of the models that are inside one another

    def model(self, config: Config, inputs: list[int]) -> list[int]:
        """The tensors that a model gives for `inputs`."""
        self.depth += 1
        if self.depth > DEEPEST_MODELS:
            raise failure(f"model: models are nested deeper than {DEEPEST_MODELS} levels")
        made = (self._functional if "input_layers" in config else self._sequential)(config, inputs)
        self.depth -= 1
        return made

    def _sequential(self, config: Config, inputs: list[int]) -> list[int]:
        for layer in config["layers"]:
            inputs = [self._layer(layer, inputs, ())]
        return inputs

    def _functional(self, config: Config, inputs: list[int]) -> list[int]:
        calls: dict[Address, tuple[Config, list[Address], tuple[float, ...]]] = {}
        for layer in config["layers"]:
            nodes = layer.get("inbound_nodes") or []
            if len(nodes) > 1 and _has_weights(layer):
                raise Unlike(f"it applies a {_kind(layer)} {len(nodes)} times with the same weights")
            for index, node in enumerate(nodes):
                called = {**layer, "class_name": f"{layer['class_name']} in training mode"} if _trains(node) else layer
                calls[_name(layer), index] = (called, *_arguments(node))
        begins = _addresses(config["input_layers"], "input" if self.depth == 1 else None)
        if len(begins) != len(inputs):
            raise failure(f"model: a model of {len(begins)} inputs is given {len(inputs)}")
        values: dict[Address, int] = dict(zip(begins, inputs, strict=True))
        nested = {_name(layer): len(layer.get("inbound_nodes") or [None]) for layer in config["layers"]
                  if "input_layers" in layer["config"]}
        sources = {call: [_called(source, nested) for source in found[1]] for call, found in calls.items()}
        for call in _in_order(sources, set(values)):
            layer, _, constants = calls[call]
            values[call] = self._layer(layer, [values[source] for source in sources[call]], constants)
        return [values[_called(end, nested)] for end in _addresses(config["output_layers"], "output")]

    def _layer(self, layer: Config, inputs: list[int], constants: tuple[float, ...]) -> int:
        self.calls += 1
        if self.calls > MOST_CALLS:
            raise failure(f"model: more than {MOST_CALLS:,} layers")
        config, kind = layer["config"], _kind(layer)
        if _is_model(layer):
            self.path.append(_name(layer))
            [output] = self.model(config, inputs)
            self.path.pop()
            return output
        merged = merging(kind, config)
        if kind != "InputLayer":
            self.tensors.precisions.append(precision(config.get("dtype")))
        if len(inputs) == 1 and (merged is None or constants):
            [tensor] = inputs
            name = INSIDE.join([*self.path, _name(layer)])
            for made in operations(kind, config, constants):
                tensor = self.tensors.add(replace(made, name=name), tensor)
            return tensor
        if merged is None or constants or not inputs:
            raise Unlike(f"it has a {kind} of {len(inputs)} tensors")
        return inputs[0] if len(inputs) == 1 else self.tensors.add(merged, *inputs)


def strange_layers(model: Config) -> dict[str, str]:
    """The layers of a model, and of those inside, by name, whose class is neither Keras' own nor ours: which it is."""
    found, waiting = {}, list(model["config"]["layers"]) if _is_model(model) else []
    for layer in waiting:
        if _is_model(layer):
            waiting += layer["config"]["layers"]
        elif ">" in (kind := _kind(layer)):
            found[legible(_name(layer))] = kind
    return found


def _is_model(layer: Config) -> bool:
    """Whether a layer is a whole model whose configuration is its function: Keras' own class, not one of that name or
    with such fields."""
    return _kind(layer) in MODELS and isinstance(layer["config"].get("layers"), list)


def _kind(layer: Config) -> str:
    """The class of a layer. One that is not known to be Keras' own or ours keeps its package or module, so that it is
    not taken for theirs, whatever it is called: Keras names a module and registers none of its own classes by package;
    Keras 2 names neither, and marks what is not its own by a package."""
    kind, module, registered = str(layer["class_name"]), layer.get("module"), layer.get("registered_name")
    packages = {name.rpartition(">")[0] for name in (kind, str(registered or ""))} - {""}
    own = packages == {OURS} or (not packages and (is_own(module) if module else registered is None))
    kind = kind.rpartition(">")[2]
    if not own:
        place = min(packages - {OURS}, default="") or str(module or "custom").partition(".")[0]
        return legible(f"{place}>{kind}")
    return legible(FUNCTIONS.get(layer["config"].get("function"), kind) if kind == "TFOpLambda" else kind)


def _has_weights(layer: Config) -> bool:
    """Whether a layer, or a model used as one, has weights that a second call would share."""
    config = layer["config"]
    if _is_model(layer):
        return any(map(_has_weights, config["layers"]))
    return any(key.endswith("_initializer") for key in config)


def _name(layer: Config) -> str:
    return str(layer.get("name") or layer["config"]["name"])


def _addresses(places: Any, what: str | None) -> list[Address]:
    """Addresses of a model's inputs or outputs; with `what`, Unlike unless there is one."""
    if isinstance(places, dict):
        places = list(places.values())
    if len(places) == 3 and isinstance(places[0], str):
        places = [places]
    found = [(str(name), int(call)) for name, call, _ in places]
    if what is not None and len(found) != 1:
        raise Unlike(f"it has {len(found)} {what}s, and should have one")
    return found


def _called(address: Address, nested: Mapping[str, int]) -> Address:
    """Where a tensor comes from. Of a nested Functional model Keras counts calls from 1, and in some places from 0,
    which it then reads as the last; `nested` has how often each is called."""
    name, call = address
    return (name, (call - 1) % nested[name]) if name in nested else address


def _arguments(node: Any) -> tuple[list[Address], tuple[float, ...]]:
    """The tensors that one call of a layer takes, in order, and the numbers beside them."""
    if isinstance(node, dict):  # Keras 3
        found = list(_of_keras_3([node.get("args", []), _told(node.get("kwargs", {}))]))
    else:  # Keras 2: [[name, call, tensor, further arguments], ...]
        entries = [node] if node and isinstance(node[0], str) else node
        found = [part for name, call, _, *more in entries for part in (
            (str(name), int(call)), *_of_keras_2(list(_told(more[0] if more else {}).values())))]
    return ([part for part in found if isinstance(part, tuple)],
            tuple(float(part) for part in found if not isinstance(part, tuple)))


def _trains(node: Any) -> bool:
    """Whether a call asks for what a layer does in training, always: a batch norm then is another function."""
    if isinstance(node, dict):
        return node.get("kwargs", {}).get("training") is True
    return any(isinstance(part, dict) and part.get("training") is True for entry in node for part in entry)


def _told(arguments: Config) -> Config:
    """Keyword arguments but for those that say how to run a layer."""
    return {key: value for key, value in arguments.items() if key not in ("mask", "training", "name")}


def _of_keras_3(value: Any) -> Iterator[Address | float]:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        name, call, _ = value["config"]["keras_history"]
        yield str(name), int(call)
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _of_keras_3(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def _of_keras_2(values: list[Any]) -> Iterator[Address | float]:
    for value in values:
        if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
            yield str(value[0]), int(value[1])
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield float(value)


def _in_order(sources: dict[Address, list[Address]], known: set[Address]) -> Iterator[Address]:
    """Calls so that each comes after those it takes from, whatever order the file has; only what can be computed."""
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
