"""Files that the tests of `reskeras detect` share."""

import pytest
import yaml

from tests.detection.shapes import DETECTOR, LEARNING, shapes_folder


@pytest.fixture(scope="session")
def detector_files(tmp_path_factory):
    """A folder with the tiny set, its detector and its recipe. Tests must not change it."""
    folder = tmp_path_factory.mktemp("files")
    shapes_folder(folder / "shapes")
    (folder / "detector.yaml").write_text(yaml.safe_dump(DETECTOR))
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**LEARNING, "epochs": 20}))
    return folder
