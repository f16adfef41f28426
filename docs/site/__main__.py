"""`python -m docs.site`: build the site, in build/site."""

from __future__ import annotations

import time
from pathlib import Path

import click

from docs.site.build import ROOT, SITE, build


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    default=ROOT / "build",
    help="The folder for the site and its sources in Markdown.  [default: build]",
)
@click.option(
    "--repository",
    metavar="URL",
    help="Where the repository is published, such as https://github.com/OWNER/NAME: pages then link to the files that"
    " are edited to change them.",
)
@click.option("--url", metavar="URL", help="Where the site is to be served; its 404 page needs this unless at a root.")
def main(out: Path, repository: str | None, url: str | None) -> None:
    """Write the pages of the documentation and build the site. Warnings, such as a broken link, are errors."""
    begun = time.monotonic()
    count = build(out, (repository or "").rstrip("/") or None, url)
    click.echo(f"{count} pages in {out / SITE} ({time.monotonic() - begun:.0f} s); open {out / SITE / 'index.html'}")


if __name__ == "__main__":
    main()
