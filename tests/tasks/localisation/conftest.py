"""A trained localiser, a refiner and a classifier that the tests of localisation share."""

import numpy as np
import pytest

import reskeras
from tests.tasks.detection.shapes import shapes_folder
from tests.tasks.localisation.shapes import LEARNING, REFINER, REFINING, SPEC, refine, train


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A VOC folder of squares and discs."""
    return shapes_folder(tmp_path_factory.mktemp("shapes") / "voc", train=24, test=8)


@pytest.fixture(scope="session")
def data(folder):
    """Squares and discs, as the name of a source."""
    return f"voc:{folder}"


@pytest.fixture(scope="session")
def files(folder):
    """The files of the test images, in order."""
    names = (folder / "ImageSets" / "Main" / "test.txt").read_text().split()
    return [folder / "JPEGImages" / f"{name}.png" for name in names]


@pytest.fixture(scope="session")
def run(data, tmp_path_factory):
    """A trained localiser."""
    return train(data, out=tmp_path_factory.mktemp("localiser") / "run", **LEARNING)


@pytest.fixture(scope="session")
def refined(data, run, tmp_path_factory):
    """A trained refiner of its boxes."""
    spec, fields = {**REFINER, "regions": 24}, {**REFINING, "epochs": 8, "learning_rate": 0.05}
    return refine(data, run, spec, out=tmp_path_factory.mktemp("refiner") / "run", **fields)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    """A classifier of the same names, in another order, with the trunk's network: it learnt nothing about shapes."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("classes")
    for label, name in enumerate(("square", "disc")):
        (folder / name).mkdir()
        for number in range(10):
            pixels = np.random.default_rng(number).integers(80 * label, 80 * label + 90, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    fields = {"epochs": 1, "batch_size": 8, "precision": "float32", "out": tmp_path_factory.mktemp("c") / "run"}
    return reskeras.train(reskeras.network(**SPEC["trunk"]), f"folder:{folder}", **fields)
