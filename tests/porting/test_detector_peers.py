"""torchvision's own Faster R-CNN, transform included: ported, compared with ours, written back, fine-tuned.

`make test-peers` runs these; the slow ones at the size that photographs have, 800 by 1333 pixels.
"""

import json
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import load_sample_images

import reskeras
from reskeras.graph.weights import read
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.porting import original_detector
from reskeras.porting.foreign_model import of_state_dict
from reskeras.porting.layouts import FASTER_RCNN
from reskeras.porting.originals import Architecture, architecture
from reskeras.porting.recognise import recognise
from reskeras.porting.torch_detector import check_same
from reskeras.tasks.detection.anchors import anchor_fields, anchor_grid
from reskeras.tasks.detection.average_precision import Detections, measured_overlaps
from reskeras.tasks.detection.boxes import decoded, window_clipped
from reskeras.tasks.detection.detection_proof import NEAR, partners
from reskeras.tasks.detection.detector_inference import Detector
from reskeras.tasks.detection.layers import in_rows
from reskeras.tasks.detection.porting import THEIR_SIDES, compared
from reskeras.tasks.detection.task import DetectionTask
from tests.cli.running import printed, refused
from tests.tasks.detection.shapes import shapes_folder

try:
    import torch
    import torchvision
    from safetensors.torch import load_file, save_file

    from tests.porting.torch_detectors import lively
except (ImportError, RuntimeError):  # the tests are left out then, as their names are still collected
    torch = torchvision = None

pytestmark = pytest.mark.peers

SMALL = {"block": "basic", "layers": [1, 1, 1, 1], "width": 32, "units": 48, "min_size": 128, "max_size": 213}
TEXT = "torchvision:FasterRCNN,block=basic,layers=[1,1,1,1],width=32,units=48,min_size=128,max_size=213"
NAMES = ["disc", "square", "ring", "star", "cross", "moon"]  # without background
CLASSES = len(NAMES)
ODD = ((97, 131), (128, 128), (213, 64), (31, 47), (40, 300), (251, 333), (300, 17), (199, 120))
PHOTOGRAPHS = (
    *((427, 640), (333, 500), (97, 311), (640, 211), (128, 128), (401, 73), (57, 640), (283, 517), (500, 499)),
    *((31, 47), (211, 640), (640, 427), (375, 500), (16, 200), (300, 17), (523, 389), (640, 639), (90, 120)),
    *((251, 333), (427, 101)),
)


def made(version=1, **arguments):
    torch.manual_seed(0)
    return lively(original_detector.general(**{**SMALL, "num_classes": CLASSES + 1, "version": version, **arguments}))


def saved(network, path):
    save_file(network.state_dict(), path)
    return path


def photograph(height, width, seed=0):
    """A piece of a photograph, uint8 (height, width, 3), repeated where it is too small."""
    whole = load_sample_images().images[seed % 2]
    whole = np.tile(whole, (-(-height // whole.shape[0]), -(-width // whole.shape[1]), 1))
    top, left = (
        int(np.random.default_rng(seed).integers(0, free + 1)) for free in np.subtract(whole.shape[:2], (height, width))
    )
    return np.ascontiguousarray(whole[top : top + height, left : left + width])


def given_to(network, image):
    """What torchvision's network finds in an image, as numpy arrays."""
    with torch.inference_mode():
        [found] = network([torch.from_numpy(np.moveaxis(image, -1, 0).astype(np.float32)) / 255])
    return {name: values.numpy() for name, values in found.items()}


def end_to_end(ask, detector, shapes):
    """The largest differences given the original's proposals; how many detections both sides have; and for each of
    those without partner where it is and by how little that was decided."""
    worst, count, alone = 0.0, 0, []
    for place, (height, width) in enumerate(shapes):
        image = photograph(height, width, place)
        answer = ask(image.astype(np.float32))
        one = compared(lambda _, answer=answer: answer, detector, image, place)
        assert len(np.unique(one.theirs.labels)) > 1
        worst, count = max(worst, one.corner, one.score), count + len(one.ours.image) + len(one.theirs.image)
        for own, other in both_ways(detector, image, answer, one):
            alone += [(f"{height}x{width}", float(decided(own, other, row))) for row in own.alone]
    return worst, count, alone


class Side(NamedTuple):
    """What one of the detectors makes of an image: proposals (R, 4) on the canvas, boxes (R, C, 4) and scores (R, C) of
    every class; what it `found`, its boxes on the canvas too, and which rows of that, and of the proposals, have no
    partner. `anchors` are boxes (N, 4) and scores (N,) of all anchors, as we compute them."""

    proposals: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    found: Detections
    alone: list
    own_proposals: list
    anchors: tuple


def both_ways(detector, image, answer, one):
    """Our side and theirs, then theirs and ours, where a detection has no partner."""
    pairs = partners(one.ours, one.theirs)
    found = zip((one.ours, one.theirs), pairs, strict=True)
    alone = [sorted({*range(len(each.image))} - set(rows.tolist())) for each, rows in found]
    if not any(alone):
        return []
    [number] = detector.canvases.chosen(np.array([image.shape[:2]])).numpy()
    [placed], _ = detector.placed(tf.io.encode_png(image)[tf.newaxis], int(number))
    seen = detector.seen([placed])
    boxes, scores = [], []
    for level, objectness, deltas in zip(seen.networks.levels, *seen.networks.anchors(seen.features), strict=True):
        anchors = anchor_grid(*objectness.shape[1:3], **anchor_fields(seen.networks.plan, level))
        boxes.append(window_clipped(decoded(in_rows(deltas, 4), anchors), placed.window)[0])
        scores.append(tf.sigmoid(in_rows(objectness, 1))[0, :, 0])
    every = np.concatenate(boxes), np.concatenate(scores)
    regions, *_ = seen.proposals(detector.spec.proposals.testing)
    ours = [each.numpy()[0] for each in (regions, *seen.classified(regions))]
    theirs = answer["proposals"][:, THEIR_SIDES], answer["boxes"][:, 1:, THEIR_SIDES], answer["scores"][:, 1:]
    scale = np.tile(placed.scale.numpy()[0], 2)
    sides = [
        Side(*told, replace(each, boxes=each.boxes * scale), rows, only, every)
        for told, each, rows, only in zip(
            (ours, theirs), (one.ours, one.theirs), alone, unpaired(ours[0], theirs[0]), strict=True
        )
    ]
    return [sides, sides[::-1]]


def unpaired(one, other):
    """The rows of proposals (R, 4) of either side that have no partner, one to one, on the other."""
    off = np.abs(one[:, np.newaxis] - other).max(axis=-1)
    near = off <= NEAR * (one[:, 2:] - one[:, :2]).max(axis=-1)[:, np.newaxis]
    pairs = np.stack(linear_sum_assignment(np.where(near, off, 1e6)), axis=1)
    kept = pairs[near[pairs[:, 0], pairs[:, 1]]]
    return [sorted({*range(len(boxes))} - {*rows.tolist()}) for boxes, rows in zip((one, other), kept.T, strict=True)]


def decided(own, other, row):
    """By how little it was decided that `own` has a detection and `other` not: the least difference of its score from
    one that it was compared with; or what decided about its proposal, or about the detection that took its place."""
    label, score, box = own.found.labels[row], own.found.scores[row], own.found.boxes[row]
    place = int(np.abs(own.boxes[:, label] - box).max(axis=-1).argmin())
    if place in own.own_proposals:
        return proposed(own, other)
    rival = (other.found.labels == label) & (measured_overlaps(box[np.newaxis], other.found.boxes)[0] > 0.5)
    lowest = other.found.scores.min()
    compared_with = np.array([0.05, lowest, *other.found.scores[rival]])
    above = [each for each in other.alone if other.found.scores[each] > score and (rival[each] or score < lowest)]
    return min([np.abs(compared_with - score).min(), *(decided(other, own, each) for each in above)])


def proposed(own, other):
    """By how little it was decided that one side has proposals that the other lacks: the least difference of the score
    of one of them from those that overlap it too much, and of such an overlap from the threshold. One that is kept
    takes the place of the last, which then has no partner either."""
    boxes, scores = own.anchors
    kept = np.concatenate([own.proposals, other.proposals])
    near = []
    for side, places in ((own, own.own_proposals), (other, other.own_proposals)):
        for region in side.proposals[places]:
            shares = measured_overlaps(region[np.newaxis], kept)[0]
            rivals = kept[(shares > 0.7) & (shares < 0.999)]
            mine, *others = (scores[np.abs(boxes - each).max(axis=-1).argmin()] for each in (region, *rivals))
            near += [np.abs(shares - 0.7).min(), *np.abs(np.array(others) - mine)]
    return min(near)


def answering(network, name, arguments, epsilon=1e-5):
    """A network as a source whose original runs, and our detector with its weights."""
    tensors = {key: values.numpy() for key, values in network.state_dict().items() if not key.endswith("tracked")}
    source = of_state_dict(tensors, name, None, Architecture("torchvision", name, arguments), epsilon)
    port = DetectionTask().port(source, recognise(source), recognise(source).spec, with_proof=False)
    plan = lower_detector(port.spec)
    return source, Detector(plan, read(port.model), port.preprocessing)


@pytest.fixture(scope="module", params=[1, 2], ids=["v1", "v2"])
def ported(request, tmp_path_factory):
    """A small network of torchvision's, and the run that it was ported to."""
    folder, network = tmp_path_factory.mktemp("ported"), made(request.param)
    path = saved(network, folder / "net.safetensors")
    (folder / "classes.txt").write_text("\n".join(NAMES) + "\n")
    text, names = f"{TEXT},version={request.param}", folder / "classes.txt"
    return network, reskeras.port(path, architecture=text, batch_norm_epsilon=1e-5, classes=names, out=folder / "run")


def test_a_detector_is_ported_with_proof_and_finds_what_torchvision_finds(ported, tmp_path):
    network, run = ported
    told = run.folder.provenance()["ported"]
    assert told["layout"].startswith("torchvision Faster R-CNN")
    assert "background, first there, is behind the classes here" in told["note"]
    assert told["proof"]["against"].startswith(f"torchvision {torchvision.__version__.partition('+')[0]}'s FasterRCNN")
    assert told["proof"]["difference"] < 1e-4 and told["proof"]["agreement"] > 0.99
    assert told["proof"]["detections"] > 50
    (tmp_path / "photo.png").write_bytes(tf.io.encode_png(image := photograph(97, 131)).numpy())
    [found] = run.predict(tmp_path / "photo.png")
    theirs = given_to(network, image)
    boxes, scores = zip(*((each.box, each.score) for each in found.detections), strict=True)
    assert len(boxes) == len(theirs["boxes"]) > 20
    np.testing.assert_allclose(boxes, theirs["boxes"][:, THEIR_SIDES], atol=1e-4 * 131)
    np.testing.assert_allclose(scores, theirs["scores"], atol=1e-4)
    assert [NAMES.index(each.name) + 1 for each in found.detections] == theirs["labels"].tolist()


@pytest.mark.parametrize("version", [1, 2])
def test_odd_images_give_the_same_end_to_end(version):
    source, detector = answering(made(version), "FasterRCNN", {**SMALL, "version": version})
    worst, count, alone = end_to_end(source.asked(), detector, ODD)
    assert worst < 1e-4
    assert count > 500 and len(alone) <= 0.01 * count
    assert [each for each in alone if each[1] >= 1e-5] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", original_detector.NAMES)
def test_twenty_photographs_give_the_same_end_to_end(name):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=12)
    source, detector = answering(lively(network), name, {})
    worst, count, alone = end_to_end(source.asked(), detector, PHOTOGRAPHS)
    print(f"{name}: at most {worst:.1e} apart; of {count} detections {len(alone)} without partner: {alone}")
    assert worst < 1e-4
    assert count > 1000 and len(alone) <= 0.01 * count
    assert [each for each in alone if each[1] >= 1e-5] == []


def test_a_port_is_written_back_to_what_torchvision_loads(ported, tmp_path):
    network, run = ported
    folder = shapes_folder(tmp_path / "shapes", train=4, test=3)
    [proof] = run.export("torchvision-state-dict", data=f"voc:{folder}", timing=False)
    assert proof.holds and proof.difference < 1e-4 and "torchvision" in proof.against
    back, own = load_file(proof.path), network.state_dict()
    again = original_detector.general(
        **{**SMALL, "num_classes": CLASSES + 1, "version": 2 if "rpn.head.conv.1.0.weight" in own else 1}
    )
    missing = [name for name in own if name not in back]
    assert all(name.endswith("num_batches_tracked") for name in missing)
    again.load_state_dict({**back, **{name: own[name] for name in missing}}, strict=True)
    changed = {name for name, values in back.items() if not torch.equal(values, own[name])}
    assert changed == {"roi_heads.box_predictor.bbox_pred.weight", "roi_heads.box_predictor.bbox_pred.bias"}
    assert not back["roi_heads.box_predictor.bbox_pred.bias"][:4].any()  # of the background
    image = photograph(97, 131)
    for name, values in given_to(again.eval(), image).items():
        np.testing.assert_array_equal(values, given_to(network, image)[name])


def test_it_is_fine_tuned_to_other_classes_and_written_back(ported, tmp_path):
    _, run = ported
    folder = shapes_folder(tmp_path / "shapes", train=4, test=3, sizes=((48, 64), (64, 48)))
    tuned = reskeras.train_detector(
        run.path, f"voc:{folder}", start=run.path, out=tmp_path / "tuned", epochs=1, batch_size=2, precision="float32"
    )
    assert tuned.folder.classes() == ["disc", "square"]
    before, after = read(run.model()), read(tuned.model())
    assert after["logits/kernel"].shape[-1] == 3
    np.testing.assert_array_equal(before["stage1_unit1_bn1/moving_mean"], after["stage1_unit1_bn1/moving_mean"])
    moved = np.abs(after["lateral4_conv/kernel"] - before["lateral4_conv/kernel"]).max()
    assert 0 < moved < 0.1 * np.abs(before["lateral4_conv/kernel"]).max()
    [proof] = tuned.export("torchvision-state-dict", timing=False, tolerances={"torchvision-state-dict": 1e-3})
    assert load_file(proof.path)["roi_heads.box_predictor.cls_score.bias"].shape == (3,)


def test_frozen_batch_norm_and_an_epsilon_of_0_are_those_of_published_weights(tmp_path):
    network = made()
    names = [name for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for name in names:  # as fasterrcnn_resnet50_fpn has them when it loads weights
        parent, _, own = name.rpartition(".")
        norm = getattr(network.get_submodule(parent), own)
        frozen = torchvision.ops.FrozenBatchNorm2d(norm.num_features, eps=0.0)
        frozen.load_state_dict(norm.state_dict())
        with torch.no_grad():
            frozen.running_var[::2] *= 1e-4  # so that an epsilon of 1e-5 makes a difference
            frozen.weight[::2] *= 1e-2
        setattr(network.get_submodule(parent), own, frozen)
    path = saved(network, tmp_path / "net.safetensors")
    (tmp_path / "classes.txt").write_text("\n".join(NAMES) + "\n")
    run = reskeras.port(
        path, architecture=TEXT, batch_norm_epsilon=0, classes=tmp_path / "classes.txt", out=tmp_path / "run"
    )
    assert run.folder.spec().backbone.bn.epsilon == 0
    detector, image = run.detector(), photograph(97, 131)
    ask = original_detector.asking(network.eval())
    one = compared(ask, detector, image)
    assert one.corner < 1e-4 and one.score < 1e-4
    other = reskeras.port(path, architecture=TEXT, batch_norm_epsilon=1e-5, out=tmp_path / "other").detector()
    assert compared(ask, other, image).score > 1e-3
    folder = shapes_folder(tmp_path / "shapes", train=4, test=3)
    [proof] = run.export("torchvision-state-dict", data=f"voc:{folder}", timing=False)
    assert proof.holds  # with torchvision's usual epsilon


def test_the_settings_of_an_architecture_become_fields():
    arguments = {"box_score_thresh": 0.2, "rpn_post_nms_top_n_test": 50, "image_mean": [0.5, 0.4, 0.3]}
    source, detector = answering(made(**arguments), "FasterRCNN", {**SMALL, **arguments})
    assert detector.spec.detections.score == 0.2 and detector.spec.proposals.testing == 50
    np.testing.assert_allclose(detector.preprocessing.mean, np.multiply(255, [0.5, 0.4, 0.3]), rtol=1e-6)
    worst, _, alone = end_to_end(source.asked(), detector, ODD[:2])
    assert worst < 1e-4 and not alone


@pytest.mark.parametrize("name", original_detector.NAMES)
def test_what_no_tensor_shows_is_assumed_as_torchvision_constructs_it(name):
    with torch.device("meta"):
        network = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    told = original_detector.settings(network)
    assert not original_detector.unusual(network)
    default = DetectorSpec.model_validate({"backbone": "resnet-50", "neck": "fpn", **FASTER_RCNN}).decided()
    check_same(default, told)
    for field in ("positive", "negative", "sample", "sample_share", "before", "training"):
        assert getattr(default.proposals, field) == told["proposals"][field]
    for field in ("positive", "sample", "sample_share"):
        assert getattr(default.regions, field) == told["regions"][field]


@pytest.mark.parametrize("size", [(800, 1088), (800, 1344), (544, 1344), (64, 1344), (1344, 800)])
def test_anchors_are_torchvisions_on_every_map(size):
    default = DetectorSpec.model_validate({"backbone": "resnet-50", "neck": "fpn", **FASTER_RCNN})
    plan = lower_detector(default).at(*size)
    levels = plan.levels()
    maps = [torch.zeros(1, 1, *level.shape[:2]) for level in levels]
    generator = torchvision.models.detection.faster_rcnn._default_anchorgen()
    images = torchvision.models.detection.image_list.ImageList(torch.zeros(1, 3, *size), [size])
    [theirs] = generator(images, maps)
    ours = [anchor_grid(*level.shape[:2], **anchor_fields(plan, level)) for level in levels]
    np.testing.assert_array_equal(np.concatenate(ours)[:, THEIR_SIDES], theirs.numpy())


def test_published_names_and_the_epsilon_of_a_tag_are_known():
    meta = torchvision.models.detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    names = original_detector.class_names(meta)
    assert len(names) == len({*names}) == 90 and names[0] == "person"
    assert architecture("torchvision:fasterrcnn_resnet50_fpn.COCO_V1").told_epsilon == 0
    assert architecture("torchvision:fasterrcnn_resnet50_fpn_v2.COCO_V1").told_epsilon is None


def test_a_mobilenet_is_refused_with_the_reason(tmp_path):
    network = torchvision.models.detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    path = saved(network, tmp_path / "net.safetensors")
    reason = "is torchvision's fasterrcnn_mobilenet_v3, whose inverted residuals and hard-swish no network of"
    assert reason in refused("port", path, "--out", tmp_path / "run")
    named = "--architecture", "torchvision:fasterrcnn_mobilenet_v3_large_fpn"
    told = refused("port", path, "--out", tmp_path / "run", *named)
    assert "of torchvision's detectors only fasterrcnn_resnet50_fpn, fasterrcnn_resnet50_fpn_v2" in told
    assert [each.name for each in tmp_path.iterdir()] == ["net.safetensors"]


def test_the_command_line_tells_what_was_proven_and_what_is_in_another_order(ported, tmp_path):
    network, _ = ported
    path = saved(network, tmp_path / "net.safetensors")
    version = 2 if "rpn.head.conv.1.0.weight" in network.state_dict() else 1
    named = "--architecture", f"{TEXT},version={version}"
    asked = ("--batch-norm-epsilon", 1e-5) if version == 1 else ()
    shown = printed("port", path, *named, *asked, "--out", tmp_path / "run")
    assert "scale to a shorter side of 128 pixels, and a longer one of at most 213, without antialiasing" in shown
    assert "note       background, first there" in shown
    assert "of its proposals differ from those of torchvision" in shown
    assert "next       reskeras detect predict" in shown
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["ported"]["sha256"]
