"""SavedModel for TensorFlow Serving: `export/<model>/<version>/` with a `serving_default` signature."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from reskeras.export.inference import Inference


def next_version(folder: Path) -> int:
    """One more than the highest version under `folder`."""
    versions = [int(entry.name) for entry in folder.glob("*") if entry.name.isdigit()] if folder.is_dir() else []
    return max(versions, default=0) + 1


def write_saved_model(inference: Inference, folder: Path) -> Path:
    """A SavedModel in a new hidden folder below `folder`; `publish` gives it its version."""
    target = folder / f".{os.getpid()}.writing"
    shutil.rmtree(target, ignore_errors=True)
    archive = keras.export.ExportArchive()
    archive.track(inference.model)
    archive.add_endpoint("serving_default", inference, input_signature=[inference.signature])
    with contextlib.redirect_stdout(io.StringIO()):  # Keras prints the endpoints whatever `verbose` says
        archive.write_out(str(target), verbose=False)
    return target


def publish(target: Path, folder: Path) -> Path:
    """Give a finished SavedModel the next version number, by a rename: a polling server never sees a part."""
    version = folder / str(next_version(folder))
    target.rename(version)
    return version


def saved_model_logits(path: Path, images: np.ndarray) -> np.ndarray:
    """What the SavedModel at `path` answers for raw `images`, through its `serving_default` signature."""
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    return serve(images=tf.constant(images, tf.float32))["logits"].numpy()
