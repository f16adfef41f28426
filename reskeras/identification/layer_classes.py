"""What a serialised layer is: its name, its class with the package, and whether it is a whole model."""

from __future__ import annotations

from reskeras.identification.foreign import MODELS, is_own, legible
from reskeras.identification.pixels import Config

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
KERAS_REGISTERED = ("Custom>CustomScaleLayer",)  # Keras' own classes that Keras 2 registers like custom ones


def is_model(layer: Config) -> bool:
    """Whether a layer is a whole model that its configuration defines: Keras' own class, not another one of that name
    or with such fields."""
    return class_of(layer) in MODELS and isinstance(layer["config"].get("layers"), list)


def class_of(layer: Config) -> str:
    """The class name of a layer. A class that is not known to be Keras' own or ours keeps its package or module, so
    that it is never mistaken for one of theirs: Keras 3 records a module and registers none of its own classes under a
    package (except KERAS_REGISTERED); Keras 2 records no module, and marks custom classes by a package."""
    kind, module, registered = str(layer["class_name"]), layer.get("module"), layer.get("registered_name")
    packages = packages_of(layer)
    own = packages == {OURS} or (not packages and (is_own(module) if module else registered is None))
    kind = kind.rpartition(">")[2]
    if not own:
        place = min(packages - {OURS}, default="") or str(module or "custom").partition(".")[0]
        return legible(f"{place}>{kind}")
    if kind in LAMBDAS:
        return legible(FUNCTIONS.get(function := layer["config"].get("function"), f"{function} function"))
    return legible(kind)


def packages_of(layer: Config) -> set[str]:
    """The packages that the class of a layer is registered under; none for Keras' own."""
    kind, registered = str(layer["class_name"]), layer.get("registered_name")
    names = () if registered in KERAS_REGISTERED and is_own(layer.get("module")) else (kind, str(registered or ""))
    return {name.rpartition(">")[0] for name in names} - {""}


def has_weights(layer: Config) -> bool:
    """Whether a layer, or a model used as one, has weights that a second call would share."""
    config = layer["config"]
    if is_model(layer):
        return any(map(has_weights, config["layers"]))
    return any(key.endswith("_initializer") for key in config)


def name_of_layer(layer: Config) -> str:
    """The name of a layer, which Keras keeps beside its configuration or in it."""
    return str(layer.get("name") or layer["config"]["name"])


def strange_layers(model: Config) -> dict[str, str]:
    """Layers whose class is neither Keras' own nor ours, in nested models too: name to class."""
    found, waiting = {}, list(model["config"]["layers"]) if is_model(model) else []
    for layer in waiting:
        if is_model(layer):
            waiting += layer["config"]["layers"]
        elif ">" in (kind := class_of(layer)):
            found[legible(name_of_layer(layer))] = kind
    return found
