"""Imports TensorFlow and Keras once: with the right backend, and without their start-up messages on stderr."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from reskeras.environment import defaults
from reskeras.errors import ReskerasError
from reskeras.verbosity import Verbosity, verbosity


def _aside() -> IO[bytes]:
    """An unnamed temporary file: in memory where the system can, so that start-up needs no writable folder."""
    return open(os.memfd_create("stderr"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()


@contextmanager
def stderr_aside() -> Iterator[None]:
    """Keep what native code writes to file descriptor 2; show it only when the block fails.

    TensorFlow 2.21 logs before it reads TF_CPP_MIN_LOG_LEVEL, so that no setting silences it. Nothing is held back
    at verbosity VERBOSE.
    """
    if verbosity() == Verbosity.VERBOSE:
        yield
        return
    sys.stderr.flush()
    with _aside() as aside:
        saved = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except Exception:  # not KeyboardInterrupt, after which the messages do not matter
            aside.seek(0)
            os.write(saved, aside.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _grow_memory() -> None:
    """Take a GPU's memory as it is needed: by default TensorFlow takes all of it at once, and a second process on the
    same GPU, such as an evaluation during a training, finds none. TF_FORCE_GPU_ALLOW_GROWTH=false overrides this."""
    import tensorflow

    for gpu in tensorflow.config.list_physical_devices("GPU"):
        with suppress(RuntimeError, ValueError):  # the calling program uses or has configured its GPUs already
            tensorflow.config.experimental.set_memory_growth(gpu, True)


def _start() -> None:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise ReskerasError(f"KERAS_BACKEND: {backend!r} is not supported; reskeras runs on tensorflow")
    # errors too: what matters of them comes as an exception, and a line for kernels without a type, or from each thread
    # of a worker that is lost, helps nobody
    level = "0" if verbosity() == Verbosity.VERBOSE else "3"
    with stderr_aside(), defaults(TF_CPP_MIN_LOG_LEVEL=level, KERAS_BACKEND="tensorflow"):
        import keras
        import tensorflow

        tensorflow.config.list_physical_devices()  # logs about missing GPUs now, not in mid-output
        _grow_memory()
    if keras.backend.backend() != "tensorflow":
        raise ReskerasError(
            f"Keras is configured for {keras.backend.backend()!r}; reskeras runs on tensorflow "
            "(set KERAS_BACKEND=tensorflow)"
        )


_start()
