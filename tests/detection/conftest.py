"""A trained detector that the tests of detection share."""

import pytest

from tests.detection.shapes import DETECTOR, LEARNING, shapes_folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A VOC folder of squares and discs. Tests must not change it."""
    return shapes_folder(tmp_path_factory.mktemp("shapes") / "shapes")


@pytest.fixture(scope="session")
def detector_run(tmp_path_factory, shapes):
    """A tiny detector trained on them: a `reskeras.DetectorRun`. Tests must not change it."""
    import reskeras

    out = tmp_path_factory.mktemp("detectors") / "tiny"
    spec = reskeras.DetectorSpec.model_validate(DETECTOR)
    return reskeras.train_detector(spec, f"voc:{shapes}", out=out, **LEARNING)


@pytest.fixture
def copied_detector(detector_run, tmp_path):
    """A copy of the trained run that a test may spoil."""
    import shutil

    import reskeras

    return reskeras.DetectorRun(shutil.copytree(detector_run.path, tmp_path / "copied"))
