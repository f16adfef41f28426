"""Space: what a search may vary, as data. Named spaces are the YAML files in `spaces/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, model_validator

from reskeras.documents.fields import Spec
from reskeras.documents.shipped import read_document
from reskeras.documents.validation import validated
from reskeras.errors import shown
from reskeras.networks.overrides import laid_over
from reskeras.recipes.recipe import Recipe

Network = TypeVar("Network", bound=Spec)
Scalar = bool | int | float | str
Value = Scalar | None | list | dict
PARTS = ("network", "recipe")
MOST_CHOICES = 1000


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


class Domain(Spec):
    """The values that one field of a network or recipe may take: `choices`, or a range from `low` to `high`.

    A range whose ends are integers is one of integers. `sampling: log` draws evenly in the logarithm; `step` is a
    distance, with `log` a ratio. `default` is tried first by some tuners; without it, the first choice or `low`.
    `when` names other parameters and the values that they must have for this one to matter.
    """

    choices: (
        Annotated[
            tuple[Value, ...],
            Field(min_length=1, max_length=MOST_CHOICES, description="The values; a list alone stands for this"),
        ]
        | None
    ) = None
    low: Annotated[int | float | None, Field(description="Lower end of a range")] = None
    high: Annotated[int | float | None, Field(description="Upper end of a range")] = None
    step: Annotated[
        int | float | None, Field(description="Distance between the values of a range; with log, their ratio")
    ] = None
    sampling: Annotated[
        Literal["linear", "log"],
        Field(description="Whether values of a range are drawn evenly or evenly in their logarithm"),
    ] = "linear"
    default: Annotated[
        Value, Field(description="Value that some tuners try first; without it, the first choice or low")
    ] = None
    when: dict[str, Annotated[tuple[Scalar, ...], Field(min_length=1), BeforeValidator(_listed)]] = Field(
        default_factory=dict, description="Values that earlier parameters must have for this one to matter"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Domain:
        if self.choices is None:
            self._check_range()
        elif self.model_fields_set & {"low", "high", "step", "sampling"}:
            raise ValueError("choices: cannot be combined with those of a range (low, high, step, sampling)")
        elif len(set(self.labels())) < len(self.choices):
            raise ValueError("choices: one is given twice")
        elif self.default is not None and self.default not in self.choices:
            raise ValueError(f"default: {shown(self.default)} is not one of the choices")
        return self

    def _check_range(self) -> None:
        if self.low is None or self.high is None:
            raise ValueError("needs choices, or low and high")
        if not self.low < self.high:
            raise ValueError(f"the range from {self.low} to {self.high} is empty")
        if self.sampling == "log" and self.low <= 0:
            raise ValueError(f"sampling: log needs a low above 0, not {self.low}")
        if self.step is not None and self.integers and not isinstance(self.step, int):
            raise ValueError(f"step: {self.step} should be an integer, as the ends of the range are")
        if self.step is not None and self.step <= (1 if self.sampling == "log" else 0):
            raise ValueError(f"step: {self.step} should be more than {1 if self.sampling == 'log' else 0}")
        if self.default is not None and not (
            isinstance(self.default, int | float) and self.low <= self.default <= self.high
        ):
            raise ValueError(f"default: {shown(self.default)} is not between {self.low} and {self.high}")

    @property
    def integers(self) -> bool:
        """Whether it is a range of integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def labels(self) -> list[Scalar]:
        """The choices as scalars of one type, which is all that tuners take: unchanged, or as JSON."""
        choices = self.choices or ()
        scalars = [choice for choice in choices if isinstance(choice, Scalar)]
        if len(scalars) == len(choices) and len({type(choice) for choice in choices}) == 1:
            return scalars
        return [json.dumps(choice) for choice in choices]

    def value(self, label: Scalar) -> Value:
        """The choice that a label stands for, or a number of a range itself."""
        if self.choices is None:
            return int(label) if self.integers else float(label)
        labels = self.labels()
        return self.choices[labels.index(label)] if label in labels else label

    def probes(self) -> list[Scalar]:
        """Labels of all choices, or the ends of the range."""
        if self.choices is not None:
            return self.labels()
        return [end for end in (self.low, self.high) if end is not None]

    def describe(self) -> str:
        """The values in words: `8, 14, 20` or `0.01 to 0.5, logarithmic`."""
        if self.choices is not None:
            return ", ".join(
                str(choice) if isinstance(choice, Scalar) else json.dumps(choice) for choice in self.choices
            )
        kind = ", logarithmic" if self.sampling == "log" else ""
        step = "" if self.step is None else f", {'times' if self.sampling == 'log' else 'in steps of'} {self.step:g}"
        return f"{self.low:g} to {self.high:g}{step}{kind}"

    def describe_when(self) -> str:
        """Its conditions in words: `network.skip is dropout`."""
        return " and ".join(f"{name} is {' or '.join(map(str, allowed))}" for name, allowed in self.when.items())


def _choices_alone(value: Any) -> Any:
    return {"choices": value} if isinstance(value, list) else value


Parameter = Annotated[Domain, BeforeValidator(_choices_alone, json_schema_input_type=list | Domain)]
Name = Annotated[str, Field(pattern=r"^(network|recipe)\.[\w.]{1,100}$")]


class Space(Spec):
    """Paths of a network spec (`network.depth`) and of a recipe (`recipe.schedule.warmup`) to their values."""

    description: Annotated[str, Field(max_length=500, description="What the space is for, shown in lists")] = ""
    parameters: Annotated[
        dict[Name, Parameter],
        Field(min_length=1, max_length=100, description="What varies: network.FIELD or recipe.FIELD, with its values"),
    ]

    @model_validator(mode="after")
    def _known_conditions(self) -> Space:
        before: list[str] = []
        for name, domain in self.parameters.items():
            for other, values in domain.when.items():
                if other not in before:
                    raise ValueError(
                        f"{name}: when: {other!r} is not one of the parameters before it: "
                        f"{', '.join(before) or 'there are none'}"
                    )
                parent = self.parameters[other]
                allowed = parent.labels() if parent.choices is not None else None
                if allowed is not None and (strange := [value for value in values if value not in allowed]):
                    raise ValueError(
                        f"{name}: when: {other} has no choice {shown(strange[0])}; "
                        f"it has {', '.join(map(str, allowed))}"
                    )
            before.append(name)
        return self

    def active(self, values: Mapping[str, Scalar]) -> dict[str, Value]:
        """The parameters that are active under a tuner's `values`, with the values of their fields, in order."""
        chosen: dict[str, Value] = {}
        for name, domain in self.parameters.items():
            if name in values and all(
                other in chosen and values[other] in allowed for other, allowed in domain.when.items()
            ):
                chosen[name] = domain.value(values[name])
        return chosen

    def applied(self, values: Mapping[str, Scalar], network: Network, recipe: Recipe) -> tuple[Network, Recipe]:
        """`network` and `recipe` with the active ones of a tuner's `values` set; ReskerasError if they clash."""
        return laid(self.active(values), network, recipe)


def laid(chosen: Mapping[str, Value], network: Network, recipe: Recipe) -> tuple[Network, Recipe]:
    """`network` and `recipe` with the values of `network.PATH` and `recipe.PATH` set; ReskerasError if they clash."""
    changes: dict[str, dict[str, Value]] = {part: {} for part in PARTS}
    for name, value in chosen.items():
        part, _, path = name.partition(".")
        changes[part][path] = value
    return (
        laid_over(network, changes["network"]) if changes["network"] else network,
        laid_over(recipe, changes["recipe"]) if changes["recipe"] else recipe,
    )


def space(source: str | Path | Space | Mapping[str, Any]) -> Space:
    """The space that `source` names (a shipped name or a YAML file), or that it is or describes.

    Raises ReskerasError (status 2) for unknown names and fields, empty ranges and conditions on unknown parameters.
    """
    if isinstance(source, Space):
        return source
    return validated(Space, dict(source)) if isinstance(source, Mapping) else read_document("space", Space, source)
