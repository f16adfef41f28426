"""Images by their shorter side, each on the smallest of a few canvases that holds it."""

from fractions import Fraction

import keras
import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read, write
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.overrides import laid_over
from reskeras.networks.resize import ResizeSpec
from reskeras.recipes.recipe import recipe
from reskeras.tasks.detection.canvas import Canvases, placed, scaled
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.feed import DetectionFeed
from reskeras.tasks.detection.finder import Finder
from reskeras.tasks.detection.job import DetectorJob
from reskeras.tasks.detection.model import LOSSES, training_model
from reskeras.tasks.detection.object_statistics import survey_objects
from reskeras.tasks.detection.opening import open_objects
from reskeras.tasks.detection.options import Options
from reskeras.tasks.detection.served_detector import ServedDetector
from reskeras.training.strategy import open_replicas
from tests.tasks.detection.alike import alike, one_of
from tests.tasks.detection.shapes import DETECTOR, LEARNING, shapes_folder
from tests.tasks.detection.test_pyramid import FPN

SIZES = (48, 64), (64, 48), (56, 56), (100, 130)
RESIZE = {"shorter": 48, "longer": 64}
PYRAMID = {name: FPN[name] for name in ("neck", "anchors", "proposals", "regions")}


def spec(**fields):
    return reskeras.DetectorSpec.model_validate({**DETECTOR, "classes": 2, **fields})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A VOC folder of images of several sizes."""
    return shapes_folder(tmp_path_factory.mktemp("resize") / "mixed", train=14, test=7, sizes=SIZES)


@pytest.fixture(scope="module", params=["one map", "pyramid"])
def lively(request):
    """A detector by the shorter side with weights that give answers."""
    return with_answers(spec(**({} if request.param == "one map" else PYRAMID), resize=RESIZE))


def with_answers(chosen, seed=0):
    """The plan of a detector, and weights that give answers."""
    keras.utils.set_random_seed(seed)
    plan, generator, weights = lower_detector(chosen), np.random.default_rng(seed), {}
    for name, value in read(training_model(plan, "tiny", 1)).items():
        noise = generator.normal(0, 0.05, value.shape)
        weights[name] = (np.abs(value + noise) if name.endswith("variance") else value + noise).astype(np.float32)
    return plan, weights


def alone_on(plan, height, width):
    """The same detector with one canvas, as there is without resize."""
    return lower_detector(laid_over(plan.spec, {"resize": None, "backbone.input_shape": [height, width, 3]}))


# -- the spec ---------------------------------------------------------------------------------------------------------


def test_the_papers_sides_have_canvases_in_multiples_of_the_stride():
    plan = lower_detector(reskeras.detector("resnet-101", classes=20, settings=("resize.shorter=600",)))
    assert plan.spec.resize.sides == (600, 1000)
    assert plan.canvases == ((608, 608), (608, 800), (800, 608), (608, 1024), (1024, 608))
    assert plan.input_shape == (608, 1024, 3)
    assert plan.spec.anchors.sizes == (75.0, 150.0, 300.0, 525.0)  # of 600 pixels, not of a canvas
    assert plan.spec.decided() == plan.spec
    assert {plan.at(*canvas).levels()[0].offsets for canvas in plan.canvases} == {plan.levels()[0].offsets}


def test_without_it_a_detector_has_its_one_canvas():
    plan = lower_detector(spec())
    assert plan.canvases == ((48, 64),) and plan.spec.resize is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["resize.shorter=800", "resize.longer=700"], "800 is above longer .700."),
        (["resize.canvases=[[600, 1000]]"], "none holds an image of 1000x600 pixels"),
        (["resize.shorter=8", "resize.canvases=[[16, 16]]"], "smaller than the network's stride of 32"),
        (["resize.shorter=8", "resize.canvases=[[16, 64], [64, 64]]"], "canvases: 16x64 is below the network's stride"),
        (["resize.shorter=64", "anchors.sizes=[500]"], "anchors.sizes: none has more than 50% .* canvas of 64x64"),
        (["resize.shorter=0"], "resize.shorter: 0"),
        (
            ["resize.shorter=800", "resize.multiple=8"],
            "multiple: 8 makes [0-9]+ canvases for sides of 800 and 1333, more than 128",
        ),
        (["resize.multiple=32", "resize.canvases=[[1000, 1000]]"], "canvases: contradict multiple"),
        (["resize.rounding=up"], "rounding: 'up' is not one of nearest, down"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field_and_what_to_do(settings, message):
    with pytest.raises(ReskerasError, match=message):
        reskeras.detector("resnet-18", settings=tuple(settings))


def test_an_input_shape_beside_it_is_refused_unless_it_is_the_largest_canvas():
    reskeras.detector("resnet-18", settings=("resize.shorter=600",), input_shape=(608, 1024, 3))
    with pytest.raises(ReskerasError, match="input_shape: 600x1000 contradicts resize"):
        reskeras.detector("resnet-18", settings=("resize.shorter=600",), input_shape="600x1000")


# -- sizes and canvases ------------------------------------------------------------------------------------------------


def test_the_scale_follows_from_the_shorter_side_bounded_by_the_longer():
    generator, canvases = np.random.default_rng(1), Canvases.of(lower_detector(spec(resize=RESIZE)))
    sizes = np.concatenate([generator.integers(1, 3000, (300, 2)), [[1, 100_000], [100_000, 1], [48, 64], [1, 1]]])
    found = scaled(tf.constant(sizes, tf.float32), canvases.shapes[-1], canvases.sides).numpy().astype(int)
    numbers = canvases.chosen(sizes).numpy()
    for size, ours, number in zip(sizes.tolist(), found, numbers, strict=True):
        scale = min(Fraction(48, min(size)), Fraction(64, max(size)))  # as in torchvision's and the paper's code
        assert all(abs(got - max(side * scale, 1)) <= Fraction(501, 1000) for got, side in zip(ours, size, strict=True))
        holding = [each for each in canvases.shapes if each[0] >= ours[0] and each[1] >= ours[1]]
        assert np.prod(canvases.shapes[number]) == min(map(np.prod, holding))
        assert canvases.shapes[number] in holding


def test_on_a_larger_canvas_an_image_is_no_larger():
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8))
    small, large = (placed(image, *size, sides=(48, 64)) for size in ((50, 64), (96, 128)))
    assert np.array_equal(small.pixels, large.pixels[:50, :64])
    assert np.array_equal(small.window, large.window) and np.array_equal(small.scale, large.scale)
    assert not large.pixels[50:].numpy().any()


TORCHVISIONS = {"shorter": 800, "longer": 1333, "multiple": 32, "rounding": "down", "antialias": False}


def test_with_a_multiple_each_image_takes_its_own_size_rounded_up():
    plan = lower_detector(reskeras.detector("resnet-18", settings=(f"resize={TORCHVISIONS}",)))
    assert plan.spec.decided() == plan.spec and len({*plan.canvases}) == len(plan.canvases) < 100
    canvases, generator = Canvases.of(plan), np.random.default_rng(0)
    sizes = np.concatenate([generator.integers(1, 3000, (500, 2)), [[480, 640], [1, 9000], [9000, 1], [800, 1333]]])
    shown = scaled(tf.constant(sizes, tf.float32), canvases.shapes[-1], canvases.sides, down=True).numpy()
    for size, ours, number in zip(sizes.tolist(), shown, canvases.chosen(sizes).numpy(), strict=True):
        scale = min(800 / min(size), 1333 / max(size))  # float64, as in torchvision's _resize_image_and_masks
        theirs = [max(int(side * scale), 1) for side in size]
        assert ours.tolist() == theirs
        assert canvases.shapes[number] == tuple(-(-side // 32) * 32 for side in theirs)


@pytest.mark.parametrize("size", [(37, 91), (64, 48), (200, 130), (5, 300)])
def test_without_antialiasing_pixels_are_those_of_pytorchs_interpolate(size):
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    resampling = ResizeSpec(rounding="down", antialias=False).resampling
    one = placed(tf.constant(image), 112, 128, sides=(64, 100), resampling=resampling)
    scale = min(64 / min(size), 100 / max(size))
    [theirs] = torch.nn.functional.interpolate(
        torch.from_numpy(np.moveaxis(image, -1, 0)[np.newaxis].astype(np.float32)),
        scale_factor=scale,
        mode="bilinear",
        recompute_scale_factor=True,
        align_corners=False,
    ).numpy()
    height, width = theirs.shape[1:]
    assert one.window.numpy().tolist() == [0, 0, height, width]
    np.testing.assert_allclose(one.pixels[:height, :width], np.moveaxis(theirs, 0, -1), atol=2e-3)
    assert not one.pixels[height:].numpy().any() and not one.pixels[:, width:].numpy().any()


def test_without_antialiasing_a_part_of_an_image_is_that_part_of_the_whole():
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8))
    plain = ResizeSpec(antialias=False).resampling
    whole = placed(image, 200, 240, 1.5, 0.0, (48, 64), plain)
    for where in (0.0, 0.5, 1.0):
        part = placed(image, 40, 60, 1.5, where, (48, 64), plain)
        top, left = (-part.corner.numpy()).astype(int)
        np.testing.assert_allclose(part.pixels, whole.pixels[top : top + 40, left : left + 60], atol=1e-3)


# -- training ----------------------------------------------------------------------------------------------------------


def feed_of(mixed, **fields):
    job = DetectorJob(spec(resize=RESIZE), recipe("detector", batch_size=4, **fields), open_objects(f"voc:{mixed}"))
    return job, job.subject(job.preprocessing()).feed(job.recipe, open_replicas("one"))


def test_a_batch_has_images_of_one_canvas_and_an_epoch_every_image_once(mixed):
    job, feed = feed_of(mixed, augment={"flip": False, "scale": None})
    batches = list(feed.training(0, 0, 1))
    assert len(batches) == feed.steps_per_epoch
    assert {inputs["image"].shape[1:3] for inputs, _ in batches} <= set(job.lowered.canvases)
    assert len({inputs["image"].shape for inputs, _ in batches}) > 1
    seen = np.concatenate([inputs["window"].numpy()[weights == 1] for inputs, weights in batches])
    expected = scaled(tf.constant(feed.train.sizes, tf.float32), (48, 64), (48, 64)).numpy()
    assert sorted(map(tuple, seen[:, 2:])) == sorted(map(tuple, expected))
    objects = sum(int((inputs["labels"].numpy()[weights == 1] >= 0).sum()) for inputs, weights in batches)
    assert objects == len(feed.train.labels)


def test_the_watched_images_come_once_each_on_their_own_canvas(mixed):
    _, feed = feed_of(mixed)
    batches, count = feed.watching()
    rows = list(batches.take(count))
    assert len(rows) == count
    assert sum(float(weights.numpy().sum()) for _, weights in rows) == feed.watched.count
    own = [feed.canvases.shapes[number] for number in feed.canvases.chosen(feed.watched.sizes).numpy()]
    shapes = [(*inputs["image"].shape[1:3],) for inputs, weights in rows for _ in range(int(weights.numpy().sum()))]
    assert sorted(shapes) == sorted(own)


@pytest.mark.sample(1)
def test_each_canvas_has_the_losses_of_a_detector_of_that_one_canvas(lively):
    """The same weights in a network of one static canvas, as there is without resize."""
    plan, weights = lively
    model, generator = training_model(plan, "tiny", 2), np.random.default_rng(2)
    write(model, weights)
    for height, width in plan.canvases:
        alone = training_model(alone_on(plan, height, width), "a", 2)
        write(alone, weights)
        inputs = {
            "image": tf.constant(generator.normal(0, 1, (2, height, width, 3)), tf.float32),
            "window": tf.constant([[0, 0, height, width - 3]] * 2, tf.float32),
            "boxes": tf.constant(generator.uniform(0, 20, (2, 2, 4)) + np.array([0, 0, 20, 20]), tf.float32),
            "labels": tf.constant([[0, 1], [1, -1]]),
            "seed": tf.constant([[1, 2], [3, 4]]),
        }
        ours, theirs = model.at_size(inputs)(inputs, training=False), alone(inputs, training=False)
        for name in LOSSES:
            assert np.allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-6), (name, height, width)
            assert np.ptp(ours[name]) > 0


@pytest.mark.sample(1)
def test_canvases_share_their_weights_and_none_is_counted_twice(lively):
    plan, weights = lively
    model = training_model(plan, "tiny", 2)
    assert len(model.weights) == len(weights)
    other = model.at_size({"image": tf.zeros([1, *plan.canvases[0], 3])})
    assert other is not model
    assert {id(each) for each in other.weights} == {id(each) for each in model.weights}


def test_images_that_fill_up_a_batch_take_no_part_in_its_loss(lively):
    model = training_model(lively[0], "tiny", 2)
    losses = {name: tf.constant([1.0, 2.0, 3.0, 100.0]) for name in LOSSES}
    assert float(model.compute_loss(y=tf.constant([1.0, 1, 1, 0]), y_pred=losses)) == pytest.approx(4 * 6 / 4)
    assert float(model.compute_loss(y=tf.ones(4), y_pred=losses)) == pytest.approx(4 * 106 / 4)
    model.compile(optimizer="sgd")
    model.track_loss(tf.constant(6.0), None, tf.constant([1.0, 1, 1, 0]))
    model.track_loss(tf.constant(2.0), None, tf.ones(4))
    assert float(model._loss_tracker.result()) == pytest.approx((24 + 8) / 7)  # of the images that count


# -- inference ---------------------------------------------------------------------------------------------------------


def detector_of(lively, options=Options()):
    plan, weights = lively
    return Detector(plan, weights, preprocessing(plan), options)


def preprocessing(plan):
    return Preprocessing(*plan.input_shape, "per_channel", np.float32([110] * 3), np.float32([40] * 3))


def files_of(mixed, count=5):
    test = open_objects(f"voc:{mixed}").test
    return test, tf.stack([test.read(tf.constant(index, tf.int64)) for index in range(count)])


@pytest.mark.sample(1)
def test_in_one_batch_each_image_takes_its_own_canvas(lively, mixed):
    """As alone on a detector of that one canvas, which the image has by its own scale."""
    detector, (test, files) = detector_of(lively), files_of(mixed)
    together = tf.function(detector.found)(files)
    numbers = detector.canvases.chosen(test.sizes[:5]).numpy()
    assert len(set(numbers.tolist())) > 1 and (together["count"].numpy() > 0).all()
    plan, weights = lively
    for row, number in enumerate(numbers):
        height, width = plan.canvases[number]
        own = alone_on(plan, height, width)
        image = placed(tf.io.decode_image(files[row]), height, width, sides=(48, 64))
        alone = Detector(own, weights, preprocessing(own))
        alone = alone.found_on([type(image)(*(each[tf.newaxis] for each in image.parts))])
        forced = detector.found(files[row : row + 1], canvas=(int(number),))
        for found in (alone, forced):
            alike(found, one_of(together, row), test.sizes[[row]], 1e-4)


@pytest.mark.slow
def test_evaluation_and_prediction_give_each_image_its_own_answer_in_order(lively, mixed, tmp_path):
    detector, (test, files) = detector_of(lively), files_of(mixed, 7)
    every = detector.found(files)
    looked, proposals = detector.look(test)
    paths = []
    for index, data in enumerate(files.numpy()):
        paths.append(tmp_path / f"{index}.png")
        paths[-1].write_bytes(data)
    predicted = Finder(detector, ["disc", "square"]).in_files(paths)
    assert len(proposals) == test.count
    for index, image in enumerate(predicted):
        scores = every["scores"][index, : int(every["count"][index])].numpy()
        assert image.path == str(paths[index]) and image.size == tuple(test.sizes[index])
        assert np.allclose([each.score for each in image.detections], scores, atol=1e-4)
        assert np.allclose(looked.scores[looked.image == index], scores, atol=1e-4)


@pytest.mark.slow
def test_an_ensemble_has_each_image_on_the_canvas_of_every_detector_in_any_order(lively, mixed):
    """One by the shorter side and one that fits images on its one canvas, against each image by itself."""
    plan, weights = lively
    other, others = with_answers(spec(), 1)
    parts = (plan, weights, preprocessing(plan)), (other, others, preprocessing(other))
    test, files = files_of(mixed, 7)
    ensembles = [Detector(*one, others=[Detector(*two)]) for one, two in (parts, parts[::-1])]
    found = [ensemble.look(test)[0] for ensemble in ensembles]
    assert len(ensembles[0].by_canvas(test.sizes)) == 3 and set(found[0].image) == set(range(test.count))
    for index, number in enumerate(ensembles[0].canvases.chosen(test.sizes).numpy()):
        alone = ensembles[0].found(files[index : index + 1], canvas=(int(number), 0))
        scores = np.sort(alone["scores"][0, : int(alone["count"][0])])
        for each in found:
            np.testing.assert_allclose(np.sort(each.scores[each.image == index]), scores, atol=1e-4)
    with pytest.raises(ValueError, match="several canvases needs those of the images"):
        ensembles[0].found(files)


@pytest.mark.slow
def test_a_pyramid_by_the_shorter_side_learns_finds_and_is_exported(detector_run, tmp_path):
    folder = shapes_folder(tmp_path / "shapes", train=32, test=8, sizes=SIZES[:3])
    chosen = reskeras.DetectorSpec.model_validate({**FPN, "resize": RESIZE})
    run = reskeras.train_detector(chosen, f"voc:{folder}", out=tmp_path / "run", **LEARNING | {"learning_rate": 0.02})
    assert run.plan.neck and len(run.plan.canvases) == 3
    alone = run.evaluate()
    assert alone.voc.map_area > 0.8
    shorter = run.evaluate(options=Options(shorter=(36, 48, 60), canonical=16.0))
    assert shorter.voc.map_area > 0.7 and "shorter sides of 36, 48, 60 pixels" in shorter.views
    for first, second in ((run, detector_run), (detector_run, run)):
        both = first.evaluate(data=f"voc:{folder}", others=[second])
        assert both.images == alone.images and both.voc.map_area > 0.8
    (proof,) = run.export("serving", timing=False)
    assert proof.difference < 1e-4 and proof.agreement == 1
    files = sorted(map(str, (folder / "JPEGImages").glob("*.png")))[:4]
    assert all(found.detections for found in run.predict(files, others=[detector_run]))


@pytest.mark.slow
def test_the_served_detector_gives_the_same_and_says_how_large_a_map_is(lively, mixed):
    plan, weights = lively
    detector, (test, files) = detector_of(lively), files_of(mixed)
    served = ServedDetector(plan, weights, preprocessing(plan), ["disc", "square"])
    broken = tf.concat([files[:4], [b"no image"]], axis=0)
    signatures = served.signatures(("serving_default", "features"))
    answers, expected = signatures["serving_default"](broken), detector.found(files)
    assert answers["status"].numpy().tolist()[:4] == [b"ok"] * 4 and answers["count"][4] == 0
    alike(answers, expected, test.sizes[:4], 5e-4, served.classes)
    maps = signatures["features"](broken)
    strides = [f"{level.stride:g}" for level in plan.levels()] if plan.neck else [""]
    for row, number in enumerate(detector.canvases.chosen(test.sizes[:4]).numpy()):
        (image,), _ = detector.placed(files[row : row + 1], int(number))
        for stride, own in zip(strides, detector.features_on(image), strict=True):
            rows, columns = own.shape[1:3]
            assert maps[f"cells{stride}"][row].numpy().tolist() == [rows, columns]
            rest = maps[f"features{stride}"][row].numpy()
            assert np.allclose(rest[:rows, :columns], own[0], atol=1e-3 * np.abs(own).max())
            rest[:rows, :columns] = 0
            assert not rest.any()
    assert not any(maps[f"cells{stride}"][4].numpy().any() for stride in strides)


# -- pixels of the shorter side in testing -----------------------------------------------------------------------------


@pytest.mark.parametrize("resize", [None, RESIZE])
def test_scales_by_the_shorter_side_are_so_many_pixels_whatever_the_orientation(lively, mixed, resize):
    plan = lower_detector(spec(resize=resize)) if resize is None else lively[0]
    detector = Detector(plan, None, preprocessing(plan), Options(shorter=(24, 60, 96), canonical=16.0))
    test, files = files_of(mixed)
    for size, data in zip(test.sizes[:5], files, strict=True):
        number = int(detector.canvases.chosen(size))
        (first, *levels), chosen = detector.placed(data[tf.newaxis], number)
        assert chosen.numpy().tolist() == [number]
        assert [round(float(tf.reduce_min(level.window[0, 2:]))) for level in levels] == [24, 60, 96]
        for level in levels:  # nothing is cut off
            expected = size * 1.0 * float(tf.reduce_min(level.window[0, 2:])) / size.min()
            assert np.abs(level.window[0, 2:].numpy() - expected).max() <= 1
        assert first.pixels.shape[1:3] == (plan.canvases[number] if resize else (48, 64))


@pytest.mark.sample(1)
def test_scales_by_the_shorter_side_equal_the_factors_where_canvases_do(lively, mixed):
    """48 pixels are the detector's own: 24 and 96 of it are half and twice."""
    _, files = files_of(mixed, 4)
    pixels, factors = (
        detector_of(lively, Options(canonical=16.0, **{name: scales})).found(files)
        for name, scales in (("shorter", (24, 48, 96)), ("scales", (0.5, 1.0, 2.0)))
    )
    for name in ("boxes", "scores", "count"):
        assert np.array_equal(pixels[name], factors[name])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shorter": (600,)}, "shorter: 600: should be two or more increasing"),
        ({"shorter": (600, 400)}, "increasing"),
        ({"shorter": (2, 400)}, "between 16 and 4096"),
        ({"shorter": (200, 400), "scales": (0.5, 1.0)}, "shorter: contradicts scales"),
    ],
)
def test_shorter_sides_that_mean_nothing_are_refused(fields, message):
    with pytest.raises(ReskerasError, match=message):
        Options(**fields)


# -- surveys -----------------------------------------------------------------------------------------------------------


def test_a_survey_counts_the_images_of_each_canvas(mixed):
    found = survey_objects(open_objects(f"voc:{mixed}"), lower_detector(spec(resize=RESIZE)))
    counts = {each.canvas: (each.train, each.test) for each in found.canvases}
    assert counts == {(48, 48): (3, 2), (48, 64): (7, 4), (64, 48): (4, 1)}
    assert found.anchors.where == "images with a shorter side of 48 and a longer one of at most 64"
    assert found.as_dict()["canvases"][0] == {"canvas": (48, 48), "train": 3, "test": 2}


def test_a_detector_of_one_canvas_has_a_feed_of_one(mixed):
    job = DetectorJob(spec(), recipe("detector", batch_size=4), open_objects(f"voc:{mixed}"))
    feed = job.subject(job.preprocessing()).feed(job.recipe, open_replicas("one"))
    assert isinstance(feed, DetectionFeed) and feed.canvases.sides is None
    assert {(*inputs["image"].shape[1:3],) for inputs, _ in feed.training(0, 0, 1)} == {(48, 64)}
