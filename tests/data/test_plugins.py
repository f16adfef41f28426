"""Kinds of sources from other packages, by entry points: a real package is on the path, as pip would leave it."""

import subprocess
import sys

import pytest

import reskeras
from reskeras import readers
from reskeras.data.registry import open_source
from reskeras.errors import ReskerasError
from tests.cli.running import invoke, printed, refused

CODE = """
import reskeras

LOADED = True

def open_shades(place, purpose):
    import numpy as np
    count = int(place)
    if count < 4:
        raise reskeras.ReskerasError(f"data: shades:{place}: at least 4")
    labels = np.arange(count) % 2
    images = (labels[:, None, None] * 200 + np.arange(count)[:, None, None] % 50 + np.zeros((8, 8))).astype(np.uint8)
    source = reskeras.source((images, labels), classes=["dark", "light"], name="shades")
    return source if purpose.testing is None else source.matched(purpose.testing)

def open_nothing(place, purpose):
    return [place]

def open_badly(place, purpose):
    raise KeyError("what\\nelse")
"""
POINTS = """[reskeras.sources]
shades = shading.reading:open_shades
nothing = shading.reading:open_nothing
badly = shading.reading:open_badly
absent = shading.missing:open_it
folder = shading.reading:open_nothing
not a kind = shading.reading:open_nothing
"""


def package(root, name, points, code=CODE):
    (root / name).mkdir(parents=True)
    (root / name / "__init__.py").touch()
    (root / name / "reading.py").write_text(code)
    (root / f"{name}-1.0.dist-info").mkdir()
    (root / f"{name}-1.0.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (root / f"{name}-1.0.dist-info" / "entry_points.txt").write_text(points)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package `shading`, installed for the test."""
    package(tmp_path / "site", "shading", POINTS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    readers._offered.cache_clear()
    yield tmp_path / "site"
    readers._offered.cache_clear()
    for name in [name for name in sys.modules if name.startswith(("shading", "dimming"))]:
        del sys.modules[name]


def refusal(name, status):
    with pytest.raises(ReskerasError) as caught:
        open_source(name)
    assert caught.value.status == status and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plugin_is_trained_on_and_found_again_by_its_name(installed, tmp_path):
    net = reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1])
    run = reskeras.train(net, "shades:40", epochs=1, out=tmp_path / "run")
    known = run.folder.provenance()["data"]
    assert known["name"] == "shades:40" and "given" not in known
    again = reskeras.Run(run.path)
    assert again.evaluate().images == known["test"]
    assert again.evaluate("shades:8").classes == ("dark", "light")
    assert "dark" in printed("data", "shades:40")
    assert open_source("shades:40@10").train.count == 10


def test_help_completion_and_errors_list_it_and_import_nothing(installed):
    message = refusal("shade:9", status=2)
    assert "shades:..." in message and "absent:..." in message and "not a kind" not in message
    code = (
        "import sys; from reskeras_cli.main import commands\n"
        "try: commands.main(['train', '--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith(('shading', 'tensorflow', 'numpy'))])"
    )
    path = ":".join([str(installed), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert "shades:..." in " ".join(done.stdout.split()) and done.stdout.rstrip().endswith("[]")
    completed = invoke("data", "x").exit_code  # completion asks the same table
    assert completed == 2 and "shades:" in [reader.start for reader in readers.readers_of(readers.CLASSES)]


def test_what_fails_in_a_plugin_names_the_package(installed):
    described = "the entry point {} of package shading"
    gave = refusal("nothing:x", status=1)
    assert (
        described.format("nothing = shading.reading:open_nothing") + " gave a list instead of a reskeras.Source" in gave
    )
    failed = refusal("badly:x", status=1)
    assert described.format("badly = shading.reading:open_badly") + " failed: KeyError: " in failed
    absent = refusal("absent:x", status=1)
    assert described.format("absent = shading.missing:open_it") + " failed: ModuleNotFoundError: No module" in absent
    assert refusal("shades:2", status=2) == "data: shades:2: at least 4"
    assert "shades:..." in refusal("shades", status=2)
    assert len(refused("data", "absent:x", status=1).splitlines()) == 1


def test_our_own_kinds_are_ours_and_the_others_are_told(installed, tmp_path):
    from tests.data.test_folder import two_classes

    two_classes(tmp_path / "photos", 5)
    source = open_source(f"folder:{tmp_path / 'photos'}")
    assert source.train.count
    assert "the entry point folder = shading.reading:open_nothing of package shading is ignored" in source.notes[-1]
    assert not any("is ignored" in note for note in open_source("digits").notes)


def test_two_packages_of_one_kind_are_both_named(installed):
    package(installed, "dimming", "[reskeras.sources]\nshades = dimming.reading:open_shades\n")
    readers._offered.cache_clear()
    message = refusal("shades:40", status=2)
    assert "package dimming" in message and "package shading" in message and "uninstall one of them" in message
    assert open_source("digits").train.count
