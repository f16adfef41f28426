"""Runs a search: in one process, as chief of workers on this machine, or as chief or worker on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras_tuner

from reskeras.data.fingerprint import fingerprint
from reskeras.errors import ReskerasError, failure, unknown
from reskeras.files import make_folder, only_writer
from reskeras.launch.places import HOST
from reskeras.printable import counted
from reskeras.tuning.hypermodel import HyperModel
from reskeras.tuning.hyperparameters import declare
from reskeras.tuning.objective import Objective
from reskeras.tuning.oracles import BayesianOracle, GridOracle, HalvingOracle, RandomOracle, SteadyOracle
from reskeras.tuning.outcome import Outcome
from reskeras.tuning.search import TRIALS_FOLDER, Search, SearchRequest
from reskeras.tuning.seeds import SCHEME, oracle_seed
from reskeras.tuning.tuner import JobTuner
from reskeras.tuning.workers import (
    CHIEF,
    IP,
    PORT,
    Crew,
    LocalCrew,
    asking_chief,
    role,
    serving,
    unused_gpus,
    wait_for_workers,
)

ORACLES = {"random": RandomOracle, "grid": GridOracle, "bayesian": BayesianOracle, "hyperband": HalvingOracle}
TRIALS = 10
FACTOR = 3  # Hyperband's


@dataclass(frozen=True)
class SearchOptions:
    """How to search: the tuner, the objective, the budget and the workers.

    `trials` None is the tuner's default: ten, a whole grid, or what Hyperband's brackets need.
    """

    tuner: str = "bayesian"
    objective: Objective = field(default_factory=lambda: Objective(()))
    trials: int | None = None
    executions: int = 1
    seed: int = 0
    crew: Crew = field(default_factory=Crew)
    port: int = 0

    def __post_init__(self) -> None:
        """Refuse invalid options."""
        if self.tuner not in ORACLES:
            raise unknown("tuner", self.tuner, ORACLES)
        if self.tuner == "hyperband" and self.trials is not None:
            raise ReskerasError("trials: hyperband derives the number of trials from --epochs; leave it out")
        for name, value in (("trials", self.trials), ("executions", self.executions), ("workers", self.crew.count)):
            if value is not None and value < 1:
                raise ReskerasError(f"{name}: {value}: should be at least 1")


def search_for(
    how: SearchOptions,
    model: HyperModel,
    place: Path,
    command: Sequence[str] | None = None,
    tell: Callable[[str], None] = lambda line: None,
    ended: Callable[[Outcome], None] = lambda outcome: None,
) -> Search:
    """Search for the best of `model`'s candidates in folder `place`, resuming a search that was begun there.

    `command` starts this search in another process, for workers. `tell` gets progress notes, `ended` each outcome.
    Raises ReskerasError: status 2 for a wrong request, 1 when no trial could be completed, 143 or 130 when a signal
    stopped it.
    """
    if how.crew.count > 1 and command is None:
        raise ReskerasError("workers: more than one needs a command to start them with; use the command line")
    mine = role()
    if mine in (None, CHIEF):
        make_folder(place)
    with only_writer(place, "tune") if mine in (None, CHIEF) else nullcontext():
        return _search_for(how, model, place, command, mine, tell, ended)


def _search_for(
    how: SearchOptions,
    model: HyperModel,
    place: Path,
    command: Sequence[str] | None,
    mine: str | None,
    tell: Callable[[str], None],
    ended: Callable[[Outcome], None],
) -> Search:
    search, asked = Search(place), _asked(how, model)
    if mine in (None, CHIEF):
        search.keep(asked)
        asked = search.asked()  # a resumed search keeps its seed scheme
        reports = _Reports(search, model, ended)
    oracle = _oracle(how, model, asked.seed_scheme)
    folder = place / TRIALS_FOLDER
    oracle._set_project_dir(str(place), TRIALS_FOLDER)
    if mine in (None, CHIEF) and (folder / "oracle.json").exists():
        oracle.reload()
        tell(f"tune: resuming after {counted(len(oracle.end_order), 'trial')}")
    tuner = partial(JobTuner, oracle, model, how.objective, folder, how.executions, how.tuner == "hyperband")
    if mine not in (None, CHIEF):
        with asking_chief(how.crew.patience):
            tuner().search()
        return search
    if mine is None and (unused := unused_gpus(how.crew.count)):
        tell(unused)
    if mine == CHIEF:
        with serving(oracle, os.environ[IP], int(os.environ[PORT])):
            wait_for_workers(oracle, how.crew.patience, tell, reports.look)
    elif how.crew.count > 1 and command is not None:
        with serving(oracle, HOST, how.port) as port:
            stopped = LocalCrew(how.crew, command, port, place, tell).watch(oracle, reports.look)
        reports.look()
        if stopped:
            raise ReskerasError("tune: stopped on request; the same command resumes", status=128 + stopped)
    else:
        tuner(lambda outcome: reports.look()).search()
    reports.look()
    _conclude(search, oracle, tell)
    return search


class _Reports:
    """Collects the outcomes of trials, wherever they ran, and writes the search's results so far."""

    def __init__(self, search: Search, model: HyperModel, ended: Callable[[Outcome], None]):
        self.search, self.model, self.ended = search, model, ended
        self.known: set[str] = set()

    def look(self) -> None:
        """Report new outcomes, including those of a resumed search's earlier trials."""
        fresh = [outcome for outcome in self.search.outcomes() if outcome.trial not in self.known]
        for outcome in fresh:
            self.known.add(outcome.trial)
            self.ended(outcome)
        if fresh:
            self.search.write_results(len(self.model.source.classes), self.model.source.channels)


def _conclude(search: Search, oracle: SteadyOracle, tell: Callable[[str], None]) -> None:
    outcomes = search.outcomes()
    if unfinished := oracle.unfinished:
        tell(
            f"tune: {counted(len(unfinished), 'trial')} started but not finished: {', '.join(unfinished)}; the same "
            "command resumes"
        )
    if said := oracle.candidates.refusals.describe():
        tell(f"tune: {said}")
    if not outcomes:
        raise failure("tune: no trial has finished")
    if not search.best_file.exists():
        raise failure(
            f"tune: every trial failed ({len(outcomes)}), such as trial {outcomes[0].trial}: {outcomes[0].reason}"
        )


def _oracle(how: SearchOptions, model: HyperModel, scheme: int = SCHEME) -> SteadyOracle:
    options: dict[str, Any] = {
        "objective": keras_tuner.Objective(how.objective.name, how.objective.direction),
        "hyperparameters": declare(model.space, keras_tuner.HyperParameters()),
        "seed": oracle_seed(how.seed, scheme),
    }
    if how.tuner == "hyperband":
        options |= {"max_epochs": model.candidates.recipe.epochs, "factor": FACTOR}
    else:
        options["max_trials"] = how.trials or (None if how.tuner == "grid" else TRIALS)
    if how.tuner == "bayesian":  # KerasTuner's default, three for each parameter, would make a short search all random
        options["num_initial_points"] = min(max(options["max_trials"] // 3, 3), 3 * len(model.space.parameters))
    return ORACLES[how.tuner](model.candidates, **options)


def _asked(how: SearchOptions, model: HyperModel) -> SearchRequest:
    candidates = model.candidates
    limits = {name: value for name, value in vars(candidates.limits).items() if value is not None}
    return SearchRequest(
        network=candidates.network.sparse(),
        recipe=candidates.recipe.sparse(),
        space=model.space.sparse(),
        data=model.source.name,
        tuner=how.tuner,
        objective=[str(term) for term in how.objective.terms],
        trials=how.trials,
        executions=how.executions,
        seed=how.seed,
        limits=limits,
        data_dir=str(model.data_dir) if model.data_dir else None,
        seed_scheme=SCHEME,
        images=fingerprint(model.source).facts,
    )
