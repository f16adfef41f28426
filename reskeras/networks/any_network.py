"""Base class of network specs: resolving defaults, lowering to a plan, describing."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from reskeras.documents.fields import InputShape, Spec
from reskeras.errors import ReskerasError
from reskeras.plans.integers import KERNEL_BITS, integer_plan
from reskeras.plans.plan import Plan

KEPT = 256  # entries of the caches of resolved networks and plans: a command asks for the same ones many times


class AnyNetwork(Spec):
    """Base of network specs; each kind of network is a subclass with these methods."""

    task: ClassVar[str] = "classification"  # the default task
    quantise: Annotated[
        Literal["int8", "int8-w4"] | None,
        Field(
            description="Compute as an integer artefact does: 8-bit activations, and weights of 8 or with int8-w4 of 4 "
            "bits, batch norm folded; for training from a run's weights"
        ),
    ] = None

    if TYPE_CHECKING:  # each kind has these as fields or properties; None only where a sparse spec leaves them open

        @property
        def name(self) -> str | None: ...

        @property
        def depth(self) -> int | None: ...

        @property
        def classes(self) -> int | None: ...

        @property
        def input_shape(self) -> InputShape | None: ...

    def decided(self) -> AnyNetwork:
        """The same network with every default filled in."""
        return self

    def lower(self) -> Plan:
        """The network's plan, cached."""
        return _plan(self.decided())

    @abstractmethod
    def make_plan(self) -> Plan:
        """Lower the network to units of operations; callers use `lower`, which caches."""

    def describe(self) -> str:
        """How the spec was interpreted, in one line that begins with the depth."""
        return f"{self.architecture_words}{f', quantised to {self.quantise}' if self.quantise else ''}"

    @property
    @abstractmethod
    def architecture_words(self) -> str:
        """`describe`, without how it is quantised."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Layers, block, shortcut, skip and order, for tables of networks."""

    @property
    @abstractmethod
    def fallback_name(self) -> str:
        """The name to use when neither the spec nor the catalogue has one."""

    @property
    def float_plan(self) -> Plan:
        """The plan of the network before it is quantised."""
        return self.model_copy(update={"quantise": None}).lower()

    def check_fresh(self) -> None:
        """Raise ReskerasError where the network is no use with fresh weights: one of integers has no ranges then."""
        if self.quantise:
            raise ReskerasError(
                f"quantise: {self.quantise} needs the weights of a run, and ranges measured on its images; train it "
                f"with --from RUN --quantise {self.quantise}"
            )

    def identity(self) -> Self:
        """The network without its name, classes, input shape and integers, to compare architectures."""
        return self.model_copy(update={"name": None, "quantise": None, "classes": 1, "input_shape": (1, 1, 1)})


def resolve(spec: AnyNetwork) -> AnyNetwork:
    """`spec` with every field resolved; ReskerasError (status 2) naming a field that cannot be, and its choices."""
    return spec.decided()


@lru_cache(KEPT)
def _plan(decided: AnyNetwork) -> Plan:
    plan = decided.make_plan()
    return integer_plan(plan, KERNEL_BITS[decided.quantise]) if decided.quantise else plan


def agreed(values: list[Any]) -> str:
    """The value that all stages share, or one per stage, joined by slashes."""
    texts = list(map(str, values))
    return texts[0] if len(set(texts)) == 1 else "/".join(texts)


def comma_listed(values: Any) -> str:
    """Values joined by commas."""
    return ", ".join(map(str, values))
