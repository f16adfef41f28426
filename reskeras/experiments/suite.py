"""SuiteSpec: a table or figure of a paper as rows to run; ProtocolSpec: how its networks are trained and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from reskeras.documents.fields import Spec, whole
from reskeras.documents.shipped import read_document, shipped_names
from reskeras.errors import ReskerasError, unknown
from reskeras.experiments.suite_views import Role, SuiteTask, views_of
from reskeras.tasks.task import find_task

Scale = Literal["paper", "budget", "short", "smoke"]
SCALES: tuple[Scale, ...] = ("paper", "budget", "short", "smoke")
Turn = Literal["must", "should", "may"]
TURNS: tuple[Turn, ...] = ("must", "should", "may")
OfClassifiers = Literal[
    "test_error",
    "top5_error",
    "best_error",
    "training_error",
    "gap",
    "early_error",
    "response",
    "removed_error",
    "minutes",
]
OfDetectors = Literal["coco_map", "coco_map50", "coco_map75", "map_eleven", "map_area"]
OfLabels = Literal["average_precision", "f1"]
OfLocalisers = Literal["localisation_error", "top1_localisation_error", "top5_localisation_error"]
Counted = Literal["parameters", "multiply_adds"]
MeasureName = Literal[OfClassifiers, OfDetectors, OfLabels, OfLocalisers, Counted]
COUNTED: tuple[MeasureName, ...] = get_args(Counted)
MEASURES_OF: dict[SuiteTask, tuple[MeasureName, ...]] = {
    "classification": (*get_args(OfClassifiers), *COUNTED),
    "detection": (*get_args(OfDetectors), *COUNTED),
    "localisation": (*get_args(OfLocalisers), *COUNTED),
}
Printed = float | Annotated[str, Field(max_length=40)]
Text = Annotated[str, Field(max_length=600)]
Name = Annotated[str, Field(pattern=r"^[\w.,+ -]{1,60}$")]


class BesideSpec(Spec):
    """A training beside a row's, with which the row's run is measured: its network and recipe, and its data unless they
    are the row's. The default for a classifier is the row's data by their classes."""

    network: Annotated[str | dict[str, Any], Field(description="Its name in the catalogue, or its fields")]
    data: Annotated[
        Annotated[str, Field(max_length=300)] | None, Field(description="Source of its images; default: the row's")
    ] = None
    recipe: Annotated[str, Field(max_length=300, description="Name or file of its recipe")]
    fields: dict[str, Any] = Field(default_factory=dict, description="Fields laid over the recipe")


class ScaleSpec(Spec):
    """How a suite runs at one scale: data, recipe, fields laid over the recipe, paths laid over each network, and how
    test images are looked at, as fields of the views of its task. With `start`, trainings begin with the weights of the
    run of that role in `beside`."""

    data: Annotated[Annotated[str, Field(max_length=300)] | None, Field(description="Source of the images")] = None
    recipe: Annotated[Annotated[str, Field(max_length=300)] | None, Field(description="Name or file of the recipe")] = (
        None
    )
    fields: dict[str, Any] = Field(default_factory=dict, description="Fields laid over the recipe")
    network: dict[str, Any] = Field(default_factory=dict, description="Paths laid over each network")
    evaluation: Annotated[
        dict[str, Any] | None, Field(description="How test images are looked at: fields of the views of the task")
    ] = None
    beside: dict[Role, BesideSpec] = Field(
        default_factory=dict, description="Trainings with which the runs are measured, by their role"
    )
    start: Annotated[Role | None, Field(description="Which of those in beside gives the initial weights")] = None

    @model_validator(mode="after")
    def _begins_with_one(self) -> ScaleSpec:
        if self.start == "refiner" or (self.start and self.start not in self.beside):
            raise ValueError("start: should be classifier, and among those in beside")
        return self

    def over(self, other: ScaleSpec) -> ScaleSpec:
        """This laid over `other`: fields and paths one by one."""
        return ScaleSpec(
            data=self.data or other.data,
            recipe=self.recipe or other.recipe,
            fields={**other.fields, **self.fields},
            network={**other.network, **self.network},
            evaluation=other.evaluation if self.evaluation is None else self.evaluation,
            beside={**other.beside, **self.beside},
            start=self.start or other.start,
        )


class BudgetSpec(Spec):
    """A row's part in the evidence that two cores can gather (the scale `budget`): its turn among all rows, and the
    number of its seeds unless another is asked for."""

    turn: Annotated[Turn, Field(description="Its turn among all rows")]
    seeds: Annotated[int, whole(1, 100), Field(description="Number of seeds")] = 1


class ProtocolSpec(Spec):
    """How a paper trains and measures, and what replaces that at the smaller scales; `budget` may be left out.
    `images` is the paper's number of training images, `differs` what no scale reproduces of how it trains."""

    description: Annotated[Text, Field(description="What the protocol is, in a sentence")]
    task: Annotated[SuiteTask, Field(description="Task of its networks")] = "classification"
    differs: Annotated[Text, Field(description="What no scale reproduces of the paper's training")] = ""
    images: Annotated[int, whole(1, 100_000_000), Field(description="Number of the paper's training images")]
    scales: Annotated[dict[Scale, ScaleSpec], Field(description="How it is run at each scale; budget may be left out")]

    @model_validator(mode="after")
    def _whole(self) -> ProtocolSpec:
        for name in SCALES:
            scale = self.scales.get(name)
            if scale is None and name == "budget":
                continue
            if scale is None or not scale.data or not scale.recipe:
                raise ValueError(f"scales.{name}: needs data and recipe")
        return self


class RowSpec(Spec):
    """One row: a catalogued name or the fields of a network, and its published figures by measure, in the paper's unit
    (errors in per cent). `why` explains a count that differs from the published digits, `differs` what no scale
    reproduces of the paper's protocol. A row with `budget` is run at that scale too; one that is `ours` is not in the
    paper, and is run at that scale alone. One without a network is run nowhere: its published figures are shown beside
    the others, and `why` says why they are all there is."""

    row: Annotated[Name, Field(description="Name of the row")]
    network: Annotated[
        str | dict[str, Any] | None,
        Field(description="Its name in the catalogue, or its fields; null: published figures only"),
    ] = None
    data: Annotated[
        Annotated[str, Field(max_length=300)] | None, Field(description="Source of its images; default: the scale's")
    ] = None
    fields: dict[str, Any] = Field(default_factory=dict, description="Fields laid over the recipe")
    published: dict[MeasureName, Printed] = Field(
        default_factory=dict, description="Published figures by measure, in the paper's unit"
    )
    why: Annotated[Text, Field(description="Why a count differs from the published one, or why the row is not run")] = (
        ""
    )
    differs: Annotated[Text, Field(description="What no scale reproduces of the paper's protocol")] = ""
    scales: dict[Scale, ScaleSpec] = Field(default_factory=dict, description="What differs for this row at some scales")
    budget: BudgetSpec | None = None
    ours: Annotated[
        bool, Field(description="Whether it is not in the paper; such a row is run at the scale budget only")
    ] = False

    @model_validator(mode="after")
    def _runs_somewhere(self) -> RowSpec:
        if self.ours and self.budget is None:
            raise ValueError("ours: a row that is not in the paper needs budget")
        if self.network is None and not (self.published and self.why):
            raise ValueError(
                "network: a row without one needs published figures, and in why the reason that it is not run"
            )
        return self

    def runs_at(self, scale: Scale) -> bool:
        """Whether it is a row of that scale."""
        if self.network is None:
            return False
        return self.budget is not None if scale == "budget" else not self.ours


class FindingSpec(Spec):
    """A finding: row `less` is below row `more` in measure `by`; `results.SuiteResult.findings` checks it."""

    less: Annotated[Name, Field(description="The row with the lower value")]
    more: Annotated[Name, Field(description="The row with the higher value")]
    by: Annotated[MeasureName, Field(description="The measure that is compared")]
    says: Annotated[Text, Field(description="The finding in a sentence")]


class SuiteSpec(Spec):
    """A table or figure. In one without a protocol nothing is trained: its networks, those of `task`, are only counted.
    (The trainings of `seeds.train_seeds` are a suite without one, because no paper gives theirs.)"""

    title: Annotated[Text, Field(description="What the table or figure is about")]
    source: Annotated[Text, Field(description="Where it is published")]
    expects: Annotated[Text, Field(description="What its authors found")]
    measures: Annotated[tuple[MeasureName, ...], Field(min_length=1, description="What is measured, in columns")]
    protocol: Annotated[
        Annotated[str, Field(max_length=300)] | None,
        Field(description="Name or file of the protocol; null: nothing is trained"),
    ] = None
    task: Annotated[
        SuiteTask | None, Field(description="Task of its networks; default: the protocol's, or classification")
    ] = None
    runs: Annotated[int, whole(1, 100), Field(description="Number of runs behind the paper's figures")] = 1
    rows: Annotated[tuple[RowSpec, ...], Field(min_length=1, max_length=200, description="The rows, in order")]
    panels: Annotated[
        dict[Name, dict[Name, Name]],
        Field(
            default_factory=dict,
            description="Panels of the curves, each with its rows and their labels there; all rows or none",
        ),
    ]
    findings: Annotated[tuple[FindingSpec, ...], Field(description="Findings that are checked")] = ()
    scales: dict[Scale, ScaleSpec] = Field(
        default_factory=dict, description="What differs from the protocol at some scales"
    )

    @property
    def printed(self) -> set[str]:
        """The rows that have published figures only."""
        return {row.row for row in self.rows if row.network is None}

    @model_validator(mode="after")
    def _coherent(self) -> SuiteSpec:
        names = [row.row for row in self.rows]
        if all(row.network is None for row in self.rows):
            raise ValueError("rows: none has a network")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"rows: {twice!r} appears twice")
        placed = [name for panel in self.panels.values() for name in panel]
        if self.panels and sorted(placed) != sorted(names):
            raise ValueError("panels: every row should be in one of them, once")
        for finding in self.findings:
            if finding.less == finding.more:
                raise ValueError(f"findings: {finding.less!r} is compared with itself")
            for name in (finding.less, finding.more):
                if name not in names:
                    raise ValueError(f"findings: {name!r} is not a row")
                if name in self.printed:
                    raise ValueError(f"findings: {name!r} has published figures only and is never measured")
            if finding.by not in self.measures:
                raise ValueError(f"findings: {finding.by!r} is not one of the measures")
        return self


def read_scale(text: str) -> Scale:
    """The scale called `text`; ReskerasError (status 2) when there is none."""
    for scale in SCALES:
        if scale == text:
            return scale
    raise unknown("scale", text, SCALES)


def suite_names() -> list[str]:
    """The suites that come with reskeras, by name."""
    return shipped_names("suite")


def read_suite(source: str | Path) -> SuiteSpec:
    """The suite that `source` names, or of a YAML file; ReskerasError (status 2) for what is wrong in it."""
    suite = read_document("suite", SuiteSpec, source)
    task = task_of(suite)
    if suite.task not in (None, task):
        raise ReskerasError(f"task: {suite.task} contradicts the protocol {suite.protocol}, whose task is {task}")
    noun, known = find_task(task).noun, MEASURES_OF[task]
    named = [("measures", suite.measures), *((f"published of row {row.row!r}", row.published) for row in suite.rows)]
    for place, names in named:
        if foreign := [name for name in names if name not in known]:
            raise ReskerasError(
                f"{place}: {foreign[0]} is not a measure of {noun}s, which this suite is about; "
                f"use {', '.join(known)} (in {source})"
            )
    trained = [name for name in suite.measures if name not in COUNTED]
    if trained and suite.protocol is None:
        raise ReskerasError(
            f"measures: {trained[0]} needs a protocol, which says how the networks are trained (in {source})"
        )
    for row in suite.rows:
        _check_views(row.scales, task, f"row {row.row!r}: ", source)
    _check_views(suite.scales, task, "", source)
    return suite


def task_of(suite: SuiteSpec) -> SuiteTask:
    """The task of a suite's networks."""
    if suite.protocol is not None:
        return read_protocol(suite.protocol).task
    return suite.task or "classification"


def read_protocol(source: str | Path) -> ProtocolSpec:
    """The protocol that `source` names, or of a YAML file."""
    protocol = read_document("protocol", ProtocolSpec, source)
    _check_views(protocol.scales, protocol.task, "", source)
    return protocol


def _check_views(scales: dict[Scale, ScaleSpec], task: SuiteTask, lead: str, source: str | Path) -> None:
    for name, said in scales.items():
        views_of(task, said.evaluation, f"{lead}scales.{name}.evaluation, in {source}")
