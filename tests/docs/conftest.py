"""The site, built once for all tests that look at it."""

from pathlib import Path

import pytest

REPOSITORY = "https://example.org/owner/name"


@pytest.fixture(scope="session")
def site(made_once):
    """The folder of the built site, whose pages link to files in `REPOSITORY`. Tests must not change it."""
    from docs.site.build import SITE, build

    return Path(made_once("docs-site", lambda folder: build(folder, REPOSITORY))) / SITE


@pytest.fixture(scope="session")
def navigation():
    """All pages as Markdown, in their places."""
    from docs.site.build import gathered

    return gathered()
