"""Lookahead against NumPy in both forms, and its slow weights as what is validated, saved and resumed."""

import subprocess
import sys

import numpy as np
import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph import weights
from reskeras.recipes.recipe import recipe
from reskeras.training.optimizer import optimizer_of
from tests.conftest import TINY
from tests.training.optimizer_replicas import KINDS, RULES
from tests.training.test_optimizers import FORMS, apply, drawn, models, plan  # noqa: F401 - fixtures
from tests.training.test_resume import ROOT, Failing, digest_of, stopping_at

UPDATES = 10


def led(start, gradients, chosen):
    """Weights and slow weights after the updates by `gradients`, plain gradient descent."""
    look, fast, slow = chosen.lookahead, start.astype(np.float64), None
    for update, gradient in enumerate(gradients, start=1):
        fast = fast - chosen.learning_rate * gradient
        if update == 1:
            slow = fast
        elif update % look.steps == 0:
            keep = look.momentum * (update / UPDATES) ** look.ramp
            fast = slow = keep * slow + (1 - keep) * fast
    return fast, slow


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("look", [{"steps": 2}, {"steps": 3, "momentum": 0.9, "ramp": 3}])
def test_slow_weights_lead_every_few_updates(models, form, look):  # noqa: F811
    model, start = models[0][form], models[1]
    weights.write(model, start)
    plain = {"momentum": 0, "weight_decay": 0, "learning_rate": 0.1, "schedule": {"kind": "constant"}}
    chosen = recipe(**plain, lookahead=look)
    optimizer = optimizer_of(model, chosen, UPDATES)
    gradients = [drawn(model, seed) for seed in range(7)]
    for each in gradients:
        apply(optimizer, model, each)
    after, averages = weights.read(model), weights.read(model, optimizer.averages())
    for name in gradients[0]:
        fast, slow = led(start[name], [each[name] for each in gradients], chosen)
        np.testing.assert_allclose(after[name], fast, rtol=1e-4, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(averages[name], slow, rtol=1e-4, atol=1e-5, err_msg=name)
    assert any(np.abs(after[name] - averages[name]).max() > 1e-3 for name in gradients[0])


@pytest.mark.parametrize("kind", KINDS)
def test_parts_that_are_added_up_make_one_update(models, kind):  # noqa: F811
    model, start, found = models[0]["scanned"], models[1], []
    for accumulate in (1, 2):
        weights.write(model, start)
        look = {"steps": 2, "momentum": 0.9, "ramp": 1}
        chosen = recipe(**{**RULES, **KINDS[kind]}, accumulate=accumulate, lookahead=look)
        optimizer = optimizer_of(model, chosen, UPDATES * accumulate)
        for seed in range(3):
            one = drawn(model, seed)
            for _ in range(accumulate):
                apply(optimizer, model, one)
        found.append((weights.read(model), weights.read(model, optimizer.averages())))
    for ours, theirs in zip(*found, strict=True):
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_an_interrupted_training_goes_on_to_the_same_slow_weights_which_are_saved(tmp_path):
    network = reskeras.network(**{**TINY, "stages": [3]})
    fields = {
        "epochs": 2,
        "holdout": 0,
        "deterministic": True,
        "precision": "float32",
        "form": "scanned",
        "checkpoint_steps": 5,
        "lookahead": {"steps": 4, "momentum": 0.8, "ramp": 1},
    }
    whole = reskeras.train(network, "digits@300", out=tmp_path / "whole", **fields)
    with pytest.raises(Failing):  # between two moves of the slow weights
        reskeras.train(network, "digits@300", out=tmp_path / "run", callbacks=[stopping_at(6)], **fields)
    resumed = reskeras.train(network, "digits@300", out=tmp_path / "run", resume=True, **fields)
    assert digest_of(resumed) == digest_of(whole)
    assert resumed.folder.recipe() == recipe("quick", **fields)
    kernel = "stage1_unit2_conv1/kernel"
    same = [weights.read(run.model())[kernel] for run in (whole, resumed)]
    np.testing.assert_array_equal(*same)
    last = whole.folder.metrics()[-1]["val_loss"]
    assert whole.evaluate().loss == pytest.approx(last, rel=1e-3)


@pytest.mark.slow
def test_two_replicas_equal_one():
    command = [sys.executable, "-m", "tests.training.optimizer_replicas", "sgd", "lookahead"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    apart, different = map(float, done.stdout.split()[-2:])
    assert apart == 0.0
    assert different < 1e-3


def test_one_average_at_a_time():
    with pytest.raises(ReskerasError, match="ema: lookahead averages the weights too"):
        recipe(ema=0.9, lookahead={})
