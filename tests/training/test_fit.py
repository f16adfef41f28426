"""A whole training: what it leaves in the run folder, what it learns, how it fails."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import yaml
from tensorflow.python.data.ops.iterator_ops import OwnedIterator

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.compile import compile_plan
from reskeras.graph.scanned import ScannedUnits
from reskeras.recipes.recipe import recipe
from reskeras.runs import RunFolder
from reskeras.tasks.classification.subject import ACCURACY, compiled
from reskeras.training import step_callbacks
from reskeras.training.callbacks import AveragedEvaluation, RunRecorder
from reskeras.training.form import SCANNED_UNITS, training_form
from reskeras.training.guards import DivergenceStop, StateKeeper
from reskeras.training.position import Position
from tests.conftest import TINY


def test_a_run_folder_has_all_that_the_design_names(trained):
    names = {path.name for path in trained.path.iterdir()}
    assert {
        "network.yaml",
        "resolved.yaml",
        "recipe.yaml",
        "preprocessing.npz",
        "classes.txt",
        "provenance.json",
        "metrics.jsonl",
        "checkpoints",
        "model.keras",
    } <= names
    assert not [name for name in names if "writing" in name]
    assert trained.folder.classes() == [str(digit) for digit in range(10)]


def test_training_learns(trained):
    rows = trained.folder.metrics()
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["loss"] < 0.5 * rows[0]["loss"]
    assert trained.evaluate(split="train").top1 > 0.6


def test_network_yaml_stays_as_typed_and_resolved_yaml_has_what_the_data_gave(trained):
    typed = yaml.safe_load((trained.path / "network.yaml").read_text())
    resolved = yaml.safe_load((trained.path / "resolved.yaml").read_text())
    assert typed == {"family": "cifar", "stages": [{"units": 1}, {"units": 1}], "input_shape": [16, 16, 1]}
    assert resolved["classes"] == 10
    assert reskeras.network(trained.path).classes == 10


def test_provenance_names_data_versions_seed_and_precision(trained):
    facts = trained.folder.provenance()
    assert facts["data"]["name"] == "digits"
    assert facts["versions"]["keras"] == keras.__version__
    assert facts["seed"] == 0
    assert facts["precision"] in ("float32", "mixed_bfloat16")
    assert facts["watched"] == "144 held-out images"
    assert facts["training_seconds"] > 0


def test_what_is_saved_is_float32_and_the_best_epoch(trained):
    model = trained.model()
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    rows = trained.folder.metrics()
    best = max(rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))["epoch"]
    assert trained.folder.provenance()["best_epoch"] == best


@pytest.mark.parametrize(("picks", "best"), [(True, 2), (False, 5)])
def test_of_equal_epochs_the_first_is_kept(tmp_path, picks, best):
    plan = reskeras.plan(reskeras.network(**TINY, classes=3))
    model, run = compiled(plan, "net", recipe("quick"), 5), RunFolder(tmp_path)
    scores = [(0.5, 0.2), (0.7, 1.0), (0.7, 1.0), (0.7, 1.1), (0.6, 0.1)]

    def recorded(epochs, state):
        record = RunRecorder(run, compile_plan(plan, "net"), picks, Position(1, 5), ACCURACY)
        record.set_model(model)
        if state:
            record.restore(state)
        for epoch in epochs:
            model.get_layer("logits").bias.assign([epoch + 1] * 3)
            record.on_epoch_begin(epoch)
            record.on_epoch_end(epoch, dict(zip(("val_accuracy", "val_loss"), scores[epoch], strict=True)))
        record.finish()
        return record.state()

    recorded(range(2, 5), recorded(range(2), None))  # gone on with in between
    assert run.provenance()["best_epoch"] == best
    kept = [reskeras.load(path).get_layer("logits").bias.numpy()[0] for path in (run.model_file, run.last_model_file)]
    assert kept == [best, 5]


def test_averages_stand_in_for_the_weights_while_images_are_watched():
    plan = reskeras.plan(reskeras.network(**TINY, classes=3))
    model = compiled(plan, "net", recipe("quick", ema=0.9), 5)
    model.optimizer.build(model.trainable_variables)
    averages, rng = model.optimizer.averages(), np.random.default_rng(0)
    for average in averages.values():
        average.assign(rng.normal(size=average.shape))
    assert averages.keys() == {id(variable) for variable in model.trainable_variables}
    before, callback = model.get_weights(), AveragedEvaluation()
    callback.set_model(model)
    for _ in range(2):
        callback.on_test_begin()
        for variable in model.trainable_variables:
            np.testing.assert_array_equal(variable.numpy(), averages[id(variable)].numpy())
        callback.on_test_end()
        for weight, kept in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weight, kept)


def test_nothing_held_out_keeps_the_last_epoch(tmp_path):
    run = reskeras.train(reskeras.network(**TINY), epochs=2, holdout=0.0, out=tmp_path / "run")
    last = reskeras.load(run.folder.last_model_file)
    for ours, theirs in zip(run.model().get_weights(), last.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_same_seed_trains_the_same_weights(tmp_path):
    def weights(name, **fields):
        run = reskeras.train(reskeras.network(**TINY), epochs=1, precision="float32", out=tmp_path / name, **fields)
        return np.concatenate([weight.ravel() for weight in run.model().get_weights()])

    first, again, other = weights("a", seed=3), weights("b", seed=3), weights("c", seed=4)
    assert np.abs(first - again).max() < 1e-4
    assert np.abs(first - other).max() > 1e-2


def test_a_diverging_training_says_so_and_leaves_no_spoiled_model(tmp_path):
    with pytest.raises(ReskerasError, match="learning_rate") as caught:
        reskeras.train(
            reskeras.network(**TINY),
            epochs=2,
            learning_rate=90.0,
            weight_decay=1.0,
            out=tmp_path / "run",
            schedule={"kind": "constant"},
            momentum=0.99,
        )
    assert caught.value.status == 1
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"classes": 5}, "classes: 5 contradicts digits, which has 10"),
        ({"input_shape": [16, 16, 3]}, "input_shape: 3 channels contradict digits"),
    ],
)
def test_a_network_that_contradicts_the_data_is_refused(tmp_path, fields, named):
    with pytest.raises(ReskerasError, match=named) as caught:
        reskeras.train(reskeras.network(**{**TINY, **fields}), out=tmp_path / "run")
    assert caught.value.status == 2
    assert list(tmp_path.iterdir()) == []


def test_a_scanned_training_is_saved_evaluated_and_exported_written_out(tmp_path):
    deep = {
        "family": "cifar",
        "stages": [{"units": 4, "width": 8}],
        "stem": {"convs": [{"width": 8}]},
        "drop_path": 0.1,
        "input_shape": [8, 8, 1],
    }
    run = reskeras.train(reskeras.network(**deep), epochs=2, recompute=True, out=tmp_path / "run")
    assert run.folder.provenance()["form"] == "scanned"
    model = run.model()
    assert not [layer for layer in model.layers if isinstance(layer, ScannedUnits)]
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    [row] = [row for row in run.folder.metrics() if row["epoch"] == run.folder.provenance()["best_epoch"]]
    # trained in bf16 where the machine has it, evaluated in float32
    assert run.evaluate(split="train").loss == pytest.approx(row["loss"], abs=1.0)
    assert all(proof.agreement >= 0.99 for proof in run.export("tflite"))


@pytest.mark.parametrize(
    ("units", "recipe_fields", "form"),
    [
        (SCANNED_UNITS - 2, {}, "unrolled"),
        (SCANNED_UNITS, {}, "scanned"),
        (3, {"recompute": True}, "scanned"),
        (3, {"form": "scanned"}, "scanned"),
        (SCANNED_UNITS, {"form": "unrolled"}, "unrolled"),
    ],
)
def test_auto_is_scanned_when_there_are_many_units(units, recipe_fields, form):
    plan = reskeras.plan(family="cifar", stages=[units - 2])  # and the stem and the head
    assert training_form(plan, recipe(**recipe_fields)) == form


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"recompute": True, "form": "unrolled"}, "recompute: needs form scanned or auto"),
        (
            {"rate_factors": {"stage9_*": 0.1}},
            "rate_factors: 'stage9_\\*' matches no weight of this network; its weights",
        ),
        ({"decayed": ["kernel"]}, "decayed: 'kernel' matches no weight"),
        ({"clip_norm": 0}, "clip_norm: 0: should be more than 0"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused_before_anything_is_written(tmp_path, fields, named):
    with pytest.raises(ReskerasError, match=named) as caught:
        reskeras.train(reskeras.network(**TINY), out=tmp_path / "run", **fields)
    assert caught.value.status == 2
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_exists_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ReskerasError, match="already exists"):
        reskeras.train(reskeras.network(**TINY), out=tmp_path / "taken")
    assert list((tmp_path / "taken").iterdir()) == []


def test_callbacks_of_the_caller_are_called(tmp_path):
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"])))
    reskeras.train(reskeras.network(**TINY), epochs=1, out=tmp_path / "run", callbacks=[callback])
    assert len(seen) == 1


def test_metrics_survive_as_plain_json_lines(trained):
    rows = [json.loads(line) for line in (trained.path / "metrics.jsonl").read_text().splitlines()]
    assert rows == RunFolder(trained.path).metrics()
    assert {
        "epoch",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
        "gradient_norm",
        "seconds",
    } == set(rows[0])


def test_no_step_of_a_training_is_waited_for(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(step_callbacks, "pythonify_logs", lambda logs: read.append(logs) or {})
    reskeras.train(reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1]), epochs=1, out=tmp_path / "run")
    assert not read


def test_a_callback_of_the_users_gets_numbers(tmp_path):
    losses = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: losses.append(logs["loss"]))
    small = reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1])
    reskeras.train(small, "digits@64", epochs=1, out=tmp_path / "run", callbacks=[watch])
    assert losses and all(type(loss) is float for loss in losses)


def test_more_epochs_begin_no_more_iterators(tmp_path, monkeypatch):
    """Each that is begun takes TensorFlow up to half a second: the watched images have one, as the training images."""
    begun, begin = [], OwnedIterator.__init__

    def counted(iterator, *args, **fields):
        begun[-1] += 1
        begin(iterator, *args, **fields)

    monkeypatch.setattr(OwnedIterator, "__init__", counted)
    small = reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1])
    for epochs in (1, 3):
        begun.append(0)
        run = reskeras.train(small, "digits@64", epochs=epochs, out=tmp_path / str(epochs))
        assert len({row["val_loss"] for row in run.folder.metrics()}) == epochs
    assert begun[0] == begun[1] > 1


def test_workers_ask_each_other_as_often_as_the_chief_says_and_at_the_end_of_an_epoch(monkeypatch):
    asked, clock = [], iter(range(0, 1000, 1))
    monkeypatch.setattr("reskeras.training.guards.time.monotonic", lambda: next(clock))

    def agreed(flag, steps):
        asked.append((position.step, flag, steps))
        return flag, 3

    position = Position(8, 16)
    state = SimpleNamespace(position=position, capture=dict)
    keeper = StateKeeper(state, None, None, DivergenceStop(recipe("quick"), position, None), agreed)
    for step in range(8):
        position.on_train_batch_end(step)
        keeper.on_train_batch_end(step, {})
    keeper.on_epoch_end(0, {})
    # a second passed at each question: two steps in SECONDS at first, six when three take one
    assert asked == [(1, False, 2), (4, False, 6), (7, False, 6), (8, False, 6)]
