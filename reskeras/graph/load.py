"""Load a `.keras` file that reskeras saved: our layers registered, safe mode always, broken files named."""

from __future__ import annotations

from pathlib import Path

import keras

import reskeras.graph.keras_layers  # noqa: F401 - registers our layers with Keras
from reskeras.bounded import check_archive
from reskeras.errors import ReskerasError, failure
from reskeras.files import atomic_file, local_path


def load_model(path: str | Path) -> keras.Model:
    """The model in `path`, a `.keras` file. Nothing in the file is executed (Keras' safe mode).

    Raises ReskerasError: status 2 when there is no such file, 1 when it is broken or not a Keras model.
    """
    path = local_path(path, "model")
    if not path.is_file():
        raise ReskerasError(f"model: file not found: {path}")
    if path.suffix != ".keras":
        raise ReskerasError(f"model: {path} is not a .keras file")
    try:
        check_archive(path, "model")
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except ReskerasError:
        raise
    except Exception as error:  # zipfile, zlib, h5py, Keras and TensorFlow each have errors of their own for damage
        reason = " ".join(str(error).split())[:200]
        raise failure(f"model: {path} is broken or not a Keras model: {reason}") from error


def save_model(model: keras.Model, path: str | Path) -> None:
    """Write `model` to `path` (`.keras`): whole, or not at all; ReskerasError (status 1) when it cannot be written."""
    with atomic_file(path, durable=True) as beside:
        model.save(beside)
