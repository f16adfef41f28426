"""Documents by name or file: the YAML files that come with reskeras, and those that people write."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from reskeras.documents.document import parse_yaml, read_yaml, section
from reskeras.documents.validation import Model, validated
from reskeras.errors import ReskerasError, unknown
from reskeras.files import local_path

SHIPPED = {  # the package that holds the files of each kind
    "recipe": "reskeras.recipes",
    "space": "reskeras.spaces",
    "suite": "reskeras.experiments.suites",
    "protocol": "reskeras.experiments.protocols",
}


def shipped_names(kind: str) -> list[str]:
    """Names of the documents of a `kind` that come with reskeras, such as all recipes."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in files(SHIPPED[kind]).iterdir() if entry.name.endswith(".yaml")
    )


def read_document(kind: str, model: type[Model], source: str | Path) -> Model:
    """The `model` that `source` names: one that comes with reskeras, or a YAML file.

    Raises ReskerasError (status 2) for unknown names, and for what `model` refuses, with its line.
    """
    if str(source) in shipped_names(kind):
        where = f"{kind} {source}"
        data, lines = parse_yaml((files(SHIPPED[kind]) / f"{source}.yaml").read_text("utf-8"), where)
    elif local_path(source, kind).is_file():
        where = str(source)
        data, lines = section(kind, *read_yaml(Path(source)))
    elif Path(source).suffix in (".yaml", ".yml", ".json"):
        raise ReskerasError(f"{kind}: file not found: {source}")
    else:
        raise unknown(kind, source, shipped_names(kind))
    return validated(model, data, where, lines)
