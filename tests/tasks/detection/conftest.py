"""A trained detector that the tests of detection share."""

import shutil

import pytest


@pytest.fixture(scope="session")
def shapes(detector_files):
    """A VOC folder of squares and discs. Tests must not change it."""
    return detector_files / "shapes"


@pytest.fixture(scope="session")
def detector_run(trained_detector):
    """A tiny detector trained on them: a `reskeras.DetectorRun`. Tests must not change it."""
    import reskeras

    return reskeras.DetectorRun(trained_detector / "tiny")


@pytest.fixture
def copied_detector(detector_run, tmp_path):
    """A copy of the trained run that a test may spoil."""
    import reskeras

    return reskeras.DetectorRun(shutil.copytree(detector_run.path, tmp_path / "copied"))
