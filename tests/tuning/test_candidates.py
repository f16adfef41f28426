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
    for field, figure in (("params", lambda cost: cost.parameters), ("multiply_adds", lambda cost: cost.multiply_adds),
                          ("activation_memory", lambda cost: activation_bytes(cost, by))):
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


def test_contradictions_are_refused_and_counted():
    over = space({"parameters": {"network.skip": ["identity", "dropout"], "network.shortcut": ["A", "none"]}})
    candidates = Candidates(over, BASE, recipe("quick"))
    candidates.check()
    assert candidates.fits({"network.skip": "identity", "network.shortcut": "none"})
    assert not candidates.fits({"network.skip": "dropout", "network.shortcut": "none"})
    assert "1 invalid (such as: skip: 'dropout' does not go with shortcut 'none'" in candidates.refusals.describe()


def test_a_space_in_which_nothing_fits_says_so():
    with pytest.raises(ReskerasError, match=r"space: nothing in it fits; 2000 candidates refused: 2000 max_params "
                                            r"\(such as: params [\d,]+ is more than 1,000"):
        Candidates(OVER, BASE, recipe("quick"), Limits(params=1000)).check()
    with pytest.raises(ReskerasError, match="max_params: 0: should be more than 0"):
        Limits(params=0)


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
    code = ("import sys; from reskeras.tuning.candidates import Candidates; from reskeras.tuning.search import Search; "
            "assert not {'tensorflow', 'keras', 'keras_tuner'} & set(sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
