"""One training in several seeds: the runs, and their figures with mean and deviation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from reskeras.caller_state import preserved
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError, shown
from reskeras.experiments.measures import MEASURES_FILE
from reskeras.experiments.reproduce import measure_rows
from reskeras.experiments.results import RowResult, SuiteResult
from reskeras.experiments.suite import SuiteSpec
from reskeras.experiments.suite_rows import Row
from reskeras.experiments.suite_views import views_of
from reskeras.files import local_path, remove
from reskeras.launch.cluster import cluster
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.request import recipe_of
from reskeras.recipes.recipe import LAST_SEED, Recipe
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.runs import HOME
from reskeras.tasks.run import Run
from reskeras.tasks.task import find_task
from reskeras.tasks.train import train
from reskeras.training.own_parts import parted

MOST = 1000


@preserved()
def train_seeds(
    spec: Any,
    data: Any = "digits",
    recipe: Any = None,
    *,
    seeds: int,
    task: str = "classification",
    out: str | Path | None = None,
    resume: bool = False,
    tell: Callable[[str], None] = lambda note: None,
    **how: Any,
) -> SuiteResult:
    """Train `seeds` times, with the recipe's seed and those after it; the arguments are those of `reskeras.train`.

    The runs are `out`/seed-0 and so on, beside the table (results.json, results.csv) and a report. With `resume`
    finished runs are kept and the others continue. A failure of the first training is raised; if a later one fails,
    the row says so (`SuiteResult.failed`). Raises ReskerasError (status 2) for a wrong request.
    """
    if not isinstance(seeds, int) or not 1 <= seeds <= MOST:
        raise ReskerasError(f"seeds: {shown(seeds)}: should be 1 to {MOST:,}")
    if (here := cluster()) and len(here.workers) > 1:
        raise ReskerasError(
            "seeds: several seeds are trained in one process; with several workers, train one seed at a time"
        )
    trained = find_task(task)
    if not trained.measures:
        raise ReskerasError(f"seeds: the task {task} has no measures to compare its runs by")
    wanted = trained.spec(spec)
    named = recipe or recipe_of(spec, trained.recipe)
    _, fields = parted({field: value for field, value in how.items() if field in Recipe.model_fields})
    first = read_recipe(named, **fields).seed
    if (last := first + seeds - 1) > LAST_SEED:
        raise ReskerasError(
            f"seeds: {seeds} from {first} on would end with {last:,}; the highest seed is {LAST_SEED:,}"
        )
    name = trained.name_of(wanted)
    folder = local_path(out or HOME / f"{name}-{seeds}-seeds", "out")
    if folder.exists() and not resume:
        raise ReskerasError(f"out: {folder} already exists; use another --out, remove it, or continue with --resume")

    def run(_: Row | None, seed: int) -> Run:
        tell(f"{name}, seed {seed}")
        place = folder / f"seed-{seed}"
        remove(place / MEASURES_FILE)  # of a shorter training
        return train(spec, data, named, task=task, out=place, resume=place.exists(), tell=tell, **{**how, "seed": seed})

    begun = run(None, first)  # what is wrong with the request is raised
    label = re.sub(r"[^\w.,+ -]", "-", name)[:60]
    asked = {"row": label, "network": wanted.sparse()}
    said = {
        "title": f"{name}, {seeds} seeds",
        "source": begun.folder.provenance()["data"]["label"],
        "expects": "The trainings differ only in their seed.",
        "measures": find_task(begun.task).measures,  # multi-label data makes another of a classifier's task
        "rows": [asked],
    }
    suite = validated(SuiteSpec, said)
    result = SuiteResult("train", suite, "", [RowResult(label, {})])
    views = views_of(task, None, "")
    row = Row(suite.rows[0], begun.task, cast(AnyNetwork, wanted), begun.plan, None, None, views)
    trainings = [(row, seed) for seed in range(first, first + seeds)]
    measure_rows(result, trainings, lambda row, seed: begun if seed == first else run(row, seed), folder, tell)
    return result
