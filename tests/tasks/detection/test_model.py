"""The detector as Keras models: its slices are the backbone's, training and testing agree, and it saves and loads."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.export.inference import with_features
from reskeras.graph.compile import Context, compile_plan
from reskeras.graph.load import load_model, save_model
from reskeras.graph.weights import places, read, write
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.model import LOSSES, detector_model, training_model
from reskeras.tasks.detection.task import DetectionTask
from tests.tasks.detection.shapes import DETECTOR

ORDERS = ["original", "bn_after_add", "relu_before_add", "relu_preact", "full_preact"]


def small(classes=2, **changes):
    """The tiny detector with other fields."""
    backbone = {**DETECTOR["backbone"], **changes.pop("backbone", {})}
    return DetectorSpec.model_validate({**DETECTOR, "backbone": backbone, "classes": classes, **changes})


def batch(size=(48, 64), count=2, seed=0):
    """Inputs of a training step."""
    generator = np.random.default_rng(seed)
    boxes = np.tile(np.float32([[4, 4, 20, 24], [20, 30, 44, 60], [0, 0, 0, 0]]), [count, 1, 1])
    return {
        "image": generator.normal(size=(count, *size, 3)).astype(np.float32),
        "window": np.tile(np.float32([0, 0, *size]), [count, 1]),
        "boxes": boxes,
        "labels": np.tile(np.int32([0, 1, -1]), [count, 1]),
        "seed": np.stack([np.full(count, seed), np.arange(count)], axis=1).astype(np.int32),
    }


def randomised(model, seed=0):
    """Every weight random, statistics as of a trained network."""
    generator = np.random.default_rng(seed)
    values = {}
    for name, value in read(model).items():
        role = name.rpartition("/")[2]
        spread = {"gamma": (1.0, 0.1), "moving_variance": (1.0, 0.1), "kernel": (0.0, value.std() or 0.1)}
        mean, deviation = spread.get(role, (0.0, 0.1))
        values[name] = (
            np.abs(generator.normal(mean, deviation, value.shape)).astype(np.float32)
            if mean
            else (generator.normal(mean, deviation, value.shape).astype(np.float32))
        )
    write(model, values)
    return values


@pytest.mark.parametrize("order", ORDERS)
def test_shared_map_and_regions_are_slices_of_the_backbone(order):
    spec = small(backbone={"order": order})
    detector, network = detector_model(lower_detector(spec), "d"), with_features(reskeras.plan(spec.backbone))
    values, region = randomised(detector), np.random.default_rng(1).normal(size=(3, 6, 6, 32)).astype(np.float32)
    for part, image, end in (
        ("shared", batch()["image"], network.slice(until="stage2")),
        ("regions", region, replace(network.slice(after="stage2", until="features"), input_shape=(6, 6, 32))),
    ):
        alone = compile_plan(end, "alone")
        write(alone, {name: values[name] for name in places(alone)})
        assert np.allclose(detector.get_layer(part)(image), alone(image), atol=1e-5)
    assert ("rpn_pre_bn/gamma" in values) == (order == "full_preact")


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    "name",
    [
        "resnet-18",
        "resnet-50",
        "preact-18",
        "plain-18",
        "cifar-resnet-20",
        "resnext-50-32x4d",
        "cifar-preact-110",
        "se-resnet-50",
        "cifar-resnet-110-shortcut-gate-bias-6",
    ],
)
def test_networks_of_the_catalogue_are_backbones(name):
    plan = lower_detector(DetectorSpec.model_validate({"backbone": name, "classes": 5}))
    assert plan.shared.units[0].name == "stem"
    joined = (*plan.shared.units, *plan.regions.units)
    assert [unit.name for unit in joined] == [unit.name for unit in plan.network.units]
    assert joined[:-1] == plan.network.units[:-1]
    assert plan.shared.output_shape[-1] == plan.regions.input_shape[-1]


def test_resnet_101_is_divided_as_in_the_paper():
    plan = lower_detector(reskeras.detector("resnet-101", classes=20, input_shape=(608, 1008, 3)))
    assert plan.spec.shared == "stage3"
    assert plan.stride == 16
    assert plan.map_shape == (38, 63, 1024)
    assert plan.regions.input_shape == (14, 14, 1024)
    assert plan.regions.output_shape == (2048,)
    assert plan.logits.output_shape == (21,)
    assert plan.box_deltas.output_shape == (80,)


@pytest.mark.sample(3)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"regions": {"pool": "max", "size": 6, "sample": 16}},
        {"regions": {"context": True, "size": 6, "sample": 16}},
        {"backbone": {"order": "full_preact"}},
    ],
)
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_gradients_reach_every_weight_and_are_finite(changes, precision):
    model = training_model(lower_detector(small(**changes)), "t", 3, Context(precision, 0))
    inputs = batch()
    with tf.GradientTape() as tape:
        losses = model(inputs, training=True)
        total = tf.add_n([tf.reduce_sum(losses[name]) for name in LOSSES])
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(total, model.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.path
        values = tf.convert_to_tensor(gradient).numpy().astype(np.float32)
        assert np.isfinite(values).all(), variable.path
        if not variable.path.endswith("bias"):
            assert np.count_nonzero(values), variable.path
    assert all(losses[name].dtype == tf.float32 and losses[name].shape == (2,) for name in LOSSES)


def test_an_image_learns_the_same_whatever_is_beside_it():
    model = training_model(lower_detector(small()), "t", 3, Context(seed=0))
    randomised(model)
    both, alone = batch(), {name: values[1:] for name, values in batch().items()}
    together, single = model(both, training=False), model(alone, training=False)
    for name in LOSSES:
        assert float(together[name][1]) == pytest.approx(float(single[name][0]), rel=1e-4)


def test_form_and_precision_change_nothing_but_rounding():
    spec = small(backbone={"stages": [{"units": 3, "width": 16}, {"units": 3, "width": 16}, {"units": 3, "width": 16}]})
    plan = lower_detector(spec)
    models = [training_model(plan, "t", 3, Context(seed=0, form=form)) for form in ("unrolled", "scanned")]
    write(models[1], read(models[0]))
    first, second = (model(batch(), training=False) for model in models)
    for name in LOSSES:
        assert np.allclose(first[name], second[name], rtol=1e-4)


def test_the_saved_model_loads_and_answers_the_same(tmp_path):
    model = detector_model(lower_detector(small()), "d")
    randomised(model)
    save_model(model, tmp_path / "d.keras")
    inputs = {name: batch()[name] for name in ("image", "window")}
    before, after = model(inputs), load_model(tmp_path / "d.keras")(inputs)
    for name, values in before.items():
        assert np.allclose(values, after[name], atol=1e-5), name


def test_a_fresh_detector_is_sure_of_nothing():
    told = detector_model(lower_detector(small()), "d", Context(seed=0))(
        {name: batch()[name] for name in ("image", "window")}
    )
    assert np.abs(told["objectness"][told["objectness"] > 0] - 0.5).max() < 0.2
    assert tf.nn.softmax(told["logits"]).numpy().max() < 0.6


def test_what_a_backbone_has_no_weights_for_is_named():
    plan = lower_detector(small(backbone={"order": "full_preact"}))
    theirs = {name.rpartition("/")[0] for name in plan.network.weight_names()}
    ours = {name.rpartition("/")[0] for name in plan.everything.weight_names()}
    assert ours - theirs | {"logits"} == set(DetectionTask.fresh)


def test_the_tester_computes_what_the_saved_model_does(detector_run):
    """Options off: the proposals and their number are those of the model in the run."""
    detector, source = detector_run.detector(), detector_run.source()
    assert isinstance(detector, Detector)
    data = tf.stack([source.test.read(tf.constant(index, tf.int64)) for index in range(2)])
    found = detector.found(data)
    (first,), _ = detector.placed(data)
    told = detector_run.model()({"image": detector._normalised(first), "window": first.window})
    scale = np.tile(first.scale.numpy(), [1, 2])[:, None]
    real = told["objectness"].numpy() > 0
    assert np.allclose(found["proposals"].numpy()[real], (told["proposals"].numpy() / scale)[real], atol=1e-3)
    assert np.allclose(found["objectness"], told["objectness"], atol=1e-5)


def test_the_smallest_samples_have_an_object_in_them():
    plan = lower_detector(small(regions={"size": 6, "sample": 2}, proposals={**DETECTOR["proposals"], "sample": 2}))
    model = training_model(plan, "tiny", 3)
    assert [model.get_layer(name).positives for name in ("rpn_losses", "region_targets")] == [1, 1]


@pytest.mark.parametrize("context", [False, True])
def test_batch_norm_sees_in_testing_what_it_learned_from(context):
    """With statistics that are the last batch's, that batch gives the same in training and in testing."""
    spec = small(regions={"context": context, "size": 6, "sample": 16}, backbone={"bn": {"momentum": 0.0}})
    model = training_model(lower_detector(spec), "t", 3, Context(seed=0))
    randomised(model)
    learned, tested = model(batch(), training=True), model(batch(), training=False)
    for name in LOSSES:
        assert np.allclose(learned[name], tested[name], rtol=2e-2), name
