"""What every kind of network can say of itself: what it decides, which plan it makes, how it is described."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from reskeras.spec.fields import InputShape, Spec
from reskeras.spec.plan import Plan

KEPT = 256  # decided networks and plans that are kept, since a command asks for the same one many times


class AnyNetwork(Spec):
    """Base of the specs of networks: a kind is a class with these methods."""

    task: ClassVar[str] = "classification"  # what it is trained for when nothing else is said

    if TYPE_CHECKING:  # what every kind declares as a field, or computes; None only where a sparse spec leaves it open

        @property
        def name(self) -> str | None: ...

        @property
        def depth(self) -> int | None: ...

        @property
        def classes(self) -> int | None: ...

        @property
        def input_shape(self) -> InputShape | None: ...

    def decided(self) -> AnyNetwork:
        """The same network with nothing left to a default."""
        return self

    def lower(self) -> Plan:
        """The network's plan."""
        return _plan(self.decided())

    @abstractmethod
    def make_plan(self) -> Plan:
        """The network's units as operations; `lower` keeps what this makes."""

    @abstractmethod
    def describe(self) -> str:
        """What the network was taken to mean, in one line, depth first."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Its layers, block, shortcut, skip and order, as a list of networks shows them."""

    @property
    @abstractmethod
    def fallback_name(self) -> str:
        """What it goes by when neither it nor the catalogue has a name for it."""

    def identity(self) -> Self:
        """Which network it is: its name, classes and input shape play no part in that."""
        return self.model_copy(update={"name": None, "classes": 1, "input_shape": (1, 1, 1)})


def resolve(spec: AnyNetwork) -> AnyNetwork:
    """`spec` with every field decided; ReskerasError (status 2) that names one which cannot be, and its choices."""
    return spec.decided()


@lru_cache(KEPT)
def _plan(decided: AnyNetwork) -> Plan:
    return decided.make_plan()


def agreed(values: list[Any]) -> str:
    """One value where all stages agree, else one for each."""
    texts = list(map(str, values))
    return texts[0] if len(set(texts)) == 1 else "/".join(texts)


def comma_listed(values: Any) -> str:
    """Values with commas."""
    return ", ".join(map(str, values))
