"""Results of a suite: figures by row and seed beside the published ones, and what became of the findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from reskeras.experiments.measures import MEASURES
from reskeras.experiments.records import COLUMNS, RunRecord
from reskeras.experiments.right_images import RightImages
from reskeras.experiments.statistics import Statistics
from reskeras.experiments.suite import FindingSpec, SuiteSpec, read_scale
from reskeras.experiments.verdicts import Side, Verdict, judge, pooled_spread
from reskeras.printable import short_repr


@dataclass
class RowResult:
    """By seed a row's figures, its runs' folders, records of them, and by split the images that they had right;
    `differences` from the paper's protocol; `error` if it failed."""

    row: str
    published: dict[str, Any]
    differences: list[str] = field(default_factory=list)
    figures: dict[int, dict[str, float]] = field(default_factory=dict)
    runs: dict[int, str] = field(default_factory=dict)
    right: dict[int, dict[str, RightImages]] = field(default_factory=dict)
    records: dict[int, RunRecord] = field(default_factory=dict)
    error: str = ""

    def statistics(self, measure: str) -> Statistics | None:
        """Statistics over the seeds that have the measure."""
        values = [figures[measure] for figures in self.figures.values() if measure in figures]
        return Statistics.of(values) if values else None

    def side(self, measure: str) -> Side | None:
        """What a verdict compares: the measure over the seeds that have it, and the images that they had right."""
        found, split = self.statistics(measure), MEASURES[measure].by_image
        right = [images[split] for images in self.right.values() if split in images]
        return Side(self.row, found, right) if found else None


@dataclass
class SuiteResult:
    """The results of a suite's rows at a scale; the scale is empty for trainings that are no paper's."""

    name: str
    suite: SuiteSpec
    scale: str
    rows: list[RowResult]

    def __repr__(self) -> str:
        return short_repr(self, self.name, self.scale, f"{len(self.rows)} rows", failed=len(self.failed) or None)

    @property
    def failed(self) -> list[RowResult]:
        """The rows that failed."""
        return [row for row in self.rows if row.error]

    def row(self, name: str) -> RowResult | None:
        """The row called `name`, if it was requested."""
        return next((row for row in self.rows if row.row == name), None)

    def findings(self) -> list[tuple[FindingSpec, Verdict]]:
        """Every finding on rows that exist at this scale, and what became of it here; those not measured last."""
        there = {row.row for row in self.suite.rows if not self.scale or row.runs_at(read_scale(self.scale))}
        found = [(each, self._verdict(each)) for each in self.suite.findings if {each.less, each.more} <= there]
        return sorted(found, key=lambda each: each[1].word == "not measured")

    def _verdict(self, finding: FindingSpec) -> Verdict:
        less, more = (self.row(name) for name in (finding.less, finding.more))
        pair = [row.side(finding.by) if row else None for row in (less, more)]
        if not (less and more and pair[0] and pair[1]):
            return Verdict("not measured", "")
        if less.runs and less.runs == more.runs and self.views_of(less) == self.views_of(more):
            return Verdict("undecided", "the two rows are the same network at this scale")
        both = [side.found for side in pair if side]
        table = [found for row in self.rows if (found := row.statistics(finding.by))]
        # rows may vary differently: seeds of plain-56 are twelve points apart, those of resnet-56 a tenth of one. Of a
        # row with a single seed nothing is known, so that it is taken to vary as the table does, if that is more
        spread = pooled_spread(both, finding.by)
        if any(each.count == 1 for each in both):
            known = [each for each in (spread, pooled_spread(table, finding.by)) if each]
            spread = max(known, key=lambda each: each.deviation, default=None)
        return judge(pair[0], pair[1], finding.by, spread)

    def views_of(self, row: RowResult) -> dict[str, Any] | None:
        """How the row's own test images are looked at, where that is not the suite's way."""
        [asked] = (each for each in self.suite.rows if each.row == row.row)
        own = asked.scales.get(read_scale(self.scale)) if self.scale else None
        return own.evaluation if own else None

    def runs(self) -> Iterator[tuple[str, int, RunRecord]]:
        """The row, the seed and the record of every run, one row after the other."""
        for row in self.rows:
            for seed, record in row.records.items():
                yield row.row, seed, record

    def runs_table(self, shown: bool = True) -> tuple[list[str], list[list[Any]]]:
        """Columns and lines of the table of runs: their figures, as texts if they are to be `shown`, and how each was
        made."""
        measures = [name for name in self.suite.measures if not MEASURES[name].counted]
        lines: list[list[Any]] = []
        for row in self.rows:
            for seed, record in row.records.items():
                figures = [row.figures.get(seed, {}).get(name) for name in measures]
                told = [
                    "" if value is None else MEASURES[name].shown(value) if shown else value
                    for name, value in zip(measures, figures, strict=True)
                ]
                lines.append([row.row, str(seed), *told, *record.columns()])
        return ["row", "seed", *(name.replace("_", " ") for name in measures), *COLUMNS], lines

    def differences(self) -> tuple[list[str], dict[str, list[str]]]:
        """Differences from the paper's protocol: those that all rows that are run share, then by row the remaining
        ones."""
        printed = self.suite.printed
        known = [row.differences for row in self.rows if row.row not in printed]
        everywhere = [each for each in known[0] if all(each in others for others in known)]
        own = {row.row: [each for each in row.differences if each not in everywhere] for row in self.rows}
        return everywhere, {name: alone for name, alone in own.items() if alone}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of the table: published and measured figures side by side, both labelled."""
        measures = self.suite.measures
        printed = [name for name in measures if any(name in row.published for row in self.rows)]
        columns = ["row"]
        for name in measures:
            columns += [f"{name.replace('_', ' ')}, paper"] if name in printed else []
            columns += [f"{name.replace('_', ' ')}{', here' * bool(self.suite.protocol or printed)}"]
        lines = []
        for row in self.rows:
            cells = [row.row]
            for name in measures:
                cells += [_printed(name, row.published.get(name))] if name in printed else []
                cells += ["failed" if row.error else _measured(name, row.statistics(name))]
            lines.append(cells)
        return columns, lines

    def by_seed(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of the table of a single row's runs: a line for each seed, then mean and deviation."""
        [row] = self.rows
        shown = {name: MEASURES[name].shown for name in self.suite.measures}
        lines = [
            [f"seed {seed}", *(shown[name](found[name]) if name in found else "" for name in shown)]
            for seed, found in row.figures.items()
        ]
        for word in ("mean", "deviation"):
            totals = {name: row.statistics(name) for name in shown}
            lines.append([word, *(shown[name](getattr(each, word)) if each else "" for name, each in totals.items())])
        return [row.row, *(name.replace("_", " ") for name in shown)], lines


def _printed(measure: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:g}%" if MEASURES[measure].percent else f"{value:.3g}"


def _measured(measure: str, found: Statistics | None) -> str:
    if found is None:
        return ""
    shown = MEASURES[measure].shown
    if found.count == 1 or MEASURES[measure].counted:
        return shown(found.median)
    spread = f"{shown(found.mean)} ± {shown(found.deviation)}"
    return spread if found.count == 2 else f"{shown(found.median)} ({spread})"  # of two, the median is the mean
