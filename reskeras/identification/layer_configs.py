"""The configuration of one Keras layer as operations of a plan; Keras' several forms of a thing become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal

from reskeras.identification import pixels
from reskeras.identification.arguments import CallArguments
from reskeras.identification.dtype_policies import FLOATS
from reskeras.identification.foreign import Foreign, Lowest, OnePosition, Stack, legible
from reskeras.identification.initialiser_configs import initial_value, initialiser_name
from reskeras.plans import operations as op
from reskeras.plans.merges import ADD, MERGES, Concat, Merge, Multiply, ScaledAdd
from reskeras.plans.plan_data import from_fields

Config = dict[str, Any]
OWN: dict[str, type[op.Op] | type[Merge]] = {  # the classes that our own layers are called as
    **{made.__name__: made for made in op.OPERATIONS.values()},
    **{made.__name__: made for made in MERGES.values()},
}
Reduce = Literal["max", "average"]
Ops = tuple[op.Op, ...]


def operations(kind: str, config: Config, beside: CallArguments) -> Ops:
    """The operations of a layer of class `kind` on its one input, called with the arguments `beside` it."""
    if config.get("lora_rank"):
        return (Foreign(name="layer", what=f"{kind} layer with unmerged LoRA", weighted=True),)
    if not _channels_first(config):
        if kind in READERS and not beside:
            return READERS[kind](config)
        if kind == "Pad":
            return _pad_by_constant(config, beside)
        if beside and (made := pixels.arithmetic(kind, beside.before, beside.after)):
            return (made,)
    first = " in channels_first" if _channels_first(config) else ""
    return (Foreign(name="layer", what=f"{kind} layer{first}", weighted="kernel_size" in config),)


def merging(kind: str, config: Config) -> Merge | None:
    """The merge that a layer of class `kind` performs; None for one that no plan has."""
    match kind:
        case "Add" | "AddV2":
            return ADD
        case "Multiply":
            return Multiply()
        case "Concatenate" if config.get("axis", -1) in (-1, 3):
            return Concat()
        case "Stack" if config.get("axis") in (-1, 3):
            return Stack()
        case "CustomScaleLayer":  # keras.applications' own, of InceptionResNetV2
            return ScaledAdd(factors=(1.0, float(config["scale"])))
        case _:
            return None


def own_record(kind: str, config: Config) -> op.Op | Merge | None:
    """The operation or merge that one of our own layers stands for, by its class name and fields; None for another
    class, KeyError where a field is missing."""
    made = OWN.get(kind)
    if made is None:
        return None
    named = {"name": "layer"} if issubclass(made, op.Op) else {}
    return from_fields(made, {**{each.name: config[each.name] for each in fields(made)}, **named})


def _activation(kind: Any) -> Ops:
    """An activation by name, which is Keras' own; Keras serialises any other function, whatever its name, as a
    mapping."""
    if isinstance(kind, dict):
        name = kind.get("config", kind.get("class_name"))
        return (Foreign(name="activation", what=legible(f"custom {name}" if isinstance(name, str) else "activation")),)
    match kind:
        case None | "linear":
            return ()
        case "swish":  # silu by its other name
            return (op.Silu(name="silu"),)
        case "sigmoid":
            return (op.Sigmoid(name="sigmoid"),)
        case _ if isinstance(kind, str) and kind in op.ACTIVATIONS:
            return (op.ACTIVATIONS[kind](name=kind),)
        case _:
            return (Foreign(name="activation", what=legible(kind)),)


def _relu(config: Config) -> Ops:
    numbers = (config.get("max_value"), config.get("negative_slope") or 0.0, config.get("threshold") or 0.0)
    if numbers == (None, 0.0, 0.0):
        return (op.Relu(name="relu"),)
    slope = f", slope {numbers[1]:g}" if numbers[1] else ""
    top = f", at most {numbers[0]:g}" if numbers[0] is not None else ""
    return (Foreign(name="relu", what=f"relu{top}{slope}"),)


def _conv(config: Config) -> Ops:
    kernel, stride = _pair(config["kernel_size"]), _pair(config.get("strides", 1))
    shape = f"{kernel[0]}x{kernel[1]} conv, {config['filters']}"
    if _pair(config.get("dilation_rate", 1)) != (1, 1):
        return (Foreign(name="conv", what=f"dilated {shape}", weighted=True),)
    if config["padding"] not in ("same", "valid"):
        return (Foreign(name="conv", what=legible(f"{shape}, {config['padding']}"), weighted=True),)
    conv = op.Conv(
        name="conv",
        filters=int(config["filters"]),
        kernel=kernel,
        stride=stride,
        padding=config["padding"],
        groups=int(config.get("groups", 1)),
        bias=bool(config.get("use_bias", True)),
        bias_start=initial_value(config.get("bias_initializer"), 0.0),
        initialiser=initialiser_name(config.get("kernel_initializer")),
    )
    return (conv, *_activation(config.get("activation")))


def _depthwise(config: Config) -> Ops:
    kernel = _pair(config["kernel_size"])
    return (Foreign(name="conv", what=f"depthwise {kernel[0]}x{kernel[1]} conv", weighted=True),)


def _norm(config: Config) -> Ops:
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, 3) or not config.get("center", True) or config.get("renorm"):
        return (Foreign(name="bn", what=legible(f"bn on axis {axis}") if axis not in (-1, 3) else "bn without shift"),)
    return (
        op.BatchNorm(
            name="bn",
            momentum=float(config.get("momentum", 0.99)),
            epsilon=float(config.get("epsilon", 1e-3)),
            scale=bool(config.get("scale", True)),
            gamma_start=initial_value(config.get("gamma_initializer"), 1.0),
        ),
    )


def _pool(reduce: Reduce) -> Callable[[Config], Ops]:
    def pool(config: Config) -> Ops:
        kernel = _pair(config["pool_size"])
        stride = kernel if config.get("strides") is None else _pair(config["strides"])
        return (op.Pool(name="pool", reduce=reduce, kernel=kernel, stride=stride, padding=config["padding"]),)

    return pool


def _global_pool(reduce: Reduce) -> Callable[[Config], Ops]:
    return lambda config: (op.GlobalPool(name="pool", reduce=reduce, keep_positions=bool(config.get("keepdims"))),)


def _dense(config: Config) -> Ops:
    return (
        op.Dense(
            name="dense",
            units=int(config["units"]),
            bias=bool(config.get("use_bias", True)),
            initialiser=initialiser_name(config.get("kernel_initializer")),
        ),
        *_activation(config.get("activation")),
    )


def _pad(config: Config, border: Literal["zero", "edge"] = "zero") -> Ops:
    padding = config["padding"]
    rows, columns = (padding, padding) if isinstance(padding, int) else padding
    return (op.Pad(name="pad", rows=_pair(rows), columns=_pair(columns), border=border),)


def _pad_edges(config: Config) -> Ops:
    return _pad(config, "edge")


def _pad_by_constant(config: Config, beside: CallArguments) -> Ops:
    """`ops.pad` with zeros, or with -inf, which a maximum never selects."""
    widths, value = config.get("pad_width"), [*beside.after, 0.0][0]
    foreign = (Foreign(name="pad", what="padding"),)
    if config.get("mode") != "constant" or beside.before or len(beside.after) > 1 or not isinstance(widths, list):
        return foreign
    pairs = [_pair(each) for each in widths]
    if len(pairs) != 4 or {pairs[0], pairs[3]} != {(0, 0)} or min(map(min, pairs)) < 0:
        return foreign
    if value in (0.0, (0.0,)):
        return (op.Pad(name="pad", rows=pairs[1], columns=pairs[2]),)
    return (
        (Lowest(name="pad", what="padding with -inf", rows=pairs[1], columns=pairs[2]),)
        if value == (float("-inf"),)
        else foreign
    )


def _reduced(reduce: Reduce) -> Callable[[Config], Ops]:
    """A mean or maximum over rows and columns: a global pool."""

    def reduced(config: Config) -> Ops:
        if _over_positions(config):
            return (op.GlobalPool(name="pool", reduce=reduce, keep_positions=bool(config.get("keepdims"))),)
        return (Foreign(name="reduced", what=legible(f"{reduce} over axes {config.get('axis')}")),)

    return reduced


def _reshape(config: Config) -> Ops:
    """A `Reshape` layer, or `ops.reshape`, whose target shape includes the batch axis."""
    target = list(config.get("target_shape") or ())
    if not target and (shape := list(config.get("newshape") or ())) and shape[0] == -1 and -1 not in shape[1:]:
        target = shape[1:]
    if len(target) == 1:
        return (op.Flatten(name="flatten"),)
    if len(target) == 3 and target[:2] == [1, 1]:
        return (OnePosition(name="reshape", what="reshape to one position"),)
    return (Foreign(name="reshape", what=legible(f"reshape to {target}")),)


def _expanded(config: Config) -> Ops:
    if _over_positions(config):
        return (OnePosition(name="reshape", what="reshape to one position"),)
    return (Foreign(name="reshape", what=legible(f"new axes {config.get('axis')}")),)


def _over_positions(config: Config) -> bool:
    """Whether the axes of an operation are the rows and columns of a map."""
    axes = config.get("axis")
    return isinstance(axes, list | tuple) and list(axes) in ([1, 2], [2, 1], [-3, -2], [-2, -3])


def _cast(config: Config) -> Ops:
    kind = str(config.get("dtype"))
    return () if kind in FLOATS else (Foreign(name="cast", what=legible(f"cast to {kind}")),)


def _dropout(config: Config) -> Ops:
    rate, shape = float(config["rate"]), config.get("noise_shape")
    if shape is not None and list(shape)[1:] != [1] * (len(shape) - 1):
        return (Foreign(name="dropout", what=legible(f"dropout of shape {shape}")),)
    return (op.Dropout(name="dropout", rate=rate, per_image=bool(config.get("per_image")) or shape is not None),)


def _of_pixels(reader: Callable[[Config], op.Op]) -> Callable[[Config], Ops]:
    return lambda config: (reader(config),)


READERS: dict[str, Callable[[Config], Ops]] = {
    "Conv2D": _conv,
    "Convolution2D": _conv,
    "GroupedConv2D": _conv,
    "SubsamplingConv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _depthwise,
    "BatchNormalization": _norm,
    "BatchNormalizationV1": _norm,
    "FusedBatchNormalization": _norm,
    "ReLU": _relu,
    "Relu": lambda config: (op.Relu(name="relu"),),
    "Activation": lambda config: _activation(config["activation"]),
    "Softmax": lambda config: _activation("softmax" if config.get("axis", -1) == -1 else "softmax on another axis"),
    "Sigmoid": lambda config: _activation("sigmoid"),
    "MaxPooling2D": _pool("max"),
    "AveragePooling2D": _pool("average"),
    "MaxPool": _pool("max"),
    "AveragePool": _pool("average"),
    "Mean": _reduced("average"),
    "Max": _reduced("max"),
    "GlobalMaxPooling2D": _global_pool("max"),
    "GlobalAveragePooling2D": _global_pool("average"),
    "Dense": _dense,
    "Flatten": lambda config: (op.Flatten(name="flatten"),),
    "ZeroPadding2D": _pad,
    "EdgePadding2D": _pad_edges,
    "Dropout": _dropout,
    "CountedDropout": _dropout,
    "Reshape": _reshape,
    "ExpandDims": _expanded,
    "Cast": _cast,
    **{kind: _of_pixels(reader) for kind, reader in pixels.READERS.items()},
    "Identity": lambda config: (),
    "ActivityRegularization": lambda config: (),
    "InputLayer": lambda config: (),
}


def _pair(value: Any) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def _channels_first(config: Config) -> bool:
    return config.get("data_format") == "channels_first"
