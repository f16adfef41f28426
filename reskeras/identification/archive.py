"""The configuration of a Keras model, read from a file or an object; nothing in it is deserialised or executed."""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import EllipsisType
from typing import Any

from reskeras.errors import ReskerasError, failure
from reskeras.files import local_path, reason
from reskeras.identification.foreign import GRAPHS, is_own, legible
from reskeras.runs import open_run

CONFIG_ENTRY = "config.json"
LARGEST_CONFIG = 128 << 20  # bytes; a layer takes about 1,500, and 5,000 units have about 50,000 layers
# zipfile raises NotImplementedError and RuntimeError for what it cannot read, h5py OSError and RuntimeError
BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    LookupError,
    TypeError,
    OSError,
    RuntimeError,
    EOFError,
)
# classes whose own `__call__` inspects its arguments and delegates to Keras'
HANDING_ON = ("keras_hub.src.utils.pipeline_model.PipelineModel",)
SUFFIXES = (".keras", ".h5", ".hdf5")


def read_config(source: Any) -> dict[str, Any]:
    """The configuration that Keras serialises for the model in `source`: `class_name` and `config`, and where present
    `module` and `registered_name`. `source` is a `keras.Model`, a `.keras` or `.h5` file, a run folder, or a mapping
    as returned by `keras.saving.serialize_keras_object`.

    Raises ReskerasError: status 2 for a missing file or an unsupported kind of file or object, 1 for a broken file.
    """
    if isinstance(source, Mapping):
        return dict(source)
    if not isinstance(source, str | Path):
        return _of_object(source)
    path = local_path(source, "model")
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name that is too long, or a folder without permission
        raise ReskerasError(f"model: {str(path)[:100]} cannot be read: {reason(error)}") from error
    if is_folder:
        if (path / "saved_model.pb").is_file():
            raise ReskerasError(
                f"model: {path} is a SavedModel, which stores TensorFlow operations and not Keras "
                "layers; save the Keras model as .keras"
            )
        path, is_file = open_run(path).model_file, True
    if not is_file:
        raise ReskerasError(f"model: file not found: {path}")
    if path.suffix not in SUFFIXES:
        raise ReskerasError(f"model: {path} is neither a .keras file, a .h5 file nor a run folder")
    try:
        data = json.loads(_zipped(path) if path.suffix == ".keras" else _in_hdf5(path))
        if not isinstance(data["class_name"], str) or not isinstance(data["config"], dict):
            raise ValueError("its configuration does not describe a model")
    except ReskerasError:
        raise
    except RecursionError as error:
        raise failure(f"model: {path} is broken: its configuration is nested too deeply") from error
    except BROKEN as error:
        raise failure(f"model: {path} is broken or not a Keras model: {legible(error)}") from error
    return data


def _zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        if CONFIG_ENTRY not in archive.namelist():
            raise failure(f"model: {path} is not a Keras archive: it has no {CONFIG_ENTRY}")
        with archive.open(CONFIG_ENTRY) as entry:
            return _bounded(entry.read(LARGEST_CONFIG + 1), path)  # the archive's stated size cannot be trusted


def _in_hdf5(path: Path) -> bytes:
    import h5py

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ReskerasError(f"model: {path} has weights but no model; save the whole model")
        attribute = h5py.h5a.open(file.id, b"model_config")
        if attribute.get_storage_size() > LARGEST_CONFIG:
            raise _too_large(path)
        config = file.attrs["model_config"]
    return _bounded(config.encode() if isinstance(config, str) else bytes(config), path)


def _bounded(text: bytes, path: Path) -> bytes:
    if len(text) > LARGEST_CONFIG:
        raise _too_large(path)
    return text


def _too_large(path: Path) -> ReskerasError:
    return failure(f"model: {path} has a configuration of more than {LARGEST_CONFIG >> 20} MiB, which is too large")


def _of_object(model: Any) -> dict[str, Any]:
    """The same for an object; a subclass counts as its graph as long as it does not override Keras' own call."""
    if (config := _graph(model)) is None:
        raise ReskerasError(
            f"model: a {type(model).__name__} has no configuration to read: it is not a Keras model made "
            "of layers, or is a subclassed one with its own call method, whose graph is Python code; if "
            "that call only applies its layers, pass keras.Model(model.inputs, model.outputs)"
        )
    return json.loads(json.dumps(config, default=_as_in_a_file))  # tuples become lists


def _as_in_a_file(value: Any) -> Any:
    """Slices, ellipses and arrays as Keras 2 writes them to files; an object's configuration holds Python objects."""
    match value:
        case EllipsisType():
            return {"class_name": "__ellipsis__"}
        case slice():
            return {"start": value.start, "stop": value.stop, "step": value.step}
        case _:
            return value.tolist() if hasattr(value, "tolist") else repr(value)


def _graph(model: Any) -> dict[str, Any] | None:
    """The configuration of a model that its graph defines, nested models included; None for any other object."""
    kind = type(model)
    called: Any = next(
        (
            each
            for each in kind.__mro__
            if {"call", "__call__"} & vars(each).keys() and f"{each.__module__}.{each.__name__}" not in HANDING_ON
        ),
        None,
    )
    if called is None or called.__name__ not in GRAPHS or not is_own(called.__module__):
        return None
    # a subclass made of its inputs and outputs may override get_config and list no layers
    made = called(model.inputs, model.outputs) if kind is not called and called.__name__ != "Sequential" else model
    config = called.get_config(made)
    inside = {layer.name: graph for layer in made.layers if (graph := _graph(layer)) is not None}
    layers = [
        {**layer, **inside[layer["config"]["name"]]} if layer["config"].get("name") in inside else layer
        for layer in config["layers"]
    ]
    return {
        "module": called.__module__,
        "class_name": called.__name__,
        "registered_name": None,
        "config": {**config, "layers": layers},
    }
