"""Each optimiser against NumPy, weight by weight by canonical name; and what holds for all of them alike."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.graph import weights
from reskeras.graph.compile import compile_plan
from reskeras.graph.keras_layers import Context
from reskeras.recipes.optimizer import OPTIMIZERS
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification.subject import compiled
from reskeras.training.optimizer import ALGORITHMS, LossScaling, inner_optimizer, optimizer_of
from tests.conftest import TINY
from tests.training.optimizer_replicas import KINDS, NETWORK, RULES
from tests.training.test_resume import ROOT, Failing, digest, digest_of, killed, stopping_at

FORMS = ("unrolled", "scanned")
# stacks whose entries have other rules than the one before, in each respect
NUMBERS = {
    "sgd": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.0}],
    "adamw": [{"optimizer": {"kind": "adamw", "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}}],
    "lamb": [
        {"optimizer": {"kind": "lamb", "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3}},
        {"optimizer": {"kind": "lamb", "always_adapt": True}},
    ],
    "muon": [
        {"optimizer": {"kind": "muon", "adam": ["logits/*", "stage1_unit2_conv1/*"], "epsilon": 1e-3}},
        {"optimizer": {"kind": "muon", "momentum": 0.8, "nesterov": False, "ns_steps": 2, "rms_rate": 0.5}},
    ],
}
CASES = [
    pytest.param(fields, id=f"{kind}-{index}") for kind, rows in NUMBERS.items() for index, fields in enumerate(rows)
]


@pytest.fixture(scope="module")
def plan():
    return reskeras.plan(**NETWORK)


@pytest.fixture(scope="module")
def models(plan):
    """A model of each form and its weights at first. Tests change the weights."""
    start = None
    made = {}
    for form in FORMS:
        model = compile_plan(plan, "net", Context(form=form, seed=1))
        rng = np.random.default_rng(3)  # no weight is all zeros or ones, so that all decay
        start = start or {name: value + rng.normal(0, 0.2, value.shape) for name, value in weights.read(model).items()}
        made[form] = model
    return made, {name: value.astype(np.float32) for name, value in start.items()}


def drawn(model, seed):
    """A gradient of each trained weight of `model`, by name: of some weights large, of others small."""
    rng = np.random.default_rng(seed)
    trained = {id(variable) for variable in model.trainable_variables}
    return {
        name: rng.normal(0, rng.choice([0.1, 1.0]), variable.shape[index is not None :]).astype(np.float32)
        for name, (variable, index) in sorted(weights.places(model).items())
        if id(variable) in trained
    }


def apply(optimizer, model, gradients):
    """A step by gradients by name."""
    names = weights.names_of(model)
    stacks = [
        np.stack([gradients[name] for name in names[id(variable)]])
        if len(names[id(variable)]) > 1
        else gradients[names[id(variable)][0]]
        for variable in model.trainable_variables
    ]
    optimizer.apply([tf.constant(stack) for stack in stacks], model.trainable_variables)


def newton_schulz(matrix, steps):
    """The iteration on the singular values alone, of a matrix whose norm is 1."""
    left, values, right = np.linalg.svd(matrix / (np.linalg.norm(matrix) + 1e-7), full_matrices=False)
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left * values @ right


class Reference:
    """The update of one weight of a network, as the papers have it, in float64."""

    def __init__(self, chosen, decay, factor, name, start):
        self.chosen, self.decay, self.rate, self.name = chosen, decay, chosen.learning_rate * factor, name
        self.weight = start.astype(np.float64)
        self.mean, self.square, self.steps = np.zeros_like(self.weight), np.zeros_like(self.weight), 0

    def step(self, gradient):
        self.steps += 1
        getattr(self, self.chosen.optimizer.kind)(gradient.astype(np.float64))

    def sgd(self, gradient):
        gradient = gradient + self.decay * self.weight
        self.mean = self.chosen.momentum * self.mean + gradient
        ahead = gradient + self.chosen.momentum * self.mean
        self.weight = self.weight - self.rate * (ahead if self.chosen.nesterov else self.mean)

    def moments(self, gradient, beta_1, beta_2):
        self.mean = beta_1 * self.mean + (1 - beta_1) * gradient
        self.square = beta_2 * self.square + (1 - beta_2) * gradient**2
        return self.mean / (1 - beta_1**self.steps), self.square / (1 - beta_2**self.steps)

    def adamw(self, gradient):
        own = self.chosen.optimizer
        mean, square = self.moments(gradient, own.beta_1, own.beta_2)
        self.weight = self.weight - self.rate * self.decay * self.weight
        # epsilon is that of the paper's last paragraph of section 2
        corrected = np.sqrt(1 - own.beta_2**self.steps)
        self.weight = self.weight - self.rate * mean / (np.sqrt(square) + own.epsilon / corrected)

    def lamb(self, gradient):
        own = self.chosen.optimizer
        mean, square = self.moments(gradient, own.beta_1, own.beta_2)
        update = mean / (np.sqrt(square) + own.epsilon) + self.decay * self.weight
        if self.decay or own.always_adapt:
            update = update * np.linalg.norm(self.weight) / np.linalg.norm(update)
        self.weight = self.weight - self.rate * update

    def muon(self, gradient):
        own = self.chosen.optimizer
        self.weight = self.weight - self.rate * self.decay * self.weight
        by_adam = not self.name.endswith("/kernel") or self.name.startswith(
            ("logits", "stage1_unit2_conv1") if len(own.adam) == 2 else ("stem_conv", "logits")
        )
        if by_adam:
            mean, square = self.moments(gradient, own.adam_beta_1, own.adam_beta_2)
            update = mean / (np.sqrt(square) + own.epsilon)
        else:
            self.mean = own.momentum * self.mean + gradient
            ahead = gradient + own.momentum * self.mean if own.nesterov else self.mean
            flat = np.moveaxis(ahead, -1, 0).reshape(ahead.shape[-1], -1)  # as of PyTorch's: outputs first
            flat = newton_schulz(flat, own.ns_steps) * own.rms_rate * np.sqrt(max(flat.shape))
            update = np.moveaxis(flat.reshape(ahead.shape[-1], *ahead.shape[:-1]), 0, -1)
        self.weight = self.weight - self.rate * update


def ruled(name):
    """The weight decay and the factor of a weight by RULES, spelt out."""
    unit = name.partition("_conv")[0].partition("_bn")[0]
    decays = (name.endswith("/kernel") and name != "stage1_unit2_conv2/kernel") or name == "stage1_unit3_bn1/gamma"
    return 0.1 * decays, {"stage1_unit2": 0.5, "stage1_unit4": 0.0}.get(unit, 1.0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fields", CASES)
def test_three_steps_by_rules_factors_and_clipping_are_the_papers(models, form, fields):
    made, start = models
    model = made[form]
    weights.write(model, start)
    chosen = recipe(**{**RULES, **fields})
    optimizer = optimizer_of(model, chosen, 10)
    gradients = [drawn(model, seed) for seed in range(3)]
    expected = {name: Reference(chosen, *ruled(name), name, start[name]) for name in gradients[0]}
    for each in gradients:
        apply(optimizer, model, each)
        norm = np.sqrt(sum(np.sum(value.astype(np.float64) ** 2) for value in each.values()))
        assert float(optimizer.gradient_norm) == pytest.approx(norm, rel=1e-5)
        assert norm > RULES["clip_norm"]
        for name, one in expected.items():
            one.step(each[name] * (RULES["clip_norm"] / norm))
    after = weights.read(model)
    for name, one in expected.items():
        moved = np.linalg.norm(one.weight - start[name])
        assert np.linalg.norm(after[name] - one.weight) <= 2e-4 * moved + 1e-6, name
        if ruled(name)[1] == 0:
            np.testing.assert_array_equal(after[name], start[name])
        else:
            assert moved > 1e-4, name


@pytest.mark.parametrize("kind", KINDS)
def test_parts_that_are_added_up_make_one_update_of_weights_and_averages(models, kind):
    made, start = models
    model, found = made["scanned"], []
    for accumulate in (1, 2):
        weights.write(model, start)
        optimizer = optimizer_of(model, recipe(**{**RULES, **KINDS[kind]}, accumulate=accumulate, ema=0.5), 10)
        for seed in (0, 2, 4):
            one, other = drawn(model, seed), drawn(model, seed + 1)
            if accumulate == 1:
                apply(optimizer, model, {name: (one[name] + other[name]) / 2 for name in one})
            else:
                apply(optimizer, model, one)
                apply(optimizer, model, other)
        found.append((weights.read(model), weights.read(model, optimizer.averages()), optimizer.last_rate()))
    for ours, theirs in zip(found[1][:2], found[0][:2], strict=True):
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert found[0][2] == pytest.approx(RULES["learning_rate"] if kind == "sgd" else KINDS[kind]["learning_rate"])


@pytest.mark.parametrize("kind", KINDS)
def test_averages_follow_the_weights(models, kind):
    made, start = models
    weights.write(made["scanned"], start)
    optimizer = optimizer_of(made["scanned"], recipe(**{**RULES, **KINDS[kind]}, ema=0.5), 10)
    expected = None
    for step in range(4):
        apply(optimizer, made["scanned"], drawn(made["scanned"], step))
        now, momentum = weights.read(made["scanned"]), min(0.5, step / (10 + step))
        expected = {name: momentum * expected[name] + (1 - momentum) * now[name] if step else now[name] for name in now}
    averages = weights.read(made["scanned"], optimizer.averages())
    assert any(np.abs(averages[name] - now[name]).max() > 1e-4 for name in now)
    for name, value in expected.items():
        np.testing.assert_allclose(averages[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_begins_in_the_middle_of_a_training_starts_its_moments_and_averages_anew(models, kind):
    made, start = models
    model, found = made["scanned"], []
    for begun in (0, 1000):
        weights.write(model, start)
        optimizer = optimizer_of(model, recipe(**{**RULES, **KINDS[kind]}, ema=0.9, accumulate=2), 5000)
        optimizer.build(model.trainable_variables)
        optimizer.begin_at(begun)
        for seed in range(4):
            apply(optimizer, model, drawn(model, seed))
        found.append((weights.read(model), weights.read(model, optimizer.averages())))
    for ours, theirs in zip(*found, strict=True):
        for name, value in theirs.items():
            np.testing.assert_array_equal(ours[name], value, err_msg=name)


OWN = {"sgd": {"momentum": 0.5}, "adamw": {"beta_1": 0.5}, "lamb": {"always_adapt": True}, "muon": {"adam": ("c",)}}


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_is_made_again_from_its_configuration(models, kind):
    rules = {"weight_decay": 0.1, "decayed": ("a",), "rate_factors": {"b": 0.5}, "clip_norm": 2.0, "ema": 0.5}
    optimizer = ALGORITHMS[kind](0.1, **rules, **OWN[kind])
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert {name: again.get_config()[name] for name in {**rules, **OWN[kind]}} == {**rules, **OWN[kind]}
    again.build(models[0]["scanned"].trainable_variables)
    assert again.averages()


def images(plan, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (16, *plan.input_shape)).astype(np.float32), rng.integers(0, plan.output_shape[-1], 16)


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", [*[kind for kind in KINDS if kind != "lamb"][::-1], "lamb"])
def test_both_forms_train_alike_and_what_is_frozen_stays(plan, kind):
    found = {}
    for form in FORMS:
        chosen = recipe(**{**RULES, **KINDS[kind]}, form=form, freeze="stage1_unit1", precision="float32")
        model = compiled(plan, "net", chosen, 10)
        before = weights.read(model)
        for seed in range(3):
            model.train_on_batch(*images(plan, seed))
        found[form] = weights.read(model)
        moving = {name for name in before if not np.array_equal(before[name], found[form][name])}
        frozen = ("stem_", "stage1_unit1_")
        trained = {name for name in plan.weight_names() if not name.startswith((*frozen, "stage1_unit4_"))}
        assert {name for name in moving if "moving_" not in name} == trained
        assert not any(name.startswith(frozen) for name in moving)
    for name, value in found["unrolled"].items():
        assert np.linalg.norm(found["scanned"][name] - value) <= 1e-3 * max(np.linalg.norm(value), 1e-3), name


@pytest.mark.sample(1)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sgd"])
def test_a_step_that_overflows_in_float16_changes_nothing(plan, kind):
    chosen = recipe(**KINDS[kind], precision="mixed_float16", ema=0.5)
    model = compiled(plan, "net", chosen, 10)
    assert isinstance(model.optimizer, LossScaling)
    model.train_on_batch(*images(plan, 0))
    scale, before = float(model.optimizer.dynamic_scale), [each.numpy() for each in inner_optimizer(model).variables]
    held = weights.read(model)
    model.optimizer.dynamic_scale.assign(1e30)
    model.train_on_batch(*images(plan, 1))
    for variable, value in zip(inner_optimizer(model).variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert all(np.array_equal(weights.read(model)[name], held[name]) for name in plan.weight_names())
    model.optimizer.dynamic_scale.assign(scale)
    model.train_on_batch(*images(plan, 1))
    assert not np.array_equal(weights.read(model)["logits/kernel"], held["logits/kernel"])
    assert int(inner_optimizer(model).iterations) == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sgd"][::-1])
def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, kind):
    network = reskeras.network(**{**TINY, "stages": [3]})
    fields = {
        **KINDS[kind],
        "epochs": 2,
        "deterministic": True,
        "precision": "float32",
        "form": "scanned",
        "checkpoint_steps": 5,
        "accumulate": 2,
        "ema": 0.9,
        "clip_norm": 1.0,
    }
    whole = reskeras.train(network, "digits@300", out=tmp_path / "whole", **fields)
    with pytest.raises(Failing):  # between the two parts of an update
        reskeras.train(network, "digits@300", out=tmp_path / "run", callbacks=[stopping_at(8)], **fields)
    resumed = reskeras.train(network, "digits@300", out=tmp_path / "run", resume=True, **fields)
    assert digest_of(resumed) == digest_of(whole)
    assert resumed.folder.recipe() == recipe("quick", **fields)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "devices"), [("adamw", 1), ("lamb", 2), ("muon", 1)])
def test_killed_at_a_step_it_ends_with_the_same_bits(tmp_path, kind, devices):
    fields = str({**KINDS[kind], "clip_norm": 1.0})
    expected = digest(killed(tmp_path / "whole", devices=devices, fields=fields))
    killed(tmp_path / "run", "step:33", devices, fields)
    assert not (tmp_path / "run" / "checkpoints" / "state-000003-00000000.npz").exists()
    assert digest(killed(tmp_path / "run", devices=devices, fields=fields)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lamb", *[kind for kind in KINDS if kind != "lamb"]])
def test_two_replicas_equal_one(kind):
    command = [sys.executable, "-m", "tests.training.optimizer_replicas", kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    apart, different = map(float, done.stdout.split()[-2:])
    assert apart == 0.0  # the replicas' copies, of weights and of what the optimiser keeps
    assert different < 1e-3


def test_every_kind_of_a_recipe_has_its_algorithm_and_is_tested():
    assert ALGORITHMS.keys() == OPTIMIZERS.keys() == NUMBERS.keys() == KINDS.keys()
    for kind, algorithm in ALGORITHMS.items():
        optimizer = algorithm(0.1)
        known = keras.Variable(np.ones((3, 2), np.float32), name="kernel")
        optimizer.build([known])
        slots = sum(variable.shape == (3, 2) for variable in optimizer.variables)
        least = recipe(**({"momentum": 0.0} if kind == "sgd" else {"optimizer": kind})).slots
        assert slots >= least
