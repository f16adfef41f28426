"""Saves and restores global state of the calling program: random generators, Keras' global state.

Uses private parts of Keras 3.15 and TensorFlow 2.21 (setup.py bounds the versions).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

NAMES = "object_name_uids"  # Keras counts the automatic names of layers in a dict that it changes in place


@contextmanager
def preserved() -> Iterator[None]:
    """Restore the caller's process-wide state when the block ends, however it ends; also a decorator.

    That is the state of Python's and NumPy's global generators (an initialiser without a seed draws from Python's),
    what Keras keeps globally (`clear_session` resets the dtype policy, seeds and layer names of all), whether
    TensorFlow's operations are deterministic, and the level of absl's log. TensorFlow's own seed is never touched.
    """
    import reskeras.engine  # noqa: F401, I001 - it must be the first to import TensorFlow
    from keras.src.backend.common import global_state
    from tensorflow.python.framework import config

    drawn, numbers, deterministic = random.getstate(), np.random.get_state(), config.is_op_determinism_enabled()
    logger = logging.getLogger("absl")
    level = logger.level
    trackers = global_state.GLOBAL_STATE_TRACKER, global_state.GLOBAL_SETTINGS_TRACKER
    kept = [dict(vars(tracker)) for tracker in trackers]
    if NAMES in kept[0]:
        global_state.set_global_attribute(NAMES, kept[0][NAMES].copy())
    try:
        yield
    finally:
        random.setstate(drawn)
        np.random.set_state(numbers)
        set_determinism(deterministic)
        logger.setLevel(level)
        global_state.GLOBAL_STATE_TRACKER, global_state.GLOBAL_SETTINGS_TRACKER = trackers
        for tracker, attributes in zip(trackers, kept, strict=True):
            vars(tracker).clear()
            vars(tracker).update(attributes)


def set_determinism(on: bool) -> None:
    """Make TensorFlow's operations deterministic, or not; `preserved` undoes it."""
    from tensorflow.python.framework import config

    if on != config.is_op_determinism_enabled():
        (config.enable_op_determinism if on else config.disable_op_determinism)()
