"""More epochs for a training that was begun with fewer: when that is the same training, what to do when it is not."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from reskeras.errors import ReskerasError
from reskeras.files import write_text
from reskeras.runs import BOOKKEEPING, RECIPE_FILE, RunFolder
from reskeras.spec.document import to_yaml
from reskeras.spec.recipe import Recipe

FACT = "lengthened_from"  # in provenance.json: the numbers of epochs that the training had before


def asks_for_more(before: Recipe, now: Recipe) -> bool:
    """Whether `now` is `before` with more epochs, and nothing else that a training depends on."""
    one, other = (each.model_dump(mode="json", exclude={"epochs", *BOOKKEEPING}) for each in (before, now))
    return one == other and not now.iterations and now.epochs > before.epochs


def check_longer(path: Path, before: Recipe, now: Recipe, command: Sequence[object]) -> None:
    """Raise ReskerasError, with the command to use instead, when a longer training would have begun otherwise.

    Warm-up, cosine, line and drops are shares of the whole training, so that with more epochs the epochs that are done
    would have had other learning rates. `command` is the words that train this kind of run on its data.
    """
    if now.schedule.follows_length:
        more = now.epochs - before.epochs
        words = [*command, "--from", path, "--recipe", path / RECIPE_FILE, "--epochs", more, "--out",
                 path.with_name(f"{path.name}-longer")]
        raise ReskerasError(
            f"epochs: {now.epochs} instead of {before.epochs} would change the learning rate of epochs that are done, "
            f"because the schedule ({now.schedule.in_words}) is a share of the whole training; to train "
            f"{more} more epoch{'s' * (more > 1)} with a schedule of its own: {shlex.join(map(str, words))}")


def lengthen(run: RunFolder, before: Recipe | None, now: Recipe, writes: bool) -> tuple[int, ...]:
    """Numbers of epochs that the run's training had before, whose states stay good; `before` is its recipe so far.

    With `before` and `writes` the longer recipe goes into the run.
    """
    known = run.provenance().get(FACT, [])
    had = {epochs for epochs in known if isinstance(epochs, int)} if isinstance(known, list) else set()
    had |= {before.epochs} if before else set()
    if before and writes:  # in this order: killed in between, the run is lengthened again
        run.update_provenance(**{FACT: sorted(had)})
        write_text(run.path / RECIPE_FILE, to_yaml(now.sparse()), durable=True)
    return tuple(sorted(had))
