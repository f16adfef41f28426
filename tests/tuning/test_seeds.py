"""Searches whose seeds are neighbours are independent; one that was begun keeps its way of deriving seeds."""

import itertools

import pytest
import yaml

import reskeras
from reskeras.tuning.objective import read_objective
from reskeras.tuning.run import ORACLES, SearchOptions, _oracle
from reskeras.tuning.seeds import MOST, oracle_seed

OVER = {
    "parameters": {
        "recipe.learning_rate": {"low": 0.01, "high": 0.3, "sampling": "log"},
        "network.width_factor": {"low": 1.0, "high": 2.0},
    }
}


@pytest.fixture(scope="module")
def model():
    return reskeras.HyperModel(OVER, reskeras.network(family="cifar", depth=8), "digits", epochs=9)


def drawn(model, tuner, seed, folder, trials=12):
    """Learning rates and widths of a search's first trials."""
    options = SearchOptions(tuner, read_objective([]), None if tuner in ("grid", "hyperband") else trials, 1, seed)
    oracle = _oracle(options, model)
    oracle._set_project_dir(str(folder), f"{tuner}-{seed}")
    return {value for _ in range(trials) for value in oracle._random_values().values()}


@pytest.mark.parametrize("tuner", ORACLES)
def test_searches_of_neighbouring_seeds_share_no_value(model, tuner, tmp_path):
    seen = [drawn(model, tuner, seed, tmp_path) for seed in range(6)]
    for one, other in itertools.combinations(seen, 2):
        assert not one & other
    assert drawn(model, tuner, 3, tmp_path / "again") == seen[3]


def test_no_seed_becomes_the_one_that_means_any():
    seeds = [oracle_seed(seed) for seed in (*range(2000), -1, 2**31 - 1, 2**40)]
    assert len(set(seeds)) == len(seeds)
    assert 1 <= min(seeds) <= max(seeds) <= MOST
    # KerasTuner counts up from here for every value that it draws
    assert min(after - before for before, after in itertools.pairwise(sorted(seeds))) > 50


@pytest.mark.slow
def test_a_search_begun_under_the_old_scheme_goes_on_with_it(tmp_path):
    asked = {
        "over": OVER,
        "spec": reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1]),
        "data": "digits@100",
        "tuner": "random",
        "epochs": 1,
    }
    reskeras.tune(**asked, trials=1, out=tmp_path / "search")
    path = tmp_path / "search" / "search.yaml"
    kept = yaml.safe_load(path.read_text())
    assert kept.pop("seed_scheme") == 2
    path.write_text(yaml.safe_dump(kept))
    (tmp_path / "search" / "search" / "oracle.json").unlink()  # so that the next oracle's seed is seen
    reskeras.tune(**asked, trials=1, out=tmp_path / "search")
    assert yaml.safe_load(path.read_text())["seed_scheme"] == 1
    assert '"seed": 1,' in (tmp_path / "search" / "search" / "oracle.json").read_text()
    path.write_text(yaml.safe_dump({**kept, "seed_scheme": 3}))
    with pytest.raises(reskeras.ReskerasError, match="seed_scheme: 3 is not known to this version"):
        reskeras.tune(**asked, trials=1, out=tmp_path / "search")
