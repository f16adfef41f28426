"""Rows of a suite at a scale: the network, data and recipe of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from reskeras.errors import ReskerasError, unknown
from reskeras.experiments.suite import (
    BesideSpec,
    ProtocolSpec,
    RowSpec,
    Scale,
    ScaleSpec,
    SuiteSpec,
    read_protocol,
    task_of,
)
from reskeras.experiments.suite_views import TASK_OF_ROLE, LocaliserViewsSpec, Role, Views, views_of
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.any_spec import AnySpec
from reskeras.networks.network import NetworkSpec
from reskeras.networks.overrides import laid_over
from reskeras.networks.plan_of_parts import PlanOfParts
from reskeras.networks.request import typed
from reskeras.plans.plan import Plan
from reskeras.printable import counted
from reskeras.recipes.later import OF_NETWORKS, SINCE_SUITES, identifying
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.runs import BOOKKEEPING
from reskeras.tasks.task import find_task

UNCOMPARED = (*BOOKKEEPING, "seed", "deterministic")  # fields of a recipe that no paper gives


@dataclass(frozen=True)
class Row:
    """A row ready to run: its spec with its task and lowered plan, and in a suite that trains (see TrainedRow) its
    recipe, data and views."""

    asked: RowSpec
    task: str
    spec: AnySpec
    plan: Plan | PlanOfParts
    recipe: Recipe | None
    data: str | None
    views: Views

    @property
    def name(self) -> str:
        """Its label in the table."""
        return self.asked.row

    @property
    def network(self) -> AnyNetwork:
        """Its network; a detector's backbone."""
        return find_task(self.task).network(self.spec)

    @cached_property
    def layers(self) -> int:
        """The weighted layers of its network, which takes a while to count of a deep one."""
        return self.network.lower().weighted_layers()

    def seeds(self, asked: int | None, scale: str) -> int:
        """How many seeds it is trained with: as many as are asked for, else 1, or as many as its budget says."""
        budget = self.asked.budget
        return asked or (budget.seeds if budget and scale == "budget" else 1)

    @property
    def others(self) -> list[str]:
        """The identities of what its own run is made with: nothing."""
        return []

    @property
    def identity(self) -> str:
        """Hash of everything but the seed that decides the row's run: eight hexadecimal digits."""
        recipe = None if self.recipe is None else identifying(self.recipe, UNCOMPARED, SINCE_SUITES)
        network = identifying(self.spec.decided(), ("name",), OF_NETWORKS)
        text = json.dumps([network, recipe, self.data, *self.others], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class TrainedRow(Row):
    """A row whose network is trained: with the weights of `start` to begin with, by the `teacher`, if it has these. Its
    run is measured with those `beside`."""

    recipe: Recipe
    data: str
    start: TrainedRow | None = None
    teacher: TrainedRow | None = None
    beside: Mapping[Role, TrainedRow] = field(default_factory=dict)

    @property
    def others(self) -> list[str]:
        """The identities of what its own run is made with."""
        return [each.identity for each in (self.start, self.teacher) if each]

    @property
    def members(self) -> int:
        """The localisers that its figures are of."""
        return self.views.members if isinstance(self.views, LocaliserViewsSpec) else 1

    def needed(self, seed: int) -> Iterator[tuple[TrainedRow, int]]:
        """The trainings that its figures with this seed need, each after those that it needs itself."""
        for each in range(seed, seed + self.members):
            if self.start:
                yield self.start, each
            yield self, each
            for role, other in self.beside.items():
                if role == "refiner" or each == seed:  # an ensemble has one classifier
                    yield other, each

    def epochs(self, images: int) -> float:
        """Epochs of a training on `images` images."""
        if self.recipe.iterations:
            return self.recipe.iterations * self.recipe.batch_size / images
        return self.recipe.epochs


def rows_of(suite: SuiteSpec, scale: Scale, wanted: Iterable[str] = (), data: str | None = None) -> list[Row]:
    """The `wanted` rows of `suite` at a scale, by default all; `data` replaces the scale's.

    Raises ReskerasError (status 2) for unknown rows, for a scale that has none, and for two that differ only in their
    label (at the smoke scale, which only shows that everything runs, rows may coincide).
    """
    names = [row.row for row in suite.rows if row.runs_at(scale)]
    if not names:
        raise ReskerasError(f"scale: no row of this suite is run at the scale {scale}")
    printed = {row.row: row.why for row in suite.rows if row.network is None}
    for name in wanted:
        if name in printed:
            raise ReskerasError(f"rows: {name!r} has published figures only: {printed[name]}")
        if name not in names and any(row.row == name for row in suite.rows):
            raise ReskerasError(f"rows: {name!r} is not run at the scale {scale}; use {', '.join(names)}")
        if name not in names:
            raise unknown("rows", name, names)
    rows = [_row(suite, row, scale, data) for row in suite.rows if row.row in names]
    if scale != "smoke":
        known: dict[str, str] = {}
        for row in rows:
            same = json.dumps([row.identity, row.views.model_dump(mode="json")])
            if same in known:
                raise ReskerasError(f"rows: {row.name!r} differs from {known[same]!r} only in its name")
            known[same] = row.name
    chosen = set(wanted) or set(names)
    return [row for row in rows if row.name in chosen]


def scale_of(suite: SuiteSpec, protocol: ProtocolSpec, row: RowSpec, scale: Scale) -> ScaleSpec:
    """The settings of a scale: the row's laid over the suite's laid over the protocol's."""
    said = ScaleSpec(data=row.data if scale == "paper" else None, fields=row.fields)
    for place in (row.scales, suite.scales, protocol.scales):
        said = said.over(place.get(scale, ScaleSpec()))
    return said


def _row(suite: SuiteSpec, asked: RowSpec, scale: Scale, data: str | None) -> Row:
    if suite.protocol is not None:
        return trained_row(suite, read_protocol(suite.protocol), asked, scale, data)
    task = task_of(suite)
    spec = _spec(asked, task)
    return Row(asked, task, spec, find_task(task).plan(spec), None, None, views_of(task, None, ""))


def trained_row(suite: SuiteSpec, protocol: ProtocolSpec, asked: RowSpec, scale: Scale, data: str | None) -> TrainedRow:
    """A row whose network is trained, at a scale, as the protocol says, on `data` or those of the scale. ReskerasError
    where that has no such scale."""
    task, said = protocol.task, scale_of(suite, protocol, asked, scale)
    spec, place = _spec(asked, task), f"row {asked.row}, scale {scale}"
    if said.network:
        spec = laid_over(spec, _kept(spec, said.network) | said.network, place)
    source = data or said.data
    if source is None or said.recipe is None:
        raise ReskerasError(f"scales.{scale}: the protocol of row {asked.row!r} has no such scale")
    chosen = read_recipe(said.recipe)
    if said.fields:
        chosen = read_recipe(chosen, **said.fields)
    views = views_of(task, said.evaluation, f"{place}: evaluation")
    start = _beside(asked, said.start, said.beside, source, place) if said.start else None
    row = TrainedRow(asked, task, spec, find_task(task).plan(spec), chosen, source, views, start)
    roles = views.beside if isinstance(views, LocaliserViewsSpec) else ()
    beside = {
        role: start if start and role == said.start else _beside(asked, role, said.beside, source, place, row)
        for role in roles
    }
    return replace(row, beside=beside)


def _beside(
    asked: RowSpec, role: Role, told: Mapping[Role, BesideSpec], data: str, place: str, row: TrainedRow | None = None
) -> TrainedRow:
    """The training that is to be done beside, or before, that of a `row` with these `data`."""
    if role not in told:
        raise ReskerasError(f"{place}: evaluation.beside: {role} is not in beside")
    said, task = told[role], find_task(TASK_OF_ROLE[role])
    spec = task.spec(typed(said.network, {}, f"{place}: beside") if isinstance(said.network, dict) else said.network)
    recipe = read_recipe(read_recipe(said.recipe), **said.fields)
    same = data if role == "refiner" else f"classes:{data}"
    views = views_of(task.name, None, place)
    start, teacher = (row.start, row) if row and role == "refiner" else (None, None)
    own = asked.model_copy(update={"row": f"{asked.row}, {role}"})
    return TrainedRow(own, task.name, spec, task.plan(spec), recipe, said.data or same, views, start, teacher)


def _spec(asked: RowSpec, task: str) -> AnySpec:
    named = asked.network
    return find_task(task).spec(typed(named, {}, f"row {asked.row}") if isinstance(named, dict) else named)


def _kept(spec: AnySpec, changes: dict[str, Any]) -> dict[str, Any]:
    """Family and block, which `depth` implied, where `stages` replaces it."""
    if "stages" not in changes or not isinstance(spec, NetworkSpec):
        return {}
    resolved = spec.decided()
    return {"family": resolved.family, "block": resolved.stages[0].block}


def length_of(recipe: Recipe) -> str:
    """`14 epochs` or `64,000 iterations`."""
    if recipe.iterations:
        return f"{recipe.iterations:,} iterations"
    return counted(recipe.epochs, "epoch")


def label_of(row: Row) -> str:
    """The name of a row's folder: its network, data and identity."""
    name = f"{find_task(row.task).name_of(row.spec)}-{row.data}"
    kept = "".join(each if each.isalnum() or each in "-.@" else "-" for each in name)
    return f"{kept[:80]}-{row.identity}"
