"""Several detectors as one: the union of their proposals, each region judged by all (v1 appendix B)."""

import io
import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.overrides import laid_over
from reskeras.tasks.detection.detector_inference import REFINED_OVERLAP, VOTES, Detector
from reskeras.tasks.detection.ensemble import MOST, class_order
from reskeras.tasks.detection.options import Options
from tests.tasks.detection.alike import alike
from tests.tasks.detection.by_hand import overlap

SIZE = 60, 90  # height, width of the images, as neither canvas
LARGER = {
    "backbone.input_shape": [64, 80, 3],
    "anchors.sizes": [12, 20, 30],
    "proposals.testing": 24,
    "geometry": "cell",
    "regions.pool": "max",
}


@pytest.fixture(scope="module")
def files(detector_run):
    """Two images of squares and discs that fit neither canvas: encoded, and as arrays."""
    test, encoded, pixels = detector_run.source().test, [], []
    for index in range(2):
        image = Image.open(io.BytesIO(test.read(tf.constant(index, tf.int64)).numpy())).resize(SIZE[::-1])
        stream = io.BytesIO()
        image.save(stream, "png")
        encoded.append(stream.getvalue())
        pixels.append(np.asarray(image))
    return tf.constant(encoded), pixels


@pytest.fixture(scope="module")
def parts(detector_run):
    """(plan, weights, preprocessing) of the trained detector and of one that differs in all that may differ: canvas,
    anchors, geometry, pooling, number of proposals, pixels and weights."""
    weights, generator = read(detector_run.model()), np.random.default_rng(0)
    shaken = {
        name: value * generator.normal(1, 0.1, value.shape).astype(np.float32) if "kernel" in name else value
        for name, value in weights.items()
    }
    spec, own = detector_run.folder.spec(), detector_run.preprocessing()
    plan = lower_detector(laid_over(spec, LARGER))
    pixels = replace(own, mean=own.mean * np.float32(0.9), std=own.std * np.float32(1.2), height=64, width=80)
    return (lower_detector(spec), weights, own), (plan, shaken, pixels)


def found_by(first, others, files, options=Options(), proposals=0):
    """What an ensemble of `(plan, weights, preprocessing)` finds, as arrays."""
    members = [Detector(*each, options) for each in others]
    answer = Detector(*first, options, others=members).found(files, proposals)
    return {name: values.numpy() for name, values in answer.items()}


def close(one, other):
    alike(one, other, [SIZE] * len(one["count"]), 1e-5)


class ByHand:
    """One detector's answers about regions in pixels of an image, with all but its networks in NumPy."""

    def __init__(self, part, file, pixels):
        plan, _, preprocessing = part
        self.detector, self.spec = Detector(*part), plan.spec
        size, canvas = np.float32(SIZE), np.float32(plan.input_shape[:2])
        scaled = np.round(size * (canvas / size).min())
        self.times, self.window = np.tile(scaled / size, 2), np.concatenate([[0, 0], scaled]).astype(np.float32)
        ((shown_pixels, *_),), _ = self.detector.place(tf.constant(pixels), 0)
        shown = np.zeros(plan.input_shape, np.float32)
        rows, columns = map(int, scaled)
        shown[:rows, :columns] = (shown_pixels.numpy()[:rows, :columns] - preprocessing.mean) / preprocessing.std
        self.map = self.detector.networks.features(tf.constant(shown[np.newaxis]))
        self.regions = self.detector.found(tf.constant([file]))["proposals"].numpy()[0]

    def judge(self, regions):
        """Boxes (R, C, 4) in pixels of the image and shares (R, C)."""
        own = (regions * self.times).astype(np.float32)
        networks, given = self.detector.networks, tf.constant(own[np.newaxis])
        logits, deltas = networks.told(networks.pooled(self.map, given, tf.constant(self.window[np.newaxis])), given)
        powers = np.exp(logits[0] - np.max(logits[0], axis=-1, keepdims=True))
        shares = powers / powers.sum(axis=-1, keepdims=True)
        moves = np.reshape(deltas[0], (len(own), -1, 4)) * self.spec.regions.deviations
        sides = (own[:, 2:] - own[:, :2])[:, np.newaxis]
        centres, halves = (
            own[:, np.newaxis, :2] + sides / 2 + moves[..., :2] * sides,
            sides * np.exp(moves[..., 2:]) / 2,
        )
        boxes = np.concatenate([centres - halves, centres + halves], axis=-1)
        real = (sides > 0).all(axis=-1)
        return np.clip(boxes, 0, np.tile(self.window[2:], 2)) / self.times, np.where(real, shares[:, :-1], 0)


def kept_by_hand(boxes, scores, least, most):
    """(class, score, box) after NMS by class in plain loops, best first."""
    kept = []
    for label in range(scores.shape[1]):
        own = []
        for row in np.argsort(-scores[:, label], kind="stable"):
            box = boxes[row, label]
            if scores[row, label] > 0.05 and all(overlap(box, other) <= least for _, _, other in own):
                own.append((label, scores[row, label], box))
        kept += own
    return sorted(kept, key=lambda each: -each[1])[:most]


def voted_by_hand(box, boxes, scores):
    """The mean of all boxes of a class that overlap `box`, weighted by their scores."""
    voters = [
        (score, each)
        for score, each in zip(scores, boxes, strict=True)
        if score >= 0.05 and (each[2:] > each[:2]).all() and overlap(box, each) >= VOTES
    ]
    return np.average([each for _, each in voters], axis=0, weights=[score for score, _ in voters])


@pytest.mark.parametrize("refine", [False, True])
def test_it_is_the_mean_of_what_every_detector_says_of_the_proposals_of_all(parts, files, refine):
    found, spec = found_by(parts[0], [parts[1]], files[0], Options(refine=refine)), parts[0][0].spec
    single = found_by(parts[0], [], files[0], Options(refine=refine))
    assert not np.allclose(found["scores"], single["scores"], atol=0.01)  # or the second one says nothing
    for image, pixels in enumerate(files[1]):
        judges = [ByHand(part, files[0][image].numpy(), pixels) for part in parts]
        regions = np.concatenate([each.regions for each in judges])
        assert len(regions) == 32 + 24

        def means(regions, judges=judges):
            answers = [each.judge(regions) for each in judges]
            return [np.mean(column, axis=0) for column in zip(*answers, strict=True)]

        boxes, scores = means(regions)
        if refine:
            best = scores.argmax(axis=-1)
            again = means(np.where(scores.max(axis=-1, keepdims=True) > 0, boxes[np.arange(len(boxes)), best], 0))
            boxes, scores = (np.concatenate(pair) for pair in zip((boxes, scores), again, strict=True))
        wanted = kept_by_hand(boxes, scores, REFINED_OVERLAP if refine else spec.detections.overlap, 100)
        assert len(wanted) == found["count"][image] > 0
        assert [label for label, _, _ in wanted] == found["labels"][image, : len(wanted)].tolist()
        assert np.allclose([score for _, score, _ in wanted], found["scores"][image, : len(wanted)], atol=1e-4)
        for (label, _, box), told in zip(wanted, found["boxes"][image], strict=False):
            assert np.allclose(
                voted_by_hand(box, boxes[:, label], scores[:, label]) if refine else box, told, atol=1e-2
            )


OPTIONS = [Options(), Options(refine=True), Options(scales=(1.0, 1.5), canonical=16.0, refine=True)]


@pytest.mark.sample(2)
@pytest.mark.parametrize("options", OPTIONS)
def test_the_order_of_the_detectors_changes_nothing(parts, files, options):
    one, other = (found_by(*pair, files[0], options, 100) for pair in ((parts[0], parts[1:]), (parts[1], parts[:1])))
    close(one, other)
    assert one["count"].sum() > 3
    assert np.allclose(one["objectness"], other["objectness"], atol=1e-5)
    assert np.allclose(one["proposals"], other["proposals"], atol=1e-3)


@pytest.mark.sample(2)
@pytest.mark.parametrize("options", OPTIONS)
def test_a_detector_with_itself_is_itself(parts, files, options):
    alone, twice = found_by(parts[0], [], files[0], options), found_by(parts[0], [parts[0]] * 2, files[0], options)
    close(alone, twice)
    real = int((alone["objectness"] > 0).sum(axis=1).min())
    assert np.allclose(alone["proposals"][:, :real], twice["proposals"][:, :real])
    assert not twice["objectness"][:, 32:].any()


def test_each_detector_looks_at_its_own_scales(parts, files):
    scaled = Options(scales=(1.0, 1.5), canonical=16.0)
    second = Detector(*parts[1], scaled)
    mixed = Detector(*parts[0], others=[second]).found(files[0])
    single = found_by(parts[0], [parts[1]], files[0])
    assert not np.allclose(mixed["scores"], single["scores"], atol=1e-4)
    swapped = Detector(*parts[1], scaled, others=[Detector(*parts[0])]).found(files[0])
    close(mixed, swapped)


def test_proposals_beyond_those_that_are_judged_change_no_detection(parts, files):
    few, many = (found_by(parts[0], [parts[1]], files[0], proposals=count) for count in (0, 150))
    close(few, many)
    assert few["proposals"].shape == (2, 32 + 24, 4)
    assert many["proposals"].shape == (2, 150, 4)


def test_the_proposals_are_those_of_all_without_near_duplicates_best_first(parts, files):
    found = found_by(parts[0], [parts[1]], files[0])
    singles = [found_by(part, [], files[0]) for part in parts]
    for image in range(2):
        ranked = [
            (score, box)
            for each in singles
            for score, box in zip(each["objectness"][image], each["proposals"][image], strict=True)
            if score > 0
        ]
        kept = []
        for score, box in sorted(ranked, key=lambda each: -each[0]):
            if all(overlap(box, other) <= 0.7 for _, other in kept):
                kept.append((score, box))
        assert len(kept) < len(ranked)
        assert np.allclose([score for score, _ in kept], found["objectness"][image, : len(kept)], atol=1e-6)
        assert np.allclose([box for _, box in kept], found["proposals"][image, : len(kept)], atol=1e-3)
        assert all(one >= other for one, other in pairwise(found["objectness"][image]))


def test_classes_in_another_order_are_renumbered(parts, files):
    plan, weights, pixels = parts[1]
    turned = dict(weights)
    for name, value in weights.items():
        if name.startswith("logits/"):
            turned[name] = value[..., [1, 0, 2]]
        if name.startswith("box_deltas/"):
            turned[name] = value[..., [4, 5, 6, 7, 0, 1, 2, 3]]
    assert not all(np.array_equal(turned[name], weights[name]) for name in weights)
    other = Detector(plan, turned, pixels, order=[1, 0])
    found = Detector(*parts[0], others=[other]).found(files[0])
    close(found, found_by(parts[0], [parts[1]], files[0]))


def test_a_batch_has_fewer_images_the_more_regions_each_has(parts):
    single = Detector(*parts[0])
    batches = [Detector(*parts[0], others=[single] * others).batch for others in range(MOST)]
    assert batches == [4, 2, 1, 1, 1, 1, 1, 1]


class TestRuns:
    @pytest.fixture
    def turned(self, copied_detector):
        """The trained run with the names of its two classes exchanged."""
        path = copied_detector.path / "classes.txt"
        names = path.read_text().split()
        path.write_text("\n".join(reversed(names)) + "\n")
        return copied_detector

    def test_it_is_evaluated_as_a_detector_is(self, detector_run, copied_detector):
        found = detector_run.evaluate(others=[copied_detector])
        alone = detector_run.evaluate()
        assert found.views == "ensemble of 2 detectors, single scale"
        assert (found.classified, found.proposed) == (64, 400)
        assert (alone.classified, alone.proposed) == (32, 200)
        assert found.voc.map_area == pytest.approx(alone.voc.map_area)
        assert found.coco.map == pytest.approx(alone.coco.map)
        assert found.recall[50] == pytest.approx(alone.recall[50])
        assert json.loads(json.dumps(found.as_dict()))["classified"] == 64

    def test_it_predicts_in_files_as_a_detector_does(self, detector_run, copied_detector, shapes, tmp_path):
        paths = sorted((shapes / "JPEGImages").iterdir())[-3:]  # more than one batch
        alone = detector_run.predict(paths, score=0.2)
        found = detector_run.predict(paths, tmp_path / "out", score=0.2, others=copied_detector.path)
        for one, other in zip(found, alone, strict=True):
            assert [each.name for each in one.detections] == [each.name for each in other.detections]
            scores = [[each.score for each in image.detections] for image in (one, other)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-5)
        assert len(list((tmp_path / "out").glob("*.png"))) == 3

    def test_classes_are_matched_by_name(self, detector_run, turned, shapes):
        """Of two equal detectors one of which calls discs squares, every class has half of both probabilities."""
        path = sorted((shapes / "JPEGImages").iterdir())[-1]
        detector = detector_run.detector(others=[turned])
        assert [each.order for each in detector.members] == [None, [1, 0]]
        [alone], [both] = detector_run.predict(path, score=0.05), detector_run.predict(path, score=0.05, others=turned)
        assert alone.detections[0].score > 0.6
        assert both.detections[0].score == pytest.approx(0.5, abs=0.2)
        assert {each.name for each in both.detections} == {"disc", "square"}

    def test_other_classes_are_refused_by_name_before_weights_are_read(self, detector_run, copied_detector):
        (copied_detector.path / "classes.txt").write_text("disc\nstar\n")
        (copied_detector.path / "model.keras").write_bytes(b"")
        for use in (detector_run.evaluate, lambda others: detector_run.predict("x.png", others=others)):
            with pytest.raises(ReskerasError) as refused:
                use(others=[copied_detector])
            assert str(refused.value) == (
                f"with: {copied_detector.path} has different classes from {detector_run.path}: "
                "it lacks square and adds star; the detectors of an ensemble need the same classes, in any order"
            )
            assert refused.value.status == 2

    def test_too_many_are_refused(self, detector_run):
        with pytest.raises(
            ReskerasError, match=r"with: 8 detectors besides the first; an ensemble has at most 8 in all"
        ):
            detector_run.detector(others=["nowhere"] * MOST)

    def test_what_is_no_detector_is_refused(self, detector_run, tmp_path):
        with pytest.raises(ReskerasError, match="nowhere"):
            detector_run.evaluate(others=[tmp_path / "nowhere"])

    def test_other_training_data_are_told(self, detector_run, copied_detector):
        notes = []
        path = copied_detector.path / "provenance.json"
        provenance = json.loads(path.read_text())
        provenance["data"] |= {"name": "voc:elsewhere", "fingerprint": {}}
        path.write_text(json.dumps(provenance))
        detector_run.evaluate(others=[copied_detector, detector_run], tell=notes.append)
        assert [note for note in notes if "ensemble" in note] == [
            f"{copied_detector.path} was trained on voc:elsewhere: if that includes images of this split, the ensemble "
            "looks better than it is"
        ]


def test_many_other_classes_are_not_all_named(tmp_path):
    names = [f"kind-{number}" for number in range(30)]
    with pytest.raises(ReskerasError) as refused:
        class_order(tmp_path, names[:1], tmp_path, names)
    assert "lacks kind-1, kind-2, kind-3, kind-4, kind-5 and 24 more;" in str(refused.value)
    assert class_order(tmp_path, names[::-1], tmp_path, names) == list(range(29, -1, -1))
