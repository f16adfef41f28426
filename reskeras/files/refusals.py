"""The system's refusals to write, such as a full disk or a missing permission, in words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reskeras.errors import FAILED, ReskerasError, failure

PREFIX = ".reskeras-"
LAUNCHED, STUCK = "RESKERAS_LAUNCHED", 75  # sysexits.h: try again later
NO_SPACE = "there is no space left; make room"
READ_ONLY = "the file system is read-only"
REASONS = {
    errno.ENOSPC: NO_SPACE,
    errno.EDQUOT: NO_SPACE,
    errno.EROFS: READ_ONLY,
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.EEXIST: "it already exists",
    errno.ENOTEMPTY: "it already exists",
    errno.ELOOP: "its symbolic links form a loop",
}
# messages of native libraries, which give no error number
WORDS = {"No space left": NO_SPACE, "Disk quota exceeded": NO_SPACE, "Read-only file system": READ_ONLY}


class Unwritable(ReskerasError):
    """The system refuses to write; the same may succeed later, on a disk with space.

    A process that another one launched (which sets LAUNCHED) ends with STUCK then: a restart would fail as well.
    """

    final = True


class InUse(Unwritable):
    """Another process writes the folder."""


def reason(error: OSError) -> str:
    """Why the system refused, in words."""
    if error.errno in REASONS:
        return REASONS[error.errno]
    return _library_reason(error) or (error.strerror or str(error) or type(error).__name__).lower()


@contextmanager
def refusals_told(path: Path, otherwise: str = "") -> Iterator[None]:
    """Raise `Unwritable` (status 1) that names `path` where the system refuses what the block does; the message ends
    with `otherwise`."""
    if "\0" in str(path):
        raise failure(f"{str(path)!r} cannot be written: a path cannot contain NUL")
    try:
        yield
    except ReskerasError:
        raise
    except OSError as error:
        raise Unwritable(f"{_shown(path)} cannot be written: {reason(error)}{otherwise}", FAILED) from error
    except Exception as error:  # TensorFlow, h5py and safetensors have errors of their own for a full disk
        if why := _library_reason(error):
            raise Unwritable(f"{_shown(path)} cannot be written: {why}{otherwise}", FAILED) from error
        raise


def _shown(path: Path) -> Path:
    """`path` as it will be when the workspaces that it lies in are gone."""
    return Path(*(part for part in path.parts if not part.startswith(PREFIX)))


def _library_reason(error: Exception) -> str:
    """The reason that the message of a native library's error states; empty where it states none."""
    return next((why for words, why in WORDS.items() if words in str(error)), "")
