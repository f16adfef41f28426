"""The folder of a suite's results: written after every run, read by reports, even where the runs are gone."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reskeras.analysis.analysis import SUMMARY_FILE, read_analysis
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError, failure
from reskeras.experiments.measures import MEASURES
from reskeras.experiments.records import RunRecord
from reskeras.experiments.results import RowResult, SuiteResult
from reskeras.experiments.right_images import RightImages
from reskeras.experiments.suite import SuiteSpec
from reskeras.files import local_path, write_csv, write_json
from reskeras.runs import RESULTS_FILE
from reskeras.stored import as_shape, read_json, read_text
from reskeras.tasks.run import Run

TABLE_FILE, RUNS_FILE, EPOCHS_FILE = "results.csv", "runs.csv", "epochs.csv"
ANALYSES_FOLDER = "analyses"


def save_result(result: SuiteResult, folder: Path) -> None:
    """Write results.json, the CSV files of rows, runs and epochs, and a folder for each analysis, each atomically."""
    write_json(folder / RESULTS_FILE, as_dict(result, folder))
    write_csv(folder / TABLE_FILE, _table(result))
    columns, lines = result.runs_table(shown=False)
    write_csv(folder / RUNS_FILE, [columns, *lines])
    write_csv(folder / EPOCHS_FILE, _epochs(result))
    for row, seed, record in result.runs():
        if record.analysis:
            record.analysis.save(_place(folder, row, seed))


def as_dict(result: SuiteResult, folder: Path | None = None) -> dict[str, Any]:
    """A result as plain data, the runs' folders relative to `folder`."""
    return {
        "suite": result.name,
        "scale": result.scale,
        "spec": result.suite.sparse(),
        "rows": [_row(row, result.suite, folder) for row in result.rows],
        "findings": [{"says": each.says, **asdict(verdict)} for each, verdict in result.findings()],
    }


def read_result(folder: str | Path) -> SuiteResult:
    """The results in `folder`; ReskerasError (status 1) when they are broken."""
    place = local_path(folder, "suite")
    path = place / RESULTS_FILE
    data = read_json(path, "report", dict[str, Any])
    try:
        epochs = _read_epochs(place / EPOCHS_FILE)
        rows = [_read_row(row, place, epochs) for row in data["rows"]]
        result = SuiteResult(data["suite"], validated(SuiteSpec, data["spec"]), data["scale"], rows)
        for show in (result.table, result.runs_table, result.findings, result.differences):
            show()  # what does not hold together fails here
        return result
    except (ReskerasError, OSError, ValueError, TypeError, LookupError, AttributeError, csv.Error) as error:
        raise failure(f"report: {path} is broken: {error}") from error


def _row(row: RowResult, suite: SuiteSpec, folder: Path | None) -> dict[str, Any]:
    kept = ("task", "network", "recipe", "facts")
    return {
        "row": row.row,
        "published": row.published,
        "differences": row.differences,
        "figures": row.figures,
        "statistics": {name: asdict(found) for name in suite.measures if (found := row.statistics(name))},
        "runs": {seed: os.path.relpath(run, folder) if folder else run for seed, run in row.runs.items()},
        "right": {seed: {split: asdict(each) for split, each in found.items()} for seed, found in row.right.items()},
        "records": {seed: {name: getattr(each, name) for name in kept} for seed, each in row.records.items()},
        "error": row.error,
    }


def _read_row(row: Mapping[str, Any], folder: Path, epochs: Mapping[tuple[str, int], list]) -> RowResult:
    """A row; results of earlier versions have no records, and those that they lead to are read instead."""
    name = row["row"]
    runs = {int(seed): str(Path(os.path.normpath(folder / run))) for seed, run in row["runs"].items()}
    records = {}
    for seed, kept in row.get("records", {}).items():
        place = _place(folder, name, int(seed))
        analysis = read_analysis(place) if (place / SUMMARY_FILE).is_file() else None
        records[int(seed)] = RunRecord(**kept, metrics=epochs.get((name, int(seed)), []), analysis=analysis)
    if "records" not in row:
        records = {seed: RunRecord.of(Run(run)) for seed, run in runs.items() if Path(run).is_dir()}
    right = {int(seed): as_shape(found, dict[str, RightImages]) for seed, found in row.get("right", {}).items()}
    figures = {
        int(seed): {name: _figure(name, found[name]) for name in found} for seed, found in row["figures"].items()
    }
    found = RowResult(name, row["published"], row["differences"], figures, runs, right, records, row["error"])
    return as_shape(found, RowResult)


def _figure(name: str, value: Any) -> float:
    """A measure of a run; a share of more than 1 is none."""
    value = as_shape(value, float)
    if not math.isfinite(value) or abs(value) > (1 if MEASURES[name].percent else 1e15):
        raise ValueError(f"{name}: {value!r} is not a figure")
    return value


def _place(folder: Path, row: str, seed: int) -> Path:
    return folder / ANALYSES_FOLDER / f"{row.replace(' ', '-')}-seed-{seed}"


def _table(result: SuiteResult) -> list[list[Any]]:
    table: list[list[Any]] = [["row", "measure", "published", "median", "mean", "deviation", "runs", "differences"]]
    for row in result.rows:
        for name in result.suite.measures:
            if found := row.statistics(name):
                printed = row.published.get(name, "")
                if MEASURES[name].percent and not isinstance(printed, str):
                    printed /= 100  # printed in per cent
                numbers = [found.median, found.mean, found.deviation if found.count > 1 else "", found.count]
                table.append([row.row, name, printed, *numbers, "; ".join(row.differences)])
    return table


def _epochs(result: SuiteResult) -> list[list[Any]]:
    """A line for each epoch of each run, with all figures that any of them has."""
    names = list(dict.fromkeys(name for *_, run in result.runs() for epoch in run.metrics for name in epoch))
    lines = [
        [row, seed, *(epoch.get(name, "") for name in names)]
        for row, seed, run in result.runs()
        for epoch in run.metrics
    ]
    return [["row", "seed", *names], *lines]


def _read_epochs(path: Path) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """The epochs of each row and seed."""
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for line in csv.DictReader(io.StringIO(read_text(path, "report"))) if path.is_file() else ():
        run = (line.pop("row").removeprefix("'"), int(line.pop("seed")))
        numbers = {name: float(value) for name, value in line.items() if value}
        if not all(map(math.isfinite, numbers.values())) or not 1 <= numbers["epoch"] <= 100_000:
            raise ValueError(f"{EPOCHS_FILE}: epoch {len(found.get(run, ())) + 1} of {run[0]}, seed {run[1]}")
        found.setdefault(run, []).append({**numbers, "epoch": int(numbers["epoch"])})
    return found
