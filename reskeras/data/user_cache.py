"""Where what was found out about data is remembered: files in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from reskeras.files.cache import cache_folder


def cache_file(kind: str, places: Iterable[Path], suffix: str) -> Path | None:
    """The cache file of the files or folders `places`: in `reskeras/KIND` of XDG_CACHE_HOME, else of ~/.cache.

    None where RESKERAS_CACHE=off asks for nothing to be remembered.
    """
    folder = cache_folder(kind)
    if folder is None:
        return None
    key = hashlib.sha256(b"\0".join(os.fsencode(place.absolute()) for place in places)).hexdigest()[:32]
    return folder / f"{key}{suffix}"
