"""Training on integers: from a run's function, with ranges that follow the images, resumed, on replicas, refused."""

import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.data.digits import open_digits
from reskeras.data.pipeline import evaluation_images
from reskeras.export.lite_graph import LiteGraph
from reskeras.graph.compile import compile_plan
from reskeras.graph.integers import calibrated, integer_form
from reskeras.graph.layers import Quantise
from reskeras.graph.weights import read, write
from reskeras.networks.catalog import name_of
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification.job import ClassifierJob
from reskeras.training.integers import IMAGES, integer_start
from reskeras.training.transfer import Start
from tests.cli.running import invoke, printed, refused
from tests.conftest import TINY
from tests.training.killed import NETWORK as SMALL
from tests.training.test_resume import digest, killed
from tests.training.test_strategy import in_process, trained_on

QUICK = {"epochs": 1, "batch_size": 32}


def train_on_integers(start, kind, out, *words):
    return invoke("train", "--from", start, "--data", "digits", "--quantise", kind, "--epochs", 1, "--out", out, *words)


@pytest.fixture(scope="module")
def quantised(trained, tmp_path_factory):
    """A run trained on integers by the command line, and what that printed. Tests must not change it."""
    out = tmp_path_factory.mktemp("quantised") / "run"
    done = train_on_integers(trained.path, "int8-w4", out)
    assert done.exit_code == 0, done.output
    return reskeras.Run(out), done


def start_of(run):
    return Start(run.name, read(run.model()), run.preprocessing())


def images_of(run, count=64):
    images, _ = evaluation_images(run.source().test, run.preprocessing(), count)
    return run.preprocessing().normalise(images)


@pytest.mark.parametrize(("kind", "agreement"), [("int8", 0.98), ("int8-w4", 0.6)])
def test_it_begins_with_the_function_of_the_run(trained, kind, agreement):
    """Logits before the first step, with all ranges measured."""
    spec = reskeras.network(**TINY, quantise=kind)
    begun = integer_start(
        start_of(trained), ClassifierJob(spec, recipe("quantise"), open_digits()).fitted, recipe("quantise")
    )
    images = images_of(trained, 200)
    weights = begun.fitted_weights({}, images)
    model = compile_plan(ClassifierJob(spec, recipe("quantise"), open_digits()).plan, "integers")
    write(model, weights)
    ranges = [value for name, value in weights.items() if name.endswith("_range/high")]
    assert ranges and all(value > 0 for value in ranges)
    found, expected = model.predict(images, verbose=0), trained.model().predict(images, verbose=0)
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) >= agreement
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > (0.999 if kind == "int8" else 0.8)


def test_a_start_that_is_of_integers_is_taken_as_it_is(quantised):
    run, _ = quantised
    start = start_of(run)
    assert integer_start(start, run.folder.spec(), recipe("quantise")) is start
    assert integer_start(start, reskeras.network(**TINY), recipe("quick")) is start
    assert integer_start(None, run.folder.spec(), recipe("quantise")) is None


def test_what_was_trained(quantised, trained):
    run, done = quantised
    spec = run.folder.spec()
    assert spec.quantise == "int8-w4"
    assert run.folder.recipe().learning_rate == 0.002
    assert run.folder.recipe().precision == "float32"
    assert "quantised to int8-w4" in done.output
    assert name_of(spec).endswith("-int8-w4")
    weights = read(run.model())
    ranges = {name: value for name, value in weights.items() if "_range/" in name}
    assert len(ranges) > 10
    assert all(value >= 0 for name, value in ranges.items() if name.endswith("/high"))
    assert all(value <= 0 for name, value in ranges.items() if name.endswith("/low"))
    assert run.evaluate().top1 > trained.evaluate().top1 - 0.05


def test_ranges_forget_within_a_hundred_steps():
    layer = Quantise(name="range")
    first, then = (tf.constant([[low, high]], tf.float32) for low, high in ((-8.0, 80.0), (-1.0, 2.0)))
    layer(first)  # not in training: nothing moves
    assert (float(layer.low), float(layer.high)) == (0.0, 0.0)
    layer.low.assign(-8.0)
    layer.high.assign(80.0)
    lows = []
    for _ in range(100):
        layer(then, training=True)
        lows.append(float(layer.low))
    assert lows == sorted(lows)  # toward -1
    assert -1 - 0.05 * 7 * 1.01 < lows[-1] < -1
    assert float(layer.high) == pytest.approx(2 + 78 * 0.97**100, rel=1e-3)
    layer(then * 100, training=True, like=True)
    layer(then * 100, training=False)
    assert float(layer.high) == pytest.approx(2 + 78 * 0.97**100, rel=1e-3)
    layer.trainable = False
    layer(then * 100, training=True)
    assert float(layer.high) == pytest.approx(2 + 78 * 0.97**100, rel=1e-3)


def test_gradients_pass_within_the_range_and_not_beyond():
    layer = Quantise(fixed=(-1.0, 1.0))
    x = tf.constant([[-3.0, -0.5, 0.3, 2.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(layer(x))
    np.testing.assert_array_equal(tape.gradient(total, x), [[0, 1, 1, 0]])


def test_ranges_are_measured_on_training_images(trained):
    """Those that the training begins with are the extremes over the images that it samples."""
    plan = reskeras.network(**TINY).lower()
    images = images_of(trained, 100)
    made, weights = integer_form(plan, read(trained.model()), 4)
    expected = calibrated(made, weights, images)
    start = integer_start(start_of(trained), reskeras.network(**TINY, quantise="int8-w4"), recipe("quantise"))
    assert start.measures == IMAGES
    found = start.fitted_weights({}, images)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_it_evaluates_exports_and_reports(quantised, tmp_path):
    run = reskeras.Run(shutil.copytree(quantised[0].path, tmp_path / "run"))
    [proof] = run.export(timing=False)
    assert proof.kind == "tflite-int8-w4"
    assert proof.holds
    assert proof.integers.equal >= 0.85
    assert proof.path.endswith("-int8-w4.tflite")
    assert proof.path.count("int8-w4") == 1
    graph = LiteGraph.of(Path(proof.path).read_bytes())
    assert "int4" in {graph.type_of(int(each.inputs[1])) for name, each in graph.operations if name == "CONV_2D"}
    card = (run.folder.export_folder / "README.md").read_text()
    assert "int8-w4" in card
    assert "int8-w4" in printed("report", run.path)
    told = json.loads(printed("evaluate", run.path, "--json"))
    assert told["top1"] == pytest.approx(run.evaluate().top1)
    shown = printed("export", run.path, "--no-timing", "--explain", "--to", "tflite-int8-w4")
    assert "signal-to-quantisation-noise" in shown
    assert (run.path / "README.md").exists() or reskeras.write_report(run)


@pytest.mark.parametrize("kind", ["tflite", "tflite-int8", "serving", "onnx"])
def test_kinds_of_other_numbers_are_refused(quantised, kind):
    said = refused("export", quantised[0].path, "--to", kind)
    assert f"to: {kind}: the run was trained as int8-w4; use --to tflite-int8-w4" in said
    assert not quantised[0].folder.export_folder.exists()


def test_what_was_trained_on_integers_keeps_no_layer_in_float(quantised):
    said = refused("export", quantised[0].path, "--to", "tflite-int8-w4", "--keep-float", "logits")
    assert "keep-float: logits: the run was trained as int8-w4" in said


def test_it_is_analysed_and_shown(quantised, tmp_path):
    run = reskeras.Run(shutil.copytree(quantised[0].path, tmp_path / "run"))
    shown = printed("show", run.path)
    assert "quantised to int8-w4" in shown
    assert "8 bits" in printed("show", run.path, "--units")
    printed("analyse", run.path, "--images", 50)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--precision", "mixed_bfloat16"],
            "precision: mixed_bfloat16 does not go with quantise: int8, which needs float32",
        ),
        (["--form", "scanned"], "form: scanned does not go with quantise: int8, which needs unrolled"),
        (["--form", "scanned", "--recompute"], "form: scanned does not go with quantise: int8, which needs unrolled"),
    ],
)
def test_what_does_not_go_with_integers_is_refused(trained, tmp_path, words, said):
    told = refused(
        "train", "--from", trained.path, "--data", "digits", "--quantise", "int8", "--out", tmp_path / "out", *words
    )
    assert said in told
    assert not (tmp_path / "out").exists()


def test_other_kinds_and_networks_without_a_form_are_refused(trained, tmp_path):
    out = tmp_path / "out"
    assert "int4" in refused("train", "--from", trained.path, "--quantise", "int4", "--out", out)
    gated = reskeras.train(
        reskeras.network(**{**TINY, "skip": "shortcut_gate"}), "digits@64", out=tmp_path / "gated", **QUICK
    )
    said = refused("train", "--from", gated.path, "--data", "digits", "--quantise", "int8", "--out", out)
    assert "quantise: stage1_unit1_add: there is no integer form of gated add" in said
    assert not out.exists()


def test_fresh_weights_are_refused(tmp_path):
    said = "quantise: int8 needs the weights of a run"
    out = tmp_path / "out"
    assert said in refused("train", "cifar-resnet-20", "--data", "digits", "--quantise", "int8", "--out", out)
    assert said in refused("build", "cifar-resnet-20", "--set", "quantise=int8", "--out", out)
    assert said in refused("tune", "cifar-resnet-20", "--space", "depth-width", "--set", "quantise=int8", "--out", out)
    with pytest.raises(reskeras.ReskerasError, match=said):
        reskeras.build(**TINY, quantise="int8")
    with pytest.raises(reskeras.ReskerasError, match=said):
        reskeras.analyse_fresh(reskeras.network(**TINY, quantise="int8"))
    assert not out.exists()


def test_a_detector_has_no_integers():
    with pytest.raises(reskeras.ReskerasError, match="quantise: only classifiers are trained on integers"):
        reskeras.detector(backbone={**SMALL, "quantise": "int8"})


def test_plans_and_costs_of_integers_are_shown():
    shown = printed("show", "cifar-resnet-20", "--set", "quantise=int8-w4")
    assert "quantised to int8-w4" in shown
    assert "cifar-resnet-20-int8-w4" in shown


def test_it_learns_from_the_run_that_it_begins_from_unless_told_otherwise(quantised, trained, tmp_path):
    run, done = quantised
    assert f"starting from {trained.path}, learning from its outputs too" in done.output
    assert run.folder.recipe().teacher == str(trained.path)
    other = shutil.copytree(trained.path, tmp_path / "other")
    done = train_on_integers(trained.path, "int8", tmp_path / "taught", "--teacher", other)
    assert done.exit_code == 0, done.output
    assert reskeras.Run(tmp_path / "taught").folder.recipe().teacher == str(other)
    spec = reskeras.network(**TINY, quantise="int8")
    alone = reskeras.train(spec, "digits@64", "quantise", start=trained, out=tmp_path / "alone", teacher=None, **QUICK)
    assert alone.folder.recipe().teacher is None


def test_integers_of_other_classes_have_no_teacher(trained, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 1), np.uint8)
    source = reskeras.source((images, np.arange(64) % 3), (images, np.arange(64) % 3))
    spec = reskeras.network(**{**TINY, "classes": 3}, quantise="int8")
    run = reskeras.train(spec, source, "quantise", start=trained, out=tmp_path / "run", **QUICK)
    assert run.folder.recipe().teacher is None and len(run.folder.classes()) == 3


def test_it_goes_on_from_a_run_of_integers(quantised, tmp_path):
    run, _ = quantised
    done = invoke("train", "--from", run.path, "--data", "digits", "--epochs", 1, "--out", tmp_path / "more")
    assert done.exit_code == 0, done.output
    more = reskeras.Run(tmp_path / "more")
    assert more.folder.spec().quantise == "int8-w4"
    assert more.evaluate().top1 > run.evaluate().top1 - 0.05


def test_a_network_in_float_does_not_begin_with_integers(quantised, tmp_path):
    spec = reskeras.network(**TINY)
    with pytest.raises(reskeras.ReskerasError, match=r"from: .* is a different network"):
        reskeras.train(spec, "digits", start=quantised[0], out=tmp_path / "float", **QUICK)


ON_REPLICAS = """
import reskeras.engine
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from reskeras.graph.layers import Quantise
from reskeras.graph.layers.replicas import average_together, collected

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = Quantise(name="range")
    layer.build((1, 2))

@tf.function
def step():
    def replica():
        number = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32)
        with collected() as updates:
            layer(tf.stack([[-1 - number, 10 + 20 * number]]), training=True)
        average_together(updates)
    strategy.run(replica)

step()
for end in (layer.low, layer.high):
    print(*[float(each) for each in strategy.experimental_local_results(end.value)])
"""


def test_ranges_move_toward_the_mean_of_the_replicas():
    """-1 and -2, 10 and 30; by 3 % of it in a step."""
    done = in_process("-c", ON_REPLICAS)
    assert done.returncode == 0, done.stderr
    ends = np.array([line.split() for line in done.stdout.splitlines()[-2:]], float)
    np.testing.assert_allclose(ends, [[-1.5 * 0.03] * 2, [20 * 0.03] * 2], rtol=1e-5)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run in floating point of the network that the scripts train."""
    out = tmp_path_factory.mktemp("small") / "run"
    return reskeras.train(reskeras.network(**SMALL), "digits", epochs=1, batch_size=64, out=out)


@pytest.mark.slow
def test_two_replicas_train_on_integers_alike(small, tmp_path):
    """The same on both; their ranges are the means of two halves of a batch, whose extremes are a little less wide."""
    fields = f"network: {{quantise: int8, drop_path: 0.2}}, start: {small.path}, learning_rate: 0.002"
    for out, replicas in (("one", ("one", 0)), ("two", ("mirrored", 2))):
        done = trained_on(tmp_path / out, *replicas, f"{{{fields}}}")
        assert done.returncode == 0, done.stderr
        assert "apart 0.0" in done.stdout
    one, two = (read(reskeras.Run(tmp_path / out).model()) for out in ("one", "two"))
    ranges = [name for name in one if name.endswith("_range/high")]
    assert ranges
    for name in ranges:
        assert 0.85 * one[name] < two[name] < 1.02 * one[name], name
    assert np.mean([two[name] < one[name] for name in ranges]) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["step:30", "validation:2", "writing:2"])
def test_killed_it_goes_on_to_the_same_bits(small, tmp_path, moment):
    fields = f"{{network: {{quantise: int8-w4}}, start: {small.path}, learning_rate: 0.002}}"
    expected = digest(killed(tmp_path / "whole", fields=fields))
    assert killed(tmp_path / "killed", moment, fields=fields).returncode == -signal.SIGKILL
    assert digest(killed(tmp_path / "killed", fields=fields)) == expected


def test_resumed_it_ends_with_the_same_bits(trained, tmp_path):
    """More epochs, asked for later, of a constant rate; with no --from, as its weights are there."""
    how = {"batch_size": 64, "deterministic": True, "recipe": "quantise", "schedule": {"kind": "constant"}}
    spec = reskeras.network(**TINY, quantise="int8")
    whole = reskeras.train(spec, "digits@400", start=trained, epochs=2, out=tmp_path / "whole", **how)
    reskeras.train(spec, "digits@400", start=trained, epochs=1, out=tmp_path / "parts", **how)
    parts = reskeras.train(spec, "digits@400", resume=True, epochs=2, out=tmp_path / "parts", **how)
    assert parts.folder.provenance()["trained_sha256"] == whole.folder.provenance()["trained_sha256"]
