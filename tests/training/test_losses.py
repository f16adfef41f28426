"""Each loss against an independent implementation: values, gradients, targets, weights, replicas and precisions."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import torch

import reskeras
from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification.subject import compiled
from reskeras.training.fit import fingerprint
from reskeras.training.losses import loss_of
from tests.conftest import TINY
from tests.training.test_feed import batches, skewed  # noqa: F401
from tests.training.test_strategy import assert_equal_but_for_rounding, trained_on

NETWORK = {"family": "cifar", "stages": [1, 1], "classes": 5, "input_shape": [8, 8, 3]}
torch_bce = torch.nn.functional.binary_cross_entropy_with_logits


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def numpy_focal(logits, targets, gamma, alpha):
    """arXiv:1708.02002, equation 5, as torchvision.ops.sigmoid_focal_loss has it."""
    p, t = sigmoid(logits.astype(np.float64)), targets.astype(np.float64)
    entropy = -t * np.log(p) - (1 - t) * np.log(1 - p)
    wrong = 1 - (p * t + (1 - p) * (1 - t))
    return entropy * wrong**gamma * (1 if alpha is None else alpha * t + (1 - alpha) * (1 - t))


def examples(kind, seed=0, rows=16, classes=5):
    """Logits and targets: one class each, several, or soft ones."""
    rng = np.random.default_rng(seed)
    targets = {
        "one": np.eye(classes)[rng.integers(0, classes, rows)],
        "several": rng.random((rows, classes)) < 0.4,
        "soft": rng.dirichlet(np.ones(classes), rows),
    }[kind]
    return rng.normal(0, 3, (rows, classes)).astype(np.float32), targets.astype(np.float32)


def value_and_gradient(loss, logits, targets, weights=None):
    logits = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss(targets, logits, weights)
    return float(value), tape.gradient(value, logits).numpy()


def of(kind, **fields):
    return loss_of(recipe("quick", loss={"kind": kind, **fields}))


@pytest.mark.parametrize("targets", ["one", "several", "soft"])
@pytest.mark.parametrize("total", [False, True])
def test_binary_cross_entropy_is_pytorchs(targets, total):
    logits, wanted = examples(targets)
    theirs = torch.tensor(logits, requires_grad=True)
    # timm sums over the classes of each image with sum_classes, and takes the mean over images
    expected = torch_bce(theirs, torch.tensor(wanted), reduction="none").sum(1).mean() / (1 if total else 5)
    expected.backward()
    value, gradient = value_and_gradient(of("binary_cross_entropy", sum_classes=total), logits, wanted)
    assert value == pytest.approx(expected.item(), rel=1e-6)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-5, atol=1e-8)


def test_a_threshold_makes_every_class_of_a_mixed_image_fully_there():
    logits, targets = examples("soft")
    # timm: target.gt(target_threshold).to(dtype=target.dtype)
    expected = torch_bce(torch.tensor(logits), torch.tensor(targets).gt(0.2).float()).item()
    assert (targets > 0.2).sum(axis=1).max() > 1
    assert value_and_gradient(of("binary_cross_entropy", threshold=0.2), logits, targets)[0] == pytest.approx(expected)


@pytest.mark.parametrize("targets", ["one", "several", "soft"])
@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, None), (0.0, None), (5.0, 0.9)])
def test_focal_is_its_formula(targets, gamma, alpha):
    logits, wanted = examples(targets)
    value, gradient = value_and_gradient(of("focal", gamma=gamma, alpha=alpha), logits, wanted)
    assert value == pytest.approx(numpy_focal(logits, wanted, gamma, alpha).mean(), rel=1e-5)
    step, measured = 1e-4, np.zeros(logits.shape)
    for place in np.ndindex(logits.shape):
        moved = np.zeros(logits.shape)
        moved[place] = step
        up, down = (numpy_focal(logits + sign * moved, wanted, gamma, alpha).mean() for sign in (1, -1))
        measured[place] = (up - down) / (2 * step)
    np.testing.assert_allclose(gradient, measured, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", [{"kind": "binary_cross_entropy"}, {"kind": "focal", "gamma": 0.5}])
def test_sure_logits_have_finite_losses_and_gradients(kind):
    logits, targets = np.float32([[90, -90, 90, -90]]), np.float32([[1, 0, 0, 1]])
    value, gradient = value_and_gradient(of(**kind), logits, targets)
    assert np.isfinite(value) and value > 1
    assert np.isfinite(gradient).all()
    assert gradient[0, 2] > 0 > gradient[0, 3] and abs(gradient[0, :2]).max() < 1e-6


def test_weights_are_of_images_or_of_each_class_of_them():
    logits, targets = examples("several")
    each = torch_bce(torch.tensor(logits), torch.tensor(targets), reduction="none").numpy()
    rng = np.random.default_rng(1)
    by_image, by_class = rng.random(16).astype(np.float32), rng.random((16, 5)).astype(np.float32)
    loss = of("binary_cross_entropy")
    assert float(loss(targets, logits, by_image)) == pytest.approx((each * by_image[:, None]).mean(), rel=1e-5)
    assert float(loss(targets, logits, by_class)) == pytest.approx((each * by_class).mean(), rel=1e-5)


@pytest.mark.parametrize("mix", [{}, {"mixup": 0.4, "cutmix": 1.0}])
def test_balanced_classes_weight_whole_images_and_leave_targets_alone(skewed, mix):  # noqa: F811
    fields = {"label_smoothing": 0.1, "augment": {"pad_crop": 0, **mix}}
    [(_, targets, weights)] = batches(skewed, loss="binary_cross_entropy", **fields)
    shares = (targets - 0.1 / 3) / 0.9
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(weights, shares @ (50 / (3 * np.array([40, 8, 2]))), rtol=1e-4)


def test_cross_entropy_is_kerass_as_ever():
    assert type(loss_of(recipe("quick"))).__name__ == "SparseCategoricalCrossentropy"
    assert type(loss_of(recipe("modern-cifar", loss="cross_entropy"))).__name__ == "CategoricalCrossentropy"


@pytest.mark.parametrize("kind", ["binary_cross_entropy", "focal"])
def test_float16_has_the_gradients_of_float32(kind):
    rng = np.random.default_rng(0)
    images, targets = (
        rng.normal(0, 1, (8, 8, 8, 3)).astype(np.float32),
        np.eye(5, dtype=np.float32)[[0, 1, 2, 3, 4, 0, 1, 2]],
    )
    norms = []
    for precision in ("float32", "mixed_float16"):
        chosen = recipe("quick", loss=kind, precision=precision, batch_size=8, weight_decay=0.0)
        model = compiled(reskeras.network(**NETWORK).lower(), "net", chosen, 100)
        model.train_on_batch(images, targets)
        norms.append(float(getattr(model.optimizer, "inner_optimizer", model.optimizer).gradient_norm))
    assert norms[1] == pytest.approx(norms[0], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "{kind: focal, sum_classes: true}"])
def test_two_replicas_equal_one(loss, tmp_path):
    fields = f"{{loss: {loss}, label_smoothing: 0.1, class_weights: balanced}}"
    alone = trained_on(tmp_path / "one", fields=fields)
    both = trained_on(tmp_path / "two", "mirrored", 2, fields[:-1] + ", sync_bn: true}")
    assert (alone.returncode, both.returncode) == (0, 0), alone.stderr + both.stderr
    assert_equal_but_for_rounding(tmp_path / "two", tmp_path / "one")
    ours, theirs = (reskeras.Run(tmp_path / name).folder.metrics()[0] for name in ("two", "one"))
    assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-3)
    assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-3)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"loss": "hinge"}, "loss: 'hinge' is not one of auto, cross_entropy, binary_cross_entropy, focal"),
        ({"loss": {"kind": "focal", "gamma": -1}}, "loss.gamma: -1: should be at least 0"),
        (
            {"loss": {"kind": "focal", "threshold": 0.2}},
            "'loss.threshold' is not one of alpha, gamma, kind, sum_classes",
        ),
        ({"loss": {"kind": "cross_entropy", "gamma": 2}}, "'loss.gamma' is not one of kind"),
    ],
)
def test_a_field_that_a_loss_does_not_have_is_refused_by_name(fields, words):
    with pytest.raises(ReskerasError, match=r"loss") as refused:
        recipe("quick", **fields)
    assert words in str(refused.value)


def test_smoothing_that_a_threshold_cannot_undo_is_refused(tmp_path):
    how = {"loss": {"kind": "binary_cross_entropy", "threshold": 0.05}, "epochs": 1, "out": tmp_path / "run"}
    for smoothing in (0.6, 0.99):
        with pytest.raises(ReskerasError, match=r"loss.threshold: 0.05 does not separate smoothed labels, which are"):
            reskeras.train(reskeras.network(**TINY), "digits", label_smoothing=smoothing, **how)
    assert not (tmp_path / "run").exists()


def test_a_detector_has_losses_of_its_own(detector_files, tmp_path):
    spec, data = detector_files / "detector.yaml", f"voc:{detector_files / 'shapes'}"
    with pytest.raises(ReskerasError, match="loss: 'cross_entropy' is only for classifiers; use auto, or focal"):
        reskeras.train_detector(spec, data, loss="cross_entropy", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_checkpoints_of_before_there_were_losses_still_fit():
    network = SimpleNamespace(described=lambda: {"units": []})
    before = "bc89cde508f479f16868619950f8db9f93bc251b3ad01dceec0dbbd7cdebc84a"  # as that version computed it
    assert fingerprint(network, recipe("modern-cifar")) == before
    assert fingerprint(network, recipe("modern-cifar", loss="focal")) != before
    assert fingerprint(network, recipe("modern-cifar", teacher="saved_models/large")) != before
