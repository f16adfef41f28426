"""Feature pyramids: which maps there are, what heads get of them, and that all that a detector does works with them."""

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.plans.receptive_field import receptive_field
from reskeras.tasks.detection.align import roi_align
from reskeras.tasks.detection.grid import Grid
from reskeras.tasks.detection.layers import Proposals, TopDown
from reskeras.tasks.detection.model import detector_model, training_model
from reskeras.tasks.detection.pyramid_align import level_of, pyramid_align
from tests.tasks.detection.shapes import DETECTOR, LEARNING
from tests.tasks.detection.test_model import batch, randomised

FPN = {
    "backbone": DETECTOR["backbone"],
    "neck": {"kind": "fpn", "width": 16, "strides": [2, 4, 8], "canonical": 64},
    "anchors": {"sizes": [10, 16, 24, 32], "ratios": [1.0]},
    "proposals": {"training": 64, "testing": 32, "before": 100, "sample": 64},
    "regions": {"sample": 32, "width": 64},
}


def pyramid(network="resnet-50", size=(800, 1344), *settings, **fields):
    spec = reskeras.detector(network, input_shape=(*size, 3), settings=("neck=fpn", *settings), **fields)
    return lower_detector(spec)


def refused(*settings, network="resnet-50"):
    with pytest.raises(ReskerasError) as caught:
        reskeras.detector(network, settings=settings)
    return str(caught.value)


def test_the_maps_of_resnet_50():
    plan = pyramid()
    levels = plan.levels()
    assert [level.stride for level in levels] == [4, 8, 16, 32, 64]
    assert [level.shape[:2] for level in levels] == [(200, 336), (100, 168), (50, 84), (25, 42), (13, 21)]
    assert [level.sizes for level in levels] == [(32,), (64,), (128,), (256,), (512,)]
    assert [level.pooled for level in levels] == [True, True, True, True, False]
    assert plan.ends == ("stage1_unit3", "stage2_unit4", "stage3_unit6", "stage4_unit3")
    assert plan.regions.input_shape == (7, 7, 256) and plan.regions.output_shape == (1024,)
    assert plan.all_anchors == 3 * sum(height * width for height, width, _ in (level.shape for level in levels))


@pytest.mark.parametrize(
    ("settings", "published"),
    [((), 41_755_286), (("neck.bn=true", "proposals.convs=2", "regions.convs=4", "regions.dense=1"), 43_712_278)],
    ids=["fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"],
)
def test_parameters_are_those_that_torchvision_publishes(settings, published):
    plan = pyramid("resnet-50", (800, 1344), *settings, classes=90)
    # torchvision has 4 offsets for the background too; the first one's batch norm has no parameters
    frozen = sum(2 * weight[0] for name, weight in plan.shared.weight_shapes().items() if name.endswith("/gamma"))
    assert plan.parameters == published - 4 * 1025 + (0 if settings else frozen)


def test_levels_go_by_stride_whatever_the_stages():
    stages = [{"units": 1, "width": 16}, {"units": 2, "width": 16, "stride": 1}, {"units": 1, "width": 32}]
    spec = {"backbone": {"family": "cifar", "stages": stages, "input_shape": [32, 40, 3]}, "neck": {"strides": [1, 2]}}
    plan = lower_detector(DetectorSpec.model_validate(spec))
    assert plan.ends == ("stage2_unit2", "stage3_unit1")
    assert [level.stride for level in plan.levels()] == [1, 2, 4]


def test_the_geometry_of_each_map():
    assert [level.offsets[0] for level in pyramid().levels()] == [0.5] * 5
    assert [level.offsets[0] for level in pyramid("resnet-50", (800, 1344), "geometry=cell").levels()] == [
        2,
        4,
        8,
        16,
        32,
    ]
    assert {level.offsets for level in pyramid("resnet-50", (800, 1344), "geometry=torchvision").levels()} == {(0, 0)}
    same = pyramid(padding="same")
    fields = [receptive_field(same.shared.slice(until=end)) for end in same.ends]
    expected = [(down.middle, across.middle) for down, across in fields]
    assert [level.offsets for level in same.levels()] == [*expected, expected[-1]]
    assert expected[0] == (3.5, 3.5)


def test_torchvisions_anchors_on_the_extra_map_divide_the_canvas():
    """Its AnchorGenerator takes image_size // grid_size, also where that is not the stride."""
    levels = pyramid("resnet-50", (800, 1344), "geometry=torchvision").levels()
    assert [level.steps for level in levels] == [(4, 4), (8, 8), (16, 16), (32, 32), (61, 64)]
    assert {level.steps for level in pyramid().levels()} == {(each, each) for each in (4.0, 8.0, 16.0, 32.0, 64.0)}


def test_what_does_not_go_with_a_neck_is_refused():
    assert "neck.strides: the backbone has no map of stride 64, only of 4, 8, 16, 32" in refused(
        "neck.strides=[32, 64]"
    )
    assert "each stride should be twice the one before, but 16 comes after 4" in refused("neck.strides=[4, 16]")
    assert "anchors.sizes: 3 sizes for 5 maps (strides 4, 8, 16, 32, 64)" in refused(
        "neck=fpn", "anchors.sizes=[8, 9, 10]"
    )
    assert "shared: 'stage3' contradicts neck" in refused("neck=fpn", "shared=stage3")
    assert "regions.pool: max is possible only without a neck" in refused("neck=fpn", "regions.pool=max")
    assert "regions.context: True is possible only without a neck" in refused("neck=fpn", "regions.context=true")
    assert "regions.convs: only with a neck" in refused("regions.convs=4")
    fine = {"backbone": {"family": "cifar", "stages": [1, 1], "input_shape": [32, 32, 3]}, "neck": "fpn"}
    with pytest.raises(ReskerasError, match="neck: the backbone has no map of stride 4 or more; set neck"):
        lower_detector(DetectorSpec.model_validate(fine))


def test_a_region_is_pooled_from_the_map_of_its_size():
    sides = tf.constant([[[0.0, 0, side, side] for side in (1, 111.9, 112, 223.9, 224, 447.9, 448, 5000)]])
    assert level_of(sides, [4.0, 8.0, 16.0, 32.0], 224.0).numpy().tolist() == [[0, 0, 1, 1, 2, 2, 3, 3]]
    assert level_of(sides, [8.0, 16.0], 224.0).numpy().tolist() == [[0, 0, 0, 0, 1, 1, 1, 1]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_roi_align_of_that_map(dtype):
    generator = np.random.default_rng(0)
    maps = [tf.cast(generator.normal(size=(2, *size, 3)), dtype) for size in ((24, 32), (12, 16), (6, 8))]
    corners = np.sort(generator.uniform(-10, 110, (2, 40, 2, 2)), axis=2)
    boxes = tf.constant(corners.reshape(2, 40, 4), tf.float32)
    grids = [Grid(4.0, 0.5, 0.5), Grid(8.0, 3.0, 0.5), Grid(16.0, 8.0, 8.0)]
    found = pyramid_align(maps, boxes, grids, 5, 2, 50.0)
    level = level_of(boxes, [4.0, 8.0, 16.0], 50.0)
    assert {*level.numpy().ravel()} == {0, 1, 2}
    for number, (one, grid) in enumerate(zip(maps, grids, strict=True)):
        alone = roi_align(one, grid.cells(boxes), 5, 2)
        chosen = level == number
        np.testing.assert_allclose(
            tf.cast(found[chosen], tf.float32),
            tf.cast(alone[chosen], tf.float32),
            atol=1e-5 if dtype == "float32" else 0.05,
        )


def test_its_gradient_is_that_of_roi_align():
    generator = np.random.default_rng(1)
    maps = [tf.constant(generator.normal(size=(1, *size, 2)), tf.float32) for size in ((12, 16), (6, 8))]
    boxes = tf.constant([[[4.0, 4, 40, 50], [0, 0, 96, 128], [10, 3, 30, 25]]])
    grids, upstream = (
        [Grid(8.0, 4.0, 4.0), Grid(16.0, 8.0, 8.0)],
        generator.normal(size=(1, 3, 4, 4, 2)).astype(np.float32),
    )
    level = level_of(boxes, [8.0, 16.0], 60.0)
    assert level.numpy().tolist() == [[0, 1, 0]]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([*maps, boxes])
        found = tf.reduce_sum(pyramid_align(maps, boxes, grids, 4, 2, 60.0) * upstream)
        alone = [
            tf.reduce_sum(
                roi_align(one, grid.cells(boxes), 4, 2)
                * upstream
                * tf.cast(level == number, tf.float32)[..., None, None, None]
            )
            for number, (one, grid) in enumerate(zip(maps, grids, strict=True))
        ]
    for one, expected in zip(maps, alone, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(tape.gradient(found, one)), tape.gradient(expected, one), atol=1e-5
        )
    assert tape.gradient(found, boxes) is None


def test_small_regions_have_as_many_cells_as_least():
    maps = [tf.random.stateless_normal((1, 8, 8, 1), (0, 1)), tf.random.stateless_normal((1, 4, 4, 1), (0, 2))]
    grids = [Grid(4.0, 0.0, 0.0), Grid(8.0, 0.0, 0.0)]
    tiny, whole = tf.constant([[[5.0, 6, 5.5, 6.5]]]), tf.constant([[[5.0, 6, 9, 10]]])
    np.testing.assert_allclose(
        pyramid_align(maps, tiny, grids, 2, 2, 64.0, least=1.0),
        pyramid_align(maps, whole, grids, 2, 2, 64.0),
        atol=1e-6,
    )


@pytest.mark.parametrize("size", [(4, 6), (5, 7)], ids=["even", "odd"])
def test_a_coarser_map_is_enlarged_to_nearest_neighbours(size):
    half = tuple(-(-side // 2) for side in size)
    finer, coarser = tf.zeros((1, *size, 2)), tf.random.stateless_normal((1, *half, 2), (0, 1))
    rows, columns = (np.arange(side) // 2 for side in size)
    np.testing.assert_array_equal(TopDown(name="t")([finer, coarser])[0], coarser.numpy()[0][rows][:, columns])


def test_proposals_are_the_best_of_all_maps_after_suppression_on_each():
    level = {"ratios": [1.0], "offsets": [4.0, 4.0]}
    levels = [{**level, "sizes": [16.0], "stride": 8.0}, {**level, "sizes": [16.0], "stride": 8.0}]
    layer = Proposals(name="p", before=2, count=4, overlap=0.5, levels=levels)
    # the same best anchor on both maps, which suppress only their own
    first, second = np.full((1, 4, 4, 1), -5.0, np.float32), np.full((1, 4, 4, 1), -5.0, np.float32)
    first[0, 1, 1], second[0, 1, 1], first[0, 2, 2] = 3.0, 2.0, 1.0
    nothing = np.zeros((1, 4, 4, 4), np.float32)
    boxes, probabilities, maps = layer([first, second, nothing, nothing, np.float32([[0, 0, 32, 32]])])
    assert boxes[0, :3].numpy().tolist() == [[4, 4, 20, 20], [4, 4, 20, 20], [12, 12, 28, 28]]
    np.testing.assert_allclose(probabilities[0, :3], 1 / (1 + np.exp([-3.0, -2.0, -1.0])), rtol=1e-5)
    assert maps[0, :3].numpy().tolist() == [0, 1, 0]


def test_training_and_testing_agree_and_every_weight_learns():
    plan = lower_detector(DetectorSpec.model_validate({**FPN, "classes": 2}))
    training = training_model(plan, "t", 3)
    weights = randomised(training)
    assert read(detector_model(plan, "d")).keys() == weights.keys()
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(value) for value in training(batch(), training=True).values()])
    for variable, gradient in zip(
        training.trainable_variables, tape.gradient(loss, training.trainable_variables), strict=True
    ):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.path


@pytest.mark.slow
def test_a_detector_with_a_pyramid_learns_finds_and_is_exported(shapes, tmp_path):
    spec = DetectorSpec.model_validate(FPN)
    run = reskeras.train_detector(spec, f"voc:{shapes}", out=tmp_path / "run", **LEARNING | {"learning_rate": 0.03})
    evaluation = run.evaluate()
    assert evaluation.voc.map_area > 0.9
    *maps, none = evaluation.by_map.table
    assert [each.stride for each in maps] == [level.stride for level in run.plan.levels()]
    assert none.objects < 0.1 * evaluation.objects
    assert sum(each.objects for each in maps) == evaluation.objects - none.objects
    assert "Objects by map" in reskeras.write_report(run.path).read_text(encoding="utf-8")
    (proof,) = run.export("serving", timing=False)
    assert proof.difference < 1e-4 and proof.agreement == 1
    files = sorted(map(str, (shapes / "JPEGImages").glob("*.png")))[:2]
    assert all(found.detections for found in run.predict(files))
