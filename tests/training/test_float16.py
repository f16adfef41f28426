"""float16 with loss scaling: skips steps that overflow on any replica, resumes exactly, is chosen by the GPU."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.tasks.classification.subject import compiled
from reskeras.training import precision
from reskeras.training.optimizer import LossScaling, inner_optimizer
from tests.training.killed import NETWORK as SMALL
from tests.training.killed import RECIPE

FLOAT16 = {**RECIPE, "precision": "mixed_float16", "schedule": {"kind": "constant"}}
NETWORK = {"family": "cifar", "stages": [1, 1], "classes": 3, "input_shape": [8, 8, 3]}


def model_of(**fields):
    plan = reskeras.network(**NETWORK).lower()
    return compiled(
        plan,
        "net",
        reskeras.recipe("quick", precision="mixed_float16", batch_size=8, label_smoothing=0.1, **fields),
        100,
    )


def batch(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (8, 8, 8, 3)).astype(np.float32), tf.one_hot(rng.integers(0, 3, 8), 3)


def test_units_compute_in_float16_and_weights_and_logits_stay_float32():
    model = model_of()
    assert isinstance(model.optimizer, LossScaling)
    assert {layer.compute_dtype for layer in model.layers if isinstance(layer, keras.layers.Conv2D)} == {"float16"}
    assert {weight.dtype for weight in model.trainable_weights} == {"float32"}
    assert model(batch()[0]).dtype == tf.float32


def test_a_step_that_overflows_changes_nothing_and_halves_the_scale():
    model = model_of()
    model.train_on_batch(*batch())
    scale, steps = float(model.optimizer.dynamic_scale), int(inner_optimizer(model).iterations)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.optimizer.dynamic_scale.assign(1e30)
    model.train_on_batch(*batch(1))
    for weight, value in zip(model.trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert float(model.optimizer.dynamic_scale) == pytest.approx(5e29)
    assert int(inner_optimizer(model).iterations) == steps
    model.optimizer.dynamic_scale.assign(scale)
    model.train_on_batch(*batch(1))
    assert int(inner_optimizer(model).iterations) == steps + 1
    assert np.isfinite(float(inner_optimizer(model).gradient_norm))


def test_gradients_are_those_of_float32_whatever_the_scale():
    norms = []
    for scale in (2.0**8, 2.0**15):
        model = model_of(seed=3)
        model.train_on_batch(*batch())  # builds the optimiser
        for weight, start in zip(model.weights, model_of(seed=3).weights, strict=True):
            weight.assign(start)
        model.optimizer.dynamic_scale.assign(scale)
        model.train_on_batch(*batch(2))
        norms.append(float(inner_optimizer(model).gradient_norm))
    assert norms[0] == pytest.approx(norms[1], rel=2e-2)


def test_replicas_decide_together(monkeypatch):
    class Context:
        num_replicas_in_sync = 2

        def all_reduce(self, operation, value):
            assert operation == "MEAN"
            return (value + 0.0) / 2  # the other replica has overflowed

    scaling = LossScaling(keras.optimizers.SGD())
    finite, wild = [tf.constant([1.0])], [tf.constant([1.0, np.inf])]
    assert bool(scaling.check_finite(finite))
    assert not bool(scaling.check_finite(wild))
    monkeypatch.setattr(tf.distribute, "get_replica_context", Context)
    assert not bool(scaling.check_finite(finite))


@pytest.mark.slow
def test_a_resumed_training_is_bit_equal_with_the_scale_that_it_had(tmp_path):
    network = reskeras.network(**SMALL)
    for name, epochs in (("whole", (2,)), ("parts", (1, 2))):
        for number in epochs:
            reskeras.train(network, out=tmp_path / name, resume=True, **{**FLOAT16, "epochs": number})
    runs = [reskeras.Run(tmp_path / name) for name in ("whole", "parts")]
    assert runs[0].folder.provenance()["precision"] == "mixed_float16"
    assert len({run.folder.provenance()["trained_sha256"] for run in runs}) == 1
    assert runs[0].evaluate().top1 > 0.15


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ([(9, 0)], "mixed_bfloat16"),
        ([(8, 0), (8, 6)], "mixed_bfloat16"),
        ([(7, 5)], "mixed_float16"),
        ([(8, 0), (7, 0)], "mixed_float16"),
        ([(6, 1)], "float32"),
    ],
)
def test_auto_goes_by_the_weakest_gpu(monkeypatch, capabilities, expected):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: range(len(capabilities)))
    details = lambda gpu: {"compute_capability": capabilities[gpu]}  # noqa: E731
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
    assert precision.training_precision("auto") == expected
    assert precision.training_precision("mixed_float16") == "mixed_float16"
    if expected != "mixed_bfloat16":
        with pytest.raises(ReskerasError, match="precision: mixed_bfloat16 needs a GPU of the Ampere generation"):
            precision.training_precision("mixed_bfloat16")
