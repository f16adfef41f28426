"""The examples of README, guides and other pages: commands print what is shown, Python runs, YAML is understood."""

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


def test_the_pages_have_examples():
    languages = {name: {block.language for block in page.blocks if not block.skipped} for name, page in PAGES.items()}
    assert languages["README.md"] >= {"console"}
    assert languages["docs/python.md"] >= {"python"}
    assert languages["docs/scaling.md"] >= {"console", "python"}
    assert languages["docs/results/README.md"] >= {"console"}
