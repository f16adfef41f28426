"""Examines this machine for training: finds its facts, asks what training chooses, measures its speed, advises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reskeras.caller_state import preserved
from reskeras.data.registry import Data, open_source
from reskeras.diagnosis.advice import findings
from reskeras.diagnosis.choices import find_choices, local_replicas
from reskeras.diagnosis.facts import Diagnosis, Speed
from reskeras.diagnosis.probe import find_machine
from reskeras.diagnosis.speed import input_rate, timed_steps
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.request import network, recipe_of
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.tasks.task import find_task
from reskeras.training.strategy import chosen_strategy

NETWORK = "cifar-resnet-20"


@preserved()
def doctor(
    data: Data | None = None,
    spec: str | Path | AnyNetwork = NETWORK,
    recipe: str | Path | Recipe | None = None,
    *,
    data_dir: str | Path | None = None,
    strategy: str = "auto",
    devices: int | None = None,
) -> Diagnosis:
    """What this machine has for training `spec` by `recipe`, what training would choose on it, its speed, and advice.

    With `data` the input pipeline is timed too. `recipe`, `strategy` and `devices` are those of `reskeras.train`; of a
    cluster only this worker's machine is measured, and nothing is sent to the others. Takes seconds, up to a minute for
    a large network, and longer where a driver compiles kernels first. ReskerasError (status 2) for a wrong request;
    what a training would refuse on this machine is a finding.
    """
    named = recipe or recipe_of(spec)
    spec, chosen = network(spec), read_recipe(named)
    kind = chosen_strategy(strategy, devices)
    replicas = local_replicas(kind, devices)
    source = None if data is None else open_source(data, data_dir)
    job = source and find_task("classification").on(source).job(spec, chosen, source, data_dir)
    plan = job.plan if job else spec.lower()
    machine = find_machine()
    shown = named.description if isinstance(named, Recipe) else str(named)
    choices = find_choices(spec, plan, chosen, shown, kind, replicas)
    speed = Speed(shared=not machine.gpus)
    if not choices.refusal:
        speed = timed_steps(speed, plan, chosen, replicas, choices.batch // choices.workers)
    if job:
        images = job.source.training_images("data").count
        speed = replace(speed, data=job.source.name, images=images, input=input_rate(job))
    return Diagnosis(machine, choices, speed, findings(machine, choices, speed))
