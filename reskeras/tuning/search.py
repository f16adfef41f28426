"""A search's folder: its request, the outcome of each trial, and the best; read without TensorFlow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reskeras.documents.changes import changes, in_words
from reskeras.documents.document import read_yaml, to_yaml
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError, failure, shown
from reskeras.files import LOCK_FILE, local_path, mirror_of, place_of, write_csv, write_text
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.any_spec import AnySpec
from reskeras.networks.overrides import laid_over
from reskeras.networks.request import network, spec_of, typed
from reskeras.recipes.recipe import Recipe
from reskeras.runs import HOME
from reskeras.spaces.space import Space, laid, space
from reskeras.stored import as_shape
from reskeras.tasks.task import Task, find_task
from reskeras.tuning.objective import Objective, read_objective
from reskeras.tuning.outcome import COMPLETED, Outcome, read_outcomes
from reskeras.tuning.seeds import SCHEME

SEARCH_FILE = "search.yaml"
BEST_FILE = "best.yaml"
TRIALS_FILE = "trials.csv"
TRIALS_FOLDER = "search"  # files of the oracle and the trials; on a cluster a worker may create it before the chief
FREE = ("trials", "data_dir", "seed_scheme")  # fields that may differ when a search is resumed


@dataclass(frozen=True)
class SearchRequest:
    """The request that defines a search: everything that decides its trials.

    `seed_scheme` is that of `seeds.oracle_seed`; searches older than the field used scheme 1. `images` is the
    fingerprint of the data, None in older searches.
    """

    network: dict[str, Any]
    recipe: dict[str, Any]
    space: dict[str, Any]
    data: str
    tuner: str
    objective: list[str]
    trials: int | None
    executions: int
    seed: int
    limits: dict[str, Any]
    data_dir: str | None = None
    seed_scheme: int = 1
    images: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse a search begun by a later version."""
        if self.seed_scheme not in range(1, SCHEME + 1):
            raise ReskerasError(
                f"tune: seed_scheme: {shown(self.seed_scheme)} is not known to this version of "
                "reskeras, which cannot resume the search"
            )

    def difference(self, other: SearchRequest) -> str:
        """How `other` differs, in words; empty when it does not."""
        free = (*FREE, "images") if self.images is None else FREE
        fixed = [{name: value for name, value in vars(each).items() if name not in free} for each in (self, other)]
        return in_words(changes(fixed[0], fixed[1]))


@dataclass(frozen=True)
class Search:
    """A search's folder and access to everything in it."""

    path: Path

    def __repr__(self) -> str:
        return f"Search({str(self.path)!r})"

    @property
    def best_file(self) -> Path:
        """Network and recipe of the best trial, for `reskeras train` and `reskeras build`."""
        return self.path / BEST_FILE

    def asked(self) -> SearchRequest:
        """The search's request."""
        data, _ = read_yaml(self.path / SEARCH_FILE)
        try:
            return as_shape(data, SearchRequest)
        except ValueError as error:
            raise failure(f"tune: {self.path / SEARCH_FILE} is not a search of this version: {error}") from error

    def space(self) -> Space:
        """The space that it searches."""
        return space(self.asked().space)

    def objective(self) -> Objective:
        """Its objective."""
        return read_objective(self.asked().objective)

    def outcomes(self) -> list[Outcome]:
        """The outcomes of all finished trials."""
        return read_outcomes(self.path / TRIALS_FOLDER)

    def ranked(self) -> list[Outcome]:
        """The completed trials, the best first; of ties the one with fewer parameters."""
        sign = -1 if self.objective().direction == "max" else 1
        done = [outcome for outcome in self.outcomes() if outcome.status == COMPLETED]
        return sorted(
            done, key=lambda outcome: (sign * outcome.known_score, outcome.figures["parameters"], outcome.trial)
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        return {
            "search": str(self.path),
            "objective": str(self.objective()),
            "best": str(self.best_file),
            "ranked": [asdict(outcome) for outcome in self.ranked()],
            "failed": [asdict(outcome) for outcome in self.outcomes() if outcome.status != COMPLETED],
        }

    def task(self) -> Task:
        """The task that its trials are trained for."""
        return find_task(network_of(self.asked().network).task)

    def candidate(self, outcome: Outcome) -> tuple[AnySpec, Recipe]:
        """Network and recipe of a trial."""
        asked = self.asked()
        return laid(outcome.values, network_of(asked.network), validated(Recipe, asked.recipe))

    def keep(self, asked: SearchRequest) -> None:
        """Write the request, or raise ReskerasError when the folder holds another search."""
        if (self.path / SEARCH_FILE).exists():
            before = self.asked()
            if difference := before.difference(asked):
                raise ReskerasError(f"tune: {self.path} holds another search: {difference}; use another --out")
            asked = replace(asked, seed_scheme=before.seed_scheme)
        elif self.path.exists() and any(entry.name not in (TRIALS_FOLDER, LOCK_FILE) for entry in self.path.iterdir()):
            raise ReskerasError(f"tune: {self.path} already exists and is not a search; use another --out")
        write_text(self.path / SEARCH_FILE, to_yaml(vars(asked)), durable=True)

    def write_results(self, classes: int, channels: int) -> None:
        """Write trials.csv, and best.yaml when a trial has been completed."""
        self.write_trials()
        if ranked := self.ranked():
            best, asked = ranked[0], self.asked()
            spec, recipe = self.candidate(best)
            fitted = _fitted(spec, classes, channels)
            head = (
                f"# trial {best.trial} of {self.path.name}: {self.objective().name} {best.score:.4f}; "
                f"data: {asked.data}\n"
            )
            text = to_yaml({"network": fitted.sparse(), "recipe": recipe.sparse()})
            write_text(self.best_file, head + text)

    def write_trials(self) -> None:
        """Write trials.csv, a line for each finished trial."""
        outcomes, names = self.outcomes(), list(self.space().parameters)
        figures = sorted({name for outcome in outcomes for name in outcome.figures})
        rows: list[list[Any]] = [["trial", "status", "score", *names, *figures, "reason"]]
        for outcome in outcomes:
            rows.append(
                [
                    outcome.trial,
                    outcome.status,
                    outcome.score,
                    *(outcome.values.get(name) for name in names),
                    *(outcome.figures.get(name) for name in figures),
                    outcome.reason,
                ]
            )
        write_csv(self.path / TRIALS_FILE, rows)


def open_search(path: str | Path) -> Search:
    """The search in folder `path`; ReskerasError (status 2) when it is none."""
    path = local_path(path, "search")
    if not (path / SEARCH_FILE).is_file():
        raise ReskerasError(f"tune: {path} is not a search folder: it has no {SEARCH_FILE}")
    return Search(path)


def place_for_search(out: str | Path | None, spec: AnySpec, data: str) -> Path:
    """Where a search goes: `out`, else `saved_models/tune-NETWORK-DATA`."""
    if out and mirror_of(place_of(out, "out")):  # the tuner's own files are written without reskeras.files
        raise ReskerasError(f"out: {out}: a search is written by several processes; use a folder of this machine")
    return Path(out) if out else HOME / f"tune-{find_task(spec.task).name_of(spec)}-{Path(data.replace(':', '/')).name}"


def network_of(data: dict[str, Any]) -> AnySpec:
    """The base network, or what is built on one, that `search.yaml` keeps."""
    return spec_of(typed(data, {}, "search.yaml"))


def _fitted(spec: AnySpec, classes: int, channels: int) -> AnySpec:
    """`spec` with the classes and, of a network, the channels of the data."""
    if isinstance(spec, AnyNetwork):
        return network(spec, classes=classes, input_shape=(*spec.lower().input_shape[:2], channels))
    return laid_over(spec, {"classes": classes})
