"""The names of numbered classes in a dataset card, the README.md of Hugging Face's datasets."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from reskeras.bounded import read_bounded
from reskeras.documents.document import parse_yaml
from reskeras.errors import ReskerasError, shown

FILE, FENCE = "README.md", "---"
LARGEST = 10_000_000  # bytes


def class_names(folder: Path, features: Collection[str]) -> tuple[str, ...]:
    """The names, by number, of the `class_label` of the first feature called one of `features` in the `dataset_info` of
    the card in `folder`; none where there is no card, or none that has such a feature.

    Raises ReskerasError (status 2) for a broken card, and for names that are not those of 0, 1, ...
    """
    path = folder / FILE
    if not path.is_file():
        return ()
    try:
        text = read_bounded(path, LARGEST).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ReskerasError(f"data: {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    opening, _, rest = text.partition("\n")
    header, fence, _ = rest.partition(f"\n{FENCE}")
    if opening.strip() != FENCE or not fence or "class_label" not in header:
        return ()
    card, _ = parse_yaml(header + "\n", str(path))
    for feature in _features(card.get("dataset_info")):
        dtype = feature.get("dtype")
        if feature.get("name") in features and isinstance(dtype, dict) and isinstance(dtype.get("class_label"), dict):
            return _in_order(dtype["class_label"].get("names"), path)
    return ()


def _features(part: Any) -> Iterator[dict[str, Any]]:
    """The mappings inside, at any depth."""
    if isinstance(part, dict):
        yield part
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _features(each)


def _in_order(names: Any, path: Path) -> tuple[str, ...]:
    numbered = names if isinstance(names, dict) else dict(enumerate(names)) if isinstance(names, list) else {}
    by_number = {str(number): name for number, name in numbered.items()}
    found = [by_number.get(str(number)) for number in range(len(by_number))]
    if not found or not all(isinstance(name, str) for name in found):
        raise ReskerasError(f"data: {path}: class_label names {shown(names)} should be names of the numbers 0, 1, ...")
    return tuple(map(str, found))
