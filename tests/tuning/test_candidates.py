"""Limits: what they refuse equals what the plan counts, fast and without building anything."""

import random
import subprocess
import sys
import time

import pytest

from reskeras import ReskerasError, network, plan, recipe, space
from reskeras.tuning.candidates import Candidates, sample
from reskeras.tuning.limits import Limits, Refused, activation_bytes
from tests.promised import shortest

BASE = network("cifar-resnet-20")
OVER = space("depth-width")


def test_limits_are_those_of_the_plan():
    by = recipe("quick")
    for field, figure in (
        ("params", lambda cost: cost.parameters),
        ("multiply_adds", lambda cost: cost.multiply_adds),
        ("activation_memory", lambda cost: activation_bytes(cost, by)),
    ):
        values = {"network.depth": 32, "network.width_factor": 1.5}
        cost = plan("cifar-resnet-32", width_factor=1.5).complexity().total
        exact = figure(cost)
        assert Candidates(OVER, BASE, by, Limits(**{field: exact})).of(values).cost == cost
        with pytest.raises(Refused, match=f"{field} {exact:,} is more than {exact - 1:,}"):
            Candidates(OVER, BASE, by, Limits(**{field: exact - 1})).of(values)


def test_activation_memory_grows_with_the_batch():
    over = space({"parameters": {"recipe.batch_size": [32, 64]}})
    half = activation_bytes(plan(BASE).complexity().total, recipe("quick", batch_size=32))
    within = Candidates(over, BASE, recipe("quick"), Limits(activation_memory=half))
    assert within.fits({"recipe.batch_size": 32})
    assert not within.fits({"recipe.batch_size": 64})
    assert within.refusals.counts == {"max_activation_memory": 1}


def test_a_latency_is_allowed_up_to_its_limit():
    Limits().check_latency(1e9)
    Limits(latency_ms=5).check_latency(5.0)
    with pytest.raises(Refused, match=r"latency 5\.25 ms is more than 5 ms") as refused:
        Limits(latency_ms=5).check_latency(5.25)
    assert refused.value.kind == "max_latency_ms"


def test_ranges_are_drawn_from_evenly_or_evenly_in_their_logarithm():
    over = space(
        {
            "parameters": {
                "recipe.momentum": {"low": 0.1, "high": 0.9},
                "network.depth": {"low": 8, "high": 10},
                "recipe.learning_rate": {"low": 0.001, "high": 0.1, "sampling": "log"},
            }
        }
    )
    drawn = random.Random(0)
    columns = list(zip(*(sample(over, drawn).values() for _ in range(2000)), strict=True))
    for values, quarters in zip(columns, ((0.3, 0.5, 0.7), None, (10**-2.5, 0.01, 10**-1.5)), strict=True):
        if quarters:
            shares = [sum(value < quarter for value in values) / 2000 for quarter in quarters]
            assert shares == pytest.approx([0.25, 0.5, 0.75], abs=0.04)
    assert set(columns[1]) == {8, 9, 10}
    assert {sample(over, drawn, {"network.depth": 9})["network.depth"] for _ in range(9)} == {9}


def test_contradictions_are_refused_and_counted():
    over = space({"parameters": {"network.skip": ["identity", "dropout"], "network.shortcut": ["A", "none"]}})
    candidates = Candidates(over, BASE, recipe("quick"))
    candidates.check()
    assert candidates.fits({"network.skip": "identity", "network.shortcut": "none"})
    assert not candidates.fits({"network.skip": "dropout", "network.shortcut": "none"})
    assert (
        "1 invalid (such as: skip: 'dropout' cannot be combined with shortcut 'none'" in candidates.refusals.describe()
    )


def test_a_space_in_which_nothing_fits_says_so():
    with pytest.raises(
        ReskerasError,
        match=r"space: no valid candidate found; 2,000 candidates rejected: 2,000 max_params "
        r"\(such as: params [\d,]+ is more than 1,000",
    ):
        Candidates(OVER, BASE, recipe("quick"), Limits(params=1000)).check()
    with pytest.raises(ReskerasError, match="max_params: 0: should be more than 0"):
        Limits(params=0)


@pytest.mark.slow
def test_ten_thousand_candidates_are_filtered_in_under_ten_seconds():
    drawn = random.Random(1)
    candidates = Candidates(space("all"), BASE, recipe("quick"), Limits(params=300_000, multiply_adds=50_000_000))
    every = [sample(candidates.space, drawn) for _ in range(10_000)]
    parts, fitting = iter(range(0, 10_000, 500)), []

    def seconds():
        first, began = next(parts), time.process_time()
        fitting.extend(filter(candidates.fits, every[first : first + 500]))
        return time.process_time() - began

    assert 20 * shortest(seconds, times=20) < 10
    assert len(fitting) + candidates.refusals.counts.total() == 10_000
    assert 500 < len(fitting) < 9_000


def test_candidates_need_no_tensorflow(tmp_path):
    code = (
        "import sys; from reskeras.tuning.candidates import Candidates; from reskeras.tuning.search import Search; "
        "assert not {'tensorflow', 'keras', 'keras_tuner'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
