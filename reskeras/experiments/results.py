"""Results of a suite: figures by row and seed beside the published ones, and whether the findings are reproduced."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reskeras.experiments.measures import MEASURES
from reskeras.experiments.suite import SuiteSpec
from reskeras.files import write_csv, write_json
from reskeras.printable import short_repr

RESULTS_FILE, TABLE_FILE = "results.json", "results.csv"


@dataclass(frozen=True)
class Statistics:
    """Median, mean and sample standard deviation (0 for a single value) over `count` seeds."""

    median: float
    mean: float
    deviation: float
    count: int

    @classmethod
    def of(cls, values: list[float]) -> Statistics:
        """Statistics of at least one value."""
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.median(values), statistics.fmean(values), deviation, len(values))


@dataclass
class RowResult:
    """A row's figures and runs by seed; `differences` from the paper's protocol; `error` if it failed."""

    row: str
    published: dict[str, Any]
    differences: list[str] = field(default_factory=list)
    figures: dict[int, dict[str, float]] = field(default_factory=dict)
    runs: dict[int, str] = field(default_factory=dict)
    error: str = ""

    def statistics(self, measure: str) -> Statistics | None:
        """Statistics over the seeds that have the measure."""
        values = [figures[measure] for figures in self.figures.values() if measure in figures]
        return Statistics.of(values) if values else None


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

    def findings(self) -> list[tuple[str, str]]:
        """For every finding: (the paper's claim, the outcome here with its numbers)."""
        return [(each.says, self._outcome(each.less, each.more, each.by)) for each in self.suite.findings]

    def _outcome(self, less: str, more: str, by: str) -> str:
        rows = [row for name in (less, more) if (row := self.row(name)) is not None]
        pair = [found for row in rows if (found := row.statistics(by)) is not None]
        if len(pair) < 2:
            return "not measured"
        if rows[0].runs and rows[0].runs == rows[1].runs:
            return "cannot be told: the two rows are the same network at this scale"
        low, high = (MEASURES[by].shown(each.median) for each in pair)
        runs = min(len(row.runs) for row in rows)
        of = f", medians of {runs} runs" if runs > 1 else ", one run each" if runs else ""
        return f"{_verdict(pair[0], pair[1], by)} {by.replace('_', ' ')} {low} ({less}), {high} ({more}){of}"

    def differences(self) -> tuple[list[str], dict[str, list[str]]]:
        """Differences from the paper's protocol: those that all rows share, then by row the remaining ones."""
        known = [row.differences for row in self.rows]
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

    def save(self, folder: Path) -> None:
        """Write results.json and results.csv, each atomically."""
        data = {
            "suite": self.name,
            "scale": self.scale,
            "spec": self.suite.sparse(),
            "rows": [
                {
                    **asdict(row),
                    "statistics": {
                        name: asdict(found) for name in self.suite.measures if (found := row.statistics(name))
                    },
                }
                for row in self.rows
            ],
            "findings": [{"says": says, "outcome": outcome} for says, outcome in self.findings()],
        }
        write_json(folder / RESULTS_FILE, data)
        table: list[list[Any]] = [["row", "measure", "published", "median", "mean", "deviation", "runs", "differences"]]
        for row in self.rows:
            for name in self.suite.measures:
                if found := row.statistics(name):
                    table.append(
                        [
                            row.row,
                            name,
                            row.published.get(name, ""),
                            found.median,
                            found.mean,
                            found.deviation,
                            found.count,
                            "; ".join(row.differences),
                        ]
                    )
        write_csv(folder / TABLE_FILE, table)


def _verdict(less: Statistics, more: Statistics, by: str) -> str:
    """Whether the first is below the second: yes, no, or undecided.

    Undecided are medians that are equal as printed, and means over several runs that differ by less than twice the
    standard error of their difference.
    """
    shown = MEASURES[by].shown
    if shown(less.median) == shown(more.median):
        return "undecided: equal,"
    if min(less.count, more.count) > 1:
        error = math.hypot(*(each.deviation / math.sqrt(each.count) for each in (less, more)))
        if abs(less.mean - more.mean) < 2 * error:
            return "undecided: the difference is within the spread of the runs,"
    return "yes:" if less.median < more.median else "no:"


def _printed(measure: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:g} %" if MEASURES[measure].percent else f"{value:.3g}"


def _measured(measure: str, found: Statistics | None) -> str:
    if found is None:
        return ""
    shown = MEASURES[measure].shown
    if found.count == 1 or MEASURES[measure].counted:
        return shown(found.median)
    return f"{shown(found.median)} ({shown(found.mean)} ± {shown(found.deviation)})"
