"""What a shortcut connection may do to the stream it carries (v2 figure 2 (a) to (f), table 1)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator

from reskeras.spec.fields import Spec, number


class Identity(Spec):
    """The shortcut is the stream itself (v2 figure 2 a)."""

    kind: Literal["identity"] = "identity"


class Scale(Spec):
    """Both paths times a constant: shortcut x `shortcut` + residual x `residual` (v2 figure 2 b)."""

    kind: Literal["scale"]
    shortcut: number(0, 1) = 0.5
    residual: number(0, 1, above=True) = 0.5


class ExclusiveGate(Spec):
    """g = sigmoid(W x + b): shortcut x (1 - g) + residual x g (v2 figure 2 c); `bias` is b at the start."""

    kind: Literal["exclusive_gate"]
    bias: number(-20, 20) = -6.0


class ShortcutGate(Spec):
    """g = sigmoid(W x + b): shortcut x (1 - g) + residual (v2 figure 2 d); `bias` is b at the start."""

    kind: Literal["shortcut_gate"]
    bias: number(-20, 20) = -6.0


class Conv1x1(Spec):
    """A 1x1 convolution on every shortcut (v2 figure 2 e), which is option C of v1."""

    kind: Literal["conv1x1"]


class Dropout(Spec):
    """Elements of the shortcut are dropped at `rate` (v2 figure 2 f).

    Kept elements are not scaled up in training, so the shortcut's expectation is 1 - rate, as the paper
    reports (0.5 for a rate of 0.5); in inference the shortcut is multiplied by 1 - rate.
    """

    kind: Literal["dropout"]
    rate: number(0, 1, above=True, below=True) = 0.5


def _kind_alone(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


SkipKind = Literal["identity", "scale", "exclusive_gate", "shortcut_gate", "conv1x1", "dropout"]
_AnySkip = Annotated[Identity | Scale | ExclusiveGate | ShortcutGate | Conv1x1 | Dropout, Discriminator("kind")]
Skip = Annotated[_AnySkip, BeforeValidator(_kind_alone, json_schema_input_type=SkipKind | _AnySkip)]

IDENTITY = Identity(kind="identity")
