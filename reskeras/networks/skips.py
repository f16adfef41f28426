"""Skip connections and their variants (v2 figure 2 a to f, table 1), one class each.

A class has the variant's fields, builds the fork of shortcut and residual, and recognises such a fork.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self, TypeAlias, get_args

from pydantic import Field

from reskeras.documents.fields import Spec, one_of, within
from reskeras.plans import operations as op
from reskeras.plans.merges import ADD, GatedAdd, Merge, ScaledAdd
from reskeras.plans.nodes import Fork, Sequence

Gate = Callable[[float], Sequence]  # from the initial bias to the gate's operations


class SkipSpec(Spec):
    """Base of all skips. `stands_for` is the shortcut option that the skip is an alias of."""

    kind: str
    stands_for: ClassVar[str | None] = None

    @property
    def text(self) -> str:
        """The skip with its numbers, such as `dropout (rate 0.5)`."""
        fields = self.model_dump(exclude={"kind"}).items()
        told = [f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in fields]
        return f"{self.kind} ({', '.join(told)})" if told else self.kind

    @abstractmethod
    def fork(self, unit: str, shortcut: Sequence, residual: Sequence, gate: Gate) -> Fork:
        """The fork that merges shortcut and residual; `gate` builds the gating branch of skips that have one."""

    @classmethod
    @abstractmethod
    def read(cls, fork: Fork) -> Self | None:
        """This skip with the numbers of `fork`, not validated; None if that (in canonical form) is another skip's."""


def _merged(unit: str, *branches: Sequence, merge: Merge = ADD) -> Fork:
    return Fork(name=f"{unit}_add", branches=branches, merge=merge)


def _factors(fork: Fork) -> tuple[float, ...]:
    """The constant factor at the end of each branch; 1 where there is none."""
    return tuple(branch[-1].factor if branch and isinstance(branch[-1], op.Scale) else 1.0 for branch in fork.branches)


class Identity(SkipSpec):
    """The shortcut is the stream itself (v2 figure 2 a)."""

    kind: Literal["identity"] = "identity"

    def fork(self, unit: str, shortcut: Sequence, residual: Sequence, gate: Gate) -> Fork:
        return _merged(unit, shortcut, residual)

    @classmethod
    def read(cls, fork: Fork) -> Self | None:
        return cls(kind="identity") if fork.merge == ADD and _factors(fork) == (1.0, 1.0) else None


class Scale(SkipSpec):
    """Both paths times a constant: shortcut x `shortcut` + residual x `residual` (v2 figure 2 b)."""

    kind: Literal["scale"]
    shortcut: Annotated[float, within(0, 1), Field(description="Factor of the shortcut")] = 0.5
    residual: Annotated[float, within(0, 1, above=True), Field(description="Factor of the residual")] = 0.5

    def fork(self, unit: str, shortcut: Sequence, residual: Sequence, gate: Gate) -> Fork:
        return _merged(unit, shortcut, residual, merge=ScaledAdd(factors=(self.shortcut, self.residual)))

    @classmethod
    def read(cls, fork: Fork) -> Self | None:
        shortcut, residual = _factors(fork)[:2]
        changed = fork.merge == ADD and (shortcut, residual) != (1.0, 1.0)
        return cls.model_construct(kind="scale", shortcut=shortcut, residual=residual) if changed else None


class _Gated(SkipSpec):
    """g = sigmoid(W x + b) of the unit's input; `bias` is b at the start."""

    exclusive: ClassVar[bool]
    bias: Annotated[
        float,
        within(-20, 20),
        Field(description="Initial bias of the gate; the lower it is, the more of the shortcut passes"),
    ] = -6.0

    def fork(self, unit: str, shortcut: Sequence, residual: Sequence, gate: Gate) -> Fork:
        return _merged(unit, shortcut, residual, gate(self.bias), merge=GatedAdd(exclusive=self.exclusive))

    @classmethod
    def read(cls, fork: Fork) -> Self | None:
        if fork.merge != GatedAdd(exclusive=cls.exclusive):
            return None
        [kind] = get_args(cls.model_fields["kind"].annotation)
        starts = (node.bias_start for node in fork.branches[2] if isinstance(node, op.Conv))
        return cls.model_construct(kind=kind, bias=next(starts, 0.0))


class ExclusiveGate(_Gated):
    """shortcut x (1 - g) + residual x g (v2 figure 2 c), where g = sigmoid(W x + b); `bias` is b at the start."""

    kind: Literal["exclusive_gate"]
    exclusive: ClassVar[bool] = True


class ShortcutGate(_Gated):
    """shortcut x (1 - g) + residual (v2 figure 2 d), where g = sigmoid(W x + b); `bias` is b at the start."""

    kind: Literal["shortcut_gate"]
    exclusive: ClassVar[bool] = False


class Conv1x1(SkipSpec):
    """A 1x1 convolution on every shortcut (v2 figure 2 e), which is option C of v1."""

    kind: Literal["conv1x1"]
    stands_for: ClassVar[str | None] = "C"

    def fork(self, unit: str, shortcut: Sequence, residual: Sequence, gate: Gate) -> Fork:
        raise TypeError("conv1x1 is resolved to shortcut C")

    @classmethod
    def read(cls, fork: Fork) -> Self | None:
        return None


class Dropout(SkipSpec):
    """Elements of the shortcut are dropped at `rate` (v2 figure 2 f).

    Kept elements are not scaled up in training, so the shortcut's expectation is 1 - rate, as the paper
    reports (0.5 for a rate of 0.5); in inference the shortcut is multiplied by 1 - rate.
    """

    kind: Literal["dropout"]
    rate: Annotated[
        float, within(0, 1, above=True, below=True), Field(description="Probability that an element is dropped")
    ] = 0.5

    def fork(self, unit: str, shortcut: Sequence, residual: Sequence, gate: Gate) -> Fork:
        # Dropout scales what it keeps by 1 / (1 - rate); the paper's does not, so scale back
        dropped = (
            op.Dropout(name=f"{unit}_shortcut_dropout", rate=self.rate),
            op.Scale(name=f"{unit}_shortcut_scale", factor=1 - self.rate),
        )
        return _merged(unit, (*shortcut, *dropped), residual)

    @classmethod
    def read(cls, fork: Fork) -> Self | None:
        match fork.branches[0][-2:]:
            case [op.Dropout(per_image=False) as drop, op.Scale() as scale] if scale.factor == 1 - drop.rate:
                return cls.model_construct(kind="dropout", rate=drop.rate) if fork.merge == ADD else None
        return None


def _kinds(classes: Iterable[type[SkipSpec]]) -> dict[str, type[SkipSpec]]:
    """Concrete skips by kind, in the order of definition; a class without a kind is an abstract base."""
    found: dict[str, type[SkipSpec]] = {}
    for each in classes:
        named = get_args(each.model_fields["kind"].annotation)
        new = dict.fromkeys(named, each) or _kinds(each.__subclasses__())
        if twice := found.keys() & new.keys():
            raise TypeError(f"{new[min(twice)].__name__} is of kind {min(twice)!r}, as is {found[min(twice)].__name__}")
        found |= new
    return found


SKIPS = _kinds(SkipSpec.__subclasses__())


if TYPE_CHECKING:  # the choices are the table's, which only run time knows
    Skip: TypeAlias = SkipSpec
else:
    Skip = one_of(SKIPS)

IDENTITY = Identity(kind="identity")


def read_skip(fork: Fork) -> SkipSpec | None:
    """The most specific skip that makes this residual fork (in canonical form); None if none does."""
    return next((skip for kind in reversed(SKIPS.values()) if (skip := kind.read(fork))), None)
