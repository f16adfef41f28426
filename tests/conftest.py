"""Fixtures shared by the tests that need a trained run, and which cases of a large family are slow."""

import fcntl
import gc
import os
import shutil
from collections import defaultdict
from contextlib import suppress

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one process a core: more threads would only wait for each other
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}

with suppress(ImportError, RuntimeError):  # where it is, for the peers: after TensorFlow it ends the process
    import torchvision  # noqa: F401

gc.set_threshold(50_000, 20, 100)  # TensorFlow's graphs are many objects, which stay: a tenth of the time otherwise

TINY = {"family": "cifar", "stages": [1, 1], "input_shape": [16, 16, 1]}


@pytest.hookimpl(tryfirst=True)  # before those marked slow are left out
def pytest_collection_modifyitems(items):
    """Of a test with the mark `sample(N)` the first case, the last and those evenly between them, N in all, are run by
    `make test`, the others by `make test-slow`. A case that is asked for by name is run."""
    families = defaultdict(list)
    for item in items:
        if (mark := item.get_closest_marker("sample")) and not item.get_closest_marker("slow"):
            families[item.nodeid.partition("[")[0]].append((item, *mark.args))
    for cases in families.values():
        steps = max(cases[0][1] - 1, 1)
        kept = {step * (len(cases) - 1) // steps for step in range(cases[0][1])}
        for place, (item, _) in enumerate(cases):
            if place not in kept:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache folder of the tests' own, for this process and those that it starts."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session", autouse=True)
def brief_measurements():
    """Exports are measured briefly."""
    from reskeras import artefacts

    artefacts.TURNS, artefacts.SECONDS = 1, 0.02


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """A function from a name and `make(folder)` to a folder, which one of the processes that run the tests fills for
    all of them. Tests must not change it."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name, make):
        folder = root / f"once-{name}"
        with open(root / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                try:
                    folder.mkdir()
                    make(folder)
                except BaseException:
                    shutil.rmtree(folder)
                    raise
        return folder

    return made


@pytest.fixture(scope="session")
def trained(made_once):
    """A tiny network trained for four epochs on digits: a `reskeras.Run`. Tests must not change it."""
    import reskeras

    def make(folder):
        # batches of 32: it learns with a margin, however sums are rounded
        reskeras.train(reskeras.network(**TINY), "digits", epochs=4, batch_size=32, out=folder / "tiny")

    return reskeras.Run(made_once("trained", make) / "tiny")


@pytest.fixture(scope="session")
def detector_files(made_once):
    """A folder with a tiny VOC set of squares and discs, a detector for it and its recipe. Tests must not change it."""
    import yaml

    from tests.tasks.detection.shapes import DETECTOR, LEARNING, shapes_folder

    def make(folder):
        shapes_folder(folder / "shapes")
        (folder / "detector.yaml").write_text(yaml.safe_dump(DETECTOR))
        (folder / "recipe.yaml").write_text(yaml.safe_dump(LEARNING))

    return made_once("detector-files", make)


@pytest.fixture(scope="session")
def trained_detector(made_once, detector_files):
    """A folder with a run, `tiny`, that the command line trained by these files, and what it printed. Tests must not
    change it."""
    from tests.cli.running import invoke

    def make(folder):
        told = invoke(
            "detect",
            "train",
            detector_files / "detector.yaml",
            "--data",
            f"voc:{detector_files / 'shapes'}",
            "--recipe",
            detector_files / "recipe.yaml",
            "--out",
            folder / "tiny",
        )
        assert told.exit_code == 0, told.output
        (folder / "stdout").write_text(told.stdout)
        (folder / "stderr").write_text(told.stderr)

    return made_once("trained-detector", make)


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of the trained run that a test may spoil."""
    import reskeras

    return reskeras.Run(shutil.copytree(trained.path, tmp_path / "copied"))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A function from a width in CSS pixels, and a colour scheme, to a selenium driver of Chromium; see
    `tests.browser`. All are closed after the module. Skips where there is no Chromium or no chromedriver."""
    from tests.browser import CHROMIUM, DRIVER, opened

    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver")
    drivers = []

    def started(width, height=900, scheme="light"):
        drivers.append(opened(tmp_path_factory.mktemp("chromium"), width, height, scheme))
        return drivers[-1]

    yield started
    for driver in drivers:
        driver.quit()
