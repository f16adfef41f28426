"""KerasTuner's four oracles, made to propose only valid candidates and to recover from crashes and kills.

They rely on private methods of KerasTuner 1.4 (setup.py bounds the version), as `run` and `workers` do.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine import trial as trials
from keras_tuner.oracles import BayesianOptimizationOracle, GridSearchOracle, HyperbandOracle, RandomSearchOracle
from keras_tuner.src.engine.oracle import LOCKS, THREADS
from sklearn.exceptions import ConvergenceWarning

from reskeras.errors import ReskerasError, failure
from reskeras.files import Unwritable, write_json
from reskeras.tuning.candidates import Candidates
from reskeras.tuning.outcome import FAILED as FAILED_OUTCOME
from reskeras.tuning.outcome import outcome_of

TRIES = 1000  # consecutive refused candidates before the space counts as exhausted
PROPOSALS = 10  # refused proposals of a surrogate model before a candidate is sampled at random
MOST_BEGUN = 3  # starts of a trial; one that kills its process would otherwise do so for ever
RUNNING, IDLE, STOPPED = trials.TrialStatus.RUNNING, trials.TrialStatus.IDLE, trials.TrialStatus.STOPPED
COMPLETED, FAILED = trials.TrialStatus.COMPLETED, trials.TrialStatus.FAILED


def synchronized(method: Callable[..., Any]) -> Callable[..., Any]:
    """`keras_tuner.synchronized` that releases its lock when the method raises; KerasTuner's own keeps it, and every
    later call, from any thread, would block for ever."""
    locked = keras_tuner.synchronized(method)

    @wraps(method)
    def released(self: SteadyOracle, *arguments: Any, **options: Any) -> Any:
        own = threading.current_thread().name
        outermost = THREADS[self] != own
        try:
            return locked(self, *arguments, **options)
        except BaseException:
            if outermost and THREADS[self] == own:
                THREADS[self] = None
                LOCKS[self].release()
            raise

    return released


class SteadyOracle(keras_tuner.Oracle):
    """Base of all four.

    Random values are resampled until the candidate is valid; a refused one is neither a trial nor an error, and is not
    proposed again. Files are written atomically. A trial whose process died is started again, up to MOST_BEGUN starts
    in all. `trouble` is an error met while answering a worker, which ends the search.
    """

    def __init__(self, candidates: Candidates, **options: Any):
        # a failed trial is reported, and does not end the search
        super().__init__(max_consecutive_failed_trials=10**9, allow_new_entries=False, **options)
        self.candidates = candidates
        self.begun: dict[str, int] = {}
        self.seen: dict[str, float] = {}
        self.trouble: ReskerasError | None = None
        self.verbose = 0

    def _random_values(self) -> dict[str, Any] | None:
        for _ in range(TRIES):
            values = super()._random_values()
            if values is None or self.candidates.fits(values):
                return values
            self.refuse(values)
        return None

    def refuse(self, values: Mapping[str, Any]) -> None:
        """Never propose `values` again."""
        self._tried_so_far.add(self._compute_values_hash(values))

    @synchronized
    def create_trial(self, tuner_id: str) -> trials.Trial:
        """The next trial for a tuner; a trial that it was given and did not end is given again."""
        self.seen[tuner_id] = time.monotonic()
        while True:
            trial = super().create_trial(tuner_id)
            if trial.status == STOPPED and self.ongoing_trials:  # one of them may return to the queue
                self.tuner_ids.add(tuner_id)
                trial.status = IDLE
            if trial.status != RUNNING:
                return trial
            self.begun[trial.trial_id] = self.begun.get(trial.trial_id, 0) + 1
            if self.begun[trial.trial_id] <= MOST_BEGUN:
                self.save()
                return trial
            trial.status, trial.message = FAILED, f"its process died {MOST_BEGUN} times"
            values = trial.hyperparameters.values
            outcome_of(trial.trial_id, values, self.candidates.space, FAILED_OUTCOME, reason=trial.message).save(
                Path(self._get_trial_dir(trial.trial_id))
            )
            self.end_trial(trial)

    @synchronized
    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> trials.Trial:
        """Report metrics of a trial; without any it is a heartbeat."""
        for tuner_id, trial in self.ongoing_trials.items():
            if trial.trial_id == trial_id:
                self.seen[tuner_id] = time.monotonic()
        return super().update_trial(trial_id, metrics, step) if metrics else self.trials[trial_id]

    @synchronized
    def end_trial(self, trial: trials.Trial) -> None:
        """End a trial; a second report, from a worker that had been given up, is ignored."""
        known = self.trials[trial.trial_id]
        if known.status != RUNNING and trial is not known:
            return
        if trial.trial_id in self._retry_queue:
            self._retry_queue.remove(trial.trial_id)
        super().end_trial(trial)

    @synchronized
    def release(self, tuner_id: str) -> str | None:
        """Give up a tuner and requeue its trial; the trial's number, or None when it had none."""
        trial = self.ongoing_trials.pop(tuner_id, None)
        self.tuner_ids.discard(tuner_id)
        self.seen.pop(tuner_id, None)
        if trial is None:
            return None
        self._retry_queue.append(trial.trial_id)
        self.save()
        return trial.trial_id

    @synchronized
    def forgive(self, tuner_id: str) -> None:
        """Do not count the last start of a tuner's trial, because the trial did not cause its end."""
        if trial := self.ongoing_trials.get(tuner_id):
            self.begun[trial.trial_id] = max(self.begun.get(trial.trial_id, 0) - 1, 0)
            with suppress(Unwritable):
                self.save()

    @synchronized
    def silent(self, seconds: float) -> list[str]:
        """Tuners that have a trial and sent no heartbeat for `seconds`."""
        now = time.monotonic()
        return [tuner for tuner in self.ongoing_trials if now - self.seen.get(tuner, now) > seconds]

    @property
    def over(self) -> bool:
        """Whether trials were started, none is running, and every tuner has been told to stop."""
        return bool(self.start_order) and not self.ongoing_trials and not self.tuner_ids and not self._retry_queue

    @property
    def unfinished(self) -> list[str]:
        """Numbers of the trials that were started and have not ended."""
        return sorted(set(self.start_order) - set(self.end_order))

    def get_state(self) -> dict[str, Any]:
        """The state that `oracle.json` keeps."""
        return {**super().get_state(), "begun": self.begun}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore such a state."""
        super().set_state(state)
        self.begun = state["begun"]

    def save(self) -> None:
        """Replace `oracle.json`, atomically."""
        write_json(self._get_oracle_fname(), self.get_state(), indent=None, durable=True)

    def _save_trial(self, trial: trials.Trial) -> None:
        path = Path(self._get_trial_dir(trial.trial_id)) / "trial.json"
        write_json(path, trial.get_state(), indent=None, durable=True)

    def reload(self) -> None:
        """Restore the state from the folder, also where the search was killed between two files."""
        try:
            super().reload()
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OSError) as error:
            raise failure(f"tune: {self._project_dir} is broken: {error}") from error
        for trial_id in self.trials.keys() - set(self.start_order):  # killed before it was in oracle.json
            del self.trials[trial_id]
        ended = {trial_id for trial_id, trial in self.trials.items() if trial.status in (COMPLETED, FAILED)}
        self.end_order += sorted(ended - set(self.end_order))  # killed between the trial's end and oracle.json
        self._retry_queue = sorted(self.trials.keys() - ended, reverse=True)  # a stack


class RandomOracle(SteadyOracle, RandomSearchOracle):
    """Random search."""


class GridOracle(SteadyOracle, GridSearchOracle):
    """Grid search, the defaults first. KerasTuner's own loses its position when reloaded."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The next valid combination."""
        answer = super().populate_space(trial_id)
        values = answer.get("values")
        if answer["status"] == RUNNING and not self.start_order and not self.candidates.fits(values):
            values = self._get_next_combination(values)
            answer = {"status": RUNNING if values else STOPPED, "values": values}
        return answer

    def _get_next_combination(self, values: dict[str, Any]) -> dict[str, Any] | None:
        values = super()._get_next_combination(values)
        while values is not None and not self.candidates.fits(values):
            values = super()._get_next_combination(values)
        return values

    def get_state(self) -> dict[str, Any]:
        """The state with the order of the combinations."""
        ordered, index = [], 0 if self._ordered_ids._memory else None
        while index is not None:
            ordered.append(self._ordered_ids._memory[index])
            index = self._ordered_ids._next_index[index]
        return {**super().get_state(), "ordered": ordered}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore the state; every started trial may have a next combination that was not proposed."""
        super().set_state(state)
        for trial_id in state["ordered"]:
            self._ordered_ids.insert(trial_id)
        self._populate_next = [trial_id for trial_id in state["ordered"] if trial_id in self.start_order]


class BayesianOracle(SteadyOracle, BayesianOptimizationOracle):
    """Bayesian optimisation; after too many invalid or repeated proposals of its model, a random candidate."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Best untried valid proposal."""
        for _ in range(PROPOSALS):
            with warnings.catch_warnings():  # harmless: few trials leave the model's length scale undetermined
                warnings.simplefilter("ignore", ConvergenceWarning)
                answer = super().populate_space(trial_id)
            values = answer.get("values")
            if values is None or (not self._duplicate(values) and self.candidates.fits(values)):
                return answer
            self.refuse(values)
        return self._random_populate_space()


class HalvingOracle(SteadyOracle, HyperbandOracle):
    """Hyperband: many short trainings, of which the best are continued."""
