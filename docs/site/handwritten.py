"""Hand-written Markdown as pages of the site: its links follow the files, papers become links, lists stand apart."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from docs.site.page import FENCE, PAPER, Page, address, heading_of, outside_code, picture
from docs.site.redirects import OLD_ANCHORS

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#")
ITEM = re.compile(r" {0,3}([-*+]|\d+[.)]) ")
OWN = "docs/site/"  # the program's own folder
# Markdown below docs/ that is part of another page
NOT_PAGES = {"docs/benchmarks/notes.md"}
WIDE = {"docs/benchmarks.md", "docs/comparison.md"}  # whose tables need the room of the table of contents
# files that are pages under another name, with their titles in the navigation
RENAMED = {
    "docs/results/README.md": "results/index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def sources(root: Path) -> dict[str, str]:
    """The page of each hand-written file of the repository."""
    below = sorted(path.relative_to(root).as_posix() for path in (root / "docs").rglob("*.md"))
    found = {path: path.removeprefix("docs/") for path in below if path not in NOT_PAGES and not path.startswith(OWN)}
    return found | RENAMED


@dataclass(frozen=True)
class Links:
    """Where links of hand-written files lead on the site.

    `pages` are the pages by the file that they are made of, `written` the others; `repository` is the address where the
    repository is published, if anywhere: files that the site lacks are shown there.
    """

    root: Path
    pages: Mapping[str, str]
    written: Set[str] = frozenset()
    repository: str | None = None

    def of(self, source: str) -> Page:
        """The page of a hand-written file. A link to a file that does not exist ends the program."""
        text = (self.root / source).read_text("utf-8")

        def led(found: re.Match[str]) -> str:
            mark, words, target = found.groups()
            if ELSEWHERE.match(target):
                return found[0]
            there = self._target(source, unquote(target))
            return picture(words, there) if mark and there else f"[{words}]({there})" if there else words

        linked = outside_code(outside_code(text, LINK, led), PAPER, r"[arXiv:\1](https://arxiv.org/abs/\1)")
        title, summary = title_of(text, source), summary_of(text)
        return Page(self.pages[source], title, spaced(linked), source, summary, wide=source in WIDE)

    def _target(self, source: str, target: str) -> str | None:
        path, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(source), path)) if path else source
        here = self.pages[source]
        if file in self.pages:
            return address(here, self.pages[file], anchor)
        if file == "README.md":
            return address(
                here, *(OLD_ANCHORS.get(anchor, f"index.md#{anchor}").split("#") if anchor else ["index.md"])
            )
        if file.removeprefix("docs/") in self.written:
            return address(here, file.removeprefix("docs/"), anchor)
        if not (self.root / file).exists():
            raise SystemExit(f"{source}: link to {target}, which does not exist")
        if file.startswith("docs/results/") and (self.root / file).is_dir():
            return address(here, "results/files.md", folder_anchor(file))
        if file.startswith("docs/") and (self.root / file).is_file() and not file.endswith(".py"):
            return address(here, file.removeprefix("docs/"))
        return f"{self.repository}/blob/main/{file}" if self.repository else None


def folder_anchor(folder: str) -> str:
    """The anchor of a folder of results in the page that lists their files."""
    return folder.removeprefix("docs/results/").replace("/", "-")


def title_of(text: str, source: str) -> str:
    """The first heading."""
    heading = heading_of(text)
    if not heading:
        raise SystemExit(f"{source}: a page needs a heading of the first level")
    return heading


def summary_of(text: str) -> str:
    """The first paragraph of prose, without its markup; at most 200 characters of whole sentences."""
    prose = (
        part for part in text.split("\n\n") if part.strip() and not re.match(r"\s*([#!|>`<*-]|\d+\. )(?!\*)", part)
    )
    words = " ".join(re.sub(r"[`*]|!?\[|\]\([^)]*\)", "", next(prose, "")).split())
    sentences = re.split(r"(?<=[.!?]) ", words)
    kept = sentences[0]
    for sentence in sentences[1:]:
        if len(kept) + len(sentence) > 200:
            break
        kept += f" {sentence}"
    return kept


def spaced(text: str) -> str:
    """`text` with an empty line before each list that follows a paragraph directly, as Python-Markdown wants it."""
    return "\n".join(_spaced(text.split("\n")))


def _spaced(lines: list[str]) -> Iterator[str]:
    fenced, listed, before = False, False, ""
    for line in lines:
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            item = bool(ITEM.match(line))
            if item and not listed and before.strip():
                yield ""
            listed = item or (listed and bool(line.strip()))
        yield line
        before = line
