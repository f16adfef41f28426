"""The run folder: what a build or a training leaves behind, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from reskeras.documents.changes import changes, in_words
from reskeras.documents.document import read_yaml, to_yaml
from reskeras.documents.fields import Spec
from reskeras.errors import ReskerasError
from reskeras.files import atomic_folder, check_place, is_there, local_path, place_of, write_json, write_text
from reskeras.networks.any_spec import AnySpec
from reskeras.networks.request import NETWORK_FILE, RESOLVED_FILE, as_made, kind_of, spec_of, typed
from reskeras.recipes.recipe import Recipe, recipe
from reskeras.run_provenance import Provenance
from reskeras.stored import Number, read_json, read_json_lines, read_names
from reskeras.strict_json import to_json

HOME = Path("saved_models")
REPORT_FILE = "report.html"
CARD_FILE = "README.md"  # where the Hugging Face hub looks for a model's card
EVALUATION_FILE = "evaluation.json"
RESULTS_FILE = "results.json"  # of a suite, beside its runs
MODEL_FILE = "model.keras"
RECIPE_FILE = "recipe.yaml"
PREPROCESSING_FILE = "preprocessing.npz"
CLASSES_FILE = "classes.txt"
PROVENANCE_FILE = "provenance.json"
METRICS_FILE = "metrics.jsonl"
DATA_FILE = "data.npz"
BOOKKEEPING = ("keep", "checkpoint_steps", "description")  # fields of a recipe that change nothing of what is trained
BUILT = "it was built, not trained; `reskeras port` turns it into a complete run"


def _numbered(row: dict[str, Any]) -> dict[str, Any]:
    """A line of metrics.jsonl; ValueError unless it has its epoch, counted from 1, and the seconds that took."""
    if not {"epoch", "seconds"} <= row.keys() or not isinstance(row["epoch"], int) or row["epoch"] < 1:
        raise ValueError("needs an epoch, counted from 1, and seconds")
    return row


Epoch = Annotated[dict[str, Number], AfterValidator(_numbered)]


@dataclass(frozen=True)
class RunFolder:
    """A run folder on disk; everything in it is reached from here."""

    path: Path

    @property
    def model_file(self) -> Path:
        """The run's model; ReskerasError when the run has none."""
        return self._needs(MODEL_FILE, "its training has not finished an epoch")

    def digest(self) -> str:
        """The SHA-256 of the run's model; ReskerasError when the run has none."""
        with open(self.model_file, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def is_built(self) -> bool:
        """Whether the run has a network alone, neither trained nor ported."""
        return not (self.path / PREPROCESSING_FILE).is_file()

    @property
    def is_trained(self) -> bool:
        """Whether the run was trained by a recipe; others were built or ported."""
        return (self.path / RECIPE_FILE).is_file()

    @property
    def preprocessing_file(self) -> Path:
        """How images become the network's input; ReskerasError when the run was only built."""
        return self._needs(PREPROCESSING_FILE, BUILT)

    @property
    def data_file(self) -> Path:
        """What identifies each image that the run was trained and tested on; absent where that is not possible."""
        return self.path / DATA_FILE

    @property
    def last_model_file(self) -> Path:
        """Where the model of the last epoch goes, beside the best one."""
        return self.path / "checkpoints" / "last.keras"

    @property
    def checkpoint_folder(self) -> Path:
        """Where states of the training go."""
        return self.path / "checkpoints"

    @property
    def log_folder(self) -> Path:
        """Where TensorBoard's files go."""
        return self.path / "logs"

    @property
    def export_folder(self) -> Path:
        """Where exports go."""
        return self.path / "export"

    @property
    def evaluation_file(self) -> Path:
        """What the latest test of the model found, for model cards."""
        return self.path / EVALUATION_FILE

    @property
    def analysis_folder(self) -> Path:
        """Where analyses of the network go."""
        return self.path / "analysis"

    def _needs(self, name: str, why_missing: str) -> Path:
        if not (self.path / name).is_file():
            raise ReskerasError(f"run: {self.path} has no {name}: {why_missing}")
        return self.path / name

    def spec(self) -> AnySpec:
        """The network or detector as specified, with the classes and input shape of its data."""
        return spec_of(self.path)

    @property
    def task(self) -> str:
        """The name of the run's task: from its provenance, else the default of its kind of spec."""
        known: dict[str, Any] = {}
        with suppress(ReskerasError):  # a run without a sound provenance still predicts; what needs it says so
            known = self.provenance()
        return known.get("task") or kind_of(read_yaml(self.path / NETWORK_FILE)[0]).task

    def recipe(self) -> Recipe:
        """The recipe the run was trained by."""
        return recipe(self._needs(RECIPE_FILE, "it was built, not trained"))

    def classes(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        path = self._needs(CLASSES_FILE, BUILT)
        resolved = self.path / RESOLVED_FILE
        count = read_yaml(resolved)[0].get("classes") if resolved.is_file() else None
        # ImageNet's names have "crane" twice; runs trained here have distinct names
        return read_names(path, "run", count if isinstance(count, int) else None, "ported" not in self.provenance())

    def provenance(self) -> dict[str, Any]:
        """How the run came to be: versions, devices, data, seed, revision."""
        return dict(read_json(self._needs(PROVENANCE_FILE, "the run is incomplete"), "run", Provenance))

    def metrics(self, tell: Callable[[str], None] = lambda note: None) -> list[dict[str, Any]]:
        """One mapping for each finished epoch; `tell` gets a line for each broken one, which is skipped."""
        path = self.path / METRICS_FILE
        rows, problems = read_json_lines(path, "run", Epoch) if path.exists() else ([], [])
        for problem in problems:
            tell(problem)
        return rows

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Add one epoch to the metrics file, atomically."""
        self._write_metrics([*self.metrics(), row])

    def keep_metrics(self, epochs: int, tell: Callable[[str], None] = lambda note: None) -> None:
        """Drop the rows after epoch number `epochs`, and broken lines, which are reported to `tell`."""
        self._write_metrics([row for row in self.metrics(tell) if row["epoch"] <= epochs])

    def _write_metrics(self, rows: list[dict[str, Any]]) -> None:
        write_text(self.path / METRICS_FILE, "".join(to_json(row) + "\n" for row in rows), durable=True)

    def update_provenance(self, **facts: Any) -> None:
        """Lay `facts` over provenance.json, atomically."""
        known: dict[str, Any] = {}
        with suppress(ReskerasError):  # a run without a sound provenance still predicts; what needs it says so
            known = self.provenance()
        write_json(self.path / PROVENANCE_FILE, {**known, **facts}, durable=True)


def numbered(count: int) -> list[str]:
    """The names of classes that have none: their numbers."""
    return [str(label) for label in range(count)]


def open_run(path: str | Path, whole: bool = False) -> RunFolder:
    """The run in folder `path`; ReskerasError (status 2) when it is not a run. The states of a remote one's training
    are brought to this machine only if it is to be `whole`."""
    path = local_path(path, "run", whole=whole)
    if not path.is_dir():
        raise ReskerasError(f"run: folder not found: {path}")
    if not (path / NETWORK_FILE).is_file():
        raise ReskerasError(f"run: {path} is not a run folder: it has no {NETWORK_FILE}")
    return RunFolder(path)


def place_for(out: str | Path | None, name: str, resume: bool = False) -> Path:
    """The folder a new run goes to: `out`, which must not exist, else `saved_models/<name>`, numbered if taken.

    With `resume` the folder may be there, and the unnumbered name is meant.
    """
    if out is not None:
        path = place_of(out, "out")
        if is_there(path, "out"):
            if resume:
                return open_run(path, whole=True).path
            raise ReskerasError(
                f"out: {path} already exists; use another --out, or remove it; train --resume continues a training"
            )
        if path != Path(out):  # a remote folder
            check_place(path)
            return path
        for parent in path.absolute().parents:
            if parent.exists():
                if not parent.is_dir() or not os.access(parent, os.W_OK):
                    raise ReskerasError(f"out: {path} cannot be created: {parent} is not a writable folder")
                break
        return path
    path, number = HOME / name, 2
    if resume:
        return path
    while path.exists():
        path, number = HOME / f"{name}-{number}", number + 1
    return path


def check_same(path: Path, network: Spec, chosen: Recipe, data: str) -> None:
    """Raise ReskerasError that names what differs when the run at `path` is another training than the one asked for."""
    run = open_run(path)
    # parsed as a network again, so that fields added since the run began have their defaults
    resolved, lines = read_yaml(run.path / RESOLVED_FILE)
    before, now = as_made(typed(resolved, lines, str(path)), resolved).whole(), network.whole()
    begun, asked = (each.model_dump(mode="json", exclude=set(BOOKKEEPING)) for each in (run.recipe(), chosen))
    known = run.provenance().get("data", {}).get("name")
    sides = (before, now, "network"), (begun, asked, "recipe"), (known, data, "data")
    found = [each for old, new, name in sides for each in changes(old, new, name, groups=True)]
    if found:
        raise ReskerasError(f"resume: {path} holds another training: {in_words(found)}")


@contextmanager
def new_run(path: Path, typed: Spec, fitted: Spec | None = None) -> Iterator[RunFolder]:
    """A run folder being filled beside `path`; it gets its name when the block ends without an error.

    network.yaml keeps the spec as `typed`; resolved.yaml has every field of `fitted` decided, which is
    the same network with what its data gave it.
    """
    with atomic_folder(path, durable=True) as beside:
        write_text(beside / NETWORK_FILE, to_yaml(typed.sparse()))
        write_text(beside / RESOLVED_FILE, to_yaml((fitted or typed).whole()))
        yield RunFolder(beside)
