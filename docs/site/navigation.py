"""The order of the site's pages; a page that has no place in it is an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from docs.site.page import Page

# Sections in the order of the site's tabs, and the pages and groups of pages in them. Hand-written pages that are not
# there are left out of the navigation; `*` stands for all written pages of a folder that no other entry names.
PLACES: Mapping[str, tuple[str | tuple[str, tuple[str, ...]], ...]] = {
    "Home": ("index.md",),
    "Learn": (
        "tutorial.md",
        ("Begin", ("guides/install.md", "guides/student.md", "guides/researcher.md", "guides/engineer.md")),
        (
            "Classify images",
            (
                *("guides/networks.md", "guides/data.md", "guides/train.md", "guides/recipes.md"),
                *("guides/fine-tune.md", "guides/multilabel.md", "guides/search.md"),
            ),
        ),
        ("Find objects", ("guides/detect.md", "guides/localise.md")),
        ("Use a network", ("guides/serve.md", "guides/port.md", "guides/identify.md")),
        ("Grow", ("guides/machines.md", "guides/scaling.md", "guides/remote.md", "scaling.md", "remote.md")),
        ("Understand", ("guides/reproduce.md", "guides/analyse.md")),
        ("Ways in", ("guides/command-line.md", "guides/python.md", "python.md")),
        "comparison.md",
        "glossary.md",
    ),
    "Commands": ("commands/index.md", "commands/*"),
    "Reference": (
        "catalogue.md",
        ("Built-in files", ("reference/recipes.md", "reference/spaces.md", "reference/suites.md")),
        ("YAML files", ("reference/yaml.md", "reference/*")),
    ),
    "Python API": ("api.md", "api/*"),
    "Results": ("results/index.md", "results/files.md", "benchmarks.md", "gallery.md"),
    "Project": ("changelog.md", "contributing.md"),
}
TITLES = {"results/index.md": "Results", "index.md": "Home"}  # where the heading is too long or has another purpose
Entry = dict[str, Any]  # a title, and its page or the entries below it


@dataclass
class Navigation:
    """The pages, by section and in order."""

    pages: Mapping[str, Page]

    @classmethod
    def of(cls, pages: Iterable[Page]) -> Navigation:
        """The navigation of these pages; a page of no place, or of two, ends the program."""
        every = {page.path: page for page in pages}
        navigation = cls(every)
        placed = [path for _, group in navigation.sections() for path in group]
        if lost := sorted(set(every) - set(placed)):
            where = ", ".join(every[path].source for path in lost)
            raise SystemExit(f"docs/site/navigation.py: no place for {where}; add it to PLACES")
        if twice := sorted({path for path in placed if placed.count(path) > 1}):
            raise SystemExit(f"docs/site/navigation.py: two places for {', '.join(twice)}")
        return navigation

    def sections(self) -> Iterator[tuple[str, list[str]]]:
        """Each section with all of its pages."""
        for title, entries in PLACES.items():
            named = [each for entry in entries for each in ([entry] if isinstance(entry, str) else entry[1])]
            yield title, [path for each in named for path in self._there(each)]

    def tree(self) -> list[Entry]:
        """Sections, groups and pages as the generator's setting `nav`."""
        return [{title: [*self._entries(title, entries)]} for title, entries in PLACES.items() if self._any(entries)]

    def _any(self, entries: Iterable[str | tuple[str, tuple[str, ...]]]) -> bool:
        return any(self._there(each) for entry in entries for each in ([entry] if isinstance(entry, str) else entry[1]))

    def _entries(self, section: str, entries: Iterable[str | tuple[str, tuple[str, ...]]]) -> Iterator[Entry]:
        for entry in entries:
            if isinstance(entry, str):
                paths = self._there(entry)
                for group in dict.fromkeys(self.pages[path].group for path in paths):
                    within = [path for path in paths if self.pages[path].group == group]
                    listed: list[Entry] = [{self.title(path): path} for path in within]
                    yield from ([{group: listed}] if group else listed)
            elif self._any(entry[1]):
                yield {entry[0]: [*self._entries(section, entry[1])]}

    def _there(self, entry: str) -> list[str]:
        if not entry.endswith("*"):
            return [entry] if entry in self.pages else []
        named = {
            each
            for entries in PLACES.values()
            for part in entries
            for each in ([part] if isinstance(part, str) else part[1])
        }
        return [path for path in self.pages if path.startswith(entry[:-1]) and path not in named]

    def title(self, path: str) -> str:
        """A page's title in the navigation."""
        return TITLES.get(path, self.pages[path].title)
