"""Pages show what their commands print: those with figures that are computed and nothing else."""

import shutil
from pathlib import Path

import pytest

from benchmarks.pages import CONSOLE, refreshed

ROOT = Path(__file__).parents[1]
PAGES = ["docs/guides/scaling.md", "docs/results/README.md"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_what_its_commands_print(name, tmp_path):
    # else: python -m benchmarks.pages NAME
    shutil.copytree(ROOT / "docs", tmp_path / "docs")  # reports are written beside what they are about
    page = (ROOT / name).read_text("utf-8")
    assert len(CONSOLE.findall(page)) == page.count("$ reskeras")
    assert refreshed(page, tmp_path) == page


def test_another_figure_would_be_seen():
    page = (ROOT / "docs" / "guides" / "scaling.md").read_text("utf-8")
    assert refreshed(page.replace("97.7 MiB", "97.8 MiB")) == page
