"""The order of the site's pages; a page that has no place in it is an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from docs.site.page import Page

# The tabs of the site, the groups of pages in them ("" stands without a heading), and their pages in order; `*` stands
# for the pages of a folder that are named nowhere, in the groups that they name.
PLACES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Home": {"": ("index.md",)},
    "Learn": {
        "": ("tutorial.md",),
        "Begin": ("guides/install.md", "guides/student.md", "guides/researcher.md", "guides/engineer.md"),
        "Classify images": (
            *("guides/networks.md", "guides/data.md", "guides/train.md", "guides/recipes.md"),
            *("guides/fine-tune.md", "guides/multilabel.md", "guides/search.md"),
        ),
        "Find objects": ("guides/detect.md", "guides/localise.md"),
        "Use a network": ("guides/serve.md", "guides/quantise.md", "guides/port.md", "guides/identify.md"),
        "Grow": ("guides/machines.md", "guides/scaling.md", "guides/remote.md"),
        "Understand": ("guides/reproduce.md", "guides/analyse.md"),
        "Ways in": ("guides/command-line.md", "guides/python.md"),
        "Look up": ("comparison.md", "glossary.md"),
    },
    "Commands": {"": ("commands/index.md", "commands/*")},
    "Reference": {
        "": ("catalogue.md",),
        "Built-in files": ("reference/recipes.md", "reference/spaces.md", "reference/suites.md"),
        "YAML files": ("reference/yaml.md", "reference/*"),
    },
    "Python API": {"": ("api.md", "api/*")},
    "Results": {"": ("results/index.md", "results/files.md", "benchmarks.md", "gallery.md")},
    "Project": {"": ("changelog.md", "contributing.md")},
}
NAMED = {path for groups in PLACES.values() for paths in groups.values() for path in paths}
TITLES = {"index.md": "Home"}  # where the heading says it in another way


@dataclass
class Navigation:
    """The pages by path, and their order."""

    pages: Mapping[str, Page]

    @classmethod
    def of(cls, pages: Iterable[Page]) -> Navigation:
        """The navigation of these pages; a page without a place, and two pages for one, end the program."""
        every = list(pages)
        if twice := [path for path, count in Counter(page.path for page in every).items() if count > 1]:
            sources = ", ".join(page.source for page in every if page.path in twice)
            raise SystemExit(f"docs/site: {twice[0]} is made from {sources}; rename one of them")
        navigation = cls({page.path: page for page in every})
        placed = {path for _, paths in navigation.sections() for path in paths}
        if lost := [page.source for page in every if page.path not in placed]:
            raise SystemExit(f"docs/site/navigation.py: no place for {', '.join(lost)}; add it to PLACES")
        return navigation

    def sections(self) -> Iterator[tuple[str, list[str]]]:
        """Each tab with the paths of all its pages."""
        for tab in PLACES:
            yield tab, [path for _, path in self._placed(tab)]

    def tree(self) -> list[dict[str, Any]]:
        """Tabs, groups and pages as the generator's setting `nav`: titles to paths, or to lists of such."""
        return [{tab: entries} for tab in PLACES if (entries := [*self._entries(tab)])]

    def _entries(self, tab: str) -> Iterator[dict[str, Any]]:
        for group, placed in groupby(self._placed(tab), key=lambda each: each[0]):
            listed = [{self.title(path): path} for _, path in placed]
            yield from ([{group: listed}] if group else listed)

    def _placed(self, tab: str) -> Iterator[tuple[str, str]]:
        """The group and path of each page of a tab; pages with the same group stand together."""
        for group, entries in PLACES[tab].items():
            found = [(self.pages[path].group or group, path) for entry in entries for path in self._there(entry)]
            order = list(dict.fromkeys(each for each, _ in found))
            yield from sorted(found, key=lambda each: order.index(each[0]))

    def _there(self, entry: str) -> list[str]:
        if not entry.endswith("*"):
            if entry not in self.pages:
                raise SystemExit(f"docs/site/navigation.py: {entry} is in PLACES, but no such page was written")
            return [entry]
        return [path for path in self.pages if path.startswith(entry[:-1]) and path not in NAMED]

    def title(self, path: str) -> str:
        """A page's title in the navigation: what stands before a colon says enough there."""
        return TITLES.get(path, self.pages[path].title.partition(": ")[0])
