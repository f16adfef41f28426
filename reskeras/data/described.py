"""Checks the description files of a prepared TFDS set before TFDS reads them.

TFDS imports whatever module `features.json` names, and reads descriptions of any size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reskeras.bounded import read_bounded
from reskeras.errors import ReskerasError, failure, shown

OWN = re.compile(r"tensorflow_datasets\.core\.features(\.\w+)+")  # where TFDS' own kinds of feature stand
FEATURES, INFO, LABELS, CONFIGS = "features.json", "dataset_info.json", "*.labels.txt", ".config/metadata.json"
LARGEST = 64 << 20  # bytes of a description; that of ImageNet has 200,000
CLASS_KEYS = ("pythonClassName", "python_class_name")  # of the two spellings that protocol buffers take
MOST_FILES = 10_000


def check_description(name: str, data_dirs: list[Path]) -> None:
    """Raise a ReskerasError (status 1) that names the file, when a set `name`, such as `birds/small:1.0.0`, is
    described in one of `data_dirs` by a file that is too large or names another feature class than TFDS' own."""
    base = re.split(r"\W", name, maxsplit=1)[0]
    for folder in (Path(each).expanduser() / base for each in data_dirs if base):
        for count, file in enumerate(_descriptions(folder)):
            if count >= MOST_FILES:
                raise failure(f"data: {folder} has more than {MOST_FILES:,} description files")
            _check(file, name)


def _descriptions(folder: Path) -> Iterator[Path]:
    """Files that describe versions, and versions of configurations."""
    yield from folder.glob(CONFIGS)
    for kind in (FEATURES, INFO, LABELS):
        for depth in ("", "*/", "*/*/"):
            yield from folder.glob(depth + kind)


def _check(file: Path, name: str) -> None:
    try:
        data = read_bounded(file, LARGEST)
        if file.suffix != ".json":
            return
        described = json.loads(data)
        if not isinstance(described, dict):
            raise ValueError("it is not a mapping")
        if file.name == FEATURES:
            for named in _classes(described):
                if not (isinstance(named, str) and OWN.fullmatch(named)):
                    raise failure(
                        f"data: {file} has a feature of class {shown(named)}, which TFDS would import; only "
                        "TFDS' own features are supported"
                    )
        elif file.name == Path(CONFIGS).name:
            default = described.get("default_config_name", described.get("defaultConfigName"))
            if default is not None and not (
                isinstance(default, str) and re.fullmatch(r"[\w.+-]+", default) and default.strip(".")
            ):
                raise failure(f"data: {file} has a configuration {shown(default)}, which is not a valid name")
    except ReskerasError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        reason = (
            error.strerror
            if isinstance(error, OSError)
            else "nested too deeply"
            if isinstance(error, RecursionError)
            else error
        )
        raise failure(f"data: the description of tfds:{name} is broken: {file}: {reason}") from error


def _classes(described: Any) -> Iterator[Any]:
    """Everything that TFDS takes for class names, at any depth; older sets have JSON inside of JSON."""
    waiting = [described]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            yield from (value[key] for key in CLASS_KEYS if key in value)
            if "content" in value and isinstance(value.get("type"), str):
                yield value["type"]
            waiting += [
                json.loads(inner) if key == "json" and isinstance(inner, str) else inner for key, inner in value.items()
            ]
