"""Model cards of runs: in the run folder, and beside its artefacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from reskeras import __version__
from reskeras.addresses import is_address, named
from reskeras.errors import ReskerasError
from reskeras.files import check_place, write_json
from reskeras.report.card import Card, card_text
from reskeras.report.card_file import KEPT, write_card
from reskeras.report.card_results import CardResults
from reskeras.report.exports import write_exports
from reskeras.report.hub import model_id
from reskeras.runs import CARD_FILE, RunFolder, open_run
from reskeras.stored import read_json
from reskeras.tasks.task import find_task

if TYPE_CHECKING:
    from reskeras.tasks.run import Material, Run

Tell = Callable[[str], None]

LONGEST_LINE = 8  # runs that started from one another
UNTESTED = "the model was not tested when this was written; `reskeras report` tests it and writes the figures here"
OLD = "the model has changed since it was tested; `reskeras report` tests it again and writes the figures here"


def report_card(run: Run, material: Material, tell: Tell) -> None:
    """Write the card of `run`, and the one beside its artefacts if it has any, with what the `material` of its report
    found; keep the figures for later exports. Nothing is written to a folder that cannot be written to. No card that
    was edited is replaced; `tell` gets a note about each of these."""
    try:
        check_place(run.path / CARD_FILE)
    except ReskerasError:  # a page is also made of a run that nobody may write to
        return
    found = None
    if material.evaluation is not None:
        notes = tuple(material.source.notes) if material.source else ()
        found = replace(find_task(run.task).card_results(material), notes=notes, model=run.folder.digest())
        write_json(run.folder.evaluation_file, asdict(found))
    _write(run, found, material.missing, tell)


def export_card(run: Run, tell: Tell) -> None:
    """Write the table, the plot and the card beside the artefacts of `run`, the card with the figures of its latest
    report, and renew the one in its folder, if there is one. `tell` gets a note about each that is kept because it was
    edited."""
    if proofs := run.latest_proofs():
        write_exports(run.folder.export_folder, proofs)
    found, missing = None, UNTESTED
    with suppress(ReskerasError):
        found = read_json(run.folder.evaluation_file, "evaluation", CardResults)
    if found and found.model != run.folder.digest():
        found, missing = None, OLD
    _write(run, found, missing, tell, of_run=(run.path / CARD_FILE).exists())


@contextmanager
def carded(run: Run, tell: Tell) -> Iterator[None]:
    """Write what stands beside the artefacts of `run` after it was exported, as `export_card` does; also where an
    artefact was rejected and others were not."""
    try:
        yield
    except ReskerasError:
        with suppress(ReskerasError):  # the first error is the one to tell
            export_card(run, tell)
        raise
    export_card(run, tell)


def _write(run: Run, found: CardResults | None, missing: str, tell: Tell, of_run: bool = True) -> None:
    card = card_of(run, found, missing)
    texts = {run.path / CARD_FILE: card_text(card)} if of_run else {}
    if card.proofs:
        texts[run.folder.export_folder / CARD_FILE] = card_text(card, beside=True)
    for path, text in texts.items():
        if not write_card(text, path):
            tell(named(f"{path} is {KEPT}"))


def card_of(run: Run, found: CardResults | None, missing: str = "") -> Card:
    """The card of `run` with the figures `found`, or without for the reason `missing`."""
    task, folder = find_task(run.task), run.folder
    spec, preprocessing = folder.spec(), run.preprocessing()
    return Card(
        name=run.name,
        noun=task.noun,
        task=task.name,
        program=task.program,
        pipeline=task.pipeline,
        described=spec.describe(),
        network=task.tables(run.plan),
        input_shape=run.plan.input_shape,
        pixels=task.describe_pixels(spec, preprocessing),
        classes=folder.classes(),
        provenance=folder.provenance(),
        recipe=folder.recipe() if folder.is_trained else None,
        epochs=len(folder.metrics()),
        results=found,
        missing=missing,
        proofs=run.latest_proofs(),
        usage=task.usage,
        caveats=task.caveats,
        base=_base(folder),
        version=__version__,
    )


def _base(folder: RunFolder) -> str:
    """The hub's id of the weights that a run, or the first of those that it started from, was ported from; or ""."""
    made: Any = folder.provenance()
    for _ in range(LONGEST_LINE):
        if found := model_id(made):
            return found
        begun = made.get("begun_from")
        if not isinstance(begun, str) or is_address(begun):  # a run elsewhere is not fetched for this
            return ""
        try:
            made = open_run(begun).provenance()
        except ReskerasError:  # it has gone
            return ""
    return ""
