"""`python -m docs.site.examples`: check the examples of pages, rewrite what no longer matches, or list them."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from .blocks import Block, PageError
from .page import Page, pages
from .terminal import Terminal


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path))
@click.option("--slow", is_flag=True, help="Run the slow examples, too.")
@click.option("--update", is_flag=True, help="Rewrite the blocks whose commands print something else.")
@click.option("--list", "listing", is_flag=True, help="Only list the examples that are slow or not run, and why.")
def main(paths: tuple[Path, ...], slow: bool, update: bool, listing: bool) -> None:
    """Run the examples of the Markdown files PATHS, or of all pages. The exit status is 1 if one does not match."""
    wrong = 0
    with tempfile.TemporaryDirectory() as root:
        terminal = Terminal(Path(root) / "terminal")
        try:
            for path in paths or pages():
                page = Page(path, terminal)
                wrong += _list(page) if listing else _check(page, slow, update)
        finally:
            terminal.close()
    sys.exit(1 if wrong else 0)


def _check(page: Page, slow: bool, update: bool) -> int:
    """Run a page's examples and print what became of each; the number of problems that are left."""
    problems = [*page.prose_problems()]
    for problem in problems:
        click.echo(problem)
    try:
        for block in page.blocks:
            if block.slow and not slow:
                continue
            began = time.monotonic()
            problem = page.run(block).problem
            problems += [problem] if problem else []
            took = "not run" if block.skipped else f"{time.monotonic() - began:.1f} s"
            click.echo(f"{_place(page, block)}  {'WRONG' if problem else 'as shown'}  {took}")
            click.echo(f"{problem}\n" if problem else "", nl=False)
        if update:
            text, left = page.updated()
            problems = [*page.prose_problems(), *left]
            if text != page.text:
                page.path.write_text(text, encoding="utf-8")
                click.echo(f"{page.name}: rewritten; look at the difference")
    except PageError as error:
        click.echo(f"{page.name}: {error}")
        return 1
    finally:
        page.terminal.close(page.folder)
    return len(problems)


def _list(page: Page) -> int:
    for block in page.blocks:
        if block.slow or block.skipped:
            click.echo(f"{_place(page, block)}  {f'not run, {block.skipped}' if block.skipped else 'slow'}")
    return 0


def _place(page: Page, block: Block) -> str:
    """Page, line and the first command or line of a block."""
    lines = block.text.splitlines()
    first = next((step.command for step in block.steps), next(filter(None, lines), ""))
    return f"{page.name}:{block.line}  {first if len(first) <= 60 else first[:59] + '…'}"


main()
