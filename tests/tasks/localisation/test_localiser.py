"""The localiser's networks, losses and inference, against loops over anchors in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read, write
from reskeras.networks.localiser_plan import lower_localiser
from reskeras.networks.request import localiser
from reskeras.tasks.detection.anchors import anchor_fields, anchor_grid
from reskeras.tasks.detection.opening import open_objects
from reskeras.tasks.localisation.localiser import Localiser, averaged, batch_on, check_ensemble
from reskeras.tasks.localisation.model import LOSSES, Networks, training_model
from reskeras.tasks.localisation.served import CropLocaliser, ServedLocaliser
from reskeras.tasks.localisation.views import LocaliserViews

TRUNK = {
    "family": "cifar",
    "stages": [{"units": 1, "width": 16}, {"units": 1, "width": 16}],
    "input_shape": [40, 48, 3],
}
CLASSES = 3


def plan_of(**fields):
    spec = reskeras.LocaliserSpec.model_validate({"trunk": TRUNK, "classes": CLASSES, **fields})
    return lower_localiser(spec)


def with_answers(plan, seed=0):
    """Weights that give answers."""
    keras.utils.set_random_seed(seed)
    generator, weights = np.random.default_rng(seed), {}
    for part in Networks(plan).parts.values():
        for name, value in read(part).items():
            noise = generator.normal(0, 0.1, value.shape)
            weights[name] = (np.abs(value + noise) if name.endswith("variance") else value + noise).astype(np.float32)
    return weights


def own(plan):
    return Preprocessing(*plan.input_shape, "per_channel", np.float32([110] * 3), np.float32([40] * 3))


def decoded_by_hand(anchor, move):
    middle, size = (anchor[:2] + anchor[2:]) / 2, anchor[2:] - anchor[:2]
    middle, size = middle + move[:2] * size, size * np.exp(move[2:])
    return np.concatenate([middle - size / 2, middle + size / 2])


@pytest.mark.parametrize("per_class", [True, False])
def test_the_best_box_of_each_class_is_that_of_its_likeliest_anchor(per_class):
    plan = plan_of(per_class=per_class)
    found = Localiser(plan, with_answers(plan), own(plan))
    split = open_objects("digits-loc@8").test.part("test", np.arange(5))
    located = found.look(split)
    files = tf.stack([split.read(tf.constant(index, tf.int64)) for index in range(5)])
    images = found.place(files, plan.canvas, plan.sides)
    logits, deltas = found.networks(own(plan).normalise(images.pixels))  # a crop is filled by its image
    [level] = plan.levels()
    anchors = anchor_grid(*logits.shape[1:3], **anchor_fields(plan, level)).numpy().astype(np.float64)
    sides = np.array([*plan.canvas] * 2)
    kept = np.clip(anchors, 0, sides)
    inside = np.prod(kept[:, 2:] - kept[:, :2], axis=1) > 0.5 * np.prod(anchors[:, 2:] - anchors[:, :2], axis=1)
    assert 0 < inside.sum() < len(anchors)
    for image, label in np.ndindex(5, CLASSES):
        rows = logits[image].numpy().reshape(len(anchors), CLASSES)[:, label]
        best = int(np.where(inside, rows, -np.inf).argmax())
        moves = deltas[image].numpy().reshape(len(anchors), -1, 4)[best]
        box = np.clip(decoded_by_hand(anchors[best], moves[label if per_class else 0]), 0, sides)
        if (box[2:] - box[:2] < 0.01).any():  # moved out of the crop: the anchor's own
            box = kept[best]
        box = (box - np.tile(images.corner[image], 2)) / np.tile(images.scale[image], 2)
        np.testing.assert_allclose(located.boxes[image, label, 0], box, atol=1e-3)
        assert located.scores[image, label, 0] == pytest.approx(1 / (1 + np.exp(-rows[best])), abs=1e-6)
    assert len({tuple(box) for box in located.boxes[0, :, 0].round(1).tolist()}) > 1


@pytest.mark.parametrize(("number", "bias"), [(0, 30.0), (1, -30.0), (2, -30.0)])
def test_no_box_is_empty_that_is_told(number, bias):
    """Everything is moved down, to the left, or shrunk: what is told then is the likeliest anchor itself."""
    plan = plan_of()
    weights = with_answers(plan)
    found, split = Localiser(plan, weights, own(plan)), open_objects("digits-loc@8").test.part("test", np.arange(3))
    scores = found.look(split).scores
    weights["anchor_deltas/bias"][number::4] = bias
    found.load(weights)
    located = found.look(split)
    boxes = located.boxes[:, :, 0]
    assert (boxes[..., 2:] - boxes[..., :2]).min() > 1
    np.testing.assert_array_equal(located.scores, scores)
    files = tf.stack([split.read(tf.constant(index, tf.int64)) for index in range(3)])
    served = ServedLocaliser(found, ("a", "b", "c")).of_classes(files, tf.constant([["a", "b", "c"]] * 3))
    np.testing.assert_allclose(served["boxes"], boxes, atol=1e-3)
    crops = found.place(files, plan.canvas, plan.sides)
    lite = CropLocaliser(found, ("a", "b", "c"))(crops.pixels)
    np.testing.assert_allclose(crops.in_image(lite["boxes"]), boxes, atol=1e-3)


def test_candidates_are_the_best_anchors_of_the_classes_that_are_asked_for():
    plan = plan_of()
    found, split = Localiser(plan, with_answers(plan), own(plan)), open_objects("digits-loc@8").test
    split = split.part("test", np.arange(4))
    few = found.candidates(split, np.array([[1], [0], [2], [2]], np.int32), 7)
    whole = found.candidates(split, np.tile(np.arange(3, dtype=np.int32), (4, 1)), 9000)
    assert few.boxes.shape == (4, 1, 7, 4) and whole.scores.shape[2] == 20 * 24 * 12  # no more than there are anchors
    for image, label in enumerate((1, 0, 2, 2)):
        np.testing.assert_allclose(few.scores[image, 0], whole.scores[image, label, :7], atol=1e-6)
        np.testing.assert_allclose(few.boxes[image, 0], whole.boxes[image, label, :7], atol=1e-3)
    assert (np.diff(whole.scores) <= 0).all()


def test_densely_the_likeliest_box_of_all_scales_counts_and_the_whole_image_is_seen():
    plan = plan_of()
    weights, split = with_answers(plan), open_objects("digits-loc@8").test.part("test", np.arange(4))
    each = [Localiser(plan, weights, own(plan), LocaliserViews((side,))).look(split) for side in (48, 80)]
    both = Localiser(plan, weights, own(plan), LocaliserViews((48, 80))).look(split)
    assert len({*np.argmax([found.scores for found in each], axis=0).ravel()}) == 2  # either scale is best somewhere
    np.testing.assert_array_equal(both.scores, np.maximum(each[0].scores, each[1].scores))
    for image, label in np.ndindex(4, CLASSES):
        best = max(each, key=lambda found: found.scores[image, label, 0])
        np.testing.assert_array_equal(both.boxes[image, label], best.boxes[image, label])
    square = plan_of(trunk={**TRUNK, "input_shape": [64, 64, 3]}, shorter=64)  # whose crop is the whole image
    crop, whole = (
        Localiser(square, weights, own(square), views).look(split)
        for views in (LocaliserViews(), LocaliserViews((64,)))
    )
    np.testing.assert_allclose(crop.scores, whole.scores, atol=1e-5)
    np.testing.assert_allclose(crop.boxes, whole.boxes, atol=1e-3)


@pytest.mark.parametrize("per_class", [True, False])
def test_the_losses_are_those_of_loops_over_the_anchors(per_class):
    """All anchors are sampled, so that nothing depends on the draw."""
    plan = plan_of(per_class=per_class, sample=4096, positive=0.4, negative=0.4, anchors={"sizes": [12]})
    model, weights = training_model(plan, "tiny", 2), with_answers(plan)
    write(model, weights)
    generator, (height, width) = np.random.default_rng(0), plan.canvas
    objects, labels = np.float32([[[4, 6, 18, 16], [20, 22, 33, 34]]]), np.array([[2, 0]])
    inputs = {
        "image": tf.constant(generator.normal(0, 1, (1, height, width, 3)), tf.float32),
        "window": tf.constant([[0.0, 0, height, width]]),
        "boxes": tf.constant(objects),
        "labels": tf.constant(labels),
        "seed": tf.constant([[1, 2]]),
    }
    found = model(inputs, training=False)
    networks = Networks(plan)
    for part in networks.parts.values():
        write(part, {name: weights[name] for name in read(part)})
    logits, deltas = networks(inputs["image"])
    [level] = plan.levels()
    anchors = anchor_grid(*logits.shape[1:3], **anchor_fields(plan, level)).numpy().astype(np.float64)
    logits = logits.numpy().reshape(len(anchors), CLASSES)
    deltas = deltas.numpy().reshape(len(anchors), -1, 4)
    shares = np.array([[iou(anchor, box) for box in objects[0]] for anchor in anchors])
    inside = np.array([inside_share(anchor, height, width) > 0.5 for anchor in anchors])
    shares[~inside] = 0
    entropy, offset, count, positives = 0.0, 0.0, 0, 0
    for place, anchor in enumerate(anchors):
        if not inside[place]:
            continue
        nearest = int(shares[place].argmax())
        summit = [row for row in range(2) if shares[place, row] == shares[:, row].max() > 0]
        nearest = max(summit, key=lambda row: shares[place, row]) if summit else nearest
        positive = bool(summit) or shares[place, nearest] >= 0.4
        true = np.zeros(CLASSES)
        count += 1
        if positive:
            label = int(labels[0, nearest])
            true[label], positives = 1, positives + 1
            offset += smooth(deltas[place, label if per_class else 0] - encoded(objects[0, nearest], anchor))
        entropy += sum(
            np.logaddexp(0, logit) - wanted * logit for logit, wanted in zip(logits[place], true, strict=True)
        )
    assert positives > 2
    assert float(found["objectness"][0]) == pytest.approx(entropy / count, rel=1e-4)
    assert float(found["boxes"][0]) == pytest.approx(offset / count, rel=1e-4)
    assert tuple(found) == LOSSES


def iou(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = np.prod(sides) if (sides > 0).all() else 0.0
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def inside_share(box, height, width):
    kept = np.clip(box, 0, [height, width] * 2)
    return np.prod(kept[2:] - kept[:2]) / np.prod(box[2:] - box[:2])


def encoded(box, anchor):
    middle, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    own, side = (anchor[:2] + anchor[2:]) / 2, anchor[2:] - anchor[:2]
    return np.concatenate([(middle - own) / side, np.log(size / side)])


def smooth(errors, beta=1 / 9):
    return sum(error**2 / (2 * beta) if abs(error) < beta else abs(error) - beta / 2 for error in errors)


def test_units_begin_unsure_so_that_many_classes_do_not_swamp_the_loss():
    plan = plan_of(classes=200)
    inputs = {
        "image": tf.zeros([1, *plan.input_shape]),
        "window": tf.constant([[0.0, 0, *plan.canvas]]),
        "boxes": tf.constant([[[4.0, 4, 20, 20]]]),
        "labels": tf.constant([[7]]),
        "seed": tf.constant([[1, 2]]),
    }
    assert float(training_model(plan, "many", 1)(inputs, training=False)["objectness"][0]) < 10  # 139 from halves


def test_a_spec_decides_its_defaults_and_resolves_to_itself():
    plan = plan_of()
    spec = plan.spec
    assert spec.shared == "stage2" and spec.shorter == round(48 * 8 / 7) and spec.width == 16
    assert spec.anchors.sizes == (10.0, 20.0, 30.0, 40.0) and spec.decided() == spec
    assert plan.parts["objectness"].output_shape[-1] == 12 * CLASSES
    assert plan.parts["anchor_deltas"].output_shape[-1] == 12 * CLASSES * 4
    assert plan_of(per_class=False).parts["anchor_deltas"].output_shape[-1] == 12 * 4
    assert localiser("resnet-18").sparse() == {"trunk": {"depth": 18}}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["shorter=100"], "shorter: 100 is below the 224x224 pixels of the trunk's crop"),
        (["shared=head"], "shared: 'head' has no map to look at"),
        (["negative=0.9"], "negative: 0.9 should be at most positive"),
        (["anchors.sizes=[16, 16]"], "anchors.sizes"),
        (["regions.size=7"], "--set: 'regions' is not one of"),
        (["trunk.depth=7"], "depth: 7 is not a possible depth"),
    ],
)
def test_what_cannot_be_is_refused_with_the_field(settings, message):
    with pytest.raises(ReskerasError, match=message):
        localiser("resnet-18", settings=tuple(settings))


def test_kinds_of_specs_are_told_apart(tmp_path):
    with pytest.raises(ReskerasError, match="is a localiser; see reskeras localise --help"):
        reskeras.network(localiser("resnet-18"))
    with pytest.raises(ReskerasError, match="is a detector; name a network for the trunk instead"):
        localiser(reskeras.detector("resnet-18"))
    file = tmp_path / "mine.yaml"
    file.write_text("trunk: {family: cifar, depth: 8}\nsample: 16\n")
    assert localiser(str(file)).sparse() == {"trunk": {"family": "cifar", "depth": 8}, "sample": 16}


def test_large_canvases_are_looked_at_a_few_at_once():
    """At 16 images of 4096 pixels at once the machine's memory would not do."""
    assert [batch_on((side, side), 1) for side in (64, 512, 1024, 2048, 4096)] == [16, 16, 4, 1, 1]
    assert batch_on((512, 512), 4) == 4
    plan = plan_of()
    found, sizes = Localiser(plan, with_answers(plan), own(plan), LocaliserViews((1100,))), []
    on = found.on
    found.on = lambda images, *rest: sizes.append(images.pixels.shape) or on(images, *rest)
    place = found.place
    found.place = lambda files, *rest: sizes.append(files.shape[0]) or place(files, *rest)
    found.look(open_objects("digits-loc@8").test.part("test", np.arange(4)))
    assert sizes[0] == 3 and sizes[1][1:3] == (1100, 1100)


def test_a_stage_that_there_is_not_is_refused_by_its_field():
    with pytest.raises(ReskerasError, match="shared: 'stage3' is not one of stem, stage1, stage2"):
        plan_of(shared="stage3")


@pytest.mark.parametrize("dense", [(64, 48), (2,), (9000,)])
def test_views_that_mean_nothing_are_refused(dense):
    with pytest.raises(ReskerasError, match="dense: "):
        LocaliserViews(dense)


def test_probabilities_are_averaged_also_where_they_round_to_nought_or_one():
    logits = np.array([[-3.0, 0.5, 40, -200], [1.0, 2, 42, -201]], np.float32)
    shares = 1 / (1 + np.exp(-logits[:, :2].astype(float)))
    expected = np.log(shares.mean(axis=0) / (1 - shares.mean(axis=0)))
    found = averaged([tf.constant(each) for each in logits]).numpy()
    np.testing.assert_allclose(found[:2], expected, rtol=1e-5)
    assert found[2] == pytest.approx(40 + np.log(2 / (1 + np.exp(-2.0))), rel=1e-5)  # the less sure one decides
    assert found[3] == pytest.approx(-200 + np.log((1 + np.exp(-1.0)) / 2), rel=1e-5)


def test_an_ensemble_averages_probabilities_and_boxes_of_each_anchor():
    plan, other = plan_of(), plan_of(per_class=False)
    parts = (plan, with_answers(plan), own(plan)), (other, with_answers(other, 1), own(other))
    split = open_objects("digits-loc@8").test.part("test", np.arange(3))
    every = np.tile(np.arange(CLASSES, dtype=np.int32), (3, 1))
    most = 20 * 24 * 12
    alone = [Localiser(*each).candidates(split, every, most) for each in parts]
    both = Localiser(*parts[0], others=[Localiser(*parts[1])])
    found, turned = both.look(split), Localiser(*parts[1], others=[Localiser(*parts[0])]).look(split)
    np.testing.assert_allclose(found.scores, turned.scores, atol=1e-6)
    np.testing.assert_allclose(found.boxes, turned.boxes, atol=1e-2)
    assert (
        found.scores <= np.mean([each.scores[:, :, :1] for each in alone], axis=0) + 1e-6
    ).all()  # rarely both's best
    assert (found.scores < np.mean([each.scores[:, :, :1] for each in alone], axis=0) - 1e-3).any()
    twice = Localiser(*parts[0], others=[Localiser(*parts[0])]).look(split)
    np.testing.assert_allclose(twice.scores, alone[0].scores[:, :, :1], atol=1e-6)
    np.testing.assert_allclose(twice.boxes, alone[0].boxes[:, :, :1], atol=1e-2)
    for fields, why in (({"shorter": 60}, "shorter side"), ({"anchors": {"sizes": [9]}}, "map")):
        third = plan_of(**fields)
        with pytest.raises(ReskerasError, match=f"with: there differs from the first in its {why}"):
            check_ensemble(both, Localiser(third, None, own(third)), "there")
