"""Resuming with more epochs than a training was started with: when that is the same training, and advice if not."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from reskeras.documents.document import to_yaml
from reskeras.errors import ReskerasError
from reskeras.files import write_text
from reskeras.printable import counted
from reskeras.recipes.recipe import Recipe
from reskeras.runs import BOOKKEEPING, RECIPE_FILE, RunFolder

FACT = "lengthened_from"  # in provenance.json: the earlier numbers of epochs


def asks_for_more(before: Recipe, now: Recipe) -> bool:
    """Whether `now` is `before` with more epochs and otherwise equivalent."""
    one, other = (each.model_dump(mode="json", exclude={"epochs", *BOOKKEEPING}) for each in (before, now))
    return one == other and not now.iterations and now.epochs > before.epochs


def check_longer(path: Path, before: int, now: Recipe, command: Sequence[object] | None) -> None:
    """Raise ReskerasError, with the command to use instead, when learning rates or images depend on the length.

    `before` is the number of epochs so far. Warm-up, cosine, linear decay, drops and sizes are fractions of the whole
    training, so that with more epochs the finished ones would have had other learning rates or images. `command` is the
    command line that trains this kind of run on its data; None for data that has no name there.
    """
    changed = ""
    if now.schedule.follows_length:
        changed = f"the learning rate of finished epochs, because the schedule ({now.schedule.in_words}) is"
    elif len(now.sizes) > 1:
        changed = "the images of finished epochs, because sizes are"
    elif now.augment.mosaic and now.augment.mosaic.except_last:
        changed = "the images of finished epochs, because augment.mosaic.except_last is"
    if changed:
        more = now.epochs - before
        options = {"from": path, "recipe": path / RECIPE_FILE, "epochs": more}
        options["out"] = path.with_name(f"{path.name}-longer")
        if command is None:
            said = ", ".join(
                f"{'start' if name == 'from' else name}={value if isinstance(value, int) else str(value)!r}"
                for name, value in options.items()
            )
            instead = f"reskeras.train(..., {said})"
        else:
            flags = [each for name, value in options.items() for each in (f"--{name}", value)]
            instead = shlex.join(map(str, [*command, *flags]))
        raise ReskerasError(
            f"epochs: {now.epochs} instead of {before} would change {changed} relative to the whole training; to train "
            f"{counted(more, 'more epoch')} with a separate schedule: {instead}"
        )


def lengthen(run: RunFolder, before: int | None, now: Recipe) -> list[int]:
    """The earlier numbers of epochs of the run, whose checkpoints stay valid; `before` is the number so far.

    With `before` the longer recipe is written to the run.
    """
    known = run.provenance().get(FACT, [])
    had = {epochs for epochs in known if isinstance(epochs, int)} if isinstance(known, list) else set()
    had |= {before} if before else set()
    if before:  # in this order: killed in between, the run is lengthened again
        run.update_provenance(**{FACT: sorted(had)})
        write_text(run.path / RECIPE_FILE, to_yaml(now.sparse()), durable=True)
    return sorted(had)
