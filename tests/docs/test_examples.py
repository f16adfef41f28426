"""The examples of README, guides and other pages: commands print what is shown, Python runs, YAML is understood."""

import re
from collections import Counter

import pytest

from docs.site.examples.page import Page, pages
from docs.site.examples.terminal import Terminal

PAGES = {page.name: page for page in map(Page, pages())}
BLOCKS = [
    pytest.param(name, block, id=f"{name}:{block.line}", marks=[pytest.mark.slow] * block.slow)
    for name, page in PAGES.items()
    for block in page.blocks
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The pages, whose examples run in a terminal of their own."""
    terminal = Terminal(tmp_path_factory.mktemp("examples") / "terminal")
    yield {name: Page(page.path, terminal) for name, page in PAGES.items()}
    terminal.close()


@pytest.mark.parametrize(("name", "block"), BLOCKS)
def test_an_example_does_what_its_page_says(name, block, opened):
    # else: python -m docs.site.examples --update NAME
    ran = opened[name].run(block)
    assert not ran.problem, ran.problem


@pytest.mark.parametrize("name", PAGES)
def test_commands_options_and_fields_in_running_text_exist(name):
    assert [*PAGES[name].prose_problems()] == []


def test_no_block_is_overlooked():
    kinds = Counter(block.language for page in PAGES.values() for block in page.blocks if not block.skipped)
    assert all(kinds[kind] > 1 for kind in ("console", "shell", "python", "yaml")), kinds
    for page in PAGES.values():
        commands = [step.command for block in page.blocks if block.language == "console" for step in block.steps]
        assert len(commands) == len(re.findall(r"(?m)^ *\$ ", page.text))
        for language in ("python", "yaml"):
            found = [block for block in page.blocks if block.language == language]
            assert len(found) == len(re.findall(rf"(?m)^ *```{language}\b", page.text))
