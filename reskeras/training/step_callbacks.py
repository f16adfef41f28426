"""Callbacks of a step that do not wait for it: its figures stay on the device until somebody reads them.

Uses private functions of Keras 3.15; setup.py bounds the version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras.src.utils.python_utils import is_default, pythonify_logs


class StepCallback(keras.callbacks.Callback):
    """A callback whose `on_train_batch_end` gets the logs of a step as tensors; to read one is to wait for the step."""


class StepCallbacks(keras.callbacks.CallbackList):
    """Keras' list of callbacks, which reads the logs of each step for those alone that are no StepCallback and do
    something at the end of a step; Keras' own reads them always, so that each step waits for the one before."""

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, epochs: int, steps: int):
        super().__init__(list(callbacks), add_history=True, model=model, epochs=epochs, steps=steps, verbose=0)
        self._reading = [not isinstance(each, StepCallback) and _does_something(each) for each in self.callbacks]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """The end of a step, or of several, the last of which is number `batch` of its epoch."""
        read = pythonify_logs(logs) if any(self._reading) else {}
        for callback, reads in zip(self.callbacks, self._reading, strict=True):
            if reads:
                callback.on_train_batch_end(batch, read)
            elif isinstance(callback, StepCallback):
                callback.on_train_batch_end(batch, logs)


def _does_something(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback does anything at the end of a step."""
    return not (is_default(callback.on_train_batch_end) and is_default(callback.on_batch_end))
