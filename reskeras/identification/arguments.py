"""The arguments of one layer call, as Keras 3 and Keras 2 serialise them: tensors of the graph and everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from typing_extensions import TypeIs

from reskeras.identification.dtype_policies import FLOATS
from reskeras.identification.foreign import legible
from reskeras.identification.pixels import Config, by_channel, is_array

CONSTANT = "_CONSTANT_VALUE"  # Keras 2 writes this for a layer's name where the first operand is a constant
Address = tuple[str, int]  # a layer's name, and the index of its call
Argument = tuple[float, ...] | str | None  # numbers by channel, else text; None for None


@dataclass(frozen=True)
class CallArguments:
    """Arguments of a call that are not tensors, before its first tensor and after it: numbers by channel, else text."""

    before: tuple[tuple[float, ...] | str, ...] = ()
    after: tuple[tuple[float, ...] | str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.before or self.after)


def keywords(node: Any) -> Config:
    """Keyword arguments of one layer call."""
    if isinstance(node, dict):
        return node.get("kwargs", {})
    return {key: value for _, _, _, *more in _entries(node) for key, value in (more[0] if more else {}).items()}


def _entries(node: list[Any]) -> list[Any]:
    """Keras 2: [[name, call, tensor, further arguments], ...], or one of them alone."""
    return [node] if node and isinstance(node[0], str) else node


def arguments(node: Any, floating: bool, options: tuple[str, ...] = ()) -> tuple[list[Address], CallArguments, bool]:
    """The tensors that one layer call takes, in order; its other arguments, except its `options`; and whether the
    tensors are floats. Keras 2 does not record the dtype of each: there it is whether the images are `floating`."""
    parts: list[Address | Argument] = []
    if isinstance(node, dict):
        kinds: set[str] = set()
        _collect([*node.get("args", []), *_inputs(node.get("kwargs", {})).values()], parts, kinds)
        floating = kinds <= set(FLOATS)
    else:
        for name, call, value, *more in _entries(node):
            parts.append(_argument(value) if name == CONSTANT else (str(name), int(call)))
            parts += [
                (str(each[0]), int(each[1])) if _is_address(each) else _argument(each)
                for key, each in _inputs(more[0] if more else {}).items()
                if key not in options
            ]
    first = next((index for index, part in enumerate(parts) if _is_source(part)), len(parts))
    before, after = (
        tuple(part for part in some if part is not None and not _is_source(part))
        for some in (parts[:first], parts[first:])
    )
    return [part for part in parts if _is_source(part)], CallArguments(before, after), floating


def _collect(values: list[Any], parts: list[Address | Argument], kinds: set[str]) -> None:
    """Append Keras 3 arguments to `parts`, lists of tensors flattened, and the tensors' dtypes to `kinds`."""
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
    """An argument that is not a tensor of the graph: numbers by channel, else text; None for None."""
    if value is None:
        return None
    return by_channel(value) or ("an array" if is_array(value) else legible(_index_words(value)))


def _index_words(value: Any) -> str:
    """An index expression as Python writes it, such as `[..., ::-1]`."""
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


def _inputs(arguments: Config) -> Config:
    """Keyword arguments except those that control how a layer runs."""
    return {key: value for key, value in arguments.items() if key not in ("mask", "training", "name")}
