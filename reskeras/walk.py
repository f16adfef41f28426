"""Folders of images walked without opening a file: which images there are, and what is skipped and why."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from reskeras.errors import ReskerasError, failure
from reskeras.printable import counted, few

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp"}
VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"}
# made by storage devices, archivers and interpreters, not by whoever sorted the images; compared in lower case
SYSTEM_FOLDERS = {
    "@eadir",
    "@__thumb",
    "@recycle",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "__macosx",
    "__pycache__",
    "lost+found",
    "system volume information",
}
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
NAMED = 5  # places named in a note
ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"}

# kinds of what is left out, in the order of the notes: singular and plural
KINDS = {
    "hidden": ("hidden or thumbnail folder{images}", "hidden or thumbnail folders{images}"),
    "hidden_file": ("hidden image", "hidden images"),
    "loose": ("image beside the class folders", "images beside the class folders"),
    "unused": ("folder that is not a split{images}", "folders that are not splits{images}"),
    "outside": ("link that points outside the folder", "links that point outside the folder"),
    "loop": ("link to a folder that is read anyway", "links to folders that are read anyway"),
    "dangling": ("broken link", "broken links"),
    "special": ("device, pipe or socket", "devices, pipes or sockets"),
    "unreadable": (
        "folder that cannot be read (permission denied?)",
        "folders that cannot be read (permission denied?)",
    ),
}


def is_archive(path: Path) -> bool:
    """Whether a file is an archive by its suffix, or a zip by what it holds, but for NumPy's."""
    suffix = path.suffix.lower()
    return path.is_file() and suffix != ".npz" and (suffix in ARCHIVES or zipfile.is_zipfile(path))


def check_folder(path: Path) -> None:
    """ReskerasError (status 2) where there is no folder at `path`; of an archive it says what to do."""
    if is_archive(path):
        raise ReskerasError(f"data: {path} is an archive; unpack it and give the folder")
    if path.is_file():
        raise ReskerasError(f"data: {path} is a file; give the folder that it is in")
    if not path.is_dir():
        raise ReskerasError(f"data: folder not found: {path}")


class LeftOut:
    """Counts of what was left out by kind, a key of KINDS, with the places where it was."""

    def __init__(self) -> None:
        self.places: dict[str, dict[str, int]] = {kind: {} for kind in KINDS}

    def add(self, kind: str, place: str | os.PathLike[str], images: int = 0) -> None:
        """`place` is left out because it is of `kind`, with so many `images` in it; counted once."""
        self.places[kind][os.fspath(place)] = images

    def notes(self) -> list[str]:
        """A line for each kind that occurred."""
        lines = []
        for kind, (one, more) in KINDS.items():
            if places := self.places[kind]:
                count = sum(places.values())
                images = f" with {counted_images(count)}" if count else ""
                what = (one if len(places) == 1 else more).format(images=images)
                lines.append(f"skipped {len(places):,} {what}: {listed(places)}")
        return lines


@dataclass(frozen=True)
class Children:
    """The visible sub-folders and regular files of a folder, sorted by name; those behind links are among them."""

    folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def images(self) -> tuple[Path, ...]:
        """The files that are images by their suffix."""
        return tuple(file for file in self.files if is_image(file))


class Walk:
    """A walk over what is below `root`.

    Hidden and system folders are left out, as are devices, pipes and sockets, which are never opened. Links are
    followed as long as they stay below `root`; each real folder is walked once per starting point, so that
    loops end. Whatever is left out is counted in `left_out`.
    """

    def __init__(self, root: Path):
        self.root, self.left_out = root, LeftOut()
        self._real = os.path.realpath(root)
        self._known: dict[Path, Children] = {}

    def children(self, folder: Path) -> Children:
        """What `folder` holds; nothing when it cannot be read, which is counted, unless it is `root`: that is a
        `failure`."""
        if folder not in self._known:
            self._known[folder] = self._listed(folder)
        return self._known[folder]

    def files(self, folder: Path) -> list[Path]:
        """The files of `folder` at any depth, sorted by their paths."""
        found: list[Path] = []
        start = os.path.realpath(folder)
        seen, waiting = {_identity(folder)}, [folder]
        while waiting:
            children = self.children(waiting.pop())
            found += children.files
            for child in children.folders:
                which = _identity(child)
                # only a link leads up; to resolve every path would take the square of a tree's depth
                leads_up = child.is_symlink() and start.startswith(os.path.join(os.path.realpath(child), ""))
                if which in seen or leads_up:
                    self.left_out.add("loop", child)
                else:
                    seen.add(which)
                    waiting.append(child)
        return sorted(found)

    def _listed(self, folder: Path) -> Children:
        folders, files = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    kind = self._kind(entry)
                    if kind == "folder":
                        folders.append(folder / entry.name)
                    elif kind == "file":
                        files.append(folder / entry.name)
        except OSError as error:
            if folder == self.root:
                raise failure(f"data: {folder} cannot be read: {(error.strerror or str(error)).lower()}") from error
            self.left_out.add("unreadable", folder)
        return Children(tuple(folders), tuple(files))

    def _kind(self, entry: os.DirEntry[str]) -> str:
        """`folder`, `file`, or nothing for what is left out."""
        try:
            link = entry.is_symlink()
            if not link and is_hidden(entry.name):
                self._leave_hidden(entry)
                return ""
            mode = (os.stat if link else os.lstat)(entry.path).st_mode  # neither opens anything
        except FileNotFoundError:
            self.left_out.add("dangling", entry.path)
            return ""
        except OSError as error:  # a link to itself, or to what may not be looked at
            self.left_out.add(
                "dangling" if entry.is_symlink() else "unreadable",
                f"{entry.path} ({(error.strerror or str(error)).lower()})",
            )
            return ""
        if link and is_hidden(entry.name):
            return ""
        if link and not self._leads_inside(entry.path):
            self.left_out.add("outside", entry.path)
            return ""
        if stat.S_ISDIR(mode):
            return "folder"
        if stat.S_ISREG(mode):
            return "file"
        self.left_out.add("special", entry.path)
        return ""

    def _leave_hidden(self, entry: os.DirEntry[str]) -> None:
        if entry.is_dir(follow_symlinks=False):
            self.left_out.add("hidden", entry.path, count_images(entry.path))
        elif is_image(Path(entry.name)) and entry.name.lower() not in SYSTEM_FILES:
            self.left_out.add("hidden_file", entry.path)

    def _leads_inside(self, path: str) -> bool:
        return os.path.join(os.path.realpath(path), "").startswith(os.path.join(self._real, ""))


def _identity(folder: Path) -> Hashable:
    """What identifies a folder whatever its path; the path of one that cannot be examined."""
    try:
        status = os.stat(folder)
    except OSError:
        return os.fspath(folder)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or made by a system and not by a person."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS | SYSTEM_FILES


def is_image(file: Path) -> bool:
    """Whether a file is an image by its suffix."""
    return file.suffix.lower() in SUFFIXES


def is_video(file: Path) -> bool:
    """Whether a file is a video by its suffix."""
    return file.suffix.lower() in VIDEO_SUFFIXES


def count_images(folder: str | Path) -> int:
    """How many files below `folder` are images by their suffix; no link is followed."""
    return sum(is_image(Path(name)) for _, _, names in os.walk(folder) for name in names)


def counted_images(count: int) -> str:
    """`1 image`, `2,000 images`."""
    return counted(count, "image")


def listed(places: Iterable[str | os.PathLike[str]]) -> str:
    """The first few of `places`, and how many more there are; bytes that are not UTF-8 are escaped."""
    return few([os.fsencode(place).decode("utf-8", "backslashreplace") for place in places], NAMED)
