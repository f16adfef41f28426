"""Parts of a training that the calling program gives as objects: an optimiser, a loss, an augmentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.recipes.optimizer import RECIPES_OWN
from reskeras.training.ruled_optimizer import RuledOptimizer

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
# settings of Keras' optimisers that are the recipe's here, and their names there; None where there is none
RECIPES = {
    "clipnorm": None,
    "global_clipnorm": "clip_norm",
    "clipvalue": None,
    "use_ema": "ema",
    "gradient_accumulation_steps": "accumulate",
    "loss_scale_factor": None,
}
KEPT = ("name", "learning_rate", "weight_decay", "ema_momentum", "ema_overwrite_frequency", *RECIPES)
SETTERS = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)


@dataclass(frozen=True, eq=False)
class OwnParts:
    """What is not the recipe's; see `reskeras.train` for what each computes."""

    optimizer: keras.optimizers.Optimizer | None = None
    loss: Loss | None = None
    augment: Augment | None = None

    def described(self) -> dict[str, Any]:
        """Those that there are, as plain data for the run's provenance: an optimiser's settings, a function's name."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _described(part) for name, part in found.items() if part is not None}

    @property
    def note(self) -> str:
        """What a training with them cannot do again by itself; empty without any."""
        *others, last = [f"{name} ({part['name']})" for name, part in self.described().items()] or [""]
        if not last:
            return ""
        told, them = (f"{', '.join(others)} and {last}", "they") if others else (last, "it")
        return (
            f"{told}: the program's own; to resume this training {them} must be given again, for everything else the "
            "run folder is enough"
        )

    def check_again(self, path: Path, before: Mapping[str, Any]) -> None:
        """Raise ReskerasError (status 2) when these are not what the run at `path` was begun with, as described."""
        now = self.described()
        for name in sorted({*before, *now}):
            if name not in now:
                raise ReskerasError(
                    f"{name}: {path} is trained with one of its program's own ({before[name]['name']}), which no file "
                    f"keeps; give it again: reskeras.train(..., {name}=...)"
                )
            if now[name] != before.get(name):
                was = f"with {before[name]['name']} as it was set then" if name in before else "with its recipe's"
                raise ReskerasError(f"{name}: {path} is trained {was}, not with this {now[name]['name']}")


NO_PARTS = OwnParts()


def parted(given: Mapping[str, Any]) -> tuple[OwnParts, dict[str, Any]]:
    """Fields of a recipe, some of which may be objects instead of data, to these and the recipe's fields.

    An optimiser's learning rate and weight decay become the recipe's. Raises ReskerasError (status 2) for what is
    neither, and for fields of the recipe that the optimiser has itself.
    """
    known = {**given}
    own = {name: known.pop(name) for name in ("optimizer", "loss", "augment") if callable(known.get(name))}
    if isinstance(known.get("optimizer"), keras.optimizers.Optimizer):
        own["optimizer"] = known.pop("optimizer")
    for name, part in own.items():
        if isinstance(part, type):
            raise ReskerasError(f"{name}: {part.__name__} is a class; give an instance, such as {part.__name__}()")
    if optimizer := own.get("optimizer"):
        known = {**known, **_settings(optimizer, known)}
    return OwnParts(**own), known


def _settings(optimizer: keras.optimizers.Optimizer, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recipe that `optimizer` decides."""
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ReskerasError(f"optimizer: {type(optimizer).__name__} is not an optimiser of Keras")
    name = type(optimizer).__name__
    for field in ("learning_rate", "weight_decay", *RECIPES_OWN):
        if field in asked:
            raise ReskerasError(f"{field}: the optimizer that was given, {name}, has its own; set it there")
    for setting, instead in RECIPES.items():
        if getattr(optimizer, setting, None):
            told = f"use the recipe's {instead}" if instead else "leave it out"
            raise ReskerasError(f"optimizer: {name}'s {setting} is not used in a training by a recipe; {told}")
    if callable(optimizer._learning_rate) and not has_schedule(optimizer):
        raise ReskerasError(
            f"optimizer: {name}'s learning rate is a function without the step; give a number, or a schedule of Keras"
        )
    if has_schedule(optimizer) and "schedule" in asked:
        raise ReskerasError(
            f"schedule: the optimizer that was given, {name}, has a schedule of its own; use one of them"
        )
    try:
        under_rules(optimizer, 0.1)
    except Exception as error:  # the caller's own code
        raise ReskerasError(f"optimizer: {name} cannot be made again from its get_config: {_said(error)}") from error
    found: dict[str, Any] = {"weight_decay": float(optimizer.weight_decay or 0.0)}
    if not has_schedule(optimizer):
        found["learning_rate"] = float(str(np.float32(optimizer.learning_rate)))  # 0.001, as it was typed
    return found


def check_callbacks(callbacks: Any) -> Sequence[keras.callbacks.Callback]:
    """`callbacks` as a list; ReskerasError (status 2) where it is none of Keras' callbacks."""
    if isinstance(callbacks, str) or not isinstance(callbacks, Iterable):
        raise ReskerasError(f"callbacks: {type(callbacks).__name__} should be a list of Keras' callbacks")
    found = list(callbacks)
    for each in found:
        if not isinstance(each, keras.callbacks.Callback):
            name = f"the class {each.__name__}" if isinstance(each, type) else f"a {type(each).__name__}"
            raise ReskerasError(f"callbacks: {name} is not a callback of Keras; give instances of those")
        if isinstance(each, SETTERS):
            raise ReskerasError(
                f"callbacks: {type(each).__name__} would set the learning rate, which follows a schedule; use the "
                "recipe's schedule, such as {'kind': 'plateau'}, or an optimizer with a schedule of its own"
            )
    return found


def has_schedule(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether its learning rate is a schedule of its own, not a number."""
    return isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule)


def under_rules(optimizer: keras.optimizers.Optimizer, course: Any, **rules: Any) -> RuledOptimizer:
    """A new optimiser that computes as `optimizer` does, at the learning rate `course` and under the recipe's rules, as
    RuledOptimizer takes them."""
    algorithm: type[RuledOptimizer] = type(type(optimizer).__name__, (RuledOptimizer, type(optimizer)), {})
    settings = {name: value for name, value in optimizer.get_config().items() if name not in KEPT}
    return algorithm(learning_rate=course, **rules, **settings)


def _described(part: Any) -> dict[str, Any]:
    if isinstance(part, keras.optimizers.Optimizer):
        plain = keras.saving.serialize_keras_object(part)["config"]
        plain.pop("name")  # which Keras numbers: adam, adam_1
        return {"name": type(part).__name__, "settings": plain}
    function = part if hasattr(part, "__qualname__") else type(part)
    return {"name": f"{function.__module__}.{function.__qualname__}"}


class OwnLoss(keras.losses.Loss):
    """A function of (targets, logits), both float32 (n, classes), to the loss of each image (n,), as Keras takes it."""

    def __init__(self, function: Loss):
        super().__init__(name="own_loss")
        self.call = function  # Keras averages what it returns


def checked_loss(function: Loss, classes: int) -> keras.losses.Loss:
    """`function` as a loss of Keras; ReskerasError (status 2) when it does not give a number for each image."""
    loss = function if isinstance(function, keras.losses.Loss) else OwnLoss(function)
    if _takes_probabilities(function):
        raise ReskerasError(
            f"loss: {_described(function)['name']} takes probabilities, but networks give logits; use from_logits=True"
        )
    if loss.reduction in (None, "none"):
        raise ReskerasError(
            f"loss: {_described(function)['name']} has no reduction, so that gradients would be those of a sum; leave "
            "reduction out"
        )
    targets = np.eye(classes, dtype=np.float32)[[0, classes - 1, 0]]
    values, gradient = _tried("loss", partial(_with_gradient, loss.call), targets, targets - 0.5)
    if gradient is None and values.dtype.is_floating:
        raise ReskerasError(f"loss: {_described(function)['name']} has no gradient with respect to the logits")
    if values.shape != (len(targets),) or not values.dtype.is_floating:
        raise ReskerasError(
            f"loss: {_described(function)['name']} gave {values.dtype.name} {tuple(values.shape)} for targets and "
            f"logits ({len(targets)}, {classes}); it should give floats ({len(targets)},), one for each image"
        )
    return loss


def check_augment(function: Augment, size: tuple[int, int, int]) -> None:
    """Raise ReskerasError (status 2) when `function` does not give float32 images of the shape that it got."""
    images = np.full((2, *size), 127.0, np.float32)
    values = _tried(
        "augment", lambda *given: tf.convert_to_tensor(function(*given)), images, np.array([[0, 1], [2, 3]], np.int32)
    )
    if values.shape != images.shape or values.dtype != tf.float32:
        raise ReskerasError(
            f"augment: {_described(function)['name']} gave {values.dtype.name} {tuple(values.shape)} for float32 "
            f"{tuple(images.shape)}; it should keep shape and type"
        )
    if not np.isfinite(values).all():
        raise ReskerasError(f"augment: {_described(function)['name']} gave pixels that are not finite")


def _takes_probabilities(function: Loss) -> bool:
    """Whether it is one of Keras' losses, or called like them, that takes the network's outputs for probabilities."""
    if isinstance(function, keras.losses.Loss):
        return function.get_config().get("from_logits") is False
    try:
        asked = signature(function).parameters.get("from_logits")
    except (TypeError, ValueError):  # a function of another language
        return False
    return asked is not None and asked.default is False


def _with_gradient(loss: Loss, targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
    """The losses, and their gradient with respect to the logits."""
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = tf.convert_to_tensor(loss(targets, logits))
    return values, tape.gradient(values, logits)


def _tried(name: str, function: Callable[..., Any], *given: np.ndarray) -> Any:
    """What `function` gives in a graph, as in training, where of the arrays' first axis no size is known."""
    specs = [tf.TensorSpec([None, *each.shape[1:]], each.dtype) for each in given]
    try:
        return tf.function(function, input_signature=specs, autograph=False)(*map(tf.constant, given))
    except Exception as error:  # the caller's own code
        raise ReskerasError(f"{name}: the function that was given failed: {_said(error)}") from error


def _said(error: Exception) -> str:
    """An error of the caller's own code in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
