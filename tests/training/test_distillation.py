"""Learning from another network's outputs: the loss, the pixels that the teacher sees, resuming, replicas, refusals."""

import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.data.digits import open_digits
from reskeras.errors import ReskerasError
from reskeras.graph.compile import compile_plan
from reskeras.graph.weights import read, write
from reskeras.networks.overrides import laid_over
from reskeras.recipes.recipe import recipe
from reskeras.tasks.classification.job import ClassifierJob
from reskeras.tasks.classification.teacher import open_teacher
from reskeras.training.distillation import sigmoid_divergence, softmax_divergence
from tests.cli.running import printed, refused
from tests.conftest import TINY
from tests.training.killed import NETWORK as SMALL
from tests.training.test_resume import digest, killed
from tests.training.test_strategy import assert_equal_but_for_rounding, trained_on

EXACT = {"precision": "float32", "weight_decay": 0.0, "batch_size": 32, "epochs": 1}


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run with the input of the scripts' networks, to learn from."""
    out = tmp_path_factory.mktemp("teachers") / "small"
    return reskeras.train(reskeras.network(**SMALL), "digits", epochs=2, batch_size=32, out=out)


def test_divergences_are_their_definitions():
    teacher, student = (np.random.default_rng(seed).normal(0, 3, (6, 5)) for seed in (0, 1))
    p, q = softmax(teacher), softmax(student)
    np.testing.assert_allclose(softmax_divergence(teacher, student), (p * np.log(p / q)).sum(axis=1), rtol=1e-6)
    p, q = sigmoid(teacher), sigmoid(student)
    each = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    np.testing.assert_allclose(sigmoid_divergence(teacher, student), each.mean(axis=1), rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_share_of_both(trained, smoothing):
    fields = {"teacher": str(trained.path), "distillation": {"temperature": 3.0, "share": 0.7}}
    chosen = recipe("quick", label_smoothing=smoothing, precision="float32", **fields)
    job = ClassifierJob(reskeras.network(**TINY), chosen, open_digits())
    subject = job.subject(trained.preprocessing())
    model = subject.compiled(chosen, 10)
    images = np.random.default_rng(0).normal(0, 1, (8, 16, 16, 1)).astype(np.float32)
    logits, labels = np.random.default_rng(1).normal(0, 2, (8, 10)).astype(np.float32), np.arange(8) % 3
    targets = (1 - smoothing) * np.eye(10)[labels] + smoothing / 10
    own = -(targets * np.log(softmax(logits))).sum(axis=1).mean()
    theirs, ours = softmax(trained.model()(images, training=False).numpy() / 3), softmax(logits / 3)
    taught = 9 * (theirs * np.log(theirs / ours)).sum(axis=1).mean()
    given = targets.astype(np.float32) if smoothing else labels
    assert float(model.compute_loss(images, given, tf.constant(logits))) == pytest.approx(
        0.3 * own + 0.7 * taught, rel=1e-5
    )
    assert float(model.compute_loss(images, given, tf.constant(logits), training=False)) == pytest.approx(own, rel=1e-5)


def test_sizes_that_a_teacher_cannot_take_are_refused(small, tmp_path):
    net = reskeras.network(family="cifar", stages=[1], input_shape=[8, 8, 1])
    deep = {**SMALL, "stages": [1, 1, 1], "input_shape": [8, 8, 1], "family": "cifar"}
    teacher = reskeras.train(reskeras.network(**deep), "digits", epochs=1, batch_size=64, out=tmp_path / "teacher")
    with pytest.raises(ReskerasError, match=r"teacher: .*teacher: sizes: 2 is below the network's stride of 4"):
        reskeras.train(net, "digits", teacher=teacher.path, sizes=[[0, 2], [0.5, 8]], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_copy_of_its_teacher_has_nothing_to_learn(trained, tmp_path):
    run = reskeras.train(
        reskeras.network(**TINY),
        start=trained,
        teacher=trained.path,
        distillation={"temperature": 1.0, "share": 1.0},
        frozen_bn=True,
        learning_rate=1e-3,  # at 0.05 rounding errors grow from step to step
        augment={"mixup": 0.5, "erase": 0.5},
        out=tmp_path / "copy",
        **EXACT,
    )
    [row] = run.folder.metrics()
    assert row["loss"] < 1e-6 and row["gradient_norm"] < 1e-5 < row["val_loss"]
    for ours, theirs in zip(run.model().get_weights(), trained.model().get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.slow
def test_a_student_comes_closer_to_its_teacher_than_labels_alone_bring_it(trained, tmp_path):
    def apart(name, **fields):
        run = reskeras.train(reskeras.network(**TINY), out=tmp_path / name, **{**EXACT, "epochs": 2}, **fields)
        images = np.random.default_rng(0).normal(0, 1, (64, 16, 16, 1)).astype(np.float32)
        return float(tf.reduce_mean(softmax_divergence(trained.model()(images), run.model()(images))))

    assert apart("taught", teacher=trained.path) < apart("alone")


def test_the_teacher_sees_the_pixels_by_its_own_preprocessing_in_the_students_order_of_classes(trained):
    source = open_digits()
    turned = replace(source, classes=source.classes[::-1])
    teacher = open_teacher(str(trained.path), "classification", (16, 16, 1), turned)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1)).astype(np.uint8)
    own = trained.preprocessing()
    student = replace(own, kind="scale", mean=np.float32([127.5]), std=np.float32([127.5]))
    for given in (own, student):
        logits = teacher.outputs(given, recipe("quick", precision="float32"))(given.normalise(pixels)).numpy()
        expected = trained.model()(own.normalise(pixels), training=False).numpy()[:, ::-1]
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


def test_a_teacher_sees_images_of_the_size_that_is_trained_on(trained):
    source, own = open_digits(), trained.preprocessing()
    rng = np.random.default_rng(0)
    mean = rng.uniform(0, 255, (16, 16, 1)).astype(np.float32)
    student = replace(own, kind="per_pixel_mean", mean=mean, std=np.float32([1.0]))
    teacher = open_teacher(str(trained.path), "classification", (16, 16, 1), source)
    pixels = rng.integers(0, 256, (4, 12, 12, 1)).astype(np.uint8)
    outputs = teacher.outputs(student, recipe("quick", precision="float32", sizes=[[0, 12], [0.5, 16]]))
    logits = tf.function(outputs)(student.at(12, 12).normalise(pixels)).numpy()
    smaller = compile_plan(laid_over(trained.folder.spec(), {"input_shape": [12, 12, 1]}).lower(), "net")
    write(smaller, read(trained.model()))
    np.testing.assert_allclose(logits, smaller(own.normalise(pixels)).numpy(), rtol=1e-3, atol=1e-3)


def test_the_teacher_is_no_part_of_what_is_trained_and_saved(trained):
    chosen = recipe("quick", teacher=str(trained.path))
    jobs = (ClassifierJob(reskeras.network(**TINY), each, open_digits()) for each in (chosen, recipe("quick")))
    taught, alone = (job.subject(trained.preprocessing()).compiled(job.recipe, 10) for job in jobs)
    assert [each.name for each in taught.variables] == [each.name for each in alone.variables]
    assert read(taught).keys() == read(alone).keys()


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "fields",
    [
        {"form": "scanned", "recompute": True},
        {"precision": "mixed_float16"},
        {"xla": True},
        {"sizes": [[0, 12], [0.5, 16]], "epochs": 2},
    ],
)
def test_it_works_in_every_form_of_training(trained, tmp_path, fields):
    how = {**EXACT, "holdout": 0.5, **fields}
    run = reskeras.train(
        reskeras.network(family="cifar", stages=[3], input_shape=[16, 16, 1]),
        teacher=trained.path,
        out=tmp_path / "run",
        **how,
    )
    assert np.isfinite(run.folder.metrics()[-1]["loss"])


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bits(small, tmp_path):
    fields = f"{{teacher: {small.path}, distillation: {{temperature: 2.0}}, schedule: constant, epochs: 1}}"
    fields = fields.replace("constant", "{kind: constant}")
    expected = digest(killed(tmp_path / "whole", fields=fields))
    assert killed(tmp_path / "run", "step:9", fields=fields).returncode == -signal.SIGKILL
    assert digest(killed(tmp_path / "run", fields=fields)) == expected


@pytest.mark.slow
def test_two_replicas_equal_one(small, tmp_path):
    fields = f"{{teacher: {small.path}, label_smoothing: 0.1, sync_bn: true}}"
    alone, both = trained_on(tmp_path / "one", fields=fields), trained_on(tmp_path / "two", "mirrored", 2, fields)
    assert (alone.returncode, both.returncode) == (0, 0), alone.stderr + both.stderr
    assert_equal_but_for_rounding(tmp_path / "two", tmp_path / "one")
    ours, theirs = (reskeras.Run(tmp_path / name).folder.metrics()[0] for name in ("two", "one"))
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)


def test_a_teacher_that_has_changed_is_noticed_at_resume(small, tmp_path):
    teacher = shutil.copytree(small.path, tmp_path / "teacher")
    how = {**EXACT, "holdout": 0.5, "teacher": teacher, "out": tmp_path / "run", "resume": True}
    run = reskeras.train(reskeras.network(**SMALL), **how)
    facts = run.folder.provenance()
    assert facts["teacher"] == str(teacher) and len(facts["teacher_sha256"]) == 64
    reskeras.train(reskeras.network(**SMALL), **how)
    shutil.copy(run.folder.model_file, teacher / "model.keras")
    with pytest.raises(ReskerasError, match="its weights have changed"):
        reskeras.train(reskeras.network(**SMALL), **how)


def test_what_cannot_teach_is_refused_before_anything_is_written(trained, trained_detector, small, tmp_path):
    def words(teacher, *more):
        return refused(
            "train", "--family", "cifar", "--depth", "8", "--teacher", teacher, "--out", tmp_path / "run", *more
        )

    own = ("--input-shape", "16x16")
    assert "is a detector, not a classifier" in words(trained_detector / "tiny", *own)
    assert "takes images of 16x16x1, but the network to train takes 32x32x1" in words(trained.path)
    assert "teacher: folder not found" in words(tmp_path / "nothing", *own)
    others = shutil.copytree(trained.path, tmp_path / "others")
    names = (others / "classes.txt").read_text()
    (others / "classes.txt").write_text(names.replace("9\n", "nine\n"))
    assert "has no class '9', which digits has" in words(others, *own)
    (others / "model.keras").write_bytes(b"no model")
    assert "teacher: " in refused(
        "train", "--family", "cifar", "--depth", "8", "--teacher", others, "--out", tmp_path / "run", *own, status=1
    )
    (tmp_path / "recipe.yaml").write_text("distillation: {temperature: 2}\n")
    alone = refused("train", "--family", "cifar", "--depth", "8", "--recipe", tmp_path / "recipe.yaml", *own)
    assert "distillation: needs a run to learn from" in alone
    assert not (tmp_path / "run").exists()


def test_the_command_line_lays_a_teacher_over_a_recipe(trained, tmp_path):
    (tmp_path / "recipe.yaml").write_text("distillation: {temperature: 2}\nepochs: 1\nbatch_size: 64\nholdout: 0.5\n")
    told = printed(
        "train", "--family", "cifar", "--depth", "8", "--input-shape", "16x16", "--recipe", tmp_path / "recipe.yaml",
        "--teacher", trained.path, "--loss", "binary_cross_entropy", "--out", tmp_path / "run",
    )  # fmt: skip
    assert "accuracy" in told
    kept = reskeras.Run(tmp_path / "run").folder.recipe()
    assert (kept.teacher, kept.distillation.temperature, kept.loss.kind) == (
        str(trained.path), 2.0, "binary_cross_entropy",
    )  # fmt: skip
