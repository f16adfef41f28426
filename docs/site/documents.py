"""Pages of the YAML files that come with reskeras: recipes, search spaces, suites with their published figures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from math import inf
from typing import Any

import yaml

from docs.site.page import Page, address, block, code, prose, table
from reskeras.documents.shipped import SHIPPED, shipped_names
from reskeras.experiments.suite import RowSpec, SuiteSpec, read_suite, suite_names, task_of
from reskeras.recipes.recipe import Recipe, recipe
from reskeras.spaces.space import Space, space
from reskeras.tasks.task import find_task

RECIPES, SPACES, SUITES = "reference/recipes.md", "reference/spaces.md", "reference/suites.md"


def pages() -> list[Page]:
    """A page each of all recipes, all search spaces and all suites."""
    return [_recipes(), _spaces(), _suites()]


def _file(kind: str, name: str) -> str:
    return (files(SHIPPED[kind]) / f"{name}.yaml").read_text("utf-8")


def _folder(kind: str) -> str:
    return SHIPPED[kind].replace(".", "/")


def _recipes() -> Page:
    to = partial(address, RECIPES)
    chosen = {name: recipe(name) for name in shipped_names("recipe")}
    rows = [
        [
            f"[{code(name)}](#{name})",
            f"{one.iterations:,} iterations" if one.iterations else f"{one.epochs:,} epochs",
            f"{one.batch_size:,}",
            one.optimizer.kind,
            f"{one.learning_rate:g}",
            one.schedule.kind,
            f"{one.weight_decay:g}",
        ]
        for name, one in chosen.items()
    ]
    head = ["recipe", "length", "batch", "optimiser", "learning rate", "schedule", "weight decay"]
    parts = [
        "# Recipes",
        "How a network is trained, as data. `--recipe` takes the name of one of these or a file of your own;"
        f" [recipe files]({to('reference/recipe.md')}) lists every field.",
        block("reskeras train cifar-resnet-20 --recipe quick\nreskeras recipes paper-cifar > mine.yaml", "shell"),
        table(head, rows, right=["batch", "learning rate", "weight decay"], kind="sortable"),
    ]
    for name, one in chosen.items():
        parts += [
            f"## `{name}` {{#{name}}}",
            prose(one.description),
            table(["field", "value", "meaning"], _fields(one), kind="fields"),
            _folded(f"{name}.yaml", _file("recipe", name)),
        ]
    return Page(
        RECIPES, "Recipes", "\n\n".join(parts), _folder("recipe"), "The built-in training recipes, field by field."
    )


def _fields(one: Recipe) -> Iterator[list[str]]:
    """The fields that a recipe sets, nested ones by their path, with what they mean."""
    to = partial(address, RECIPES)
    for path, value in _paths(one.sparse()):
        if path != "description":
            name = path.partition(".")[0]
            link = to("reference/recipe.md", path if path == name else _anchor_of(one, path))
            yield [f"[{code(path)}]({link})", code(_flow(value)), prose(_meaning(one, path))]


def _paths(values: dict[str, Any], lead: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _paths(value, f"{lead}{name}.")
        else:
            yield lead + name, value


def _anchor_of(one: Recipe, path: str) -> str:
    """Where the reference describes a nested field: with its kind, if the mapping that it is in has one of several."""
    parent, _, name = path.rpartition(".")
    spec = _spec_at(one, parent)
    kind = type(spec).model_fields.get("kind") if spec is not None else None
    of_several = kind is not None and type(spec).model_json_schema()["properties"]["kind"].get("const")
    if spec is None:
        return path.partition(".")[0]
    return f"{parent}-{of_several}.{name}" if of_several else path


def _spec_at(one: Recipe, path: str) -> Any:
    """The spec in a field, or None where that has names of its own, such as patterns of weights."""
    found: Any = one
    for name in path.split("."):
        found = getattr(found, name, None)
    return found if hasattr(found, "model_fields") else None


def _meaning(one: Recipe, path: str) -> str:
    parent, _, name = path.rpartition(".")
    spec = _spec_at(one, parent) if parent else one
    described = type(spec).model_fields[name].description if spec is not None else None
    return described or ""


def _flow(value: Any) -> str:
    """A value as YAML in one line."""
    return yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=inf).strip()[1:-1]


def _folded(title: str, text: str) -> str:
    return f"<details markdown>\n<summary>{title}</summary>\n\n{block(text, 'yaml')}\n\n</details>"


def _spaces() -> Page:
    to = partial(address, SPACES)
    parts = [
        "# Search spaces",
        "What a search may vary, as data. `--space` takes the name of one of these or a file of your own;"
        f" [space files]({to('reference/space.md')}) lists every field.",
        block(
            "reskeras tune cifar-resnet-20 --space orders --data digits\nreskeras spaces orders > mine.yaml", "shell"
        ),
    ]
    for name in shipped_names("space"):
        found: Space = space(name)
        told = {path: (prose(each.describe()), prose(each.describe_when())) for path, each in found.parameters.items()}
        columns = 3 if any(when for _, when in told.values()) else 2  # conditions, where a space has any
        rows = [[code(path), *words][:columns] for path, words in told.items()]
        parts += [
            f"## `{name}` {{#{name}}}",
            prose(found.description),
            table(["parameter", "values", "only when"][:columns], rows),
        ]
    return Page(SPACES, "Search spaces", "\n\n".join(parts), _folder("space"), "The built-in search spaces.")


def _suites() -> Page:
    to = partial(address, SUITES)
    suites = {name: read_suite(name) for name in suite_names()}
    listed = [
        [f"[{code(name)}](#{name})", prose(suite.title), str(len(suite.rows)), f"{find_task(task_of(suite)).noun}s"]
        for name, suite in suites.items()
    ]
    parts = [
        "# Suites",
        "The papers' tables and figures, as networks to train and measure beside the published figures."
        f" [`reskeras reproduce`]({to('commands/reproduce.md')}) runs one;"
        f" [results]({to('results/index.md')}) shows what came out.",
        block("reskeras suites v1-figure-6\nreskeras reproduce v1-figure-6 --scale budget", "shell"),
        table(["suite", "title", "rows", "of"], listed, right=["rows"], kind="sortable"),
    ]
    for name, suite in suites.items():
        parts += _suite(name, suite)
    return Page(
        SUITES,
        "Suites",
        "\n\n".join(parts),
        _folder("suite"),
        "The papers' tables and figures, with their published figures.",
    )


def _suite(name: str, suite: SuiteSpec) -> Iterator[str]:
    yield f"## `{name}` {{#{name}}}"
    yield f"**{prose(suite.title)}** ({prose(suite.source)}). {prose(suite.expects)}"
    published = [each for each in suite.measures if any(each in row.published for row in suite.rows)]
    rows = [
        [prose(row.row), _network(row), *(_printed(row.published.get(each)) for each in published)]
        for row in suite.rows
    ]
    heads = [f"{_measure(each)}, published" for each in published]
    yield table(["row", "network", *heads], rows, right=heads)
    if ours := [each for each in suite.measures if each not in published]:
        yield f"{'Measured too' if published else 'Measured'}: {', '.join(map(_measure, ours))}."
    for row in suite.rows:
        for said in (row.why, row.differs):
            if said:
                yield f"{prose(row.row)}: {prose(said)}"
    if suite.findings:
        yield "Findings that are checked: " + " ".join(prose(finding.says) for finding in suite.findings)


def _measure(name: str) -> str:
    return name.replace("_", " ")


def _network(row: RowSpec) -> str:
    to = partial(address, SUITES)
    if isinstance(row.network, str):
        return f"[{code(row.network)}]({to('catalogue.md', row.network)})"
    return "published only" if row.network is None else f"{code(_flow_mapping(row.network))}"


def _flow_mapping(values: dict[str, Any]) -> str:
    return ", ".join(f"{path}: {_flow(value)}" for path, value in _paths(values))


def _printed(value: float | str | None) -> str:
    """A published figure as the paper prints it; counts with their thousands."""
    if value is None:
        return ""
    return prose(value) if isinstance(value, str) else f"{value:,.0f}" if value >= 1000 else f"{value:g}"
