"""The refiner's parts against loops, and its training: warping, regions, batches, losses, answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from huggingface_hub import ModelCard

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read, write
from reskeras.networks.refiner_plan import lower_refiner
from reskeras.recipes.recipe import recipe
from reskeras.tasks.detection.boxes import decoded, encoded, mirrored
from reskeras.tasks.detection.opening import open_objects
from reskeras.tasks.localisation.localiser import Located
from reskeras.tasks.localisation.model import BACKGROUND
from reskeras.tasks.localisation.rule import wanted_classes
from reskeras.tasks.refinement.feed import RefinerFeed, RegionOrder
from reskeras.tasks.refinement.model import Networks, training_model
from reskeras.tasks.refinement.refiner import Refiner, best_of
from reskeras.tasks.refinement.regions import regions_of
from reskeras.tasks.refinement.warping import warped
from reskeras.training.strategy import open_replicas
from tests.tasks.detection.scenes import SIDE, annotated, drawn
from tests.tasks.detection.test_feed import COLOURS
from tests.tasks.localisation.shapes import REFINER, REFINING, SHORT, SPEC, refine, train
from tests.tasks.localisation.test_localiser import decoded_by_hand, iou, smooth
from tests.tasks.localisation.test_localiser import encoded as encoded_by_hand
from tests.training.test_resume import Failing, stopping_at

JUDGE = {"family": "cifar", "stages": [{"units": 1, "width": 16}], "input_shape": [16, 20, 3]}
CLASSES = 3


def plan_of(**fields):
    return lower_refiner(reskeras.RefinerSpec.model_validate({"judge": JUDGE, "classes": CLASSES, **fields}))


def with_answers(plan):
    """Weights that give answers."""
    keras.utils.set_random_seed(0)
    generator, weights = np.random.default_rng(0), {}
    for part in Networks(plan).parts.values():
        for name, value in read(part).items():
            noise = generator.normal(0, 0.1, value.shape)
            weights[name] = (np.abs(value + noise) if name.endswith("variance") else value + noise).astype(np.float32)
    return weights


def own(plan):
    return Preprocessing(*plan.input_shape, "per_channel", np.float32([110] * 3), np.float32([40] * 3))


def test_a_region_is_cut_out_and_warped():
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8))
    np.testing.assert_allclose(warped(image, tf.constant([7.0, 11, 19, 31]), 12, 20), image[7:19, 11:31], atol=1e-3)
    whole = warped(image, tf.constant([0.0, 0, 40, 50]), 16, 25)
    np.testing.assert_allclose(whole, tf.image.resize(image, (16, 25), antialias=True), atol=1e-2)
    halved = tf.cast(image[4:12, 8:24], tf.float32)
    halved = tf.image.resize(halved, (4, 16), antialias=True)
    # its neighbours are in the windows of antialiasing
    assert np.abs(warped(image, tf.constant([4.0, 8, 12, 24]), 4, 16)[1:-1, 2:-2] - halved[1:-1, 2:-2]).max() < 1e-2
    for thin in ([39.5, 3, 39.6, 3.1], [5, 5, 5, 5], [40, 50, 40, 50]):
        assert np.isfinite(warped(image, tf.constant(thin, tf.float32), 4, 4)).all()


class Given:
    """A localiser with given boxes."""

    def __init__(self, boxes):
        self.boxes = boxes

    def candidates(self, split, labels, count):
        boxes = np.take_along_axis(self.boxes, labels[:, :, np.newaxis, np.newaxis], axis=1)[:, :, :count]
        return Located(np.zeros(boxes.shape[:3], np.float32), boxes)


@pytest.mark.parametrize("seed", range(3))
def test_regions_are_what_loops_over_the_objects_say(seed):
    generator = np.random.default_rng(seed)
    scene, _ = drawn(generator, CLASSES + 1)
    chosen = [image for image in range(scene.count) if (~scene.rows(image)[2]).any()]
    split = scene.part("test", np.array(chosen))
    corners = generator.integers(0, 120, (split.count, CLASSES, 9, 2))
    boxes = np.concatenate([corners, corners + generator.integers(1, 80, corners.shape)], axis=-1).astype(np.float32)
    for image in range(split.count):  # some near an object
        objects, labels, _ = split.rows(image)
        for place, (box, label) in enumerate(zip(objects[:4], labels, strict=False)):
            boxes[image, label, place] = np.clip(box + generator.integers(-6, 7, 4), 0, SIDE)
    spec = plan_of(positive=0.5, negative=0.3, count=8).spec
    found = regions_of(Given(boxes), split, spec)
    rows = []
    for image in range(split.count):
        objects, labels, ignored = split.rows(image)
        for label in range(CLASSES):
            instances = objects[(labels == label) & ~ignored]
            for box in [*boxes[image, label, :8], *instances] if len(instances) else []:
                if not (box[2:] > box[:2]).all():
                    continue
                shares = [iou(box.astype(float), each.astype(float)) for each in instances]
                best = int(np.argmax(shares))
                if shares[best] >= 0.5:
                    rows.append((image, tuple(box), label, tuple(instances[best])))
                elif shares[best] < 0.3:
                    rows.append((image, tuple(box), BACKGROUND, tuple(box)))
    told = zip(
        found.image.tolist(), map(tuple, found.boxes), found.labels.tolist(), map(tuple, found.targets), strict=True
    )
    assert sorted(told) == sorted(rows) and len(rows) > 20
    assert {*found.labels.tolist()} == {BACKGROUND, *range(CLASSES)}


def test_of_classes_that_are_not_wanted_none_is_asked_for():
    wanted = np.array([[False, True, True], [True, False, False], [False, False, True]])
    assert wanted_classes(wanted).tolist() == [[1, 2], [0, 0], [2, 2]]


def test_batches_have_their_share_of_objects_each_as_often_as_the_others():
    order = RegionOrder(50, 8, objects=10, positives=3, length=20)
    (batches,) = order.batches(tf.constant([1, 2]))
    assert batches.shape == (20, 8)
    objects, rest = batches[:, :3].numpy(), batches[:, 3:].numpy()
    assert objects.max() < 10 <= rest.min() and rest.max() == 49
    assert np.bincount(objects.ravel(), minlength=10).tolist() == [6] * 10
    assert {*np.bincount(rest.ravel(), minlength=50)[10:].tolist()} == {2, 3}
    np.testing.assert_array_equal(batches, order.batches(tf.constant([1, 2]))[0])
    assert (batches.numpy() != order.batches(tf.constant([1, 3]))[0].numpy()).any()


def test_the_deltas_of_a_mirrored_region_are_those_of_mirrored_boxes():
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 50, (2, 30, 2))
    boxes, targets = np.concatenate([corners, corners + generator.uniform(5, 40, (2, 30, 2))], axis=-1).astype(
        np.float32
    )
    turned = encoded(mirrored(targets, tf.constant(100.0)), mirrored(boxes, tf.constant(100.0)))
    np.testing.assert_allclose(turned, encoded(targets, boxes) * [1, -1, 1, 1], atol=1e-5)


class Near:
    """A localiser whose boxes are near the objects of their class."""

    def candidates(self, split, labels, count):
        generator = np.random.default_rng(0)
        boxes = np.zeros((*labels.shape, count, 4), np.float32)
        for image, place in np.ndindex(*labels.shape):
            objects, names, _ = split.rows(image)
            own = objects[names == labels[image, place]][:1].repeat(count, axis=0)
            moved = own + generator.uniform(-0.2, 0.2, own.shape) * (own[:, 2:] - own[:, :2]).repeat(2, axis=1)
            boxes[image, place] = np.clip(moved, 0, np.tile(split.sizes[image], 2))
        return Located(np.zeros(boxes.shape[:3], np.float32), boxes)


def feed_of(data, replicas=None, regions=4, **augment):
    """Regions as they are, 0..255, of squares and discs."""
    plan = plan_of(classes=2, count=6, regions=regions, positive=0.5)
    plain = Preprocessing(*plan.input_shape, "per_channel", np.zeros(3, np.float32), np.ones(3, np.float32))
    fields = recipe("refiner", batch_size=12, augment=augment)
    return RefinerFeed(fields, open_objects(data), plain, replicas or open_replicas("one"), plan.spec, Near())


def finished(feed, epoch=0):
    """The inputs of the batches of an epoch."""
    batches = [feed.finished(*batch)[0] for batch in feed.training(epoch, 0, epoch + 1)]
    return {name: np.concatenate([each[name] for each in batches]) for name in batches[0]}


@pytest.mark.parametrize(
    "augment", [{"flip": False}, {"flip": True}, {"flip": "alternating"}, {"flip": True, "flip_rows": True}]
)
def test_the_deltas_of_a_region_lead_to_its_object(data, augment):
    feed = feed_of(data, **augment)
    inputs, (height, width, _) = finished(feed), feed.preprocessing.size
    whole = np.tile(np.float32([[0, 0, height, width]]), (len(inputs["deltas"]), 1))
    boxes = decoded(inputs["deltas"] * np.float32(feed.spec.deviations), whole).numpy()
    found = 0
    for image, box, label in zip(inputs["image"], boxes, inputs["labels"], strict=True):
        middle = image[int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)]
        found += label != BACKGROUND and np.abs(middle - COLOURS[feed.source.classes[label]]).max() < 40
    assert found == (inputs["labels"] != BACKGROUND).sum() > 20
    if augment["flip"]:
        assert (inputs["deltas"] != finished(feed_of(data, flip=False))["deltas"]).any()


def test_regions_are_mirrored_in_turns(data):
    plain, feed = feed_of(data, flip=False), feed_of(data, regions=24, flip="alternating")
    known = {
        image.tobytes()
        for image in plain.loaded(plain.train, plain.regions, np.arange(feed.order.count))["image"].numpy()
    }
    first, second = (
        {image.tobytes(): image[:, ::-1].tobytes() for image in finished(feed, epoch)["image"]} for epoch in (0, 1)
    )
    both = {*first} | {*first.values()}
    both &= {*second} | {*second.values()}  # of those in both epochs each is once as it is and once mirrored
    both -= {image for image, mirrored in (first | second).items() if image == mirrored}  # of one colour
    assert len(both) > 20 and all((image in first) != (image in second) for image in both)
    assert 0 < len(known & {*first}) < len(first)


def test_regions_are_erased_with_the_mean_as_their_seed_says(data):
    plain, erased = finished(feed_of(data, flip=False)), finished(feed_of(data, flip=False, erase=1.0))
    changed = (plain["image"] != erased["image"]).any(axis=-1)
    assert erased.keys() == plain.keys() and (erased["image"][changed] == 0).all()
    assert changed.any(axis=(1, 2)).mean() > 0.9 and 0.05 < changed.mean() < 0.5
    np.testing.assert_array_equal(finished(feed_of(data, flip=False, erase=1.0))["image"], erased["image"])


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        ({"scale": [0.5, 2]}, r"augment\.scale: not for refiners; they support flip, flip_rows, .* and erase"),
        ({"repeats": 2}, r"augment\.repeats: not for refiners"),
        ({"rotate": 90}, r"augment\.rotate: not for refiners"),
        ({"mosaic": {}}, r"augment\.mosaic: not for refiners"),
        ({"pad_crop": 4}, r"augment\.pad_crop: not for refiners"),
    ],
)
def test_what_regions_cannot_be_is_refused(data, augment, message):
    with pytest.raises(ReskerasError, match=message):
        feed_of(data, **augment)
    feed_of(data, pad_crop=0, repeats=1).check()


@pytest.mark.parametrize("per_class", [True, False])
def test_the_losses_are_those_of_loops_over_the_regions(per_class):
    plan = plan_of(per_class=per_class)
    model, weights, generator = training_model(plan, "tiny", 1), with_answers(plan), np.random.default_rng(1)
    write(model, weights)
    labels = np.int32([2, BACKGROUND, 0, 1, BACKGROUND])
    inputs = {
        "image": tf.constant(generator.normal(0, 1, (5, *plan.input_shape)), tf.float32),
        "labels": tf.constant(labels),
        "deltas": tf.constant(generator.normal(0, 1, (5, 4)), tf.float32),
    }
    found, networks = model(inputs, training=False), Networks(plan)
    for part in networks.parts.values():
        write(part, {name: weights[name] for name in read(part)})
    logits, deltas = (each.numpy().astype(float) for each in networks(inputs["image"]))
    for row, label in enumerate(labels):
        entropy = sum(np.logaddexp(0, logit) - (place == label) * logit for place, logit in enumerate(logits[row]))
        assert float(found["objectness"][row]) == pytest.approx(entropy, rel=1e-4)
        told = deltas[row].reshape(-1, 4)[label if per_class else 0]
        offset = 0.0 if label == BACKGROUND else smooth(told - inputs["deltas"][row].numpy(), plan.spec.beta)
        assert float(found["boxes"][row]) == pytest.approx(offset, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("per_class", [True, False])
def test_candidates_are_judged_as_one_by_one(per_class):
    plan = plan_of(per_class=per_class)
    weights, generator = with_answers(plan), np.random.default_rng(2)
    refiner = Refiner(plan, weights, own(plan))
    image = generator.integers(0, 256, (60, 70, 3), np.uint8)
    file = tf.io.encode_png(image)
    split = annotated([[(0, 0, 9, 9, 0)]])
    split = type(split)(**{**vars(split), "read": lambda index: file, "sizes": np.int32([[60, 70]])})
    corners = generator.uniform(0, 40, (1, 2, 6, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(4, 20, (1, 2, 6, 2))], axis=-1).astype(np.float32)
    labels = np.int32([[2, 0]])
    judged = refiner.judged(split, labels, Located(np.zeros((1, 2, 6), np.float32), boxes))
    for place, label in enumerate(labels[0]):
        for row in range(6):
            box = boxes[0, place, row]
            region = own(plan).normalise(warped(tf.constant(image), tf.constant(box), 16, 20))
            logits, deltas = (each.numpy()[0] for each in refiner.networks(region[tf.newaxis]))
            move = deltas.reshape(-1, 4)[label if per_class else 0] * plan.spec.deviations
            expected = np.clip(decoded_by_hand(box.astype(float), move), 0, [60, 70, 60, 70])
            np.testing.assert_allclose(judged.boxes[0, place, row], expected, atol=1e-3)
            assert judged.scores[0, place, row] == pytest.approx(1 / (1 + np.exp(-logits[label])), abs=1e-5)
    best = best_of(judged, labels, CLASSES)
    assert best.scores[0, :, 0].tolist() == pytest.approx([judged.scores[0, 1].max(), 0, judged.scores[0, 0].max()])
    np.testing.assert_array_equal(best.boxes[0, 2, 0], judged.boxes[0, 0, judged.scores[0, 0].argmax()])
    np.testing.assert_allclose(encoded_by_hand(box, box), 0)
    boxes[0, :, 0] = 60, 5, 60, 25  # a box beside the image, clipped to its edge, is never the best
    judged = refiner.judged(split, labels, Located(np.zeros((1, 2, 6), np.float32), boxes))
    assert (judged.scores[0, :, 0] == 0).all() and (judged.scores[0, :, 1:] > 0).all()
    weights["box_deltas/bias"][0::4] = 90.0  # times a deviation of 0.1: nine times the height down
    refiner.load(weights)
    boxes[0, :, 0] = 5, 5, 25, 25
    judged = refiner.judged(split, labels, Located(np.zeros((1, 2, 6), np.float32), boxes))
    assert not judged.scores.any()
    np.testing.assert_array_equal(judged.boxes, boxes)  # each stays where it was


# -- a whole training --------------------------------------------------------------------------------------------------


def test_it_finds_more_than_the_localiser_alone(run, refined, tmp_path):
    assert run.evaluate(split="train", refiner=refined).error < run.evaluate(split="train").error - 0.2
    alone, found = run.evaluate(), run.evaluate(refiner=refined)
    assert found.overlap > alone.overlap + 0.03 and "the best 20 boxes judged anew" in found.views
    assert refined.evaluate().as_dict() == found.as_dict()
    twice = run.evaluate(refiner=[refined.path, refined], others=run.path)
    assert twice.views == "ensemble of 2 localisers, centre crop, the best 20 boxes judged anew by 2 refiners"
    assert twice.error == found.error and twice.overlap == pytest.approx(found.overlap, abs=1e-4)
    assert refined.folder.metrics()[-1]["val_localised"] == pytest.approx(1 - found.error)
    page = reskeras.write_report(refined.path, out=tmp_path / "page.html").read_text()
    assert f"{found.error:.2%}" in page
    card = ModelCard.load(refined.path / "README.md")
    assert card.data.eval_results[0].metric_value == found.error and "it needs that run" in card.text


@pytest.mark.slow
def test_interrupted_it_goes_on_to_the_same_weights_with_the_same_localiser(run, data, tmp_path):
    whole = refine(data, run, out=tmp_path / "whole", **REFINING)
    with pytest.raises(Failing):
        refine(data, run, out=tmp_path / "run", callbacks=[stopping_at(7)], **REFINING)
    resumed = refine(data, run, out=tmp_path / "run", resume=True, **REFINING)
    digests = [each.folder.provenance()["trained_sha256"] for each in (whole, resumed)]
    assert digests[0] == digests[1]


def test_without_a_localiser_of_the_same_classes_it_is_refused(run, trained, data, tmp_path):
    spec = reskeras.RefinerSpec.model_validate(REFINER)
    with pytest.raises(ReskerasError, match="teacher: a refiner learns from the boxes of a localiser"):
        reskeras.train(spec, data, task="refinement", out=tmp_path / "run")
    with pytest.raises(ReskerasError, match=r"teacher: .* is a classifier, not a localiser"):
        refine(data, trained, out=tmp_path / "run")
    with pytest.raises(
        ReskerasError,
        match=r"teacher: .* has different classes from digits-loc@64: it lacks 0, 1, .* and adds disc, square",
    ):
        refine("digits-loc@64", run, out=tmp_path / "run")
    with pytest.raises(ReskerasError, match=r"teacher: .* is only for classifiers"):
        train(data, out=tmp_path / "run", teacher=str(trained.path), **SHORT)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_several_seeds_are_compared_by_their_errors(data, run, tmp_path):
    spec = reskeras.LocaliserSpec.model_validate(SPEC)
    fields = {**SHORT, "epochs": 1}
    result = reskeras.train_seeds(spec, data, seeds=2, task="localisation", out=tmp_path / "runs", **fields)
    [row] = result.rows
    assert {seed: figures["localisation_error"] for seed, figures in row.figures.items()} == {
        seed: reskeras.Run(path).evaluate().error for seed, path in row.runs.items()
    }
