"""Runs a suite: trains what is not trained yet, measures it, and compares it with the published figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reskeras.caller_state import preserved
from reskeras.data.kept import identified_name
from reskeras.data.registry import Data
from reskeras.data.source import Source
from reskeras.errors import ReskerasError, first_line, unknown
from reskeras.experiments.measures import MEASURES, check_measurable, figures_of
from reskeras.experiments.page import write_suite_page
from reskeras.experiments.paper_differences import differences
from reskeras.experiments.reasons import Reasons
from reskeras.experiments.records import RunRecord
from reskeras.experiments.results import RowResult, SuiteResult
from reskeras.experiments.results_folder import save_result
from reskeras.experiments.suite import TURNS, RowSpec, Scale, SuiteSpec, read_scale, read_suite, suite_names, task_of
from reskeras.experiments.suite_rows import Row, TrainedRow, label_of, rows_of
from reskeras.files import Unwritable, local_path
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.runs import HOME, MODEL_FILE, RunFolder
from reskeras.tasks.run import Run
from reskeras.tasks.task import find_task
from reskeras.training.fit import FitOptions
from reskeras.training.guards import SIGNALS
from reskeras.training.strategy import Replicas, open_replicas

PLACE = HOME / "reproduce"
Runner = Callable[[Row, int], "Run | None"]
Training = tuple[Row, int]  # a row and a seed


@preserved()
def reproduce(
    suite: str | Path,
    scale: str = "short",
    *,
    rows: Sequence[str] = (),
    seeds: int | None = None,
    out: str | Path | None = None,
    data: Data | None = None,
    data_dir: str | Path | None = None,
    devices: int = 1,
    tell: Callable[[str], None] = lambda note: None,
) -> SuiteResult:
    """Run the rows of a suite (a name or a YAML file) at a scale, with seeds 0 to `seeds` - 1: by default one, at the
    scale `budget` as many as each row says.

    Runs are kept in `out`/runs under a hash of what decides them, so that suites share them; a finished run is not
    trained again, an unfinished one is resumed. A failed row does not stop the others (see `SuiteResult.failed`); a
    signal or an unwritable disk does. The result is written to `out`/SUITE/SCALE after every run. `data` replaces that
    of the scale: a name, or what `reskeras.source` takes. With several `devices` each batch is divided among as many
    GPUs, or logical CPUs where there is none. Raises ReskerasError (status 2) for a wrong request.
    """
    replicas = opened_replicas(prepared(suite, scale, rows, seeds).rows, devices)
    task = find_task(task_of(read_suite(suite)))
    given = None if data is None or isinstance(data, str) else task.open_source(data, data_dir)
    ready = prepared(suite, scale, rows, seeds, identified_name(given) if given else data)
    place = local_path(out or PLACE, "out")
    return measured(ready, trainer(place, given, data_dir, replicas, tell), place, tell)


@preserved()
def reproduce_all(
    scale: str = "budget",
    *,
    only: Sequence[str] = TURNS,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    devices: int = 1,
    tell: Callable[[str], None] = lambda note: None,
) -> list[SuiteResult]:
    """Run every suite that trains, as `reproduce` does: at the scale `budget` all rows of the first turn of `only`
    before those of the next.

    Raises ReskerasError (status 2) for a wrong request.
    """
    suites = all_prepared(scale, only)
    replicas = opened_replicas([row for ready in suites for row in ready.rows], devices)
    place = local_path(out or PLACE, "out")
    runner = trainer(place, None, data_dir, replicas, tell)
    results: dict[str, SuiteResult] = {}
    for last in range(1, len(TURNS) + 1) if scale == "budget" else [len(TURNS)]:
        for ready in (each.of_turns(TURNS[:last]) for each in suites):
            if ready.rows:
                tell(f"{ready.name}: {len(ready.rows)} rows")
                results[ready.name] = measured(ready, runner, place, tell)
    return list(results.values())


@dataclass(frozen=True)
class Prepared:
    """A validated request: a suite, its name, a scale, the rows to run, and how many seeds were asked for."""

    name: str
    suite: SuiteSpec
    scale: Scale
    rows: list[Row]
    seeds: int | None = None

    @property
    def trainings(self) -> list[Training]:
        """Every row and seed, the first seed of all rows before the second."""
        counts = {row.name: row.seeds(self.seeds, self.scale) if self.suite.protocol else 1 for row in self.rows}
        most = max(counts.values(), default=0)
        return [(row, seed) for seed in range(most) for row in self.rows if seed < counts[row.name]]

    def of_turns(self, turns: Sequence[str]) -> Prepared:
        """At the scale `budget` the rows of these turns alone; at others rows have no turns."""
        if self.scale != "budget":
            return self
        return replace(self, rows=[row for row in self.rows if row.asked.budget and row.asked.budget.turn in turns])


def prepared(
    suite: str | Path, scale: str, rows: Sequence[str] = (), seeds: int | None = None, data: str | None = None
) -> Prepared:
    """The suite and its rows, validated; ReskerasError (status 2) for a wrong request."""
    known = read_scale(scale)
    if seeds is not None and seeds < 1:
        raise ReskerasError(f"seeds: {seeds}: should be at least 1")
    spec = read_suite(suite)
    check_measurable(spec.measures)
    return Prepared(Path(str(suite)).stem, spec, known, rows_of(spec, known, rows, data), seeds)


def all_prepared(scale: str, only: Sequence[str] = TURNS) -> list[Prepared]:
    """Every built-in suite that trains and has rows at this scale, with those rows whose turn is among `only`."""
    known = read_scale(scale)
    for turn in only:
        if turn not in TURNS:
            raise unknown("only", turn, TURNS)
    if known != "budget" and set(only) != set(TURNS):
        raise ReskerasError(f"only: rows have turns only at the scale budget, not at {scale}")
    suites = {name: read_suite(name) for name in suite_names()}
    ready = [
        Prepared(name, suite, known, rows_of(suite, known)).of_turns(only)
        for name, suite in suites.items()
        if suite.protocol and any(row.runs_at(known) for row in suite.rows)
    ]
    return [each for each in ready if each.rows]


def trainer(
    place: Path, given: Source | None, data_dir: str | Path | None, replicas: Replicas, tell: Callable[[str], None]
) -> Runner:
    """What trains a row with a seed below `place`, unless that is done, and returns the run; None for a row that is
    only counted."""

    def trained(row: TrainedRow, seed: int, told: bool) -> Run:
        path, task = place_of(row, seed, place), find_task(row.task)
        if not is_finished(path):
            if not told:
                tell(f"{row.name}, seed {seed}")
            source, recipe, start = given or task.open_source(row.data, data_dir), row.recipe, None
            if row.start:
                begun: Run = Run(place_of(row.start, seed, place))
                recipe, start = task.beginning_recipe(recipe, row.spec, begun, source), task.start(begun)
            taught = {"teacher": str(place_of(row.teacher, seed, place))} if row.teacher else {}
            job = task.job(row.spec, read_recipe(recipe, seed=seed, keep=1, **taught), source, data_dir)
            job.run(path, replicas, FitOptions(True, tell, [], start=start))
        done = task.run_type()(path)
        done.given = given
        return done

    def run(row: Row, seed: int) -> Run | None:
        tell(f"{row.name}" + (f", seed {seed}" if isinstance(row, TrainedRow) else ""))
        if not isinstance(row, TrainedRow):
            return None
        runs = [(each, trained(each, its, each is row and its == seed)) for each, its in row.needed(seed)]
        done, *others = (run for each, run in runs if each is row)
        parts = {"others": others}
        for role, other in row.beside.items():
            parts[role] = [run for each, run in runs if each is other]
        done.beside = parts
        return done

    return run


def measured(ready: Prepared, run: Runner, place: Path, tell: Callable[[str], None]) -> SuiteResult:
    """The result of a suite's rows, each run and measured, beside those that are only published; written below
    `place`."""
    run_here = {row.name for row in ready.rows}
    rows = [
        RowResult(row.row, _published(row), [] if row.network else [row.why])
        for row in ready.suite.rows
        if row.row in run_here or row.network is None
    ]
    result = SuiteResult(ready.name, ready.suite, ready.scale, rows)
    measure_rows(result, ready.trainings, run, place / ready.name / ready.scale, tell)
    return result


def measure_rows(
    result: SuiteResult, trainings: Iterable[Training], run: Runner, folder: Path, tell: Callable[[str], None]
) -> None:
    """Fill `result` with the figures of the `run` of each row and seed of `trainings`, and write it to `folder` after
    each.

    A failed row does not stop the others, a signal or an unwritable disk does: ReskerasError.
    """
    import keras  # after reskeras.api, which brings TensorFlow in quietly
    import tensorflow as tf

    rows, reasons = {row.row: row for row in result.rows}, Reasons()
    inside = not result.scale or any(MEASURES[name].inside for name in result.suite.measures)
    for row, seed in trainings:
        found = rows[row.name]
        if found.error:
            continue
        try:
            check_measurable(result.suite.measures)  # of all suites those that can be measured are run
            done = run(row, seed)
            measures = figures_of(row, done, result.suite.measures)
            found.figures[seed], found.right[seed] = measures.figures, measures.right
            if done:
                found.runs[seed], found.records[seed] = str(done.path), RunRecord.of(done, inside)
            made = done.folder.provenance() if done else None
            found.differences = differences(result.suite, row, made, len(found.figures))
        except (ReskerasError, tf.errors.OpError, MemoryError) as error:
            if isinstance(error, ReskerasError) and error.status in SIGNALS.values():
                again = "the same command" if result.scale else "the same command with --resume"
                raise ReskerasError(
                    f"{result.name}: stopped on request in {row.name}; {again} continues", error.status
                ) from error
            if isinstance(error, Unwritable):  # the next row would fail too
                raise
            found.error = first_line(error)
            tell(f"{row.name} failed: {reasons.words(row.name, found.error)}")
        save_result(result, folder)
        keras.backend.clear_session()
    write_suite_page(result, folder)


def opened_replicas(rows: Sequence[Row], devices: int) -> Replicas:
    """What trains `rows`: call before TensorFlow computes anything. ReskerasError (status 2) for a batch that cannot be
    divided among `devices`."""
    replicas = open_replicas("one" if devices == 1 else "mirrored", devices)
    for row in rows:
        if isinstance(row, TrainedRow):
            replicas.check(row.recipe)
    return replicas


def _published(row: RowSpec) -> dict[str, Any]:
    return {str(measure): figure for measure, figure in row.published.items()}


def place_of(row: Row, seed: int, place: Path) -> Path:
    """The folder of a run below `place`."""
    return place / "runs" / label_of(row) / f"seed-{seed}"


def is_finished(path: Path) -> bool:
    """Whether the run in a folder was trained to its end."""
    return (path / MODEL_FILE).is_file() and "trained_sha256" in RunFolder(path).provenance()
