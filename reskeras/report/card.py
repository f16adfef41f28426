"""A model card of a run in the form of the Hugging Face hub's: YAML for programs, then Markdown for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from reskeras.documents.document import to_yaml
from reskeras.export.proof import Proof
from reskeras.printable import counted, printable
from reskeras.recipes.recipe import Recipe
from reskeras.report.card_limits import limits
from reskeras.report.card_results import CardResults
from reskeras.report.card_use import use
from reskeras.report.exports import tables_of
from reskeras.report.hub import dataset_id
from reskeras.report.markdown import block, facts, listed, prose, section, table, text
from reskeras.report.provenance import provenance_facts
from reskeras.report.public import data_name, published
from reskeras.report.sections import Table

FILES = ("tflite", "onnx", "openvino")  # kinds that the hub has tags for
SPLITS = (("train", "training"), ("validation", "validation"), ("test", "test"))  # and what they are called
MOST_NAMES = 50  # classes that are listed
MOST_NOTES = 20
MOST_RECIPE = 4000  # characters


@dataclass(frozen=True)
class Card:
    """What a card says. `noun` is what such a model is called, `program` the words before `predict`, `pipeline` the
    hub's name of the task, or "". `described` is a line about the network, `network` are the tables of its parts,
    `pixels` how images become its input. `results` is None where it was not tested, for the reason in `missing`.
    `usage` are lines of Python that use the `run`; `caveats` hold of all models of the task. `base` is the hub's id of
    what its weights were ported from, or "". `version` is that of the package that writes the card.
    """

    name: str
    noun: str
    task: str
    program: Sequence[str]
    pipeline: str
    described: str
    network: Sequence[Table]
    input_shape: Sequence[int]
    pixels: str
    classes: Sequence[str]
    provenance: Mapping[str, Any]
    recipe: Recipe | None
    epochs: int
    results: CardResults | None
    missing: str
    proofs: Sequence[Proof]
    usage: Sequence[str]
    caveats: Sequence[str]
    base: str
    version: str

    @property
    def data(self) -> Mapping[str, Any]:
        """The facts about the data in provenance.json."""
        return self.provenance.get("data") or {}

    def public(self, value: Any) -> Any:
        """`value` without the places of this machine."""
        return published(value, self.data)


def card_text(card: Card, beside: bool = False) -> str:
    """The whole card; `beside` exported artefacts it says how these are used, else how the run is."""
    parts = [
        f"# {text(card.name)}\n",
        _lead(card),
        *_results(card),
        *_network(card),
        *_training(card, beside),
        *use(card.program, card.usage, card.proofs, card.provenance.get("versions", {}), beside),
        *_exports(card),
        f"## Limits\n\n{listed(limits(card.results, card.recipe, card.provenance, card.caveats))}",
        _provenance(card),
    ]
    return f"---\n{to_yaml(front_matter(card))}---\n\n" + "\n".join(parts)


def front_matter(card: Card) -> dict[str, Any]:
    """The card's metadata, as huggingface_hub.ModelCardData has them; what is not known is left out."""
    known = card.results
    found = [each for each in known.figures if each.value is not None and isfinite(each.value)] if known else []
    dataset = dataset_id(data_name(card.data))
    kinds = [str(proof.kind).partition("-")[0] for proof in card.proofs if proof.holds]
    entries: dict[str, Any] = {
        "library_name": "reskeras",
        "tags": list(
            dict.fromkeys(["reskeras", "keras", "tensorflow", card.task, *(each for each in FILES if each in kinds)])
        ),
        "pipeline_tag": card.pipeline,
        "datasets": [dataset] if dataset else [],
        "metrics": list(dict.fromkeys(each.metric for each in found)),
        "base_model": card.base,
    }
    if known and found:
        label = _line(card.public(known.data))
        result = {
            "task": {"type": card.pipeline or card.task},
            "dataset": {
                "name": label,
                "type": dataset or _line(data_name(card.data)) or label,
                "split": _line(known.split),
            },
            "metrics": [
                {
                    "type": each.metric,
                    "value": each.value,
                    "name": each.name,
                    **({"args": {"interval": [*each.interval], "level": 0.95}} if each.interval else {}),
                }
                for each in found
            ],
        }
        entries["model-index"] = [{"name": _line(card.name), "results": [result]}]
    return {name: value for name, value in entries.items() if value}


def _line(value: str) -> str:
    """Text for YAML, on one line and of bounded length."""
    return printable(value)[:200]


def _lead(card: Card) -> str:
    made = card.provenance.get("versions", {}).get("reskeras", card.version)
    ported = card.provenance.get("ported")
    label = card.public(card.data.get("label"))
    origin = f", trained on {text(label)}" if label else ""
    if ported:
        origin = f", ported from {text(card.public(ported.get('source', '')))} ({text(ported.get('layout', ''))})"
    begun = card.provenance.get("begun_from")
    start = f", from the weights of {text(card.public(begun))}" if begun else ""
    named = ", ".join(map(text, card.classes[:MOST_NAMES]))
    more = len(card.classes) - MOST_NAMES
    classes = f"{named} and {more:,} more, in the run's `classes.txt`" if more > 0 else named
    count = counted(len(card.classes), "class", "classes")
    return f"A {card.noun} of {count}{origin}{start}, with reskeras {text(made)}.\n\nClasses: {classes}.\n"


def _results(card: Card) -> Iterator[str]:
    known = card.results
    if known is None:
        yield f"## Results\n\nNone here: {prose(card.public(card.missing)).rstrip()}.\n"
        return
    best = card.provenance.get("best_epoch")
    model = f"the model after epoch {best}" if best else "the model"
    views = f" ({text(known.views)})" if known.views else ""
    rows = [each.row for each in known.figures]
    yield (
        f"## Results\n\nTested: {model}, on the {known.images:,} images of the {text(known.split)} split of "
        f"{text(card.public(known.data))}{views}, in float32.\n\n"
        f"{table(['figure', 'value', '95% interval', 'what it is'], rows)}"
    )
    if any(each.interval for each in known.figures):
        yield (
            "Intervals are of the sample of test images alone: Wilson's for shares of images, the bootstrap over "
            "images for others. They do not say how much another training would differ.\n"
        )
    if known.rows:
        left = f"The {len(known.rows)} classes with the lowest figures, of {len(known.rows) + known.more:,}.\n\n"
        yield f"### By class\n\n{left if known.more else ''}{table(known.columns, known.rows)}"
    if known.notes:
        yield f"Notes on the test images:\n\n{listed(map(prose, card.public(known.notes[:MOST_NOTES])))}"


def _network(card: Card) -> Iterator[str]:
    height, width, channels = card.input_shape
    rows = [("input", f"{height}x{width}, {'grey' if channels == 1 else 'RGB'}"), ("preprocessing", card.pixels)]
    yield f"## Network\n\n{prose(card.described).rstrip()}.\n\n{facts(rows)}"
    for each in card.network:
        yield section(each, 3)


def _training(card: Card, beside: bool) -> Iterator[str]:
    made, data = card.provenance, card.data
    if not data:
        yield "## Training\n\nIt was not trained here; see its source for how and on what it was trained.\n"
        return
    counts = ", ".join(f"{data[split]:,} {name}" for split, name in SPLITS if isinstance(data.get(split), int))
    rows = [
        ("data", data_name(data)),
        ("images", counts),
        ("trained on", counted(made["training_images"], "image") if "training_images" in made else ""),
        ("watched", f"{made['watched']}" if "watched" in made else ""),
        ("epochs", f"{card.epochs:,}"),
        ("model of epoch", str(made.get("best_epoch", ""))),
        ("learnt from", made.get("teacher") or ""),
    ]
    yield f"## Training\n\n{facts(card.public([row for row in rows if row[1]]))}"
    if notes := data.get("notes"):
        yield f"Notes on the data:\n\n{listed(map(prose, card.public(notes[:MOST_NOTES])))}"
    if card.recipe:
        whole = to_yaml(card.public(card.recipe.sparse()))
        cut = whole[:MOST_RECIPE] + ("…" if len(whole) > MOST_RECIPE else "")
        yield f"The recipe, where it is not reskeras' default:\n\n{block(cut, 'yaml')}"
    if not beside and (again := _again(card)):
        yield f"The same training, up to rounding, in the folder of this file:\n\n{block(again, 'sh')}"


def _again(card: Card) -> str:
    """The command that trains it again; "" where one command cannot."""
    data, made = card.data, card.provenance
    if data.get("given") or made.get("begun_from") or made.get("teacher") or made.get("own"):
        return ""
    name = printable(data_name(data))
    return shlex.join([*card.program, "train", "network.yaml", "--recipe", "recipe.yaml", "--data", name])


def _exports(card: Card) -> Iterator[str]:
    yield from map(section, tables_of({card.name: card.proofs}))


def _provenance(card: Card) -> str:
    said = ("data", "images", "data notes", "preprocessing", "learnt from")  # in the sections above
    pairs = [(name, value) for name, value in provenance_facts(card.provenance) if name not in said]
    return f"## Provenance\n\n{facts(card.public(pairs))}"
