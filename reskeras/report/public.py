"""Facts of a run for publishing: without the places where things lay on the machine that it was trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reskeras.readers import is_path_kind

# an absolute path with a folder in it; of an address such as s3://bucket/run the slashes follow others or a colon
_PATH = re.compile(r"(?<![\w.:/~-])/(?:[^/\s:;,'\"]+/)+([^/\s:;,'\"]+)")


def published(value: Any, data: Mapping[str, Any]) -> Any:
    """`value`, text or plain data, where absolute paths are only what they end in. `data` are the facts about the data
    in provenance.json: their paths are known, so that these may have spaces."""
    if isinstance(value, Mapping):
        return {key: published(each, data) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [published(each, data) for each in value]
    if not isinstance(value, str):
        return value
    for known in _paths(data):
        value = value.replace(known, Path(known).name)
    return _PATH.sub(r"\1", value)


def data_name(data: Mapping[str, Any]) -> str:
    """The name of the data as it may be published: `folder:photos`."""
    return published(str(data.get("name", "")), data)


def _paths(data: Mapping[str, Any]) -> list[str]:
    """The paths in the names of the data, long ones first, none that is short enough to be in other words."""
    found = set()
    named = (str(data.get(key) or "").rpartition(":") for key in ("name", "place"))
    places = [path for kind, _, path in named if is_path_kind(kind.rpartition(":")[2])]
    for path in [*places, str(data.get("data_dir") or "")]:
        if "/" in path.strip("/") and not path.startswith(("s3:", "gs:")) and Path(path).name:
            found.add(path)
    return sorted(found, key=len, reverse=True)
