"""Image and video files as people name them: one or several, folders, patterns not expanded, standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reskeras.addresses import is_address
from reskeras.errors import ReskerasError, failure
from reskeras.files import local_path, scratch, write_bytes
from reskeras.printable import counted
from reskeras.walk import SUFFIXES, VIDEO_SUFFIXES, Walk, is_image, is_video

STDIN = "-"
LARGEST_INPUT = 1 << 30  # bytes of standard input


@dataclass
class ImageFiles:
    """The files at `paths`, in order; `notes` say what was left out of folders."""

    paths: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def name(self, path: str) -> str:
        """What a file is called in results: `-` for the one that holds standard input."""
        return self.names.get(path, path)


def several(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """One path or many, as a list: a text is one path, not many letters."""
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


@contextmanager
def image_files(given: Sequence[str | Path], videos: bool = False) -> Iterator[ImageFiles]:
    """The image files that are meant by names of files, folders (all that is below them), patterns such as
    `photos/*.jpg`, and `-`, which is one image on standard input and lasts as long as the block. With `videos` those
    too.

    Raises ReskerasError (status 2) for a name that is not a file, a pattern that matches none, and a folder without
    images.
    """
    found = ImageFiles()
    with ExitStack() as stack:
        for name in map(str, given):
            if name == STDIN:
                if found.names:
                    raise ReskerasError("image: - is given twice; standard input holds one image")
                kept = stack.enter_context(scratch()) / "standard-input"
                write_bytes(kept, _standard_input())
                found.paths.append(kept)
                found.names[str(kept)] = STDIN
            else:
                for path in _matching(_here(name)):
                    found.paths += _below(path, found.notes, videos) if path.is_dir() else [path]
        yield found


def _here(name: str) -> str:
    """The name on this machine of what may be at an address; any other as it is, whose ./ a Path would take away."""
    place = local_path(name, "image")
    return str(place) if is_address(name) else name


def _matching(name: str) -> list[Path]:
    """The files and folders of a name, or of a pattern where nothing has that very name."""
    if os.path.isfile(name) or os.path.isdir(name):
        return [Path(name)]
    if os.path.lexists(name) or not glob.has_magic(name):
        raise ReskerasError(f"image: file not found: {name}")
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True)) if os.path.isfile(match)]
    if not matches:
        raise ReskerasError(f"image: no file matches {name}")
    return matches


def _below(folder: Path, notes: list[str], videos: bool) -> list[Path]:
    walk = Walk(folder)
    files = walk.files(folder)
    chosen = [file for file in files if is_image(file) or (videos and is_video(file))]
    what = "images or videos" if videos else "images"
    if not chosen:
        suffixes = SUFFIXES | VIDEO_SUFFIXES if videos else SUFFIXES
        raise ReskerasError(
            f"image: {folder} has no {what} ({', '.join(sorted(suffixes))})"
            + "".join(f"; {note}" for note in walk.left_out.notes()[:2])
        )
    notes += walk.left_out.notes()
    if len(chosen) < len(files):
        notes.append(f"skipped {counted(len(files) - len(chosen), 'file')} of {folder} other than {what}")
    return chosen


def _standard_input() -> bytes:
    data = sys.stdin.buffer.read(LARGEST_INPUT + 1)
    if not data:
        raise failure("image: standard input is empty")
    if len(data) > LARGEST_INPUT:
        raise failure(f"image: standard input is larger than {LARGEST_INPUT >> 20} MiB")
    return data
