"""Candidates of a search: the network and recipe for a tuner's hyperparameter values, and whether they are valid."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reskeras.errors import ReskerasError
from reskeras.networks.any_spec import AnySpec
from reskeras.plans.complexity import Cost
from reskeras.recipes.recipe import Recipe
from reskeras.spaces.space import Domain, Scalar, Space
from reskeras.tuning.limits import Limits, Refusals, Refused

PROBES = 50  # combinations sampled before a value counts as never valid
TRIES = 2000  # combinations sampled before a space counts as empty
REMEMBERED = 20_000

Values = Mapping[str, Scalar]


@dataclass(frozen=True)
class Candidate:
    """A network, or what is built on one, and a recipe, and its cost with the data's classes and channels."""

    spec: AnySpec
    recipe: Recipe
    cost: Cost


class Candidates:
    """Maps values of `space` to candidates, based on `network` and `recipe` and within `limits`.

    `fitted` gives a spec the classes and channels of the data, `lowered` its plan. No model is built: a candidate's
    cost is counted from its plan, in about a millisecond.
    """

    def __init__(
        self,
        space: Space,
        network: Any,
        recipe: Recipe,
        limits: Limits = Limits(),
        fitted: Callable[[Any, Recipe], Any] = lambda spec, recipe: spec,
        lowered: Callable[[Any], Any] = lambda spec: spec.lower(),
    ):
        self.space, self.network, self.recipe, self.limits = space, network, recipe, limits
        self.fitted, self.lowered = fitted, lowered
        self.refusals = Refusals()
        self._costs: dict[str, Cost | ReskerasError] = {}

    def of(self, values: Values) -> Candidate:
        """The candidate for a tuner's `values`; Refused when it is contradictory or exceeds a limit."""
        try:
            spec, recipe = self.space.applied(values, self.network, self.recipe)
            cost = self._cost(spec, recipe)
        except Refused:
            raise
        except ReskerasError as error:
            raise Refused("invalid", str(error)) from error
        self.limits.check(cost, recipe)
        return Candidate(spec, recipe, cost)

    def fits(self, values: Values) -> bool:
        """Whether the candidate for `values` is valid; those refused are counted."""
        try:
            self.of(values)
        except Refused as refused:
            self.refusals.add(refused)
            return False
        return True

    def base_cost(self) -> Cost:
        """The cost of the base network, before anything is varied."""
        return self._cost(self.network, self.recipe)

    def _cost(self, spec: AnySpec, recipe: Recipe) -> Cost:
        key = f"{spec.model_dump_json(exclude_unset=True)} {recipe.drop_path}"
        if key not in self._costs:
            if len(self._costs) >= REMEMBERED:
                self._costs.clear()
            try:
                self._costs[key] = self.lowered(self.fitted(spec, recipe)).complexity().total
            except ReskerasError as error:
                self._costs[key] = error
        found = self._costs[key]
        if isinstance(found, ReskerasError):
            raise found
        return found

    def check(self) -> None:
        """Raise ReskerasError when a path or value is never valid, or no sampled candidate is."""
        drawn = random.Random(0)
        for name, domain in self.space.parameters.items():
            for label in domain.probes():
                self._check_value(name, domain, label, drawn)
        if not any(self.fits(sample(self.space, drawn)) for _ in range(TRIES)):
            message = f"space: no valid candidate found; {self.refusals.describe()}"
            self.refusals = Refusals()
            raise ReskerasError(message)
        self.refusals = Refusals()

    def _check_value(self, name: str, domain: Domain, label: Scalar, drawn: random.Random) -> None:
        first: ReskerasError | None = None
        pinned = pinned_by(self.space, name) | {name: label}
        for attempt in range(PROBES):
            others = pinned if attempt == 0 else sample(self.space, drawn, pinned)
            try:
                spec, recipe = self.space.applied(others, self.network, self.recipe)
                self._cost(spec, recipe)
                return
            except ReskerasError as error:
                first = first or error
        raise ReskerasError(f"space: {name}: {domain.value(label)!r} is never valid: {first}")


def pinned_by(space: Space, name: str) -> dict[str, Scalar]:
    """Values of other parameters under which parameter `name` is active."""
    pinned: dict[str, Scalar] = {}
    for other, allowed in space.parameters[name].when.items():
        pinned |= pinned_by(space, other) | {other: allowed[0]}
    return pinned


def sample(space: Space, drawn: random.Random, pinned: Values | None = None) -> dict[str, Any]:
    """Values sampled uniformly from the domains of `space`, as in random search, with some `pinned`."""
    values: dict[str, Any] = {}
    for name, domain in space.parameters.items():
        values[name] = (pinned or {}).get(name, _draw(domain, drawn))
    return values


def _draw(domain: Domain, drawn: random.Random) -> Scalar:
    low, high = domain.low, domain.high
    if low is None or high is None:  # it has choices
        return drawn.choice(domain.labels())
    share = drawn.random()
    value = low * (high / low) ** share if domain.sampling == "log" else low + (high - low) * share
    return min(round(value), high) if domain.integers else value
