"""What the results of a suite keep of each run, so that they can be shown when its folder is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reskeras.analysis.analysis import SUMMARY_FILE, Analysis, read_analysis
from reskeras.experiments.suite_rows import length_of
from reskeras.networks.request import typed
from reskeras.plans.plan import Plan
from reskeras.printable import counted
from reskeras.recipes.recipe import Recipe
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.tasks.run import Run
from reskeras.tasks.task import find_task

FACTS = (  # of provenance.json
    "made",
    "versions",
    "machine",
    "git_revision",
    "data",
    "precision",
    "replicas",
    "training_images",
    "trained_sha256",
    "watched",
)
COLUMNS = ("data", "schedule", "precision", "seconds", "hardware", "made", "revision")


@dataclass(frozen=True)
class RunRecord:
    """A run: its task, its network or detector and its recipe as they were specified, facts of its provenance, a
    mapping for each of its epochs, and the analysis of a classifier that was analysed."""

    task: str
    network: Mapping[str, Any]
    recipe: Mapping[str, Any]
    facts: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]] = ()
    analysis: Analysis | None = None

    @classmethod
    def of(cls, run: Run, inside: bool = True) -> RunRecord:
        """What is to be kept of a finished run; with its analysis if what is `inside` the network matters."""
        folder = run.folder
        made = {key: value for key, value in folder.provenance().items() if key in FACTS}
        made["data"] = made.get("data", {}).get("label", "")
        analysed = inside and (folder.analysis_folder / SUMMARY_FILE).is_file()
        return cls(
            folder.task,
            folder.spec().sparse(),
            folder.recipe().sparse(),
            made,
            folder.metrics(),
            read_analysis(folder.analysis_folder) if analysed else None,
        )

    @property
    def plan(self) -> Plan:
        """The plan of its network; of a detector's backbone."""
        task = find_task(self.task)
        return task.network(task.spec(typed(dict(self.network), {}, "results"))).lower()

    @property
    def is_part(self) -> bool:
        """Whether the network of `plan` is a part of what was trained, as a detector's backbone is."""
        spec = typed(dict(self.network), {}, "results")
        return find_task(self.task).network(spec) is not spec

    @property
    def watched(self) -> str:
        """The images on which each epoch was evaluated: held out, or those of the test."""
        return "held out" if "held-out" in str(self.facts.get("watched", "")) else "test"

    def columns(self) -> list[str]:
        """The COLUMNS of a table of runs: what was trained on what, how long, when, and by which revision."""
        facts, machine = self.facts, self.facts.get("machine", {})
        recipe = read_recipe(Recipe.model_validate(dict(self.recipe)))
        cores = machine.get("cpus", 1)
        processor = str(machine.get("processor", "unknown"))
        return [
            str(facts.get("data", "")),
            f"{length_of(recipe)}, {recipe.schedule.in_words} at {recipe.learning_rate:g}, batch {recipe.batch_size}",
            str(facts.get("precision", "")),
            f"{sum(epoch['seconds'] for epoch in self.metrics):.0f}",
            f"{counted(cores, 'core')} of {processor}",
            str(facts.get("made", ""))[:10],
            str(facts.get("git_revision") or "unknown"),
        ]
