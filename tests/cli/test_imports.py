"""A command imports what it uses, and no more: training a classifier knows nothing of detectors, searches and ports."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOADED = """
import json, sys
from reskeras_cli.main import commands
try:
    commands.main(sys.argv[1:])
except SystemExit:
    pass
print(json.dumps([name for name in sys.modules]))
"""
TINY = ("--family", "cifar", "--set", "stages=[1]", "--input-shape", "8x8x1")
HEAVY = {"tensorflow", "keras", "numpy"}
UNUSED = (
    "reskeras.tasks.detection",
    "reskeras.tuning",
    "reskeras.porting",
    "reskeras.identification",
    "reskeras.report",
    "reskeras.analysis",
    "reskeras.experiments",
)


def loaded(*words):
    """The modules that a command line loads."""
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("list",),
        ("show", "resnet-18"),
        ("show", "resnet-18", "--device", "h100"),
        ("train", "--help"),
        ("recipes",),
    ],
    ids=" ".join,
)
def test_looking_at_networks_loads_neither_tensorflow_nor_numpy(words):
    assert not loaded(*words) & {*HEAVY, "fsspec"}


def test_training_a_classifier_loads_what_it_uses(tmp_path):
    found = loaded("train", *TINY, "--epochs", "1", "--out", str(tmp_path / "run"))
    assert (tmp_path / "run" / "model.keras").is_file()
    assert not [name for name in found if name.startswith(UNUSED)]
    assert not found & {"keras_tuner", "grpc", "tensorflow_datasets", "tensorflow_serving", "ai_edge_litert", "jinja2"}
    remote = ("s3fs", "gcsfs", "aiohttp", "reskeras.files.mirror", "reskeras.files.store")  # fsspec: TensorBoard's
    assert not [name for name in found if name.startswith(remote)]
    every = [*(ROOT / "reskeras").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]
    assert sum(name.startswith("reskeras") for name in found) < len(every) / 2  # 257 of 266 before tasks were apart


FIRST = """
import ast, importlib, sys
from pathlib import Path
import reskeras_cli

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "keras"):
            raise ImportError("quietly" if "reskeras.engine" in sys.modules else "TensorFlow before the engine")

sys.meta_path.insert(0, Watch())
for file in sorted(Path(reskeras_cli.__path__[0]).glob("*.py")):
    for function in ast.walk(ast.parse(file.read_text())):
        if not isinstance(function, ast.FunctionDef):
            continue
        for name in [name for name in sys.modules if name.startswith("reskeras.")]:
            del sys.modules[name]
        for node in ast.walk(function):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("reskeras."):
                try:
                    importlib.import_module(node.module)
                except ImportError as error:
                    print(file.name, function.name, node.module, error)
                    break
"""


def test_whatever_a_command_imports_first_tensorflow_starts_quietly():
    # TensorFlow's chatter is kept off stderr by reskeras.engine, which must be the first to import it
    done = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
    assert done.stdout.count("quietly") > 15
    assert "before the engine" not in done.stdout, done.stdout
