"""Fixtures shared by the tests that need a trained run."""

import pytest

TINY = {"family": "cifar", "stages": [1, 1], "input_shape": [16, 16, 1]}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache folder of the tests' own, for this process and those that it starts."""
    import os

    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A tiny network trained for four epochs on digits: a `reskeras.Run`. Tests must not change it."""
    import reskeras

    out = tmp_path_factory.mktemp("runs") / "tiny"
    # batches of 32: it learns with a margin, however sums are rounded
    return reskeras.train(reskeras.network(**TINY), "digits", epochs=4, batch_size=32, out=out)


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the trained run that a test may spoil."""
    import shutil

    import reskeras

    return reskeras.Run(shutil.copytree(trained.path, tmp_path / "copied"))
