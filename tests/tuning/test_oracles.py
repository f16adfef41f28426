"""Oracles without training: what they choose, and that a search killed anywhere goes on where it was."""

import itertools
import json
import shutil

import grpc
import keras_tuner
import pytest

from reskeras import ReskerasError, network, recipe, space
from reskeras.files import Unwritable
from reskeras.tuning import oracles
from reskeras.tuning.candidates import Candidates
from reskeras.tuning.hyperparameters import declare
from reskeras.tuning.limits import Limits
from reskeras.tuning.oracles import BayesianOracle, GridOracle, HalvingOracle, RandomOracle
from reskeras.tuning.outcome import read_outcomes
from reskeras.tuning.workers import serving, wait_for_workers

BASE = network("cifar-resnet-20")
OVER = {
    "parameters": {
        "network.depth": [8, 14, 20, 32],
        "network.skip": ["identity", "dropout"],
        "network.skip.rate": {"choices": [0.1, 0.2, 0.3], "when": {"network.skip": "dropout"}},
    }
}
EVERY = 4 * (1 + 3)


def made(kind, folder, limits=None, over=OVER, **options):
    candidates = Candidates(space(over), BASE, recipe("quick"), limits or Limits())
    oracle = kind(
        candidates,
        objective=keras_tuner.Objective("val_accuracy", "max"),
        seed=1,
        hyperparameters=declare(candidates.space, keras_tuner.HyperParameters()),
        **options,
    )
    oracle._set_project_dir(str(folder), "search")
    return oracle


def score(values):
    return values["network.depth"] / 100 - values.get("network.skip.rate", 0.0)


def end(oracle, trial, value):
    if value is None:
        trial.status = "FAILED"
    else:
        oracle.update_trial(trial.trial_id, {"val_accuracy": value})
        trial.status = "COMPLETED"
    oracle.end_trial(trial)


def run(oracle, at_most=1000, tuner="tuner0"):
    """Values of the trials that are run to the end."""
    seen = []
    while len(seen) < at_most:
        trial = oracle.create_trial(tuner)
        if trial.status != "RUNNING":
            break
        seen.append(dict(trial.hyperparameters.values))
        end(oracle, trial, score(seen[-1]))
    return seen


def key(values):
    return tuple(sorted((name, value) for name, value in values.items() if not name.startswith("tuner/")))


def test_a_grid_is_every_combination_once(tmp_path):
    seen = run(made(GridOracle, tmp_path))
    assert len(seen) == len({*map(key, seen)}) == EVERY


def test_a_grid_within_limits_is_every_combination_that_fits(tmp_path):
    oracle = made(GridOracle, tmp_path, Limits(params=200_000))
    seen = run(oracle)
    assert {values["network.depth"] for values in seen} == {8, 14}
    assert len({*map(key, seen)}) == EVERY / 2
    assert oracle.candidates.refusals.counts["max_params"] >= 2


def test_a_grid_whose_first_combination_does_not_fit(tmp_path):
    over = {"parameters": {"network.depth": [56, 8, 14]}}
    seen = run(made(GridOracle, tmp_path, Limits(params=200_000), over))
    assert [values["network.depth"] for values in seen] == [8, 14]


@pytest.mark.parametrize("stop", range(0, EVERY, 3))
def test_a_grid_goes_on_where_it_was(tmp_path, stop):
    before = run(made(GridOracle, tmp_path), at_most=stop)
    again = made(GridOracle, tmp_path)
    if stop:
        again.reload()
    after = run(again)
    assert len({*map(key, before + after)}) == len(before + after) == EVERY


@pytest.mark.parametrize("kind", [RandomOracle, BayesianOracle])
def test_limits_cost_no_trials(tmp_path, kind):
    oracle = made(kind, tmp_path, Limits(params=200_000), max_trials=8)
    seen = run(oracle)
    assert len({*map(key, seen)}) == len(seen) == 8
    assert {values["network.depth"] for values in seen} <= {8, 14}
    assert oracle.candidates.refusals.counts["max_params"] > 0


@pytest.mark.parametrize("kind", [RandomOracle, BayesianOracle])
def test_an_exhausted_space_ends_the_search(tmp_path, kind):
    seen = run(made(kind, tmp_path, Limits(params=100_000), max_trials=100))
    assert len({*map(key, seen)}) == len(seen) == 4  # depth 8 alone


def test_a_model_of_the_objective_finds_the_best(tmp_path):
    over = {
        "parameters": {
            "recipe.learning_rate": {"low": 0.001, "high": 1.0, "sampling": "log"},
            "network.depth": [8, 14, 20, 32],
        }
    }
    oracle = made(BayesianOracle, tmp_path, over=over, max_trials=15, num_initial_points=5)
    best = -9.0
    for _ in range(15):
        trial = oracle.create_trial("tuner0")
        values = trial.hyperparameters.values
        value = -(abs(values["recipe.learning_rate"] - 0.1) ** 0.5) + values["network.depth"] / 50
        best = max(best, value)
        end(oracle, trial, value)
    assert best > 0.5  # 0.64 is the most; a third of random searches of 15 get there


def test_halving_goes_on_with_the_best(tmp_path):
    oracle = made(
        HalvingOracle,
        tmp_path,
        max_epochs=9,
        factor=3,
        over={"parameters": {**OVER["parameters"], "recipe.learning_rate": {"low": 0.01, "high": 1.0}}},
    )
    seen = run(oracle)
    rounds = [values.get("tuner/round") for values in seen if values["tuner/bracket"] == 2]
    assert [rounds.count(number) for number in (0, 1, 2)] == [9, 3, 1] or rounds.count(0) > rounds.count(1)
    later = [values for values in seen if values["tuner/round"] > 0]
    for values in later:
        before = oracle.trials[values["tuner/trial_id"]].hyperparameters.values
        assert key(values) == key(before)
    assert max(values["tuner/epochs"] for values in seen) == 9


@pytest.mark.parametrize(
    "kind, options",
    [
        (RandomOracle, {"max_trials": 6}),
        (BayesianOracle, {"max_trials": 6}),
        (GridOracle, {}),
        (HalvingOracle, {"max_epochs": 3}),
    ],
)
@pytest.mark.sample(1)
def test_killed_between_any_two_files_it_runs_no_finished_trial_again(tmp_path, kind, options):
    """A copy of the folder after every single write stands for a process killed there."""
    states, number = tmp_path / "states", itertools.count()

    class Watched(kind):
        def save(self):
            super().save()
            self.keep()

        def _save_trial(self, trial):
            super()._save_trial(trial)
            self.keep()

        def keep(self):
            shutil.copytree(tmp_path / "live", states / f"{next(number):03}")

    total = len(run(made(Watched, tmp_path / "live", **options)))
    kept = sorted(states.iterdir())
    assert len(kept) > 3 * total
    for folder in kept[::2] if len(kept) > 40 else kept:
        if not (folder / "search" / "oracle.json").exists():
            continue
        files = {
            path.parent.name: json.loads(path.read_text())["status"]
            for path in folder.glob("search/trial_*/trial.json")
        }
        done = {name for name, status in files.items() if status == "COMPLETED"}
        again = made(kind, folder, **options)
        again.reload()
        given = []
        while (trial := again.create_trial("tuner0")).status == "RUNNING":
            given.append(f"trial_{trial.trial_id}")
            end(again, trial, score(trial.hyperparameters.values))
        assert not done & set(given)
        assert len(given) == len(set(given))
        assert len(again.trials) == total
        assert again.unfinished == []


def test_a_broken_folder_is_told(tmp_path):
    run(made(RandomOracle, tmp_path, max_trials=2))
    (tmp_path / "search" / "oracle.json").write_text('{"ongoing')
    with pytest.raises(ReskerasError, match="search is broken"):
        made(RandomOracle, tmp_path, max_trials=2).reload()


def test_a_trial_that_kills_its_process_is_given_out_three_times(tmp_path):
    numbers = []
    for _ in range(4):
        oracle = made(RandomOracle, tmp_path, max_trials=2)
        if numbers:
            oracle.reload()
        numbers.append(oracle.create_trial("tuner0").trial_id)
    assert numbers == ["0", "0", "0", "1"]
    assert oracle.trials["0"].status == "FAILED"
    assert "its process died 3 times" in oracle.trials["0"].message


def test_failed_trials_do_not_end_the_search(tmp_path):
    oracle = made(RandomOracle, tmp_path, max_trials=6)
    for _ in range(6):
        end(oracle, oracle.create_trial("tuner0"), None)
    assert oracle.create_trial("tuner0").status == "STOPPED"
    assert len(oracle.end_order) == 6


def test_a_silent_workers_trial_goes_to_another(tmp_path):
    oracle = made(RandomOracle, tmp_path, max_trials=2)
    lost, own = oracle.create_trial("worker-0"), oracle.create_trial("worker-1")
    assert oracle.silent(60) == []
    oracle.seen["worker-0"] -= 100
    assert oracle.silent(60) == ["worker-0"]
    oracle.update_trial(lost.trial_id, {})
    assert oracle.silent(60) == []
    oracle.seen["worker-0"] -= 100
    end(oracle, own, 0.5)
    assert oracle.create_trial("worker-1").status == "IDLE"  # the other's may come back
    assert oracle.release("worker-0") == lost.trial_id
    again = oracle.create_trial("worker-1")
    assert again.trial_id == lost.trial_id
    end(oracle, again, 0.4)
    assert oracle.create_trial("worker-1").status == "STOPPED"
    assert oracle.over
    late = keras_tuner.engine.trial.Trial(again.hyperparameters, trial_id=lost.trial_id, status="FAILED")
    oracle.end_trial(late)
    assert oracle.trials[lost.trial_id].status == "COMPLETED"


def test_a_trial_that_died_three_times_is_told(tmp_path):
    for _ in range(4):
        oracle = made(RandomOracle, tmp_path, max_trials=2)
        if (tmp_path / "search" / "oracle.json").exists():
            oracle.reload()
        oracle.create_trial("tuner0")
    [lost] = read_outcomes(tmp_path / "search")
    assert (lost.trial, lost.status, lost.reason) == ("0", "failed", "its process died 3 times")
    assert lost.values == space(OVER).active(oracle.trials["0"].hyperparameters.values)


def answered(oracle, call):
    """What a worker's call of the chief gives: its answer, or the code it is refused with."""
    from keras_tuner.src import protos

    with serving(oracle, "127.0.0.1", 0) as port, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub, messages = protos.get_service_grpc().OracleStub(channel), protos.get_service()
        try:
            return call(stub, messages)
        except grpc.RpcError as error:
            return error.code().name


def test_a_message_about_an_unknown_trial_is_refused_and_the_chief_answers_on(tmp_path):
    oracle = made(RandomOracle, tmp_path, max_trials=2)

    def unknown_then_known(stub, messages):
        for request in (
            lambda: stub.UpdateTrial(messages.UpdateTrialRequest(trial_id="99"), timeout=5),
            lambda: stub.GetTrial(messages.GetTrialRequest(trial_id="99"), timeout=5),
            lambda: stub.EndTrial(messages.EndTrialRequest(), timeout=5),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                request()
            assert refused.value.code().name == "INVALID_ARGUMENT"
        return stub.CreateTrial(messages.CreateTrialRequest(tuner_id="worker-0"), timeout=5).trial.trial_id

    assert answered(oracle, unknown_then_known) == "0"
    assert oracle.silent(60) == []  # waits for ever when the lock was kept
    assert oracle.trouble is None


def test_a_full_disk_ends_the_chief_and_keeps_no_lock(tmp_path, monkeypatch):
    oracle = made(RandomOracle, tmp_path, max_trials=2)

    def full(*arguments, **options):
        raise Unwritable("oracle.json cannot be written: there is no space left", 1)

    monkeypatch.setattr(oracles, "write_json", full)
    create = lambda stub, messages: stub.CreateTrial(messages.CreateTrialRequest(tuner_id="worker-0"), timeout=5)  # noqa: E731
    assert answered(oracle, create) == "ABORTED"
    assert "no space left" in str(oracle.trouble)
    assert oracle.silent(60) == []
    with pytest.raises(Unwritable):
        wait_for_workers(oracle, 60, print)
    with pytest.raises(Unwritable):
        oracle.create_trial("tuner0")
    assert oracle.silent(60) == []
