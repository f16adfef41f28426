"""The configuration of a Keras model, read from a file or an object; nothing of it is deserialised or executed."""

from __future__ import annotations

import json
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

from reskeras.conformity.foreign import legible
from reskeras.errors import ReskerasError, failure
from reskeras.files import local_path
from reskeras.runs import open_run

CONFIG_ENTRY = "config.json"
LARGEST_CONFIG = 128 << 20  # bytes; a layer takes about 1,500, and 5,000 units have about 50,000 layers
# zipfile raises NotImplementedError and RuntimeError for what it cannot read, h5py OSError and RuntimeError
BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, LookupError, TypeError, OSError, RuntimeError,
          EOFError)
SUFFIXES = (".keras", ".h5", ".hdf5")


def read_config(source: Any) -> tuple[str, dict[str, Any]]:
    """(class name, configuration) of the model in `source`: a `keras.Model`, a `.keras` or `.h5` file, or a run folder.

    Raises ReskerasError: status 2 when there is no such file or it is another kind of thing, 1 when it is broken.
    """
    if not isinstance(source, str | Path):
        return _of_object(source)
    path = local_path(source, "model")
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
    except OSError as error:  # a name too long, a folder that may not be entered
        raise ReskerasError(f"model: {str(path)[:100]} cannot be read: {error.strerror}") from error
    if is_folder:
        if (path / "saved_model.pb").is_file():
            raise ReskerasError(f"model: {path} is a SavedModel, which keeps TensorFlow's operations and no Keras "
                                "layers; save the Keras model as .keras")
        path, is_file = open_run(path).model_file, True
    if not is_file:
        raise ReskerasError(f"model: there is no file {path}")
    if path.suffix not in SUFFIXES:
        raise ReskerasError(f"model: {path} is neither a .keras file, a .h5 file nor a run folder")
    try:
        data = json.loads(_zipped(path) if path.suffix == ".keras" else _in_hdf5(path))
        name, config = data["class_name"], data["config"]
        if not isinstance(name, str) or not isinstance(config, dict):
            raise ValueError("its configuration describes no model")
    except ReskerasError:
        raise
    except RecursionError as error:
        raise failure(f"model: {path} is broken: its configuration is nested too deep") from error
    except BROKEN as error:
        raise failure(f"model: {path} is broken or no Keras model: {legible(error)}") from error
    return name, config


def _zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        if CONFIG_ENTRY not in archive.namelist():
            raise failure(f"model: {path} has no {CONFIG_ENTRY}, so it is no Keras archive")
        with archive.open(CONFIG_ENTRY) as entry:
            return _bounded(entry.read(LARGEST_CONFIG + 1), path)  # the size that the archive states may be a lie


def _in_hdf5(path: Path) -> bytes:
    import h5py

    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ReskerasError(f"model: {path} has weights and no model; save the whole model")
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
    return failure(f"model: {path} has a configuration of more than {LARGEST_CONFIG >> 20} MiB, which no network needs")


def _of_object(model: Any) -> tuple[str, dict[str, Any]]:
    try:
        config = model.get_config()
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise ReskerasError(f"model: a {type(model).__name__} has no configuration to read: it is no Keras model made "
                            "of layers") from error
    return type(model).__name__, json.loads(json.dumps(config, default=repr))  # tuples become the lists of a file
