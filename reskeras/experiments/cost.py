"""What the trainings of suites cost, and how long those that are left will take on this machine."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reskeras.data.source import Source
from reskeras.diagnosis.speed import training_rate
from reskeras.errors import ReskerasError, first_line
from reskeras.experiments.reasons import Reasons
from reskeras.experiments.reproduce import PLACE, Prepared, is_finished, place_of
from reskeras.experiments.suite_rows import TrainedRow, label_of
from reskeras.files import local_path, write_json
from reskeras.machine import used_seconds
from reskeras.run_provenance import provenance
from reskeras.runs import RunFolder
from reskeras.stored import read_json
from reskeras.tasks.task import find_task
from reskeras.training.job import Job
from reskeras.training.strategy import Replicas

BUSY = 0.5  # cores of other work beside which a measured step says nothing
BACKWARD = 3  # a training step counts as three forward passes
SPEEDS_FILE = "speeds.json"


@dataclass(frozen=True)
class TrainingCost:
    """The cost of one training: multiply-adds in all, the share that is still to be done, and the seconds of that if
    they are known."""

    suite: str
    row: str
    seed: int
    multiply_adds: float
    left: float
    seconds: float | None

    @property
    def is_done(self) -> bool:
        """Whether nothing is left of it."""
        return self.left == 0


@dataclass(frozen=True)
class Cost:
    """The cost of different trainings, in the order in which they run."""

    trainings: Sequence[TrainingCost]

    @property
    def left(self) -> int:
        """How many trainings are not finished."""
        return sum(not each.is_done for each in self.trainings)

    @property
    def multiply_adds(self) -> float:
        """Those of all trainings."""
        return sum(each.multiply_adds for each in self.trainings)

    @property
    def seconds(self) -> float | None:
        """Seconds of what is left; None unless they are known of every training."""
        known = [each.seconds for each in self.trainings]
        return None if None in known else sum(each for each in known if each is not None)


def cost(
    suites: Iterable[Prepared],
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    replicas: Replicas | None = None,
    tell: Callable[[str], None] = lambda note: None,
) -> Cost:
    """The cost of the trainings of `suites`, those that they share counted once.

    Seconds are those of a row's finished epochs in `out`, or else of a step measured now over `replicas`, which is kept
    in `out` for the next time; without replicas nothing is measured, and they may be unknown. `tell` gets each row
    before it is measured.
    """
    place = local_path(out or PLACE, "out")
    sources: dict[str, Source] = {}
    found: dict[Path, TrainingCost] = {}
    speeds = _Speeds(place, replicas, tell)
    for ready in suites:
        trainings = [(row, seed) for row, seed in ready.trainings if isinstance(row, TrainedRow)]
        for row, seed in [needed for asked, first in trainings for needed in asked.needed(first)]:
            if (path := place_of(row, seed, place)) in found:
                continue
            if row.data not in sources:
                sources[row.data] = find_task(row.task).open_source(row.data, data_dir)
            work = _Work.of(row, sources[row.data], data_dir)
            left = 0.0 if is_finished(path) else max(1 - len(_seconds(path)) / work.epochs, 0.0)
            each = speeds.epoch_seconds(work, row) if left else 0.0
            seconds = None if each is None else each * work.epochs * left
            found[path] = TrainingCost(ready.name, row.name, seed, work.multiply_adds, left, seconds)
    return Cost(tuple(found.values()))


@dataclass(frozen=True)
class _Work:
    """A training: its job, its multiply-adds per image, its epochs, and the images of one, of which a validated one
    costs a third of a trained."""

    job: Job
    per_image: int
    epochs: float
    images: float

    @classmethod
    def of(cls, row: TrainedRow, source: Source, data_dir: str | Path | None) -> _Work:
        count, task = source.training_images("reproduce").count, find_task(row.task)
        job = task.job(row.spec, row.recipe, source, data_dir)
        per_image = task.plan(job.fitted).complexity().multiply_adds
        return cls(job, per_image * job.looks, row.epochs(count), count + source.test.count / BACKWARD)

    @property
    def of_epoch(self) -> float:
        return BACKWARD * self.images * self.per_image

    @property
    def multiply_adds(self) -> float:
        return self.of_epoch * self.epochs


@dataclass
class _Speeds:
    """How long epochs take in `place`. What is measured beside other work is not kept there, but measured once here."""

    place: Path
    replicas: Replicas | None
    tell: Callable[[str], None]
    reasons: Reasons = field(default_factory=Reasons)
    uncertain: dict[str, float | None] = field(default_factory=dict)  # measured here and not kept; None: failed

    def epoch_seconds(self, work: _Work, row: TrainedRow) -> float | None:
        """Seconds of an epoch: the median of the row's finished ones, or by the speed of a step; of what learns from
        another run as much longer than its as it has more multiply-adds."""
        runs = (self.place / "runs" / label_of(row)).glob("seed-*")
        if known := [each for run in runs for each in _seconds(run)]:
            return statistics.median(known)
        if row.teacher:  # which has to be trained before a step can be measured
            other = _Work.of(row.teacher, work.job.source, work.job.data_dir)
            known_of_other = self.epoch_seconds(other, row.teacher)
            return known_of_other and known_of_other * work.of_epoch / other.of_epoch
        rate = self._rate(work, row)
        return work.images / rate if rate else None

    def _rate(self, work: _Work, row: TrainedRow) -> float | None:
        """Images per second of a step of `row`, which is measured once; None if that fails, or without replicas."""
        machine, devices = provenance()["machine"], self.replicas.count if self.replicas else 1
        key = f"{label_of(row)} on {machine['cpus']} of {machine['processor']}, {devices} devices"
        path = self.place / SPEEDS_FILE
        kept = read_json(path, "reproduce", dict[str, float]) if path.is_file() else {}
        if key in kept:
            return kept[key]
        if self.replicas is None:
            return None
        if key not in self.uncertain:
            beside = _Beside()
            self.uncertain[key] = rate = self._measured(work, row, self.replicas)
            if rate is not None and (cores := beside.cores) < BUSY:
                write_json(path, {**kept, key: rate})
            elif rate is not None:  # it is measured again the next time
                self.tell(
                    f"other work used {cores:.1f} cores meanwhile, so the time measured for {row.name} is too long"
                )
        return self.uncertain[key]

    def _measured(self, work: _Work, row: TrainedRow, replicas: Replicas) -> float | None:
        import keras  # after reskeras.diagnosis, which brings TensorFlow in quietly
        import tensorflow as tf

        self.tell(f"measuring a step of {row.name}")
        try:
            rate = training_rate(work.job, replicas)
        except (ReskerasError, tf.errors.OpError) as error:
            self.tell(f"a step of {row.name} failed: {self.reasons.words(row.name, first_line(error))}")
            return None
        keras.backend.clear_session()
        return rate


class _Beside:
    """What else the machine has done since this was made."""

    def __init__(self) -> None:
        self.began = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        own = os.times()
        return time.monotonic(), used_seconds() - sum(own[:4])

    @property
    def cores(self) -> float:
        """Cores that other processes used, on average."""
        elapsed, used = (now - before for now, before in zip(self._now(), self.began, strict=True))
        return max(used / elapsed, 0.0)


def _seconds(run: Path) -> list[float]:
    """Seconds of the finished epochs of a run."""
    return [each["seconds"] for each in RunFolder(run).metrics()] if run.is_dir() else []
