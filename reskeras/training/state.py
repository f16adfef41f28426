"""The complete state of a training, so that resuming is bit-identical to not having stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol

import keras
import numpy as np

from reskeras.errors import failure
from reskeras.training.position import Position

FACTS = "facts"  # the entry with everything that is not an array, as JSON


class Part(Protocol):
    """A callback with state."""

    def state(self) -> dict[str, Any]:
        """The state as plain data."""

    def restore(self, state: dict[str, Any]) -> None:
        """Restore it."""


class TrainingState:
    """Weights, moving statistics, dropout counters, optimiser, metrics, position and `parts`, as named arrays.

    Only checkpoints with the same `fingerprint`, or one of `others`, can be restored.
    """

    def __init__(
        self,
        model: keras.Model,
        position: Position,
        parts: Mapping[str, Part],
        fingerprint: str,
        others: Collection[str] = (),
    ):
        self.model, self.position, self.parts, self.fingerprint = model, position, parts, fingerprint
        self.others = others
        self._metrics: dict[str, np.ndarray] = {}

    def capture(self) -> dict[str, np.ndarray]:
        """A copy of the state, unaffected by the next step."""
        facts = {
            "fingerprint": self.fingerprint,
            "epoch": self.position.epoch,
            "step": self.position.step,
            "parts": {name: part.state() for name, part in self.parts.items()},
        }
        arrays = {name: np.array(keras.ops.convert_to_numpy(variable)) for name, variable in self._variables()}
        return {**arrays, FACTS: np.frombuffer(json.dumps(facts).encode(), np.uint8)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a checkpoint; ReskerasError (status 1) when it belongs to another training."""
        facts = json.loads(bytes(arrays[FACTS]))
        if facts["fingerprint"] not in (self.fingerprint, *self.others):
            raise failure("resume: the checkpoint belongs to another network or recipe")
        variables = dict(self._variables())
        if strange := sorted(variables.keys() ^ (arrays.keys() - {FACTS})):
            raise failure(
                f"resume: the checkpoint and the training differ in {len(strange)} variables, such as {strange[0]}"
            )
        for name, variable in variables.items():
            if tuple(variable.shape) != arrays[name].shape:
                raise failure(f"resume: {name} has shape {arrays[name].shape} in the checkpoint, not {variable.shape}")
        for name, variable in variables.items():
            variable.assign(arrays[name])
        self._metrics = {name: arrays[name] for name in variables if name.startswith("metrics/")}
        self.position.epoch, self.position.step = facts["epoch"], facts["step"]
        for name, part in self.parts.items():
            part.restore(facts["parts"][name])

    def digest(self) -> str:
        """SHA-256 over every variable of model and optimiser: equal when two trainings are bit-identical."""
        total = hashlib.sha256()
        for name, variable in self._variables():
            if not name.startswith("metrics/"):
                total.update(name.encode())
                total.update(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes())
        return total.hexdigest()

    def restore_metrics(self) -> None:
        """Restore the metrics of the interrupted epoch; `fit` resets them when it begins."""
        for name, variable in self._variables():
            if name in self._metrics:
                variable.assign(self._metrics[name])

    def _variables(self) -> Iterator[tuple[str, keras.Variable]]:
        optimised, measured = self.model.optimizer.variables, self.model.metrics_variables
        others = {id(variable) for variable in (*optimised, *measured)}
        weights = [variable for variable in self.model.variables if id(variable) not in others]
        for group, variables in (("model", weights), ("optimizer", optimised), ("metrics", measured)):
            for index, variable in enumerate(variables):
                yield f"{group}/{index:05d}/{variable.name}", variable  # Keras numbers the names in a path per process
