"""The site: pages gathered, written to a folder of sources, and built by Zensical with warnings as errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import reskeras
from docs.site import api, commands, documents, gallery, llms, networks, results, schemas
from docs.site.handwritten import Links, sources
from docs.site.navigation import Navigation
from docs.site.page import front_matter
from docs.site.redirects import OLD_ANCHORS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCES, SITE = "docs-src", "site"
TAKEN = {".png", ".jpg", ".svg", ".csv", ".json", ".jsonl", ".yaml", ".html"}  # files below docs/ that pages link to


def gathered(root: Path = ROOT, repository: str | None = None) -> Navigation:
    """All pages of the site, written and hand-written, each in its place."""
    written = [
        *(*commands.pages(), *networks.pages(), *documents.pages(), *schemas.pages()),
        *(*api.pages(root), *results.pages(root), *gallery.pages(root)),
    ]
    hand = sources(root)
    links = Links(root, hand, {page.path for page in written}, repository)
    return Navigation.of([*written, *map(links.of, hand)])


def write_sources(navigation: Navigation, folder: Path, root: Path = ROOT) -> None:
    """Write the pages and what they link to into `folder`, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for page in navigation.pages.values():
        _write(folder / page.path, front_matter(page))
    for file in _files(root):
        _copy(file, folder / file.relative_to(root / "docs"))
    for asset in (HERE / "assets").iterdir():
        _copy(asset, folder / "assets" / asset.name)
    moved = {anchor: target.replace(".md", ".html") for anchor, target in OLD_ANCHORS.items()}
    _write(folder / "assets/moved.js", f"var moved = {json.dumps(moved, indent=1)};\n")


def _files(root: Path) -> Iterator[Path]:
    site = root / "docs/site"
    for file in sorted((root / "docs").rglob("*")):
        if file.suffix in TAKEN and file.is_file() and site not in file.parents:
            yield file


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def build(folder: Path, repository: str | None = None, url: str | None = None, root: Path = ROOT) -> int:
    """Build the site in `folder`/site from the sources in `folder`/docs-src, both made anew; the number of its pages. A
    warning ends the program.

    Pages link to the files that they are made of in `repository`, if given. `url` is where the site is to be served,
    which only its 404 page and sitemap depend on."""
    navigation = gathered(root, repository)
    write_sources(navigation, folder / SOURCES, root)
    shutil.copytree(HERE / "overrides", folder / "overrides", dirs_exist_ok=True)
    settings = folder / "zensical.toml"
    _write(settings, _settings(navigation, repository, url))
    shutil.rmtree(folder / SITE, ignore_errors=True)
    words = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", str(settings)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nthe site was not built: warnings are errors")
    for page in navigation.pages.values():
        _write(folder / SITE / page.path, page.text.strip() + "\n")
    _write(folder / SITE / "llms.txt", llms.listed(navigation, reskeras.__version__))
    _write(folder / SITE / "llms-full.txt", llms.whole(navigation))
    return len(navigation.pages)


def _settings(navigation: Navigation, repository: str | None, url: str | None) -> str:
    """zensical.toml with what only this build knows. JSON's strings, lists and numbers are TOML's too."""
    text = (HERE / "zensical.toml").read_text("utf-8")
    name = f"reskeras {reskeras.__version__}"
    project: dict[str, Any] = {"site_name": name, "docs_dir": SOURCES, "site_dir": SITE, "nav": navigation.tree()}
    project |= {"site_url": url} if url else {}
    extra = {"release": reskeras.__version__, "repository": repository or ""}
    for table, values in (("project", project), ("project.extra", extra)):
        head = f"[{table}]\n"
        text = text.replace(head, head + "".join(f"{name} = {_toml(value)}\n" for name, value in values.items()), 1)
    return text


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
