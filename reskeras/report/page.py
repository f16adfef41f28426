"""A report page as one self-contained HTML file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from reskeras import __version__
from reskeras.files import write_text
from reskeras.printable import printable
from reskeras.report.sections import Page


def render(page: Page) -> str:
    """The page as self-contained HTML5; text from outside, such as class names, is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    template = environment.from_string(_part("page.html"))
    sections = [(f"section-{place}", section) for place, section in enumerate(page.sections, 1)]
    return template.render(
        page=page, sections=sections, style=_part("page.css"), script=_part("page.js"), version=__version__
    )


def write_page(page: Page, path: str | Path) -> Path:
    """Write `page` to `path`, whole or not at all."""
    path = Path(path)
    write_text(path, render(page))
    return path


def _shown(value: object) -> object:
    """Text from outside on one line, without control characters and bidirectional overrides."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _part(name: str) -> str:
    return (files("reskeras.report.templates") / name).read_text("utf-8")
