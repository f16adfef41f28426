"""A new order, shortcut, skip, operation and merge, each written in one place, in a copy of the package: all that works
on networks knows them, and what is forgotten fails when it is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import reskeras

PACKAGES = {"reskeras": Path(reskeras.__file__).parent, "reskeras_cli": Path(reskeras.__file__).parents[1] / "cli"}

ORDER = (
    "networks/orders.py",
    '    "full_preact": Order(',
    """\
    "late_relu": Order(BN, RELU, BN_RELU, NOTHING, BN, BN, RELU),
""",
)
SHORTCUT = (
    "networks/shortcuts.py",
    '    "none": ShortcutOption(',
    """\
    "D": ShortcutOption(
        lambda change: False, narrows=False,  # means, and zero channels where the width grows
        fitted=lambda name, change: (
            *(averaged(name, change.stride) if change.stride > 1 else ()),
            *subsampled(name, Change(change.in_width, change.out_width, 1, change.downsample)))),
""",
)
SKIP = (
    "networks/skips.py",
    "def _kinds(",
    '''\
class Softened(SkipSpec):
    """The larger of the shortcut, made soft, and the residual."""

    kind: Literal["softened"]
    slope: Annotated[float, within(0, 10)] = 1.0

    def fork(self, unit: str, shortcut: Sequence, residual: Sequence, gate: Gate) -> Fork:
        soft = op.Swish(name=f"{unit}_shortcut_swish", slope=self.slope)
        return _merged(unit, (*shortcut, soft), residual, merge=Maximum())

    @classmethod
    def read(cls, fork: Fork) -> Self | None:
        return cls(kind="softened", slope=fork.branches[0][-1].slope) if fork.merge == Maximum() else None


''',
)
OPERATION = (
    "plans/operations.py",
    "OPERATIONS: dict",
    '''\
@dataclass(frozen=True, slots=True, kw_only=True)
class Swish(Op):
    """x / (1 + exp(-slope x)), times a learned number for each channel."""

    kind: ClassVar[str] = "swish"
    keeps: ClassVar[tuple[str, ...]] = ("input",)
    fill: ClassVar[str] = "#123456"
    slope: float

    @property
    def words(self) -> str:
        return f"swish {self.slope:g}"

    def weights(self, shape: Shape) -> dict[str, Weight]:
        return {"height": Weight(shape[-1:], 1.0)}


''',
)
MERGE = (
    "plans/merges.py",
    "MERGES: dict",
    '''\
@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum(Merge):
    """The larger one."""

    kind: ClassVar[str] = "maximum"
    needs_branches: ClassVar[bool] = True
    symbol: ClassVar[str] = "max"


''',
)
FUNCTIONS = [
    (
        "graph/functions.py",
        "OPERATIONS: dict",
        """\
def _swish(node: op.Swish, x: tf.Tensor, unit: UnitTensors) -> tf.Tensor:
    return x * tf.sigmoid(node.slope * x) * unit.weights[node.name, "height"]


""",
    ),
    ("graph/functions.py", "    op.Scale: _scale,", "    op.Swish: _swish,\n"),
    (
        "graph/functions.py",
        "    merges.Concat: _concat,",
        "    merges.Maximum: lambda merge, values: tf.maximum(*values),\n",
    ),
]
NAMES = [("networks/skips.py", "from reskeras.plans.nodes import Fork", "from reskeras.plans.merges import Maximum\n")]
ALL = [ORDER, SHORTCUT, SKIP, OPERATION, MERGE, *FUNCTIONS, *NAMES]


def copied(folder: Path, changes: list[tuple[str, str, str]]) -> Path:
    """A copy of the packages with each text put before the first place where its anchor stands."""
    for name, source in PACKAGES.items():
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file, anchor, text in changes:
        path = folder / "reskeras" / file
        before, found, after = path.read_text().partition(anchor)
        assert found, f"{anchor} stands no longer in {file}"
        path.write_text(before + text + anchor + after)
    return folder


def ran(folder: Path, code: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=environment)


PLAIN_PYTHON = """
import json
import reskeras
from click.testing import CliRunner
from reskeras_cli.main import commands
from reskeras.report.architecture import draw
from reskeras.networks.catalog import name_of
from reskeras.networks.network import NetworkSpec
from reskeras.documents.document import parse_yaml, to_yaml

SKIP = {"kind": "softened", "slope": 2.0}
NEW = {"family": "cifar", "depth": 14, "order": "late_relu", "shortcut": "D", "skip": SKIP}
spec = reskeras.network(**NEW)
assert reskeras.network(**parse_yaml(to_yaml(spec.sparse()), "here")[0]) == spec
said = spec.describe()
assert "shortcut D" in said and "skip softened (slope 2)" in said and "order late_relu" in said, said
schema = json.dumps(NetworkSpec.model_json_schema())
assert all(word in schema for word in ("late_relu", '"D"', "softened", "slope"))

def shown(*words):
    result = CliRunner().invoke(commands, list(words))
    assert result.exit_code == 0, result.output
    return result.output

text = shown("show", "--family", "cifar", "--depth", "14", "--order", "late_relu", "--shortcut", "D",
             "--skip", "softened", "--set", "skip.slope=2", "--units", "--json")
units = {unit["name"]: unit["operations"] for unit in json.loads(text)["units"]}
assert "maximum(" in units["stage2_unit1"] and "swish 2" in units["stage2_unit1"], units
assert "2x2 average pool" in units["stage2_unit1"] and "zero channels" in units["stage2_unit1"]
assert all(word in shown("show", "--help") for word in ("late_relu", "softened"))

from reskeras.networks.diff import difference
other = reskeras.network(**{**NEW, "skip": {"kind": "softened", "slope": 3.0}})
steps = [step for change in difference(spec, other).units for step in change.steps]
assert {step.words for step in steps} == {"swish 2", "swish 3"}, steps

plan, plain = spec.lower(), reskeras.network(**{**NEW, "skip": "identity"}).lower()
cost, without = plan.complexity(), plain.complexity()
assert cost.parameters - without.parameters == 2 * (16 + 32 + 64)  # the numbers of each channel of six units
kept = cost.total.activations - without.total.activations
assert kept > 0
"""
DRAWN = (
    PLAIN_PYTHON
    + """
file = draw(plan, "new", "new.svg").read_text()
assert "#123456" in file and "swish 2" in file
"""
)
BUILT = (
    PLAIN_PYTHON
    + """
import keras, numpy as np
from reskeras.graph.weights import copy_weights, read
models = {form: reskeras.build(spec, seed=1, form=form) for form in ("unrolled", "scanned")}
weights = [read(model) for model in models.values()]
assert weights[0].keys() == weights[1].keys() and "stage1_unit2_shortcut_swish/height" in weights[0]
assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")
first, second = (model(images).numpy() for model in models.values())
assert np.isfinite(first).all() and np.abs(first - second).max() < 1e-4 * np.abs(first).max()

# by hand, from the model's own layers: the unit is the larger of the soft shortcut and the residual
model = models["unrolled"]
stream, residual, merged = (model.get_layer(f"stage1_unit2_{name}") for name in ("shortcut_swish", "relu2", "add"))
part = keras.Model(model.inputs, [stream.input, residual.output, merged.output])
x, r, out = (each.numpy() for each in part(images))
assert np.allclose(out, np.maximum(x / (1 + np.exp(-2 * x)), r), atol=1e-5)

model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(images, np.arange(4), verbose=0)
model.save("new.keras")
again = reskeras.load("new.keras")
assert (again(images).numpy() == model(images).numpy()).all()

found = reskeras.conform(again)
assert found.exact, (found.why, *found.obstacles_in_words())
assert found.spec.decided().make_plan() == plan, found.spec
broken = keras.Model(model.inputs, model.outputs)
config = json.loads(model.to_json())
for layer in config["config"]["layers"]:
    if layer["class_name"] == "Maximum":
        layer["class_name"], layer["module"], layer["registered_name"] = "Add", "keras.layers", None
config = keras.Model.from_config(config["config"])
told = reskeras.conform(config)
assert told.spec is None or told.spec.decided().make_plan() != plan
"""
)
EXPORTED = (
    BUILT
    + """
from pathlib import Path
Path("names").write_text("\\n".join("abcdefghij"))
run = reskeras.port(again, out="run", classes="names")
[proof] = run.export("tflite", timing=False)
assert proof.holds, proof
"""
)


def test_all_that_works_on_plans_knows_them(tmp_path):
    done = ran(copied(tmp_path, ALL), DRAWN)
    assert not done.returncode, done.stderr[-2000:]


@pytest.mark.slow
def test_both_forms_and_conform_know_them(tmp_path):
    done = ran(copied(tmp_path, ALL), BUILT)
    assert not done.returncode, done.stderr[-2000:]


@pytest.mark.slow
def test_they_are_exported_with_proof(tmp_path):
    done = ran(copied(tmp_path, ALL), EXPORTED)
    assert not done.returncode, done.stderr[-2000:]


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("left_out", "named"), [(0, "_swish"), (1, "no tensor function for Swish"), (2, "no tensor function for Maximum")]
)
def test_a_forgotten_function_is_told_at_import(tmp_path, left_out, named):
    changes = [change for change in ALL if change is not FUNCTIONS[left_out]]
    done = ran(copied(tmp_path, changes), "import reskeras.graph.functions")
    assert done.returncode and named in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("networks/orders.py", 'BN: Words = ("bn",)', 'BN: Words = ("bm",)', "bm"),
        ("networks/skips.py", 'kind: Literal["dropout"]', 'kind: Literal["drop"]', "drop"),
    ],
)
def test_a_word_that_no_table_knows_makes_no_network(tmp_path, file, old, new, named):
    path = copied(tmp_path, []) / "reskeras" / file
    path.write_text(path.read_text().replace(old, new, 1))
    done = ran(tmp_path, "import reskeras; reskeras.plan(family='cifar', depth=14, skip='dropout')")
    assert done.returncode and named in done.stderr
