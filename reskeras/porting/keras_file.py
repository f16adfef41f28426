"""Whole Keras models loaded from files, and why one cannot be: broken, of Keras 2, or weights alone."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import keras

from reskeras.bounded import check_hdf5
from reskeras.errors import ReskerasError, failure
from reskeras.graph.load import load_model
from reskeras.identification.archive import BROKEN
from reskeras.identification.conform import conform
from reskeras.porting.layouts import APPLICATIONS

LARGEST_METADATA = 1 << 16  # bytes


def load_keras_file(path: Path) -> keras.Model:
    """Load a whole model from a file, in safe mode."""
    try:
        if path.suffix == ".keras":
            return load_model(path)
        with h5py.File(path, "r") as file:
            whole = "model_config" in file.attrs
        if whole:
            check_hdf5(path, "port")
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # h5py's and Keras' own
        _refuse_unloadable(path, error)
        if isinstance(error, ReskerasError):
            raise
        raise failure(f"port: {path} is broken or not a Keras model: {_in_a_line(error)}") from error
    raise ReskerasError(
        f"port: {path} has weights but no model; name the model with --as, one of {', '.join(APPLICATIONS)}"
    )


def _refuse_unloadable(path: Path, error: Exception) -> None:
    """ReskerasError, with advice, for a file that is not broken but that Keras 3 cannot load: one written by Keras 2,
    or without the model's graph."""
    try:
        version = _keras_version(path)
        conform(path)
    except ReskerasError as refusal:
        if refusal.status == 2:
            raise
        return
    except BROKEN:
        return
    if version.startswith("2."):
        raise ReskerasError(
            f"port: {path} was saved by Keras {version}, which Keras 3 cannot load; after `pip install tf_keras`, run "
            f"in Python: reskeras.port(tf_keras.models.load_model({str(path)!r}))"
        ) from error


def _keras_version(path: Path) -> str:
    """The version of the Keras that wrote a file; empty if it does not say."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive, archive.open("metadata.json") as entry:
            return str(json.loads(entry.read(LARGEST_METADATA))["keras_version"])
    with h5py.File(path, "r") as file:
        return str(file.attrs.get("keras_version", ""))


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
