"""Specs of what is built on a residual network, which one of their fields has: what detectors, localisers and refiners
have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from reskeras.documents.fields import Spec, whole, whole_shape, within
from reskeras.errors import ReskerasError, unknown
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import catalog, name_of
from reskeras.networks.network import NetworkSpec

Share = Annotated[float, within(0, 1, above=True, below=True)]


def staged(spec: AnyNetwork, field: str) -> NetworkSpec:
    """`spec`, which is for a `field`; ReskerasError when it is not a residual or plain network."""
    if not isinstance(spec, NetworkSpec):
        raise ReskerasError(f"{field}: {name_of(spec)} has no stages to share; choose a residual or plain network")
    return spec


def named_for(field: str) -> BeforeValidator:
    """The validator of a network in a `field`, where a name in the catalogue stands for its row."""

    def named(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in catalog():
            raise unknown(field, value, catalog())
        return staged(catalog()[value].spec, field)

    return BeforeValidator(named, json_schema_input_type=str | NetworkSpec)


class BuiltOnNetwork(Spec):
    """Base of specs with a network in their field `on`, which identifies the kind; `noun` is what they are called and
    `command` the group of commands for them."""

    task: ClassVar[str]
    on: ClassVar[str]
    noun: ClassVar[str]
    command: ClassVar[str]
    name: (
        Annotated[str, Field(pattern=r"^[\w.-]{1,100}$", description="Name in tables and of the run folder")] | None
    ) = None

    if TYPE_CHECKING:  # a field of each kind

        @property
        def classes(self) -> int | None: ...

    @property
    def network(self) -> NetworkSpec:
        """What it is built on."""
        return getattr(self, self.on)

    @model_validator(mode="after")
    def _not_of_integers(self) -> BuiltOnNetwork:
        if self.network and self.network.quantise:
            raise ValueError(f"quantise: only classifiers are trained on integers, not a {self.noun}'s network")
        return self

    def describe(self) -> str:
        """How its network was interpreted, in one line."""
        return self.network.describe()

    def channels(self) -> int:
        """Channels of the images."""
        return whole_shape(self.network.decided().input_shape)[-1]


class OfEachClass(BuiltOnNetwork):
    """Base of specs with a logistic unit for each class, beside four numbers for a box (v1 appendix C)."""

    positive: Annotated[Share, Field(description="Minimum IoU of a positive box with an object of its class")] = 0.5
    negative: Annotated[Share, Field(description="IoU below which a box is background")] = 0.3
    per_class: Annotated[
        bool, Field(description="A box for each class, as in the paper; false: one box for all classes")
    ] = True
    classes: Annotated[
        Annotated[int, whole(1, 10_000)] | None, Field(description="Number of classes; default: the data's")
    ] = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> OfEachClass:
        if self.negative > self.positive:
            raise ValueError(f"negative: {self.negative:g} should be at most positive ({self.positive:g})")
        return self

    @property
    def boxes(self) -> int:
        """How many boxes are told: one for each class, or one for all."""
        return (self.classes or 0) if self.per_class else 1


def built_name(spec: BuiltOnNetwork) -> str:
    """The name it goes by: its own, else that of its network, as `resnet-18-detector`."""
    return spec.name or f"{name_of(spec.network)}-{spec.noun}"
