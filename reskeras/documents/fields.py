"""Field types that every spec shares: strict numbers with bounds, and the frozen base model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Strict

SHAPE = re.compile(r"\d{1,6}(\s*[xX×,\s]\s*\d{1,6}){1,2}")


class Spec(BaseModel):
    """Base of all specs: frozen, unknown fields refused, sparse when dumped."""

    earlier: ClassVar[Mapping[str, Any]] = {}  # by path, what a run means that was made before there was this field
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def decided(self) -> Spec:
        """The same with every default filled in, for kinds of specs that have any to fill in."""
        return self

    def whole(self) -> dict[str, Any]:
        """Every field resolved, as plain data for YAML or JSON."""
        return self.decided().model_dump(mode="json")

    def sparse(self) -> dict[str, Any]:
        """The fields that were set, as plain data for YAML or JSON."""
        return self.model_dump(mode="json", exclude_unset=True)

    def under(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that were set, without those that `changes`, values by dotted path, make meaningless."""
        return self.sparse()


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):  # Python counts True as 1, people do not
        raise ValueError("is not a number")
    return value


def shape_from_text(value: Any) -> Any:
    """`224x224x3`, `224,224,3` or `224 224 3`, as typed on a command line, to its numbers.

    Without channels (`224x224`) these are None: they follow the data. A value that is not text is returned unchanged;
    any other text is a ValueError.
    """
    if not isinstance(value, str):
        return value
    if not SHAPE.fullmatch(value.strip()):
        raise ValueError("should be height and width, such as 64x64, or with channels 64x64x3")
    numbers = [int(part) for part in re.findall(r"\d+", value)]
    return [*numbers, None] if len(numbers) == 2 else numbers


def whole_shape(shape: tuple[int, int, int | None], channels: int = 3) -> tuple[int, int, int]:
    """`shape` with `channels` where its own are None."""
    height, width, own = shape
    return height, width, channels if own is None else own


@dataclass(frozen=True)
class Within(GroupedMetadata):
    """Numbers in [low, high]; `above` and `below` open the interval at that end. Booleans are refused, and by a `whole`
    one floats and text too."""

    low: float
    high: float
    above: bool = False
    below: bool = False
    whole: bool = False

    def __iter__(self) -> Iterator[object]:
        """What pydantic checks; a validator comes last, because bounds after it would not reach the JSON Schema."""
        yield Gt(self.low) if self.above else Ge(self.low)
        yield Lt(self.high) if self.below else Le(self.high)
        yield Strict() if self.whole else BeforeValidator(_no_boolean)


def whole(low: int, high: int) -> Within:
    """`Annotated[int, whole(1, 8)]`: an int from low to high; text, floats and booleans are refused."""
    return Within(low, high, whole=True)


def within(low: float, high: float, *, above: bool = False, below: bool = False) -> Within:
    """`Annotated[float, within(0, 1)]`: a float in [low, high]; `above` and `below` open the interval at that end."""
    return Within(low, high, above, below)


def kind_alone(value: Any) -> Any:
    """A kind's name as a mapping with that kind; other values as they are."""
    return {"kind": value} if isinstance(value, str) else value


def one_of(kinds: Mapping[str, type[Spec]]) -> Any:
    """The type of a field that holds one of `kinds`, told apart by their field `kind`, which may stand alone: `focal`
    for `{kind: focal}`."""
    spec: Any = Annotated[reduce(or_, kinds.values()), Discriminator("kind")]
    return Annotated[spec, BeforeValidator(kind_alone, json_schema_input_type=Literal[tuple(kinds)] | spec)]


Pixels = Annotated[int, whole(1, 8192)]
Width = Annotated[int, whole(1, 65536)]
Stride = Annotated[int, whole(1, 8)]
Kernel = Annotated[int, whole(1, 31)]
Channels = Annotated[int, whole(1, 1024)]
InputShape = Annotated[
    tuple[Pixels, Pixels, Channels | None],
    BeforeValidator(shape_from_text, json_schema_input_type=str | tuple[Pixels, Pixels, Channels | None]),
    Field(description="Height, width and channels of an input image; null channels: those of the data, or 3 without."),
]
