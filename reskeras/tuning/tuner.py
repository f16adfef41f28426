"""The tuner: runs the trials that an oracle proposes, each a training job with run folders of its own."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from math import isfinite
from pathlib import Path
from statistics import mean
from typing import Any

import grpc
import keras
import keras_tuner
from keras_tuner.engine import base_tuner
from keras_tuner.engine import trial as trials

from reskeras.errors import ReskerasError
from reskeras.files import Unwritable, copy_folder, remove
from reskeras.runs import RunFolder
from reskeras.training.fit import FitOptions
from reskeras.training.guards import SIGNALS
from reskeras.tuning.hypermodel import HyperModel, costs
from reskeras.tuning.latency import latency_ms
from reskeras.tuning.objective import Objective
from reskeras.tuning.oracles import SteadyOracle
from reskeras.tuning.outcome import COMPLETED, FAILED, ROUND, Outcome, outcome_of, read_outcome
from reskeras.tuning.trial_boards import write_board

LOGS = "logs"
IDLE_SECONDS = 0.5
SIGN_OF_LIFE = 5.0  # seconds between heartbeats
LONGEST_REASON = 500

Ended = Callable[[Outcome], None]


class JobTuner(base_tuner.BaseTuner):
    """Runs trials through the same `fit` as `reskeras train`, which reproduces a trial's curve.

    An interrupted trial resumes from the state in its run folder; a later Hyperband round resumes from the run folder
    of the round before, for which `keep_states` keeps checkpoints. `ended` gets each outcome.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        model: HyperModel,
        objective: Objective,
        folder: Path,
        executions: int = 1,
        keep_states: bool = False,
        ended: Ended = lambda outcome: None,
    ):
        self.model, self.goal, self.executions = model, objective, executions
        self.keep_states, self.ended = keep_states, ended
        super().__init__(oracle, directory=str(folder.parent), project_name=folder.name)

    def search(self) -> None:
        """Run trials until the oracle has no more."""
        while True:
            trial = self.oracle.create_trial(self.tuner_id)
            if trial.status == trials.TrialStatus.STOPPED:
                return
            if trial.status == trials.TrialStatus.IDLE:
                time.sleep(IDLE_SECONDS)  # other tuners' trials decide what comes next
                continue
            with self._alive(trial):
                self._run(trial)
            self.oracle.end_trial(trial)

    @contextmanager
    def _alive(self, trial: trials.Trial) -> Iterator[None]:
        """Send the oracle a heartbeat every few seconds while the block runs."""
        over = threading.Event()

        def tell() -> None:
            with suppress(grpc.RpcError):  # a lost chief is reported when the trial ends
                while not over.wait(SIGN_OF_LIFE):
                    self.oracle.update_trial(trial.trial_id, {})

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _run(self, trial: trials.Trial) -> None:
        """Run a trial, unless it ended before and its process was killed before the oracle knew."""
        folder = self._folder(trial.trial_id)
        done = read_outcome(folder) or self._outcome(trial)
        if done.status == COMPLETED:
            self.oracle.update_trial(trial.trial_id, {self.goal.name: done.score})
            trial.status = trials.TrialStatus.COMPLETED
        else:
            trial.status, trial.message = trials.TrialStatus.FAILED, done.reason
        done.save(folder)
        self._write_board(folder, done)
        self.ended(done)
        keras.backend.clear_session()
        gc.collect()

    def _outcome(self, trial: trials.Trial) -> Outcome:
        values = trial.hyperparameters.values
        outcome = partial(outcome_of, trial.trial_id, values, self.model.space)
        try:
            figures = self.run_trial(trial)
            if not isfinite(score := figures[self.goal.name]):
                return outcome(FAILED, reason=f"{self.goal.name} is {score}, which is not a finite number")
            return outcome(COMPLETED, score, figures)
        except ReskerasError as error:
            if error.status in SIGNALS.values():
                raise ReskerasError(
                    f"tune: stopped on request in trial {trial.trial_id}; the same command resumes", error.status
                ) from error
            if isinstance(error, Unwritable):  # not the trial's fault, and the next would fail too
                self.stuck()
                raise Unwritable(
                    f"tune: stopped in trial {trial.trial_id}, which stays open: {error}; the same command resumes",
                    error.status,
                ) from error
            return outcome(FAILED, reason=str(error))
        except Exception as error:  # noqa: BLE001 - the search goes on, and says so
            return outcome(FAILED, reason=f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST_REASON])

    def run_trial(self, trial: trials.Trial) -> dict[str, float]:
        """The figures of a trial: means over its executions."""
        values = trial.hyperparameters.values
        candidate = self.model.candidates.of(values)
        figures = costs(candidate)
        limits = self.model.candidates.limits
        if limits.latency_ms is not None or self.goal.needs("latency_ms"):
            figures["latency_ms"] = latency_ms(self.model.job(candidate).plan)
            limits.check_latency(figures["latency_ms"])
        rows = []
        for execution in range(self.executions):
            folder = self._folder(trial.trial_id) / f"execution-{execution}"
            self._go_on_from(values, execution, folder)
            beside = FitOptions(resume=True, show=False, until=values.get(f"{ROUND}epochs"))
            self.model.job(candidate, execution).run(folder, options=beside)
            run = RunFolder(folder)
            best = self.goal.best_epoch(run.metrics())
            rows.append({**best, "seconds": sum(row["seconds"] for row in run.metrics())})
        figures |= {name: mean(row[name] for row in rows) for name in rows[0]}
        figures[self.goal.name] = self.goal.value(figures, self.model.base_costs())
        return figures

    def _write_board(self, folder: Path, done: Outcome) -> None:
        curves = [RunFolder(path).metrics() for path in sorted(folder.glob("execution-*"))]
        write_board(folder.parent.parent / LOGS / done.trial, done, curves)
        if self.keep_states:
            return
        for path in folder.glob("execution-*"):  # a finished trial is not resumed
            remove(RunFolder(path).checkpoint_folder)

    def _go_on_from(self, values: Mapping[str, Any], execution: int, folder: Path) -> None:
        """Copy the run of the previous Hyperband round, if there is one."""
        before = values.get(f"{ROUND}trial_id")
        if before is None or folder.exists():
            return
        copy_folder(self._folder(before) / f"execution-{execution}", folder)

    def _folder(self, trial_id: str) -> Path:
        return Path(self.get_trial_dir(trial_id))

    def stuck(self) -> None:
        """Do not count this start of the trial; for a worker the chief does that, by its exit status."""
        if isinstance(self.oracle, SteadyOracle):
            self.oracle.forgive(self.tuner_id)

    def save(self) -> None:
        """Does nothing: the oracle saves all state."""
