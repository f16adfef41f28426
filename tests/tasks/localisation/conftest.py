"""A trained localiser that the tests of localisation share."""

import pytest

from tests.tasks.detection.shapes import shapes_folder
from tests.tasks.localisation.shapes import LEARNING, train


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Squares and discs, as the name of a source."""
    return f"voc:{shapes_folder(tmp_path_factory.mktemp('shapes') / 'voc', train=24, test=8)}"


@pytest.fixture(scope="session")
def run(data, tmp_path_factory):
    """A trained localiser."""
    return train(data, out=tmp_path_factory.mktemp("localiser") / "run", **LEARNING)
