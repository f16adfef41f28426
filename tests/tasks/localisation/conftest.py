"""A trained localiser, a refiner and a classifier that the tests of localisation share."""

import numpy as np
import pytest

import reskeras
from tests.tasks.detection.shapes import shapes_folder
from tests.tasks.localisation.shapes import LEARNING, REFINER, REFINING, SPEC, refine, train


@pytest.fixture(scope="session")
def folder(made_once):
    """A VOC folder of squares and discs."""
    return made_once("localised", lambda folder: shapes_folder(folder / "voc", train=24, test=8)) / "voc"


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
def run(data, made_once):
    """A trained localiser."""
    return reskeras.Run(made_once("localiser", lambda folder: train(data, out=folder / "run", **LEARNING)) / "run")


@pytest.fixture(scope="session")
def refined(data, run, made_once):
    """A trained refiner of its boxes."""
    spec, fields = {**REFINER, "regions": 24}, {**REFINING, "epochs": 8, "learning_rate": 0.05}
    folder = made_once("refiner", lambda folder: refine(data, run, spec, out=folder / "run", **fields))
    return reskeras.Run(folder / "run")


@pytest.fixture(scope="session")
def classifier(made_once):
    """A classifier of the same names, in another order, with the trunk's network: it learnt nothing about shapes."""
    from PIL import Image

    def make(folder):
        for label, name in enumerate(("square", "disc")):
            (folder / "classes" / name).mkdir(parents=True)
            for number in range(10):
                pixels = np.random.default_rng(number).integers(80 * label, 80 * label + 90, (40, 40, 3), np.uint8)
                Image.fromarray(pixels).save(folder / "classes" / name / f"{number}.png")
        fields = {"epochs": 1, "batch_size": 8, "precision": "float32", "out": folder / "run"}
        reskeras.train(reskeras.network(**SPEC["trunk"]), f"folder:{folder / 'classes'}", **fields)

    return reskeras.Run(made_once("classifier-of-shapes", make) / "run")
