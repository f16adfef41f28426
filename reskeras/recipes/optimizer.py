"""Optimisers as data: one class per kind, with the fields that it has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from reskeras.documents.fields import Spec, one_of, whole, within

Pattern = Annotated[str, Field(min_length=1, max_length=200)]  # shell style, of names such as stage1_unit1_conv1/kernel
Decay = Annotated[float, within(0, 1, below=True)]
Epsilon = Annotated[float, within(0, 1, above=True), Field(description="Added to the denominator")]
RECIPES_OWN = ("momentum", "nesterov")  # sgd's fields, which stand in the recipe itself


class OptimizerSpec(Spec):
    """Base of all optimisers. Except for sgd the fields are those of Keras' optimiser.

    `slots` is how many numbers it keeps at least for each weight. `usual_rates` are the lowest and the highest usual
    learning rate; with a batch m times as large it is m ** `batch_power` times as large.
    """

    kind: str
    slots: ClassVar[int]
    usual_rates: ClassVar[tuple[float, float]]
    batch_power: ClassVar[float] = 0.5

    @property
    def patterns(self) -> dict[str, tuple[str, ...]]:
        """Patterns of weights that someone chose, by the recipe's field: each must match one."""
        return {}

    @classmethod
    def has(cls) -> str:
        """Its fields, in words: `beta_1, beta_2, epsilon`."""
        return ", ".join(name for name in cls.model_fields if name != "kind")


class Sgd(OptimizerSpec):
    """Stochastic gradient descent with the recipe's `momentum` and `nesterov`.

    `weight_decay` is coupled: this multiple of a weight is added to its gradient.
    """

    kind: Literal["sgd"]
    slots: ClassVar[int] = 1
    usual_rates: ClassVar[tuple[float, float]] = (0.01, 0.5)
    batch_power: ClassVar[float] = 1.0  # arXiv:1706.02677

    @model_validator(mode="before")
    @classmethod
    def _own_fields_are_the_recipes(cls, data: Any) -> Any:
        if isinstance(data, dict) and (found := [name for name in RECIPES_OWN if name in data]):
            raise ValueError(f"sgd's {found[0]} is a field of the recipe itself, beside optimizer")
        return data


class Adam(OptimizerSpec):
    """The moments of Adam (arXiv:1412.6980)."""

    slots: ClassVar[int] = 2
    beta_1: Annotated[Decay, Field(description="Decay of the mean of gradients")] = 0.9
    beta_2: Annotated[Decay, Field(description="Decay of the mean of their squares")] = 0.999


class AdamW(Adam):
    """Adam with decoupled weight decay (arXiv:1711.05101): the weight is multiplied by 1 - learning rate x
    `weight_decay` before each update."""

    kind: Literal["adamw"]
    usual_rates: ClassVar[tuple[float, float]] = (5e-4, 5e-3)
    epsilon: Epsilon = 1e-7


class Lamb(Adam):
    """LAMB (arXiv:1904.00962): Adam's update plus `weight_decay` x the weight, scaled to the norm of the weight.

    As NVIDIA's and timm's, and so as in arXiv:2110.00476, it scales only the updates of weights that decay. These also
    clip the global norm to 1 by default: `clip_norm: 1.0`.
    """

    kind: Literal["lamb"]
    usual_rates: ClassVar[tuple[float, float]] = (2e-3, 2e-2)
    epsilon: Epsilon = 1e-6
    always_adapt: Annotated[bool, Field(description="Also scale the updates of weights that do not decay")] = False


class Muon(OptimizerSpec):
    """Muon (https://kellerjordan.github.io/posts/muon): the momentum of each kernel, as a matrix from everything that
    an output sees to the outputs, made orthogonal by a Newton-Schulz iteration; Adam for all other weights.

    Decay is decoupled as adamw's, and so are the learning rate's sizes: an update is scaled to the root mean square
    `rms_rate` (arXiv:2502.16982, section 2.2).
    """

    kind: Literal["muon"]
    slots: ClassVar[int] = 1
    usual_rates: ClassVar[tuple[float, float]] = AdamW.usual_rates
    momentum: Annotated[float, within(0, 1, below=True), Field(description="Momentum of the gradients of matrices")] = (
        0.95
    )
    nesterov: Annotated[bool, Field(description="Nesterov's momentum")] = True
    ns_steps: Annotated[int, whole(1, 20), Field(description="Newton-Schulz iterations")] = 5
    rms_rate: Annotated[float, within(0, 100, above=True), Field(description="Root mean square of an update")] = 0.2
    adam: Annotated[
        tuple[Pattern, ...],
        Field(description="Name patterns of the kernels that Adam updates, by default the stem's and the last layers'"),
    ] = ("stem_conv*/kernel", "logits/kernel", "objectness/kernel", "*_deltas/kernel")
    adam_beta_1: Annotated[Decay, Field(description="For Adam: decay of the mean of gradients")] = 0.9
    adam_beta_2: Annotated[Decay, Field(description="For Adam: decay of the mean of their squares")] = 0.999
    epsilon: Epsilon = 1e-7

    @property
    def patterns(self) -> dict[str, tuple[str, ...]]:
        """`adam`, unless it is the default, which is for networks of any kind."""
        return {} if self.adam == type(self).model_fields["adam"].default else {"optimizer.adam": self.adam}


OPTIMIZERS: dict[str, type[OptimizerSpec]] = {"sgd": Sgd, "adamw": AdamW, "lamb": Lamb, "muon": Muon}
SGD = Sgd(kind="sgd")

if TYPE_CHECKING:  # the choices are the table's, which only run time knows
    Optimizer: TypeAlias = OptimizerSpec
else:
    Optimizer = one_of(OPTIMIZERS)


def check_own(optimizer: OptimizerSpec, fields: Collection[str]) -> None:
    """Raise ValueError when `fields`, those of a recipe that were set, contain one of sgd and it is another."""
    if optimizer.kind != SGD.kind and (found := [name for name in RECIPES_OWN if name in fields]):
        raise ValueError(
            f"{found[0]}: is only for sgd; {optimizer.kind} has fields of its own, which are set under optimizer: "
            f"{optimizer.has()}"
        )


def fields_with(kind: str | None, fields: dict[str, Any]) -> dict[str, Any]:
    """The `fields` of a recipe that have a meaning with an optimiser of `kind`; all of them if that is not known."""
    if kind in (None, SGD.kind):
        return fields
    return {name: value for name, value in fields.items() if name not in RECIPES_OWN}


def chosen_kind(changes: Mapping[str, Any]) -> str | None:
    """The kind of optimiser that `changes` of a recipe, values by dotted path, choose; None if they choose none."""
    chosen = changes.get("optimizer.kind", changes.get("optimizer"))
    if isinstance(chosen, OptimizerSpec):
        return chosen.kind
    return chosen.get("kind") if isinstance(chosen, Mapping) else chosen
