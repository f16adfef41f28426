"""Which folders of this machine stand for remote ones, and the few things that writers and readers ask of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from reskeras.addresses import SCHEME, address_form, is_address, masked
from reskeras.errors import ReskerasError

if TYPE_CHECKING:  # imported with the first address: a local path needs none of it
    from reskeras.files.mirror import Mirror

Progress = Callable[[int, int], None]  # bytes done, of so many

_mirrors: dict[Path, Mirror] = {}  # by the folder or file that stands for an address


@contextmanager
def untold(text: str) -> Iterator[Progress]:
    """Show no progress."""
    yield lambda done, total: None


class Transfers:
    """How transfers are shown; a program sets these once, for everything that it does."""

    progress: Callable[[str], AbstractContextManager[Progress]] = staticmethod(untold)
    tell: Callable[[str], None] = staticmethod(lambda note: None)


def mirror_of(path: Path) -> Mirror | None:
    """The mirror that `path` lies in, if any."""
    if not _mirrors:
        return None
    return next((_mirrors[each] for each in (path, *path.parents) if each in _mirrors), None)


def place_of(path: str | Path, field: str) -> Path:
    """`path` as a Path; of an address, the path that stands for it on this machine, whether or not it is there.

    No request is made. ReskerasError (status 2) naming `field` for an address that cannot be one of a remote folder.
    """
    if not is_address(path):
        return Path(path)
    text = _checked(path, field)
    known = next((place for place, mirror in _mirrors.items() if mirror.address == text), None)
    if known is None:
        from reskeras.files.mirror import Mirror

        mirror = Mirror(text)
        known = mirror.place
        _mirrors[known] = mirror
    return known


def brought(path: str | Path, field: str, only: str = "", whole: bool = False) -> Path:
    """As `place_of`, after bringing what is at the address to this machine where that is missing or has changed there:
    `only` what is in that folder below it; of a run the states of its training too if it is to be `whole`.

    Raises `failure` when it cannot be read; what is not there is not an error, and missing here then.
    """
    place = place_of(path, field)
    if mirror := mirror_of(place):
        below = (place / only).relative_to(mirror.place).as_posix()
        mirror.bring(field, "" if below == "." else below, whole, again=is_address(path))
    return place


def is_there(path: Path, field: str) -> bool:
    """Whether `path` exists, or anything at the address that it stands for; `failure` when that cannot be told."""
    mirror = mirror_of(path)
    return mirror.is_there(field) if mirror else path.exists()


def published(path: Path) -> None:
    """Put a finished file or folder at its address, if it is in a folder that stands for a remote one. OSError or
    ReskerasError where the store refuses it."""
    if mirror := mirror_of(path):
        mirror.publish(path)


def withdrawn(path: Path) -> None:
    """Delete at its address what is removed here, as far as the store allows; never raises OSError."""
    if mirror := mirror_of(path):
        mirror.withdraw(path)


def written_alone(path: Path, field: str) -> AbstractContextManager[None]:
    """Hold the remote folder of `path`, if it stands for one, against other writers while the block runs."""
    mirror = mirror_of(path)
    return mirror.written_alone(field) if mirror else nullcontext()


def _checked(path: str | Path, field: str) -> str:
    scheme = SCHEME.match(str(path))
    if scheme and scheme[1].lower() == "file":
        raise ReskerasError(f"{field}: {path}: URLs are not supported; use the path without file://")
    text = address_form(path)
    if (hidden := masked(text)) != text:
        raise ReskerasError(
            f"{field}: {hidden}: an address is kept in runs, so it must not contain a password or token; keep those in "
            "the environment, or where the store's own tools do"
        )
    parts = text.partition("://")[2].lstrip("/").split("/")
    if "\0" in text or not all(parts) or {".", ".."} & {*parts}:
        raise ReskerasError(f"{field}: {text!r} is not the address of a folder, such as s3://bucket/run")
    return text
