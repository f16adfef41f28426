"""The recipe's numbers against hand computation: learning rates, updates, precision."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import recipe
from reskeras.training import precision
from reskeras.training.optimizer_steps import CoupledDecaySGD
from reskeras.training.schedule import RecipeSchedule


def rates(steps, **fields):
    chosen = recipe("quick", **fields)
    schedule = RecipeSchedule(chosen, chosen.steps(10))
    return [float(schedule(step)) for step in steps]


def test_null_is_a_value_like_others():
    base = recipe("fast-cifar", lookahead={"steps": 5})
    chosen = recipe(base, whiten=None, lookahead=None)
    assert base.whiten and base.lookahead
    assert chosen == base.model_copy(update={"whiten": None, "lookahead": None})
    with pytest.raises(ReskerasError, match=r"epochs: .*None"):
        recipe(base, epochs=None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"class_weights": "even"}, "class_weights: 'even' is not one of none, balanced"),
        ({"class_weights": {"cat": 0}}, "class_weights.cat: 0: should be more than 0 and at most 1,000"),
        ({"class_weights": {"dog": 1, "cat": "two"}}, "class_weights.cat: 'two': should be a number"),
        ({"augment": {"flip": "maybe"}}, "augment.flip: 'maybe' is not one of auto, alternating"),
        ({"augment": {"flip": 7.5}}, "augment.flip: 7.5: should be true or false"),
        ({"xla": "never"}, "xla: 'never' is not one of auto"),
    ],
)
def test_of_a_field_with_several_kinds_of_values_the_field_alone_is_named(fields, told):
    with pytest.raises(ReskerasError) as caught:
        recipe("quick", **fields)
    assert str(caught.value) == told


def test_warmup_rises_in_equal_steps_to_the_peak():
    schedule = {"kind": "constant", "warmup": 1 / 3}
    assert rates(range(12), epochs=3, learning_rate=0.5, schedule=schedule) == pytest.approx(
        [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.5, 0.5]
    )


def test_cosine_is_half_way_down_in_the_middle_and_ends_at_zero():
    schedule = {"kind": "cosine", "warmup": 1 / 6}
    # 120 updates, of which 20 warm up: the middle of the fall is update 70
    assert rates([20, 70, 119, 120], epochs=12, learning_rate=0.2, schedule=schedule) == pytest.approx(
        [0.2, 0.1, 0.2 * 0.5 * (1 + np.cos(np.pi * 0.99)), 0.0], abs=1e-7
    )


def test_steps_drop_by_ten_at_half_and_three_quarters():
    schedule = {"kind": "steps", "drops": [0.5, 0.75], "factor": 0.1}
    assert rates([0, 49, 50, 74, 75, 99], epochs=10, learning_rate=0.1, schedule=schedule) == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )


@pytest.mark.parametrize("nesterov", [False, True])
def test_decay_joins_the_gradient_of_kernels_before_the_momentum(nesterov):
    rate, momentum, decay = 0.1, 0.9, 0.01
    kernel = keras.Variable([1.0, -2.0], name="kernel")
    gamma = keras.Variable([1.0, -2.0], name="gamma")
    optimizer = CoupledDecaySGD(rate, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    gradient = np.array([0.5, 0.25])
    expected, velocity = {}, {}
    for variable, coupled in ((kernel, decay), (gamma, 0.0)):
        weight, speed = np.array([1.0, -2.0]), np.zeros(2)
        for _ in range(3):
            joined = gradient + coupled * weight
            speed = momentum * speed - rate * joined
            weight = weight + (momentum * speed - rate * joined if nesterov else speed)
        expected[variable.name], velocity[variable.name] = weight, speed
    for _ in range(3):
        optimizer.apply([tf.constant(gradient, tf.float32)] * 2, [kernel, gamma])
    np.testing.assert_allclose(kernel.numpy(), expected["kernel"], rtol=1e-6)
    np.testing.assert_allclose(gamma.numpy(), expected["gamma"], rtol=1e-6)
    assert not np.allclose(expected["kernel"], expected["gamma"])


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ({"stage*": 0.5, "stage2_*": 0.25}, [1.0, 0.5, 0.25, 0.25]),
        ({"stage2_*": 0.25, "stage*": 0.5}, [1.0, 0.5, 0.5, 0.5]),
        ({"*/kernel": 0.0, "stage2_unit2*": 2.0}, [0.0, 0.0, 0.0, 2.0]),
    ],
)
def test_of_several_patterns_that_match_the_last_counts(factors, expected):
    names = ["stem_conv/kernel", "stage1_unit1_conv1/kernel", "stage2_unit1_conv1/kernel", "stage2_unit2_conv1/kernel"]
    apart = [keras.Variable([0.0]) for _ in names]
    stack = keras.Variable(np.zeros((4, 1), np.float32))
    known = {id(variable): (name,) for variable, name in zip(apart, names, strict=True)} | {id(stack): names}
    optimizer = CoupledDecaySGD(1.0, momentum=0.5, rate_factors=factors, names=known)
    optimizer.apply([*[tf.constant([1.0])] * 4, tf.ones((4, 1))], [*apart, stack])
    assert [-float(variable.numpy()[0]) for variable in apart] == pytest.approx(expected)
    assert (-stack.numpy()[:, 0]).tolist() == pytest.approx(expected)


def test_coupled_decay_is_not_what_keras_calls_weight_decay():
    ours, theirs = keras.Variable([1.0], name="kernel"), keras.Variable([1.0], name="kernel")
    mine = CoupledDecaySGD(0.1, momentum=0.9, weight_decay=0.1)
    stock = keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        mine.apply([tf.zeros(1)], [ours])
        stock.apply([tf.zeros(1)], [theirs])
    assert ours.numpy() < theirs.numpy() - 1e-3  # the decay gathers momentum


def test_parts_that_are_added_up_make_the_update_of_their_mean():
    whole, parts = (keras.Variable([1.0, -2.0], name="kernel") for _ in range(2))
    once = CoupledDecaySGD(0.1, momentum=0.9, weight_decay=0.1, clip_norm=0.3)
    twice = CoupledDecaySGD(0.1, momentum=0.9, weight_decay=0.1, clip_norm=0.3, gradient_accumulation_steps=2)
    for first, second in (([1.0, 2.0], [3.0, -4.0]), ([0.5, 0.0], [0.0, 0.25])):
        once.apply([tf.constant(np.add(first, second) / 2, tf.float32)], [whole])
        for part in (first, second):
            twice.apply([tf.constant(part)], [parts])
    np.testing.assert_allclose(parts.numpy(), whole.numpy(), rtol=1e-6)


def test_the_norm_is_clipped_and_noted():
    variables = [keras.Variable([0.0, 0.0], name="kernel"), keras.Variable([0.0], name="beta")]
    optimizer = CoupledDecaySGD(1.0, clip_norm=1.0)
    optimizer.apply([tf.constant([3.0, 0.0]), tf.constant([4.0])], variables)
    assert float(optimizer.gradient_norm.numpy()) == pytest.approx(5.0)
    np.testing.assert_allclose(variables[0].numpy(), [-0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(variables[1].numpy(), [-0.8], rtol=1e-6)


def test_averages_follow_the_weights_and_soon_forget_the_start():
    variable = keras.Variable([8.0], name="kernel")
    optimizer = CoupledDecaySGD(1.0, ema=0.5)
    expected, weight = 0.0, 8.0
    for step in range(6):
        optimizer.apply([tf.constant([1.0])], [variable])
        weight -= 1.0
        momentum = min(0.5, step / (10 + step))  # the first step's weights count wholly
        expected = momentum * expected + (1 - momentum) * weight
    [average] = optimizer.averages().values()
    assert float(average.numpy()[0]) == pytest.approx(expected)


def test_parts_that_are_added_up_move_the_averages_once():
    whole, parts = (keras.Variable([8.0], name="kernel") for _ in range(2))
    once, twice = (CoupledDecaySGD(1.0, ema=0.5, gradient_accumulation_steps=count) for count in (None, 2))
    for gradient in (1.0, 2.0, -1.0, 0.5):
        once.apply([tf.constant([gradient])], [whole])
        for _ in range(2):
            twice.apply([tf.constant([gradient])], [parts])
        averages = [float(next(iter(each.averages().values())).numpy()[0]) for each in (once, twice)]
        assert averages[1] == pytest.approx(averages[0])
    assert parts.numpy() == pytest.approx(whole.numpy())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx2"}, "float32"), ({"avx512_bf16"}, "mixed_bfloat16"), ({"amx_bf16"}, "mixed_bfloat16")],
)
def test_auto_is_bf16_only_where_the_processor_multiplies_it(monkeypatch, flags, expected):
    monkeypatch.setattr(precision, "_cpu_flags", lambda: flags)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    assert precision.training_precision("auto") == expected
    assert precision.training_precision("float32") == "float32"
