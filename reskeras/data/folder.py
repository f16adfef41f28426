"""`folder:PATH`: one sub-folder a class, with or without folders for training, validation and test above them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reskeras.data.checked import Checked, check_files
from reskeras.data.division import BY_POSITION, DIVISION, divided, divided_by_position
from reskeras.data.file_split import channels_of, file_split, skipped
from reskeras.data.fingerprint import entries
from reskeras.data.layout import Layout, folded, read_layout
from reskeras.data.purpose import Purpose
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError, unknown
from reskeras.printable import is_utf8
from reskeras.walk import SUFFIXES, Walk, check_folder, is_image

TEST_SHARE = 0.2

Files = dict[str, list[Path]]  # of each class


def open_folder(path: Path, purpose: Purpose) -> Source[Split]:
    """The images below `path` in folders of classes, for training or for testing."""
    return _for_training(path, purpose.division) if purpose.testing is None else _for_testing(path, purpose.testing)


def _for_training(path: Path, division: int) -> Source[Split]:
    """The images below `path`, for training. Each is decoded once (`check_files` remembers it), so that one which
    cannot be read is named, skipped and counted now and not in the middle of training.

    `read_layout` says which folders are splits, `Walk` what is left out; the notes report both. Without a folder
    for test one image in five of each class is for test, by a hash of its name (`divided`); with `division` BY_POSITION
    as runs of before divided them. Raises ReskerasError for a missing folder, no classes, or a class without an image.
    """
    opened = _Opened.at(path, division)
    layout = opened.layout
    if layout.train is None:
        raise ReskerasError(f"data: {path} has no train folder; it has {opened.split_names()}")
    train = opened.split("train", layout.train)
    opened.every_class_has_images(layout.train)
    if layout.test:
        test, validation = opened.split("test", layout.test), None
        if layout.validation and division > BY_POSITION:
            validation = opened.split("validation", layout.validation)
        return opened.source(train, test, validation, f"the folder {layout.name(layout.test)}")
    _, names, labels = opened.images(layout.train)
    if division == BY_POSITION:
        for_training, for_test = divided_by_position(labels, TEST_SHARE)
        how = "a fixed 20% of each class"
    else:
        for_training, for_test = divided(names, labels, TEST_SHARE)
        how = "a fixed sample of about 20% of each class"
    if not len(for_test):
        raise ReskerasError(f"data: {path} has one image per class; at least two are needed, one of them for testing")
    opened.notes.append(f"no test folder: {len(for_test):,} of {train.count:,} images are held out for testing")
    return opened.source(train.part("train", for_training), train.part("test", for_test), None, how)


def _for_testing(path: Path, classes: Sequence[str]) -> Source[Split]:
    """The images below `path`, for testing a classifier of `classes`: those of its test split, of its validation split
    where it has no other, else all of them.

    One class or one image is enough; a class that is not among `classes`, if any are given, is a ReskerasError (status
    2). Where there is a test split, the training images are there too.
    """
    opened = _Opened.at(path, classes=classes)
    layout, train = opened.layout, None
    tested = layout.test or layout.train
    if tested is None:
        raise ReskerasError(
            f"data: {path} has no images in folders of classes" + "".join(f"; {note}" for note in opened.notes[:2])
        )
    if layout.test and layout.train:
        train = opened.split("train", layout.train)
        train = train if train.count else None
        how = f"the folder {layout.name(layout.test)}"
        opened.notes.append(f"testing on {how} of {path}")
    elif tested != path:
        how = f"the folder {tested.relative_to(path).as_posix()}"
        opened.notes.append(f"testing on all images of {how}")
    else:
        how = "all images"
        opened.notes.append(f"testing on all images of {path}")
    return opened.source(train, opened.split("test", tested), None, how)


@dataclass
class _Opened:
    """A folder that was walked and whose images were checked."""

    path: Path
    walk: Walk
    layout: Layout
    found: dict[Path, Files]  # of each split's folder
    classes: tuple[str, ...]
    readable: dict[Path, Checked]
    unread: tuple[str, ...]  # notes on the files that are not
    notes: list[str]
    division: int

    @classmethod
    def at(cls, path: Path, division: int = DIVISION, classes: Sequence[str] = ()) -> _Opened:
        """Walk and check; `classes` are those that are looked for, where they are known."""
        check_folder(path)
        walk = Walk(path)
        layout = read_layout(walk, classes)
        splits = [folder for folder in (layout.train, layout.validation, layout.test) if folder]
        found = {folder: _class_files(walk, folder, division) for folder in splits}
        trained = found[layout.train] if layout.train else ()
        known = {folded(name): name for name in (classes or trained)}
        for folder in splits if known else ():
            found[folder] = {
                known[name]: files
                for name, files in found[folder].items()
                if name in known or _refuse(name, folder, layout, list(known.values()), bool(classes))
            }
        images = [file for files in found.values() for each in files.values() for file in each if is_image(file)]
        others = [file for files in found.values() for each in files.values() for file in each if not is_image(file)]
        checked = check_files(path, list(dict.fromkeys(images)))
        readable = {file: entry for file, entry in checked.items() if entry.mode is not None}
        unread = tuple(skipped(images, others, readable))
        notes = [*layout.notes, *_case_notes(known.values()), *unread, *walk.left_out.notes()]
        present = {
            name for files in found.values() for name, each in files.items() if not readable.keys().isdisjoint(each)
        }
        names = known.values() if known and not classes else present
        return cls(path, walk, layout, found, tuple(sorted(names)), readable, unread, notes, division)

    def split_names(self) -> str:
        """The folders of the existing splits, for an error message."""
        folders = [folder for folder in (self.layout.validation, self.layout.test) if folder]
        return " and ".join(sorted(self.layout.name(folder) for folder in folders)) or "no classes"

    def split(self, name: str, folder: Path) -> Split:
        """The readable images of a split's folder; ReskerasError where there are none."""
        files, names, labels = self.images(folder)
        if not files:
            raise ReskerasError(f"data: {folder} has no image that can be read{self._why()}")
        checked = [self.readable[file] for file in files]
        return file_split(
            name, files, labels, self._channels(), checked, entries(names, [each.content for each in checked], labels)
        )

    def every_class_has_images(self, folder: Path) -> None:
        """ReskerasError for a class without a readable image in a split's folder."""
        for name in self.classes:
            if not any(file in self.readable for file in self.found[folder].get(name, ())):
                raise ReskerasError(
                    f"data: class {name} of {self.path} has no image that can be read "
                    f"({', '.join(sorted(SUFFIXES))}){self._why()}"
                )

    def source(self, train: Split | None, test: Split, validation: Split | None, how: str) -> Source[Split]:
        """The source of these splits."""
        layout, origins = self.layout, {}
        if train and layout.train and layout.test:
            origins["train"] = f"the folder {layout.name(layout.train)}"
        if validation and layout.validation:
            origins["validation"] = f"the folder {layout.name(layout.validation)}"
            self.notes.append(f"validation uses the {validation.count:,} images of {origins['validation']}")
        return Source(
            name=f"folder:{self.path}",
            label=self.path.absolute().name,
            classes=self.classes,
            channels=self._channels(),
            train=train,
            test=test,
            notes=tuple(self.notes),
            divided=how,
            validation=validation,
            origins=origins,
            division=self.division,
        )

    def images(self, folder: Path) -> tuple[list[Path], list[str], np.ndarray]:
        """The readable images of a split, their names within their classes in Unicode's composed form, and int32
        labels."""
        rows = [
            (file, label)
            for label, name in enumerate(self.classes)
            for file in self.found[folder].get(name, ())
            if file in self.readable
        ]
        names = [folded(_below(file, folder)) for file, _ in rows]
        return [file for file, _ in rows], names, np.array([label for _, label in rows], np.int32)

    def _channels(self) -> int:
        return channels_of(self.readable.values())

    def _why(self) -> str:
        """What was skipped, for an error message."""
        notes = [*self.unread, *self.walk.left_out.notes()]
        return f"; {'; '.join(notes[:2])}" if notes else ""


def _class_files(walk: Walk, folder: Path, division: int) -> Files:
    """The files of each class below a split's folder, by the class' name in composed form."""
    children = walk.children(folder)
    if not children.folders:
        raise ReskerasError(
            f"data: {folder} has no sub-folders; expected one folder of images per class"
            + "".join(f"; {note}" for note in walk.left_out.notes()[:2])
        )
    for file in children.images:
        walk.left_out.add("loose", file)
    found: Files = {}
    for child in children.folders:
        name = child.name
        if name.splitlines() != [name] or not is_utf8(name):  # classes.txt keeps a name on a line, as UTF-8
            raise ReskerasError(f"data: {folder} has a sub-folder {name!r}, which is not a valid class name")
        if division == BY_POSITION:  # positions count among all the files that were found then, hidden folders' too
            files = sorted(file for file in child.rglob("*") if not file.name.startswith(".") and file.is_file())
        else:
            files = walk.files(child)
        found.setdefault(folded(name), []).extend(files)
    return found


def _refuse(name: str, folder: Path, layout: Layout, known: list[str], asked: bool) -> bool:
    """Raise the ReskerasError for a class of a split that is not known."""
    if asked:
        raise unknown(f"data: class of {folder}", name, known)
    raise ReskerasError(f"data: class {name} is in {folder} but not in {layout.train}")


def _case_notes(classes: Iterable[str]) -> Iterator[str]:
    """Notes on classes that a person may have meant to be one."""
    by_letters: dict[str, list[str]] = {}
    for name in classes:
        by_letters.setdefault(name.casefold(), []).append(name)
    for names in by_letters.values():
        if len(names) > 1:
            yield f"classes {' and '.join(sorted(names))} differ only in upper and lower case; are they the same class?"


def _below(file: Path, folder: Path) -> str:
    """The path of `file` within its class' folder, which is below `folder`."""
    return "/".join(file.relative_to(folder).parts[1:])
