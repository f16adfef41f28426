"""How a row of a suite, as it was run, differs from the paper's protocol, in words."""

from __future__ import annotations

from typing import Any

from reskeras.documents.fields import Spec
from reskeras.experiments.suite import ProtocolSpec, RowSpec, SuiteSpec, read_protocol
from reskeras.experiments.suite_rows import UNCOMPARED, Row, TrainedRow, length_of, trained_row
from reskeras.networks.any_spec import AnySpec
from reskeras.networks.built_on import BuiltOnNetwork
from reskeras.recipes.recipe import Recipe

HALVES = {"mixed_bfloat16": "bf16", "mixed_float16": "float16"}
_PAPERS: dict[tuple[str, ...], TrainedRow] = {}


def differences(suite: SuiteSpec, row: Row, provenance: dict[str, Any] | None = None, runs: int = 0) -> list[str]:
    """Differences of a row from the paper's protocol in words; with `provenance`, as it was actually run."""
    if not isinstance(row, TrainedRow) or suite.protocol is None:
        return [row.asked.why] if row.asked.why else []
    protocol = read_protocol(suite.protocol)
    paper = _papers_row(suite, protocol, row.asked)
    said = _data_differences(row, paper, protocol.images, provenance or {})
    said += _network_differences(row, paper)
    said += recipe_differences(row, paper)
    for role, other in row.beside.items():
        if role in paper.beside:
            there = paper.beside[role]
            said += [
                f"{role}: {each}" for each in _network_differences(other, there) + _length_difference(other, there)
            ]
    if row.views != paper.views:
        said.append(f"{row.views.in_words} instead of {paper.views.in_words}")
    if half := HALVES.get((provenance or {}).get("precision", "")):
        said.append(f"computed in {half}")
    if (replicas := (provenance or {}).get("replicas", 1)) > 1:
        said.append(f"batch norm over each of {replicas} devices' images")
    if runs and suite.runs > 1 and runs != suite.runs:
        said.append(f"{runs} of {suite.runs} runs")
    return said + [each for each in (protocol.differs, row.asked.differs) if each]


def _papers_row(suite: SuiteSpec, protocol: ProtocolSpec, asked: RowSpec) -> TrainedRow:
    """The row as the paper has it, made once for all runs that are compared with it."""
    key = tuple(each.model_dump_json() for each in (protocol, suite, asked))
    if key not in _PAPERS:
        _PAPERS[key] = trained_row(suite, protocol, asked, "paper", None)
    return _PAPERS[key]


def _decided(spec: Spec) -> dict[str, Any]:
    whole = spec.whole()
    dropped = UNCOMPARED if isinstance(spec, Recipe) else ("name",)
    return {field: value for field, value in whole.items() if field not in dropped}


def _data_differences(row: TrainedRow, paper: TrainedRow, images: int, provenance: dict[str, Any]) -> list[str]:
    facts = provenance.get("data", {})
    whole, _, part = row.data.partition("@")
    expected = paper.data.partition("@")[0]
    said = []
    if whole != expected:
        said.append(f"{whole} instead of {expected.removeprefix('tfds:')}")
    used = provenance.get("training_images") or facts.get("train") or (int(part) if part else None)
    if whole == expected and used and used < 0.9 * images:
        said.append(f"{used:,} of {images:,} training images")
    if "(jpeg)" in facts.get("label", ""):
        said.append("images recoded as JPEG")
    return said


def _network_differences(row: Row, paper: Row) -> list[str]:
    said = []
    if row.layers != paper.layers:
        said.append(f"{row.layers:,} layers instead of {paper.layers:,}")
    if row.plan.input_shape[:2] != paper.plan.input_shape[:2]:
        said.append(
            f"{row.plan.input_shape[0]}x{row.plan.input_shape[1]} pixels instead of "
            f"{paper.plan.input_shape[0]}x{paper.plan.input_shape[1]}"
        )
    here, there = (each.network.sparse().get("width_factor", 1.0) for each in (row, paper))
    said += [] if here == there else [f"{here / there:g} times the width"]
    mine, theirs = (_own_fields(each.spec) for each in (row, paper))
    told = [path for path in theirs if path in mine and mine[path] != theirs[path]]
    return said + [f"{_named(path)} {_value(mine[path])} instead of {_value(theirs[path])}" for path in told]


def _own_fields(spec: AnySpec) -> dict[str, Any]:
    """What is built on a network has these fields besides, by dotted path; defaults that follow the network are left
    out."""
    if not isinstance(spec, BuiltOnNetwork):
        return {}
    parts = spec.model_dump(mode="json", exclude={"name", spec.on, "classes"})
    whole = {name: value if isinstance(value, dict) else {"": value} for name, value in parts.items()}
    return {
        f"{name}.{field}".removesuffix("."): value
        for name, fields in whole.items()
        for field, value in fields.items()
        if value is not None
    }


def recipe_differences(row: TrainedRow, paper: TrainedRow) -> list[str]:
    """In which fields the recipe of a row differs from the paper's, in words."""
    mine, theirs = _decided(row.recipe), _decided(paper.recipe)
    said = _length_difference(row, paper)
    for name in mine:  # sgd's names are those of a recipe with sgd alone
        if name not in ("epochs", "iterations", "precision", "form") and mine[name] != theirs.get(name, mine[name]):
            said.append(f"{_named(name)} {_value(mine[name])} instead of {_value(theirs[name])}")
    return said


def _length_difference(row: TrainedRow, paper: TrainedRow) -> list[str]:
    here, there = (length_of(each.recipe) for each in (row, paper))
    return [] if here == there else [f"{here} instead of {there}"]


def _named(path: str) -> str:
    return path.replace(".", " ").replace("_", " ")


def _value(value: Any) -> str:
    if isinstance(value, dict):
        parts = [f"{key} {_value(each)}" for key, each in value.items() if each]
        return str(value["kind"]) if "kind" in value else f"({', '.join(parts)})"
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
