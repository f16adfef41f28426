"""Comparison of two networks: the fields of their resolved specs, their plans operation by operation, their costs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from difflib import SequenceMatcher

from reskeras.documents.changes import FieldChange, changes, flat
from reskeras.networks.any_network import AnyNetwork
from reskeras.plans.complexity import Cost
from reskeras.plans.merges import RESIDUAL
from reskeras.plans.nodes import Fork, Node, Sequence
from reskeras.plans.operation import Op
from reskeras.plans.plan import Plan, Unit
from reskeras.plans.wording import sequence_words


@dataclass(frozen=True)
class Step:
    """An operation that only one network has, or that differs: its part of the unit, its name, its words."""

    sign: str  # "-" only in the first network, "+" only in the second, "~" in both with other numbers
    part: str
    name: str
    words: str


@dataclass(frozen=True)
class UnitChange:
    """The same difference in one or more units; `units` reads like `stage1_unit2..unit3`."""

    units: str
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Difference:
    """All differences between two networks, and the costs of both."""

    fields: tuple[FieldChange, ...]
    units: tuple[UnitChange, ...]
    before: Cost
    after: Cost

    @property
    def empty(self) -> bool:
        """Whether the networks are the same, names aside."""
        return not self.fields and not self.units


def difference(before: AnyNetwork, after: AnyNetwork) -> Difference:
    """Compare two networks of any kind; their names are ignored."""
    plans = before.lower(), after.lower()
    return Difference(
        tuple(field_changes(before, after)), tuple(unit_changes(*plans)), *(plan.complexity().total for plan in plans)
    )


def field_changes(before: AnyNetwork, after: AnyNetwork) -> Iterator[FieldChange]:
    """Fields of two resolved specs that differ, equal changes of several stages as one; names are ignored."""
    one, other = ({name: value for name, value in spec.whole().items() if name != "name"} for spec in (before, after))
    if type(before) is type(after):
        yield from _over_stages(changes(one, other))
        return
    yield FieldChange("kind", *(type(spec).__name__.removesuffix("Spec").lower() for spec in (before, after)))
    both = dict(flat(one)).keys() & dict(flat(other)).keys()  # the others cannot be compared
    yield from _over_stages([change for change in changes(one, other) if change.field in both])


def _over_stages(found: list[FieldChange]) -> Iterator[FieldChange]:
    """`stages.0.order`, `stages.1.order` with the same values joined to one `stages.0..1.order`."""
    groups: dict[tuple, list[int]] = {}
    for change in found:
        match = re.fullmatch(r"stages\.(\d+)\.(.+)", change.field)
        key = (match[2] if match else None, change.field if not match else "", repr((change.before, change.after)))
        groups.setdefault(key, []).append(int(match[1]) if match else -1)
    by_text = {(change.field, repr((change.before, change.after))): change for change in found}
    for (rest, name, values), indexes in groups.items():
        if rest is None:
            yield by_text[name, values]
            continue
        first = by_text[f"stages.{indexes[0]}.{rest}", values]
        yield FieldChange(f"stages.{_spans(indexes)}.{rest}", first.before, first.after)


def unit_changes(before: Plan, after: Plan) -> Iterator[UnitChange]:
    """Operations that differ between units of the same name; equal differences are grouped."""
    sides = [{unit.name: unit for unit in plan.units} for plan in (before, after)]
    groups: dict[tuple[Step, ...], list[Unit]] = {}
    for name in _merged_order(*(list(side) for side in sides)):
        old, new = (side.get(name) for side in sides)
        if (unit := old or new) and (steps := tuple(unit_steps(old, new))):
            groups.setdefault(steps, []).append(unit)
    for steps, units in groups.items():
        yield UnitChange(_unit_spans(units), steps)


def _merged_order(before: list[str], after: list[str]) -> list[str]:
    """The names of both sides, merged in order."""
    merged: list[str] = []
    for _, low, high, start, end in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        merged += dict.fromkeys([*before[low:high], *after[start:end]])
    return list(dict.fromkeys(merged))


def unit_steps(before: Unit | None, after: Unit | None) -> Iterator[Step]:
    """The operations in which one unit differs from another; None for a unit that one side lacks."""
    if before is None or after is None:
        if unit := before or after:
            yield Step("+" if before is None else "-", "", "whole unit", sequence_words(unit.nodes))
        return
    if before == after:
        return
    olds, news = list(_places(before.nodes)), list(_places(after.nodes))
    for tag, low, high, start, end in SequenceMatcher(None, olds, news, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        gone, come = olds[low:high], news[start:end]
        if len(gone) == len(come) and all(map(Place.alike_in_words, gone, come)):
            for old, new in zip(gone, come, strict=True):
                yield old.step("~", before.name, f": {_numbers(old.node, new.node)}")
            continue
        yield from (place.step("-", before.name) for place in gone)
        yield from (place.step("+", after.name) for place in come)


class Split(Op):
    """Marks where a fork begins, to separate operations before it from those on its branches."""

    kind = "split"


@dataclass(frozen=True)
class Place:
    """An operation and its branch; `part` is the branch's label, which is not compared.

    A residual counts as the main path, so that a plain unit and a residual one are compared conv by conv.
    """

    branch: str
    node: Node
    part: str = field(compare=False)

    def alike_in_words(self, other: Place) -> bool:
        """Whether the two can differ only in numbers that their words leave out."""
        return self.branch == other.branch and self.node.words == other.node.words

    def step(self, sign: str, unit: str, more: str = "") -> Step:
        """This place as a line of the difference."""
        return Step(sign, self.part, self.node.name.removeprefix(f"{unit}_"), self.node.words + more)


def _places(nodes: Sequence, branch: str = "", part: str = "") -> Iterator[Place]:
    """Operations in order, those of a fork between its split and its merge."""
    for node in nodes:
        if not isinstance(node, Fork):
            yield Place(branch, node, part)
            continue
        yield Place(branch, Split(name="split"), part)
        for name, inner in zip(node.parts, node.branches, strict=True):
            path = f"{part}, {name}" if part else name
            yield from _places(inner, branch if name == RESIDUAL else path, path)
        # the merge without its branches, whose differences would count twice
        yield Place(branch, replace(node, branches=((),) * len(node.branches)), part)


def _numbers(before: Node, after: Node) -> str:
    changed = [(one.name, getattr(before, one.name), getattr(after, one.name)) for one in fields(before) if one.compare]
    return ", ".join(f"{name} {old} -> {new}" for name, old, new in changed if old != new)


def _unit_spans(units: list[Unit]) -> str:
    """`stage1_unit2..unit3, stage2_unit1` for units, in order."""
    stages: dict[str, list[int]] = {}
    for unit in units:
        stages.setdefault(unit.stage_name, []).extend([] if unit.index is None else [unit.index])
    texts = []
    for stage, numbers in stages.items():
        spans = _spans(numbers).split(",") if numbers else []
        texts += [f"{stage}_unit" + span.replace("..", "..unit") for span in spans] or [stage]
    return ", ".join(texts)


def _spans(numbers: list[int]) -> str:
    """`0..2,5` for 0, 1, 2, 5."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][-1] + 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    return ",".join("..".join(map(str, span)) for span in spans)
