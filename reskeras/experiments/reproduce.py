"""Runs a suite: trains what is not trained yet, measures it, and compares it with the published figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reskeras.caller_state import preserved
from reskeras.data.kept import identified_name
from reskeras.data.registry import Data, open_source
from reskeras.errors import ReskerasError
from reskeras.experiments.measures import figures_of
from reskeras.experiments.page import page_of_suite
from reskeras.experiments.results import RowResult, SuiteResult
from reskeras.experiments.suite import SuiteSpec, read_scale, read_suite
from reskeras.experiments.suite_rows import Row, TrainedRow, differences, label_of, rows_of
from reskeras.files import Unwritable, local_path
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.report.page import write_page
from reskeras.runs import HOME, MODEL_FILE, REPORT_FILE, RunFolder
from reskeras.tasks.classification.job import ClassifierJob
from reskeras.tasks.classification.run import ClassifierRun
from reskeras.tasks.run import Run
from reskeras.training.fit import FitOptions
from reskeras.training.guards import SIGNALS
from reskeras.training.job import fitted_to_data
from reskeras.training.strategy import Replicas, open_replicas

PLACE = HOME / "reproduce"
BACKWARD = 3  # a training step counts as three forward passes


@dataclass(frozen=True)
class Cost:
    """The cost of a suite: all trainings and those left, multiply-adds of all, and seconds left if a rate is known."""

    trainings: int
    left: int
    multiply_adds: float
    seconds: float | None


@preserved()
def reproduce(
    suite: str | Path,
    scale: str = "short",
    *,
    rows: Sequence[str] = (),
    seeds: int = 1,
    out: str | Path | None = None,
    data: Data | None = None,
    data_dir: str | Path | None = None,
    devices: int = 1,
    tell: Callable[[str], None] = lambda note: None,
) -> SuiteResult:
    """Run the rows of a suite (a name or a YAML file) at a scale, with seeds 0 to `seeds` - 1.

    Runs are kept in `out`/runs under a hash of what decides them, so that suites share them; a finished run is not
    trained again, an unfinished one is resumed. A failed row does not stop the others (see `SuiteResult.failed`); a
    signal or an unwritable disk does. The result is written to `out`/SUITE/SCALE after every run. `data` replaces that
    of the scale: a name, or what `reskeras.source` takes. With several `devices` each batch is divided among as many
    GPUs, or logical CPUs where there is none. Raises ReskerasError (status 2) for a wrong request.
    """
    replicas = opened_replicas(prepared(suite, scale, rows, seeds)[1], devices)
    given = None if data is None or isinstance(data, str) else open_source(data, data_dir)
    spec, ready = prepared(suite, scale, rows, seeds, identified_name(given) if given else data)
    place, name = local_path(out or PLACE, "out"), Path(str(suite)).stem

    def run(row: Row, seed: int) -> ClassifierRun | None:
        tell(f"{row.name}" + (f", seed {seed}" if isinstance(row, TrainedRow) else ""))
        if not isinstance(row, TrainedRow):
            return None
        path = _place(row, seed, place)
        if not _finished(path):
            source = given or open_source(row.data, data_dir)
            job = ClassifierJob(row.spec, read_recipe(row.recipe, seed=seed, keep=1), source, data_dir)
            job.run(path, replicas, FitOptions(True, tell, []))
        done = ClassifierRun(path)
        done.given = given
        return done

    result = SuiteResult(name, spec, scale, [RowResult(row.name, _published(row)) for row in ready])
    measure_rows(result, ready, range(seeds if spec.protocol else 1), run, place / name / scale, tell)
    return result


def measure_rows(
    result: SuiteResult,
    rows: Sequence[Row],
    seeds: Iterable[int],
    run: Callable[[Row, int], Run | None],
    folder: Path,
    tell: Callable[[str], None],
) -> None:
    """Fill `result` with the figures of the `run` of each of `rows` and `seeds`, and write it to `folder` after each.

    A failed row does not stop the others, a signal or an unwritable disk does: ReskerasError.
    """
    import keras  # after reskeras.api, which brings TensorFlow in quietly
    import tensorflow as tf

    for number, seed in enumerate(seeds, 1):
        for row, found in zip(rows, result.rows, strict=True):
            if found.error:
                continue
            try:
                done = run(row, seed)
                found.figures[seed] = figures_of(row, done, result.suite.measures)
                found.runs |= {seed: str(done.path)} if done else {}
                made = done.folder.provenance() if done else None
                found.differences = differences(result.suite, row, made, number)
            except (ReskerasError, tf.errors.OpError, MemoryError) as error:
                if isinstance(error, ReskerasError) and error.status in SIGNALS.values():
                    again = "the same command" if result.scale else "the same command with --resume"
                    raise ReskerasError(
                        f"{result.name}: stopped on request in {row.name}; {again} continues", error.status
                    ) from error
                if isinstance(error, Unwritable):  # the next row would fail too
                    raise
                found.error = str(error).strip().partition("\n")[0] or type(error).__name__
                tell(f"{row.name} failed: {found.error}")
            result.save(folder)
            keras.backend.clear_session()
    write_page(page_of_suite(result), folder / REPORT_FILE)


def opened_replicas(rows: Sequence[Row], devices: int) -> Replicas:
    """What trains `rows`: call before TensorFlow computes anything. ReskerasError (status 2) for a batch that cannot be
    divided among `devices`."""
    replicas = open_replicas("one" if devices == 1 else "mirrored", devices)
    for row in rows:
        if isinstance(row, TrainedRow):
            replicas.check(row.recipe)
    return replicas


def prepared(
    suite: str | Path, scale: str, rows: Sequence[str] = (), seeds: int = 1, data: str | None = None
) -> tuple[SuiteSpec, list[Row]]:
    """The suite and its rows, validated; ReskerasError (status 2) for a wrong request."""
    known = read_scale(scale)
    if seeds < 1:
        raise ReskerasError(f"seeds: {seeds}: should be at least 1")
    spec = read_suite(suite)
    return spec, rows_of(spec, known, rows, data)


def _published(row: Row) -> dict[str, Any]:
    return {str(measure): figure for measure, figure in row.asked.published.items()}


def cost(rows: Sequence[Row], seeds: int, out: str | Path | None = None, data_dir: str | Path | None = None) -> Cost:
    """The cost of training `rows`, at the median rate of the finished runs in `out`."""
    place = local_path(out or PLACE, "out")
    trained = {row.identity: row for row in rows if isinstance(row, TrainedRow)}.values()
    sources = {name: open_source(name, data_dir) for name in {row.data for row in trained}}
    total, left, seconds = 0.0, 0, 0.0
    rates = _rates(place)
    for row in trained:
        source = sources[row.data]
        images, plan = source.training_images("reproduce").count, fitted_to_data(row.spec, source).lower()
        work = BACKWARD * plan.complexity().multiply_adds * images * row.epochs(images)
        for seed in range(seeds):
            total += work
            if not _finished(_place(row, seed, place)):
                left += 1
                seconds += work / statistics.median(rates) if rates else 0.0
    return Cost(len(trained) * seeds, left, total, seconds if rates or not left else None)


def _rates(place: Path) -> list[float]:
    """Multiply-adds per second of every finished training in `place`, by its median epoch."""
    rates = []
    for path in sorted(place.glob("runs/*/seed-*")):
        if _finished(path):
            run = ClassifierRun(path)
            images = run.folder.provenance().get("training_images", 0)
            seconds = statistics.median(row["seconds"] for row in run.folder.metrics())
            rates.append(BACKWARD * run.plan.complexity().multiply_adds * images / seconds)
    return rates


def _place(row: Row, seed: int, place: Path) -> Path:
    return place / "runs" / label_of(row) / f"seed-{seed}"


def _finished(path: Path) -> bool:
    return (path / MODEL_FILE).is_file() and "trained_sha256" in RunFolder(path).provenance()
