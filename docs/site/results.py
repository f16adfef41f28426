"""The data behind the results: a page that lists the files of each folder of docs/results."""

from __future__ import annotations

import csv
from functools import partial
from itertools import groupby
from pathlib import Path

from docs.site.handwritten import folder_anchor
from docs.site.page import Page, address, code, table

PATH = "results/files.md"
MOST_COLUMNS = 8  # that are named
KINDS = {
    ".csv": "table",
    ".json": "values",
    ".jsonl": "a line of figures for each epoch or trial",
    ".yaml": "recipe or network",
    ".html": "report page",
    ".png": "picture",
    ".jpg": "picture",
    ".svg": "picture, scalable",
}


def pages(root: Path) -> list[Page]:
    """The page of all files of results."""
    to = partial(address, PATH)
    parts = [
        "# Data of the results",
        f"Every figure in the [results]({to('results/index.md')}) comes from these files; `reskeras report FOLDER`"
        " writes their page again.",
    ]
    for folder, files in groupby(files_of_results(root), key=lambda file: file.parent):
        name = folder.relative_to(root).as_posix()
        rows = [
            [
                f"[{code(file.name)}]({to(file.relative_to(root / 'docs').as_posix())})",
                _content(file),
                _size(file.stat().st_size),
            ]
            for file in files
        ]
        title = name.removeprefix("docs/results/")
        parts += [f"## {title} {{#{folder_anchor(name)}}}", table(["file", "content", "size"], rows, right=["size"])]
    return [Page(PATH, "Data", "\n\n".join(parts), "docs/site/results.py", "Tables and values behind all results.")]


def files_of_results(root: Path) -> list[Path]:
    """The files of all folders of results, folder by folder."""
    found = (path for path in (root / "docs/results").rglob("*") if path.suffix in KINDS)
    return sorted(found, key=lambda path: (path.parent.relative_to(root).parts, path.name))


def _content(file: Path) -> str:
    kind = KINDS[file.suffix]
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as text:
            head, *rows = csv.reader(text)
        columns = ", ".join(map(code, head[:MOST_COLUMNS])) + (", ..." if len(head) > MOST_COLUMNS else "")
        return f"{len(rows):,} rows: {columns}"
    if file.suffix == ".jsonl":
        return f"{len(file.read_text('utf-8').splitlines()):,} lines, {kind}"
    return kind


def _size(size: int) -> str:
    return f"{size / 1024:,.0f} KiB" if size >= 1024 else f"{size} B"
