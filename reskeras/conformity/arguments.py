"""What one call of a layer takes, as Keras 3 and Keras 2 write it down: tensors of the graph and what is beside."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypeIs

from reskeras.conformity.foreign import legible
from reskeras.conformity.layers import FLOATS, CallArguments, Config
from reskeras.conformity.pixels import by_channel, is_array

CONSTANT = "_CONSTANT_VALUE"  # in place of a layer's name, Keras 2's mark of a number that comes first
Address = tuple[str, int]  # a layer's name, and which of its calls
Argument = tuple[float, ...] | str | None  # numbers by channel, else words; None for none


def keywords(node: Any) -> Config:
    """Keyword arguments of one call of a layer."""
    if isinstance(node, dict):
        return node.get("kwargs", {})
    return {key: value for _, _, _, *more in _entries(node) for key, value in (more[0] if more else {}).items()}


def _entries(node: list[Any]) -> list[Any]:
    """Keras 2: [[name, call, tensor, further arguments], ...], or one of them alone."""
    return [node] if node and isinstance(node[0], str) else node


def arguments(node: Any, floating: bool, options: tuple[str, ...] = ()) -> tuple[list[Address], CallArguments, bool]:
    """The tensors that one call of a layer takes, in order, what is beside them but for its `options`, and whether the
    tensors are floats, which Keras 2 does not say of each: there it is whether the images are `floating`."""
    parts: list[Address | Argument] = []
    if isinstance(node, dict):
        kinds: set[str] = set()
        _collect([*node.get("args", []), *_told(node.get("kwargs", {})).values()], parts, kinds)
        floating = kinds <= set(FLOATS)
    else:
        for name, call, value, *more in _entries(node):
            parts.append(_argument(value) if name == CONSTANT else (str(name), int(call)))
            parts += [(str(each[0]), int(each[1])) if _is_address(each) else _argument(each)
                      for key, each in _told(more[0] if more else {}).items() if key not in options]
    first = next((index for index, part in enumerate(parts) if _is_source(part)), len(parts))
    before, after = (tuple(part for part in some if part is not None and not _is_source(part))
                     for some in (parts[:first], parts[first:]))
    return [part for part in parts if _is_source(part)], CallArguments(before, after), floating


def _collect(values: list[Any], parts: list[Address | Argument], kinds: set[str]) -> None:
    """Arguments of Keras 3 in order; lists of tensors are opened. `kinds` gets the tensors' dtypes."""
    for value in values:
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            name, call, _ = value["config"]["keras_history"]
            parts.append((str(name), int(call)))
            kinds.add(str(value["config"].get("dtype", FLOATS[0])))
        elif isinstance(value, dict | list) and not is_array(value) and "__keras_tensor__" in str(value):
            _collect(list(value.values()) if isinstance(value, dict) else value, parts, kinds)
        else:
            parts.append(_argument(value))


def _argument(value: Any) -> Argument:
    """An argument that is no tensor of the graph: numbers by channel, else words; None for none."""
    if value is None:
        return None
    return by_channel(value) or ("an array" if is_array(value) else legible(_index_words(value)))


def _index_words(value: Any) -> str:
    """A place in a tensor as Python writes it, such as `[..., ::-1]`."""
    if isinstance(value, dict) and value.get("class_name") == "__ellipsis__":
        return "..."
    if isinstance(value, dict):
        bounds = value.get("config", value)
        start, stop, step = ("" if bounds.get(key) is None else bounds[key] for key in ("start", "stop", "step"))
        return f"{start}:{stop}" + (f":{step}" if step != "" else "")
    return f"[{', '.join(map(_index_words, value))}]" if isinstance(value, list | tuple) else str(value)


def _is_address(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3 and isinstance(value[0], str)


def _is_source(part: Address | Argument) -> TypeIs[Address]:
    return isinstance(part, tuple) and isinstance(part[0], str)


def _told(arguments: Config) -> Config:
    """Keyword arguments but for those that say how to run a layer."""
    return {key: value for key, value in arguments.items() if key not in ("mask", "training", "name")}
