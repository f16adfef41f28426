"""Documents by name or file: the YAML files that come with reskeras, and those that people write."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from reskeras.errors import ReskerasError, unknown
from reskeras.files import local_path
from reskeras.spec.document import parse_yaml, read_yaml, section
from reskeras.spec.validation import Model, validated


def shipped_names(kind: str, room: str = "spec") -> list[str]:
    """Names of what comes with reskeras in `<room>/<kind>s/`, such as all recipes."""
    return sorted(entry.name.removesuffix(".yaml") for entry in files(f"reskeras.{room}.{kind}s").iterdir()
                  if entry.name.endswith(".yaml"))


def read_document(kind: str, model: type[Model], source: str | Path, room: str = "spec") -> Model:
    """The `model` that `source` names: what comes with reskeras in `room`, or a YAML file.

    Raises ReskerasError (status 2) for unknown names, and for what `model` refuses, with its line.
    """
    if str(source) in shipped_names(kind, room):
        where = f"{kind} {source}"
        data, lines = parse_yaml((files(f"reskeras.{room}.{kind}s") / f"{source}.yaml").read_text("utf-8"), where)
    elif local_path(source, kind).is_file():
        where = str(source)
        data, lines = section(kind, *read_yaml(Path(source)))
    elif Path(source).suffix in (".yaml", ".yml", ".json"):
        raise ReskerasError(f"{kind}: there is no file {source}")
    else:
        raise unknown(kind, source, shipped_names(kind, room))
    return validated(model, data, where, lines)
