"""Our HyperModel with KerasTuner's own tuners."""

import keras_tuner
import numpy as np
import pytest

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.tuning.limits import Limits

TINY = reskeras.network(family="cifar", stages=[1, 1], input_shape=[16, 16, 1])
OVER = {
    "parameters": {
        "network.width_factor": [2.0, 1.0],
        "network.skip": ["identity", "dropout"],
        "network.skip.rate": {"choices": [0.1, 0.2], "when": {"network.skip": "dropout"}},
    }
}


def test_build_and_fit_are_those_of_train(tmp_path):
    model = reskeras.HyperModel(OVER, TINY, "digits", epochs=2)
    hp = keras_tuner.HyperParameters()
    model.declare_hyperparameters(hp)
    model.build(hp)
    hp.values.update({"network.width_factor": 1.0, "network.skip": "dropout", "network.skip.rate": 0.2})
    history = model.fit(hp, model.build(hp))
    run = reskeras.train(
        reskeras.network(TINY, width_factor=1.0, skip={"kind": "dropout", "rate": 0.2}), out=tmp_path / "run", epochs=2
    )
    rows = run.folder.metrics()
    assert history.history["val_loss"] == [row["val_loss"] for row in rows]
    assert history.history["parameters"][0] == reskeras.plan(run.path).complexity().parameters


@pytest.mark.slow
def test_random_search_of_kerastuner_with_limits(tmp_path, capsys):
    bound = reskeras.plan(TINY).complexity().parameters + 5000
    model = reskeras.HyperModel(OVER, TINY, "digits", epochs=1, limits=Limits(params=bound))
    tuner = keras_tuner.RandomSearch(
        model, "val_accuracy", max_trials=6, seed=3, directory=str(tmp_path), max_consecutive_failed_trials=6
    )
    tuner.search()
    trials = tuner.oracle.trials.values()
    for trial in trials:
        wide = trial.hyperparameters.values["network.width_factor"] == 2.0
        assert trial.status == ("FAILED" if wide else "COMPLETED")
        assert not wide or "is more than" in trial.message
    assert {trial.status for trial in trials} == {"FAILED", "COMPLETED"}
    best = tuner.get_best_models()[0]
    assert np.isfinite(best.predict(np.zeros([1, 16, 16, 1], np.float32), verbose=0)).all()


def test_a_network_stays_of_its_family():
    with pytest.raises(
        reskeras.ReskerasError, match=r"network\.depth: 8 is never valid: depth: 8 is not a possible depth"
    ):
        reskeras.HyperModel("depth-width", "resnet-50", "digits")
    model = reskeras.HyperModel({"parameters": {"network.depth": [18, 34]}}, "resnet-50", "digits")
    assert model.candidates.of({"network.depth": 18}).spec.family == "imagenet"


@pytest.mark.slow
def test_hyperband_of_kerastuner(tmp_path):
    model = reskeras.HyperModel(
        {"parameters": {"recipe.learning_rate": {"low": 0.01, "high": 0.2}}}, TINY, "digits", epochs=3
    )
    tuner = keras_tuner.Hyperband(model, "val_accuracy", max_epochs=3, directory=str(tmp_path), seed=1)
    tuner.search()
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"COMPLETED"}
    assert tuner.oracle.get_best_trials()[0].score > 0.5


def test_images_are_measured_once_for_all_candidates(monkeypatch):
    measured = []
    fit = Preprocessing.fit.__func__

    def counted(cls, split, *key):
        measured.append(key)
        return fit(cls, split, *key)

    monkeypatch.setattr(Preprocessing, "fit", classmethod(counted))
    space = {"recipe.learning_rate": {"low": 0.01, "high": 0.1}, "recipe.normalise": ["scale", "per_channel"]}
    small = reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1])
    model = reskeras.HyperModel({"parameters": space}, small, epochs=1)
    for rate, normalise in ((0.01, "per_channel"), (0.05, "per_channel"), (0.05, "scale"), (0.1, "per_channel")):
        job = model.job(model.candidates.of({"recipe.learning_rate": rate, "recipe.normalise": normalise}))
        assert job.preprocessing().kind == normalise
    assert measured == [(8, 8, 1, "per_channel"), (8, 8, 1, "scale")]
