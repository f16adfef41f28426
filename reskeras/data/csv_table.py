"""`csv:PATH`: image files listed in a table with the columns path, label (or labels) and, if wanted, split."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reskeras.bounded import read_bounded
from reskeras.data.checked import Checked, check_files
from reskeras.data.class_labels import counts_by_class
from reskeras.data.division import divided
from reskeras.data.file_split import channels_of, file_split, skipped
from reskeras.data.fingerprint import entries, order_of
from reskeras.data.layout import ROLES, WORDS, folded, role_of
from reskeras.data.purpose import Purpose
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError, shown, unknown
from reskeras.walk import counted_images

LARGEST = 1 << 28  # bytes; a million rows have about 50 million
MOST_CLASSES = 1_000_000
TEST_SHARE = 0.2
COLUMNS = ("path", "label", "labels", "split")
SEVERAL = "|"  # between the labels of one image


@dataclass(frozen=True)
class Row:
    """A line of the table: the image, its classes and the split it is for; `line` is where messages point."""

    line: int
    path: str
    classes: tuple[str, ...]
    split: str


@dataclass(frozen=True)
class Table:
    """The rows of `file`, in order. `several`: the images may be of several classes each, or of none."""

    file: Path
    rows: list[Row]
    several: bool

    @classmethod
    def read(cls, file: Path) -> Table:
        """Raises ReskerasError (status 2), which names the line, for what is no such table."""
        if not file.exists():
            raise ReskerasError(f"data: file not found: {file}")
        try:
            text = read_bounded(file, LARGEST).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ReskerasError(f"data: {file} is not UTF-8 text") from error
        except (OSError, ValueError) as error:
            raise ReskerasError(f"data: {file}: {getattr(error, 'strerror', None) or error}") from error
        lines = _cells(file, text)
        line, header = next(lines, (1, []))
        names = _header(file, line, header)
        cells = [(line, dict(zip(names, row, strict=True))) for line, row in _whole(file, lines, len(names))]
        several = "labels" in names or any(SEVERAL in row["label"] for _, row in cells)
        rows = [_row(file, line, row, several) for line, row in cells]
        if not rows:
            raise ReskerasError(f"data: {file} has no rows below its header")
        _refuse_twice(file, rows)
        return cls(file, rows, several)

    def of_split(self, name: str) -> list[Row]:
        """The rows for a split."""
        return [row for row in self.rows if row.split == name]

    def at(self, row: Row) -> str:
        """Where a row is."""
        return f"{self.file}, line {row.line}"


def open_csv(path: Path, purpose: Purpose) -> Source[Split]:
    """The images that the table at `path` lists, in the order of its rows; relative paths go from its folder.

    Rows are for training, validation or test by the words that folders may be called (`layout.ROLES`); validation rows
    are for test where there are no others. Without either, about one image in five is held out for test, by a hash of
    its path. Images have several classes where a label has `|` or the column is called `labels`. Opened for testing
    without test rows, all are for test.

    Raises ReskerasError (status 2) for a broken table, a missing file, a class without a training image that can be
    read. Files that are no image that can be read are skipped and noted.
    """
    table = Table.read(path)
    rows = {name: table.of_split(name) for name in ("train", "validation", "test")}
    testing = purpose.testing is not None
    if not rows["test"]:
        rows["test"], rows["validation"] = rows["validation"], []
    if testing:
        rows = {"train": rows["train"] if rows["test"] else [], "test": rows["test"] or rows["train"], "validation": []}
    elif not rows["train"]:
        raise ReskerasError(f"data: {path} has no training rows; all are {WORDS[rows['test'][0].split]} rows")
    opened = _Opened(table, rows, _classes(table, rows, testing), _checked(table, rows))
    return opened.source(purpose)


@dataclass(frozen=True)
class _Opened:
    """A table whose files were checked; `rows` are those of each split, broken images among them."""

    table: Table
    rows: dict[str, list[Row]]
    classes: tuple[str, ...]
    checked: dict[Path, Checked]

    def source(self, purpose: Purpose) -> Source[Split]:
        """The source of the images that can be read."""
        path, testing = self.table.file, purpose.testing is not None
        files = [_file(path, row) for rows in self.rows.values() for row in rows]
        readable = {file: entry for file, entry in self.checked.items() if entry.mode is not None}
        notes = [*skipped(files, [], readable)]
        channels = channels_of(readable.values())
        splits = {name: self.split(name, readable, channels) for name, rows in self.rows.items() if rows}
        how = "the test rows" if self.table.of_split("test") else "the validation rows"
        if testing and not (self.table.of_split("test") or self.table.of_split("validation")):
            how = "all rows"
        if not testing:
            self._every_class_has_images(splits["train"][1], notes)
        if "test" not in splits:
            names = [folded(row.path) for row in self.rows["train"] if _file(path, row) in readable]
            parts, how = divided(names, splits["train"][1], TEST_SHARE), "a fixed sample of about 20% of each class"
            if not len(parts[1]):
                raise ReskerasError(f"data: {path} has one image per class; at least two are needed, one for testing")
            whole = splits["train"][0]
            notes.append(f"no test rows: {len(parts[1]):,} of {counted_images(whole.count)} are held out for testing")
            found = {name: whole.part(name, part) for name, part in zip(("train", "test"), parts, strict=True)}
        else:
            found = {name: split for name, (split, _) in splits.items()}
        if "validation" in found:
            notes.append(f"validation uses the {counted_images(found['validation'].count)} of the validation rows")
        return Source(
            name=f"csv:{path}",
            label=path.name,
            classes=self.classes,
            channels=channels,
            train=found.get("train"),
            test=found["test"],
            notes=tuple(notes),
            divided=how,
            validation=found.get("validation"),
            origins={name: f"the {WORDS[name]} rows" for name in found if "test" in splits and name != "test"},
            division=purpose.division,
            facts={"order": order_of(found)},
            multi_label=self.table.several,
        )

    def split(self, name: str, readable: dict[Path, Checked], channels: int) -> tuple[Split, np.ndarray]:
        """The readable images of a split, and their labels."""
        rows = [row for row in self.rows[name] if _file(self.table.file, row) in readable]
        if not rows:
            first = self.rows[name][0]
            raise ReskerasError(f"data: {self.table.at(first)}: none of the {WORDS[name]} images can be read")
        places = {each: index for index, each in enumerate(self.classes)}
        if self.table.several:
            labels = np.zeros((len(rows), len(self.classes)), np.uint8)
            for vector, row in zip(labels, rows, strict=True):
                vector[[places[each] for each in row.classes]] = 1
        else:
            labels = np.array([places[row.classes[0]] for row in rows], np.int32)
        files = [_file(self.table.file, row) for row in rows]
        checked = [readable[file] for file in files]
        identified = entries([folded(row.path) for row in rows], [each.content for each in checked], labels)
        return file_split(name, files, labels, channels, checked, identified), labels

    def _every_class_has_images(self, labels: np.ndarray, notes: list[str]) -> None:
        for name, count in zip(self.classes, counts_by_class(labels, len(self.classes)), strict=True):
            if not count:
                said = "".join(f"; {note}" for note in notes[:1])
                raise ReskerasError(f"data: class {name} of {self.table.file} has no image that can be read{said}")


def _cells(file: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    """The number of the line where each row begins, and its cells, without blank rows."""
    reader, line = csv.reader(io.StringIO(text, newline=""), strict=True), 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield line, [cell.strip() for cell in row]
            line = reader.line_num + 1
    except csv.Error as error:
        raise ReskerasError(f"data: {file}, line {line}: {error}") from error


def _header(file: Path, line: int, header: list[str]) -> list[str]:
    """The names of the columns."""
    names = [name.casefold() for name in header]
    asked = "its first line names the columns path, label and, if wanted, split"
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise ReskerasError(f"data: {file}, line {line}: columns are separated by commas; {asked}")
    if "path" not in names or not {"label", "labels"} & {*names}:
        raise ReskerasError(f"data: {file}, line {line}: {shown(','.join(header))} is not a header; {asked}")
    if "" in names:
        raise ReskerasError(
            f"data: {file}, line {line}: column {names.index('') + 1} has no name; leave out the index, "
            "as pandas' to_csv does with index=False"
        )
    for name in names:
        if name not in COLUMNS:
            raise unknown("data: column", name, COLUMNS, f"{file}, line {line}")
        if names.count(name) > 1 or {"label", "labels"} <= {*names}:
            raise ReskerasError(f"data: {file}, line {line}: one path and one column of labels are needed; {asked}")
    return names


def _whole(file: Path, lines: Iterator[tuple[int, list[str]]], count: int) -> Iterator[tuple[int, list[str]]]:
    for line, row in lines:
        if len(row) != count:
            raise ReskerasError(
                f"data: {file}, line {line}: has {len(row)} cells, but the header has {count}; a cell with a comma "
                "needs quotes"
            )
        yield line, row


def _row(file: Path, line: int, cells: dict[str, str], several: bool) -> Row:
    where, path = f"{file}, line {line}", cells["path"]
    if not path or "\0" in path:
        raise ReskerasError(f"data: {where}: {shown(path)} is not the path of an image")
    if "://" in path:
        raise ReskerasError(f"data: {where}: {shown(path)} is an address; list local files")
    label = cells.get("label", cells.get("labels", ""))
    classes = tuple(folded(part.strip()) for part in label.split(SEVERAL)) if several else (folded(label),)
    classes = () if classes == ("",) and several else classes
    for name in classes:
        if not name:
            hint = (
                f"; only in a column named labels, or where any label has {SEVERAL}, may it be empty"
                if not several
                else ""
            )
            raise ReskerasError(f"data: {where}: the label of {shown(path)} is empty{hint}")
        if name.splitlines() != [name]:
            raise ReskerasError(f"data: {where}: {shown(name)} is not a valid class name")
    split = "train"
    if "split" in cells:
        role = role_of(cells["split"])
        if role is None or role[1]:
            raise unknown("data: split", cells["split"], ROLES, where)
        split = role[0]
    return Row(line, os.path.normpath(path), classes, split)


def _refuse_twice(file: Path, rows: list[Row]) -> None:
    """A ReskerasError for a file in two rows: on both sides of a division it would be tested on what it trained."""
    lines: dict[Path, int] = {}
    for row in rows:
        before = lines.setdefault(_file(file, row), row.line)
        if before != row.line:
            raise ReskerasError(f"data: {file}, line {row.line}: {shown(row.path)} is also in line {before}")


def _classes(table: Table, rows: dict[str, list[Row]], testing: bool) -> tuple[str, ...]:
    """The names of the classes, sorted: those of the training images, or of all when testing."""
    used = [row for each in rows.values() for row in each]
    found = {name for row in (used if testing else rows["train"]) for name in row.classes}
    for row in used:
        for name in row.classes:
            if name not in found:
                raise ReskerasError(
                    f"data: {table.at(row)}: class {shown(name)} is in a {WORDS[row.split]} row, but in no training row"
                )
    if not found:
        raise ReskerasError(f"data: {table.file} has no labels")
    if len(found) > MOST_CLASSES:
        raise ReskerasError(f"data: {table.file} has {len(found):,} classes; at most {MOST_CLASSES:,} are supported")
    return tuple(sorted(found))


def _checked(table: Table, rows: dict[str, list[Row]]) -> dict[Path, Checked]:
    """Every file of `rows`, decoded once; a ReskerasError that names the line where one is missing."""
    by_file = {_file(table.file, row): row for each in rows.values() for row in each}
    checked = check_files(table.file.absolute(), list(by_file))
    missing = [row for file, row in by_file.items() if checked[file].mode is None and not os.path.lexists(file)]
    if missing:
        first = min(missing, key=lambda row: row.line)
        more = f"; so are {len(missing) - 1:,} more" if len(missing) > 2 else "; so is one more" * (len(missing) == 2)
        raise ReskerasError(
            f"data: {table.at(first)}: {shown(first.path)} is missing{more}, of {counted_images(len(by_file))}"
        )
    return checked


def _file(table: Path, row: Row) -> Path:
    return table.parent / row.path
