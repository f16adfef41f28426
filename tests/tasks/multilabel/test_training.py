"""Multi-label training: chosen by the data; weights, smoothing, resuming, replicas, searches, refusals."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import reskeras
from reskeras.data.digits import open_digits
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification.run import ClassifierRun
from reskeras.tasks.multilabel.feed import MultiLabelFeed
from reskeras.tasks.multilabel.run import MultiLabelRun
from reskeras.tasks.multilabel.subject import decided
from reskeras.training.losses import loss_of
from reskeras.training.strategy import open_replicas
from tests.cli.running import printed, refused
from tests.conftest import TINY
from tests.tasks.multilabel.pairs import NAMES, open_pairs, pairs, split_of
from tests.training.test_strategy import assert_equal_but_for_rounding, trained_on

SMALL = {"family": "cifar", "stages": [1, 1], "input_shape": [8, 16, 1]}
LITTLE = {"epochs": 1, "batch_size": 32, "precision": "float32"}


def fed(source=None, **fields):
    """The feed of a training by these recipe fields, and its first finished batch."""
    source = source or open_pairs(64)
    chosen = decided(recipe("quick", batch_size=64, holdout=0.0, **fields))
    feed = MultiLabelFeed(chosen, source, Preprocessing.fit(source.train, 8, 16, 1, "scale"), open_replicas("one"))
    [batch] = feed.training(0, 0, 1).map(feed.finished)
    return feed, [part.numpy() for part in batch]


def test_pairs_of_digits_are_learnt_to_more_than_95_per_cent(labelled):
    found = labelled.evaluate()
    assert found.mean_average_precision > 0.95
    assert min(each.average_precision for each in found.figures) > 0.8


def test_the_data_decides_the_task(labelled):
    assert type(labelled) is MultiLabelRun and type(ClassifierRun(labelled.path)) is MultiLabelRun
    assert labelled.folder.provenance()["task"] == "multilabel"
    assert labelled.folder.recipe().loss.kind == "auto"


def test_the_best_epoch_is_that_of_the_highest_map_on_held_out_images(labelled):
    rows = labelled.folder.metrics()
    best = max(rows, key=lambda row: (row["val_average_precision"], -row["val_loss"]))
    assert labelled.folder.provenance()["best_epoch"] == best["epoch"]


def test_the_logged_figures_are_those_of_the_model_that_is_saved(tmp_path):
    test_images_watched = {**LITTLE, "epochs": 2, "holdout": 0.0}
    run = reskeras.train(reskeras.network(**SMALL), "pairs:256", out=tmp_path / "run", **test_images_watched)
    row, found = run.folder.metrics()[-1], run.evaluate()
    assert row["val_loss"] == pytest.approx(found.loss, rel=1e-4)
    assert row["val_average_precision"] == pytest.approx(found.mean_average_precision, abs=5e-3)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_balanced_weights_are_pytorchs_pos_weight(smoothing):
    feed, (_, targets, weights) = fed(class_weights="balanced", label_smoothing=smoothing, augment={"pad_crop": 0})
    _, (_, hard) = fed(augment={"pad_crop": 0})
    counts = hard.sum(axis=0)
    np.testing.assert_allclose(feed.class_weights, (64 - counts) / counts, rtol=1e-6)
    logits = np.random.default_rng(0).normal(0, 2, hard.shape).astype(np.float32)
    smooth = torch.tensor(hard * (1 - smoothing) + smoothing / 2)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.tensor(logits), smooth, pos_weight=torch.tensor((64 - counts) / counts)
    )
    assert float(loss_of(feed.recipe)(targets, logits, weights)) == pytest.approx(expected.item(), rel=1e-5)


def test_a_class_that_all_or_no_images_have_has_a_finite_weight():
    source = open_pairs(64)
    images, labels = pairs(64, np.arange(100), 0)
    labels[:, 0], labels[:, 1] = 1, 0
    feed, (_, targets, weights) = fed(
        replace(source, train=split_of("train", images, labels)), class_weights="balanced"
    )
    assert feed.class_weights[:2].tolist() == [1 / 64, 1]
    assert np.isfinite(targets).all() and np.isfinite(weights).all() and (weights > 0).all()


def test_mixed_images_have_the_mean_of_both_labels():
    _, (_, targets) = fed(augment={"pad_crop": 0, "mixup": 1.0})
    _, (_, hard) = fed(augment={"pad_crop": 0})
    soft = (targets > 0.01) & (targets < 0.99)
    assert soft.any() and targets.min() >= 0 and targets.max() <= 1
    # a label that both parts of an image have stays 1, and the parts of all others add up to 1
    shared = targets.sum(axis=1)
    assert (shared >= hard.sum(axis=1).min() - 1e-4).all() and (shared <= hard.sum(axis=1).max() + 1e-4).all()


def test_smoothing_is_towards_one_half():
    _, (_, targets) = fed(label_smoothing=0.2, augment={"pad_crop": 0})
    np.testing.assert_allclose(np.unique(targets), [0.1, 0.9], rtol=1e-6)


class Stop(Exception):
    """Ends a training in the middle."""


def test_resumed_within_an_epoch_it_ends_with_the_same_bits(tmp_path):
    class AtStep(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == 11:
                raise Stop

    how = {**LITTLE, "epochs": 2, "deterministic": True, "checkpoint_steps": 3, "label_smoothing": 0.1}
    net = reskeras.network(**SMALL)
    whole = reskeras.train(net, "pairs:256", out=tmp_path / "whole", **how)
    with pytest.raises(Stop):
        reskeras.train(net, "pairs:256", out=tmp_path / "run", callbacks=[AtStep()], **how)
    run = reskeras.train(net, "pairs:256", out=tmp_path / "run", resume=True, **how)
    digests = [each.folder.provenance()["trained_sha256"] for each in (whole, run)]
    assert digests[0] == digests[1]
    timeless = [[{**row, "seconds": 0} for row in each.folder.metrics()] for each in (whole, run)]
    assert timeless[0] == timeless[1]


@pytest.mark.slow
def test_two_replicas_equal_one(tmp_path):
    fields = "{data: 'pairs:512', network: {input_shape: [8, 16, 1]}, class_weights: balanced, sync_bn: true}"
    alone, both = trained_on(tmp_path / "one", fields=fields), trained_on(tmp_path / "two", "mirrored", 2, fields)
    assert (alone.returncode, both.returncode) == (0, 0), alone.stderr + both.stderr
    assert_equal_but_for_rounding(tmp_path / "two", tmp_path / "one")
    ours, theirs = (reskeras.Run(tmp_path / name).folder.metrics()[0] for name in ("two", "one"))
    for name in ("loss", "average_precision", "val_loss", "val_average_precision"):
        assert ours[name] == pytest.approx(theirs[name], rel=5e-3)


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "fields", [{"loss": "focal"}, {"form": "scanned"}, {"xla": True}, {"precision": "mixed_float16"}]
)
def test_other_losses_and_forms_train(fields, tmp_path):
    run = reskeras.train(reskeras.network(**SMALL), "pairs:64", out=tmp_path / "run", **{**LITTLE, **fields})
    assert np.isfinite(run.folder.metrics()[-1]["val_loss"])


def test_a_student_learns_from_a_multi_label_teacher(labelled, tmp_path):
    net = reskeras.network(family="cifar", stages=[1, 1], input_shape=[16, 32, 1])
    run = reskeras.train(net, "pairs:128", teacher=labelled.path, out=tmp_path / "run", **LITTLE)
    assert np.isfinite(run.folder.metrics()[-1]["loss"])


def test_it_starts_from_a_classifier_of_one_class_per_image(trained, tmp_path):
    net = reskeras.network(**TINY)
    told = []
    run = reskeras.train(net, "pairs:64", start=trained, out=tmp_path / "run", tell=told.append, **LITTLE)
    assert run.task == "multilabel" and any(line.startswith("starting from") for line in told)


def test_what_does_not_go_together_is_refused_in_two_lines(labelled, trained, tmp_path):
    net = ("--family", "cifar", "--depth", "8", "--input-shape", "16x32", "--out", tmp_path / "run")
    assert (
        "loss: 'cross_entropy' is for one class per image, but pairs:64 has several; use binary_cross_entropy or focal"
        in refused("train", *net, "--data", "pairs:64", "--loss", "cross_entropy")
    )
    assert "digits has one class per image, but a multi-label classifier needs several" in refused(
        "train", *net, "--task", "multilabel"
    )
    assert "is a classifier, not a multi-label classifier" in refused(
        "train",
        *net[:-4],
        "--input-shape",
        "16x16",
        "--out",
        tmp_path / "run",
        "--data",
        "pairs:64",
        "--teacher",
        trained.path,
    )
    assert not (tmp_path / "run").exists()
    other = refused("evaluate", labelled.path, "--confusion", tmp_path / "c.png")
    assert "confusion: only for classifiers" in other and "is a multi-label classifier" in other
    suite = reskeras.reproduce("v1-figure-6", scale="smoke", data="pairs:64", rows=["plain-20"], out=tmp_path / "suite")
    assert "pairs:64 has several classes per image, but a classifier needs one" in suite.rows[0].error


def test_images_of_one_class_do_not_judge_a_multi_label_run(labelled, monkeypatch):
    single = replace(open_digits(), classes=NAMES)
    monkeypatch.setattr("reskeras.tasks.classification.task.ClassificationTask.open_source", lambda *_, **__: single)
    with pytest.raises(ReskerasError, match=r"has one class per image, but .* was trained on several"):
        labelled.evaluate("digits")


@pytest.mark.slow
def test_a_search_is_for_the_highest_map(tmp_path):
    over = {"parameters": {"recipe.learning_rate": {"choices": [0.01, 0.1]}}}
    search = reskeras.tune(
        over, reskeras.network(**SMALL), "pairs:64", tuner="random", trials=1, epochs=1, out=tmp_path / "search"
    )
    [outcome] = search.outcomes()
    assert outcome.score == outcome.figures["val_average_precision"]
    with pytest.raises(ReskerasError, match="objective of a multi-label classifier: 'val_accuracy' is not one of"):
        reskeras.tune(over, reskeras.network(**SMALL), "pairs:64", objective=["val_accuracy"], out=tmp_path / "other")
    assert printed("tune", "--show", tmp_path / "search")


@pytest.mark.slow
def test_several_seeds_are_compared_by_average_precision(tmp_path):
    network = reskeras.network(family="cifar", stages=[1], input_shape=[8, 16, 1])
    result = reskeras.train_seeds(network, "pairs:64", seeds=2, out=tmp_path / "runs", epochs=1, batch_size=32)
    runs = [reskeras.Run(path) for path in result.rows[0].runs.values()]
    found = [run.evaluate().mean_average_precision for run in runs]
    assert result.rows[0].statistics("average_precision").mean == pytest.approx(sum(found) / 2)
    columns, lines = result.by_seed()
    assert columns[1:] == ["average precision", "f1"] and [line[1] for line in lines[:2]] == [
        f"{each:.2%}" for each in found
    ]
    assert "± standard deviation" in (tmp_path / "runs" / "report.html").read_text()


def test_it_is_told_that_data_make_a_multi_label_classifier(tmp_path):
    told = []
    network = reskeras.network(family="cifar", stages=[1], input_shape=[8, 16, 1])
    reskeras.train(network, "pairs:64", out=tmp_path / "run", epochs=1, batch_size=32, tell=told.append)
    assert "pairs of digits: several classes per image, for a multi-label classifier" in told


def test_balanced_shares_stay_below_one_and_focal_finite():
    source = open_pairs(64)
    asked = recipe("quick", loss="focal", class_weights="balanced")
    feed = MultiLabelFeed(asked, source, Preprocessing.fit(source.train, 8, 16, 1, "scale"), open_replicas("one"))
    weights = np.linspace(0.3, 9.7, 10000, dtype=np.float32)
    shares, totals = feed.weighted(tf.ones((1, len(weights))), weights)
    assert shares.numpy().max() <= 1
    np.testing.assert_allclose(totals[0], weights, rtol=1e-6)
    assert np.isfinite(loss_of(asked)(shares, tf.zeros_like(shares), totals))


def test_a_loss_of_whole_images_weights_no_classes(tmp_path):
    network = reskeras.network(family="cifar", stages=[1], input_shape=[8, 16, 1])
    with pytest.raises(ReskerasError, match="class_weights: balanced weights each class of an image, but the loss"):
        reskeras.train(
            network,
            "pairs:64",
            out=tmp_path / "run",
            class_weights="balanced",
            loss=lambda targets, logits: tf.reduce_mean((targets - logits) ** 2, axis=1),
        )
    assert not (tmp_path / "run").exists()
