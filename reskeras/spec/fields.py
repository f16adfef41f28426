"""Field types that every spec shares: strict numbers with bounds, and the frozen base model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

SHAPE = re.compile(r"\d{1,6}(\s*[xX×,\s]\s*\d{1,6}){1,2}")


class Spec(BaseModel):
    """Base of all specs: frozen, unknown fields refused, sparse when dumped."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def decided(self) -> Spec:
        """The same with nothing left to a default, where the kind of spec leaves anything."""
        return self

    def whole(self) -> dict[str, Any]:
        """Every field decided, as plain data for YAML or JSON."""
        return self.decided().model_dump(mode="json")

    def sparse(self) -> dict[str, Any]:
        """The fields that were set, as plain data for YAML or JSON."""
        return self.model_dump(mode="json", exclude_unset=True)


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):  # Python counts True as 1, a person does not
        raise ValueError("is not a number")
    return value


def shape_from_text(value: Any) -> Any:
    """`224x224x3`, `224,224,3` or `224 224 3`, as typed on a command line, to its numbers.

    Without channels (`224x224`) these are None: they follow the data. What is no text is given back as it is; another
    text is a ValueError.
    """
    if not isinstance(value, str):
        return value
    if not SHAPE.fullmatch(value.strip()):
        raise ValueError("should be height and width, such as 64x64, or with channels 64x64x3")
    numbers = [int(part) for part in re.findall(r"\d+", value)]
    return [*numbers, None] if len(numbers) == 2 else numbers


def whole_shape(shape: Sequence[int | None], channels: int = 3) -> tuple[int, int, int]:
    """`shape` with `channels` where it says none."""
    height, width, own = shape
    return height, width, channels if own is None else own


def integer(low: int, high: int) -> Any:
    """An int from low to high; text, floats and booleans are refused."""
    return Annotated[int, Field(strict=True, ge=low, le=high)]


def number(low: float, high: float, *, above: bool = False, below: bool = False) -> Any:
    """A float in [low, high]; `above` and `below` open the interval at that end."""
    low_bound = {"gt": low} if above else {"ge": low}
    high_bound = {"lt": high} if below else {"le": high}
    # Field first: after a validator its bounds would not reach the JSON Schema
    return Annotated[float, Field(**low_bound, **high_bound), BeforeValidator(_no_boolean)]


Pixels = integer(1, 8192)
Width = integer(1, 65536)
Stride = integer(1, 8)
Kernel = integer(1, 31)
Channels = integer(1, 1024)
InputShape = Annotated[
    tuple[Pixels, Pixels, Channels | None],
    BeforeValidator(shape_from_text, json_schema_input_type=str | tuple[Pixels, Pixels, Channels | None]),
    Field(description="Height, width and channels of an input image; null channels are the data's, without data 3."),
]
