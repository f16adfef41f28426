"""A HyperModel for any of KerasTuner's tuners, which builds and trains candidates exactly as `reskeras train` does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from reskeras.caller_state import preserved
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.registry import Data
from reskeras.errors import ReskerasError, unknown
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.any_spec import AnySpec
from reskeras.networks.built_on import BuiltOnNetwork
from reskeras.networks.network import NetworkSpec
from reskeras.networks.overrides import laid_over
from reskeras.recipes.recipe import Recipe, recipe
from reskeras.spaces.space import Space, space
from reskeras.tasks.task import find_task
from reskeras.training.fit import FitOptions, fit
from reskeras.training.job import Job
from reskeras.training.strategy import open_replicas
from reskeras.tuning.candidates import Candidate, Candidates
from reskeras.tuning.hyperparameters import declare
from reskeras.tuning.latency import latency_ms
from reskeras.tuning.limits import Limits, Refused, activation_bytes
from reskeras.tuning.objective import LEARNED, Objective, read_objective

HOLDOUT = 0.1  # of the training images, for recipes without a holdout: selecting by test images would overfit to them


class HyperModel(keras_tuner.HyperModel):
    """A space over a network, or what is built on one for a `task`, and a recipe, with data, for any KerasTuner tuner.

    >>> model = reskeras.HyperModel("depth-width", "cifar-resnet-20", "digits", epochs=3)
    >>> keras_tuner.RandomSearch(model, "val_accuracy", max_trials=5).search()

    The tuner's `search` takes no data: the model has its own. A candidate that exceeds `limits` or is contradictory
    raises KerasTuner's FailedTrialError before anything is built. The history that a tuner sees has the training's
    metrics and the costs `parameters`, `multiply_adds` and `activation_memory`.
    """

    def __init__(
        self,
        over: str | Path | Mapping[str, Any] | Space,
        spec: str | Path | AnySpec,
        data: Data = "digits",
        by: str | Path | Recipe = "quick",
        *,
        task: str = "classification",
        data_dir: str | Path | None = None,
        limits: Limits = Limits(),
        **recipe_fields: Any,
    ):
        super().__init__(name="reskeras")
        self.space, asked = space(over), find_task(task)
        base = of_one_family(asked.spec(spec))
        if isinstance(base, AnyNetwork):
            base.check_fresh()
        if limits.latency_ms is not None:
            check_timed(base, "max_latency_ms")
        self.source = asked.open_source(data, data_dir)
        self.data_dir = data_dir or self.source.data_dir
        self._measured: dict[Any, Preprocessing] = {}  # all candidates have the same images
        self.task = asked.on(self.source)
        chosen = held_out(recipe(by, **recipe_fields))
        self.candidates = Candidates(self.space, base, chosen, limits, self._fitted, self.task.plan)
        self.candidates.check()
        self._job(base, chosen).teacher_digest  # noqa: B018 - refuses a teacher that does not fit, once for all trials
        self._exploring = False

    def _fitted(self, spec: AnySpec, chosen: Recipe) -> AnySpec:
        return self._job(spec, chosen).fitted

    def _job(self, spec: AnySpec, chosen: Recipe) -> Job:
        return replace(self.task.job(spec, chosen, self.source, self.data_dir), measured=self._measured)

    def objective(self, texts: Sequence[str]) -> Objective:
        """The objective that `texts` say, by default the task's own figure. ReskerasError (status 2) for one that is
        unknown, or not measured in its trainings."""
        read = read_objective(texts, self.task.figure)
        own = self.task.figure.removeprefix("val_")
        named = [f"{images}{name}" for images in ("val_", "") for name in (own, "loss")]
        figures = [name for name in named if name in LEARNED]
        if read.needs("latency_ms"):
            check_timed(self.candidates.network, "objective: latency_ms")
        for term in read.terms:
            if term.name in LEARNED and term.name not in figures:
                raise unknown(f"objective of a {self.task.noun}", term.name, figures)
        return read

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declare every parameter of the space. A tuner calls this, then `build` once, to discover the parameters."""
        declare(self.space, hp)
        self._exploring = True

    def job(self, candidate: Candidate, seed: int = 0) -> Job:
        """The training job of a candidate; `seed` is added to the recipe's."""
        chosen = candidate.recipe
        if seed:
            chosen = recipe(chosen, seed=chosen.seed + seed)
        return self._job(candidate.spec, chosen)

    @preserved()
    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model | None:
        """The compiled model of the candidate; keras_tuner.errors.FailedTrialError when it is refused."""
        exploring, self._exploring = self._exploring, False
        if not self.space.parameters.keys() <= {each.name for each in hp.space}:
            declare(self.space, hp)  # only when unknown: else an exploring tuner would build once for each condition
        try:
            job = self.job(self.candidates.of(hp.values))
            if self.candidates.limits.latency_ms is not None and not exploring:
                self.candidates.limits.check_latency(latency_ms(job.plan))
        except Refused as refused:
            if exploring:  # these are the defaults, which no trial has proposed
                return None
            raise keras_tuner.errors.FailedTrialError(str(refused)) from refused
        subject = job.subject(job.preprocessing())
        steps = subject.feed(job.recipe, open_replicas("one")).steps_per_epoch
        return subject.compiled(job.recipe, job.recipe.steps(steps))

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        epochs: int | None = None,
        initial_epoch: int = 0,
        verbose: Any = None,
    ) -> keras.callbacks.History:
        """Train `model` by the candidate's recipe, up to `epochs` if the tuner sets it; the history by epoch."""
        candidate = self.candidates.of(hp.values)
        job, figures = self.job(candidate), costs(candidate)
        history = keras.callbacks.History()
        history.history = defaultdict(list)
        record = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: [
                history.history[name].append(float(value)) for name, value in {**logs, **figures}.items()
            ]
        )
        fit(
            job.subject(job.preprocessing()),
            job.recipe,
            None,
            open_replicas("one"),
            FitOptions(callbacks=[*callbacks, record], until=epochs, show=False, begin=initial_epoch),
            model,
        )
        history.history = dict(history.history)
        return history

    def base_costs(self) -> dict[str, float]:
        """The costs of the base network, before anything is varied."""
        base = self.candidates
        return costs(Candidate(base.network, base.recipe, base.base_cost()))


def costs(candidate: Candidate) -> dict[str, float]:
    """The costs of a candidate, as figures of a trial."""
    cost = candidate.cost
    return {
        "parameters": float(cost.parameters),
        "multiply_adds": float(cost.multiply_adds),
        "activation_memory": float(activation_bytes(cost, candidate.recipe)),
    }


def held_out(chosen: Recipe) -> Recipe:
    """`chosen`, with a holdout if it has none."""
    return chosen if chosen.holdout else recipe(chosen, holdout=HOLDOUT)


def check_timed(spec: AnySpec, what: str) -> None:
    """ReskerasError (status 2) for what is built on a network, whose latency depends on the image."""
    if not isinstance(spec, AnyNetwork):
        raise ReskerasError(f"{what}: only classifiers are timed, not a {spec.noun}; use multiply_adds")


def of_one_family(spec: AnySpec) -> AnySpec:
    """`spec` with its family made explicit, or that of the network it is built on: varying the depth must not change
    the family."""
    if isinstance(spec, BuiltOnNetwork):
        return laid_over(spec, {spec.on: of_one_family(spec.network).sparse()})
    if not isinstance(spec, NetworkSpec) or spec.family or not (family := spec.decided().family):
        return spec
    return laid_over(spec, {"family": family})
