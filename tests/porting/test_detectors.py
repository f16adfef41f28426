"""Detectors by torchvision's names, without torchvision: recognised, converted, refused. Its own networks are in
test_detector_peers.py."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.porting.convert import their_tensors, with_epsilon
from reskeras.porting.fitted import TrainedNetwork
from reskeras.porting.foreign_model import of_state_dict
from reskeras.porting.layouts import FASTER_RCNN, TORCH
from reskeras.porting.rearranged import BACKGROUND_FIRST, BACKGROUND_FIRST_BOXES, CHANNELS_FIRST, X_FIRST
from reskeras.porting.recognise import recognise
from reskeras.porting.state_dict import read_state_dict
from reskeras.porting.torch_back import target
from reskeras.porting.torch_detector import check_same, faster_rcnn
from tests.cli.running import refused

WIDTH, UNITS, CLASSES = 16, 24, 3  # of the pyramid, of dense layers; classes without background


def norm(name, channels):
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


def conv(name, out, into, kernel, bias=False):
    return {f"{name}.weight": (out, into, kernel, kernel), **({f"{name}.bias": (out,)} if bias else {})}


def dense(name, out, into):
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def shapes(version=1, backbone="backbone.body."):
    """Names and shapes of the tensors of torchvision's Faster R-CNN on a ResNet of one basic block for each stage."""
    found = {**conv(f"{backbone}conv1", 64, 3, 7), **norm(f"{backbone}bn1", 64)}
    for stage, width in enumerate((64, 128, 256, 512), 1):
        unit, before = f"{backbone}layer{stage}.0.", 64 if stage == 1 else width // 2
        for number, into in ((1, before), (2, width)):
            found |= {**conv(f"{unit}conv{number}", width, into, 3), **norm(f"{unit}bn{number}", width)}
        if stage > 1:
            found |= {**conv(f"{unit}downsample.0", width, before, 1), **norm(f"{unit}downsample.1", width)}
        for kind, into, kernel in (("inner", width, 1), ("layer", WIDTH, 3)):
            block = f"backbone.fpn.{kind}_blocks.{stage - 1}"
            found |= conv(f"{block}.0", WIDTH, into, kernel, bias=version == 1)
            found |= norm(f"{block}.1", WIDTH) if version == 2 else {}
    for number in range(version):
        found |= conv(f"rpn.head.conv.{number}.0", WIDTH, WIDTH, 3, bias=True)
    found |= {**conv("rpn.head.cls_logits", 3, WIDTH, 1, True), **conv("rpn.head.bbox_pred", 12, WIDTH, 1, True)}
    box = "roi_heads.box_head."
    if version == 1:
        found |= {**dense(f"{box}fc6", UNITS, WIDTH * 49), **dense(f"{box}fc7", UNITS, UNITS)}
    else:
        for number in range(4):
            found |= {**conv(f"{box}{number}.0", WIDTH, WIDTH, 3), **norm(f"{box}{number}.1", WIDTH)}
        found |= dense(f"{box}5", UNITS, WIDTH * 49)
    predictor = "roi_heads.box_predictor."
    return {
        **found,
        **dense(f"{predictor}cls_score", CLASSES + 1, UNITS),
        **dense(f"{predictor}bbox_pred", 4 * (CLASSES + 1), UNITS),
    }


def state(version=1):
    """A state dict with those shapes, every number different enough to be told from its neighbours."""
    generator = np.random.default_rng(version)
    return {
        name: np.abs(generator.normal(0, 0.1, shape)).astype(np.float32)
        if name.endswith("running_var")
        else generator.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in shapes(version).items()
    }


def saved(tensors, tmp_path):
    path = tmp_path / "net.safetensors"
    save_file(tensors, path)
    return path


def ported(tmp_path, version=1, **changes):
    path = saved({**state(version), **changes}, tmp_path)
    return reskeras.port(path, batch_norm_epsilon=1e-5, with_proof=False, out=tmp_path / "run")


@pytest.mark.parametrize("version", [1, 2])
def test_it_is_recognised_by_names_and_shapes(version):
    known = recognise(of_state_dict(state(version), "net", epsilon=1e-5))
    spec = known.spec.decided()
    assert (spec.classes, spec.neck.width, spec.regions.width) == (CLASSES, WIDTH, UNITS)
    assert (spec.neck.bn, spec.proposals.convs) == ((False, 1) if version == 1 else (True, 2))
    assert (spec.regions.convs, spec.regions.dense) == ((0, 2) if version == 1 else (4, 1))
    assert (spec.geometry, spec.neck.strides, spec.neck.extra) == ("torchvision", (4, 8, 16, 32), 1)
    assert spec.anchors.sizes == (32, 64, 128, 256, 512)
    assert known.spec.sparse()["backbone"]["stages"] == [{"units": 1, "width": width} for width in (64, 128, 256, 512)]
    values = sum(np.prod(shape) for name, shape in shapes(version).items() if "running" not in name)
    assert lower_detector(spec).parameters == values - 4 * (UNITS + 1)  # without the background's boxes


@pytest.mark.parametrize("version", [1, 2])
def test_every_tensor_goes_there_and_back(version, tmp_path):
    run, tensors = ported(tmp_path, version), state(version)
    known = recognise(of_state_dict(tensors, "net", epsilon=1e-5))
    back = their_tensors(read(run.model()), TORCH, known.layers, known.plan, known.rearranged)
    assert back.keys() == tensors.keys()
    for name, values in tensors.items():
        if "box_predictor.bbox_pred" in name:
            assert not back[name][:4].any()
            np.testing.assert_array_equal(back[name][4:], values[4:])
        else:
            np.testing.assert_array_equal(back[name], values)


def test_a_run_says_what_it_is_and_finds_boxes(tmp_path):
    run = ported(tmp_path)
    told = run.folder.provenance()["ported"]
    assert told["layout"] == "torchvision Faster R-CNN" and told["proof"]["difference"] is None
    assert "its box offsets are dropped" in told["note"]
    assert isinstance(run, reskeras.DetectorRun) and run.folder.classes() == ["0", "1", "2"]
    np.testing.assert_allclose(run.preprocessing().mean, [123.675, 116.28, 103.53], rtol=1e-6)


def test_names_of_before_torchvision_0_13_are_the_same(tmp_path):
    tensors = state()
    former = {
        name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        .replace("blocks.0.0.", "blocks.0.")
        .replace("blocks.3.0.", "blocks.3."): values
        for name, values in tensors.items()
    }
    assert former.keys() != tensors.keys()
    assert read_state_dict(saved(former, tmp_path)).keys() == tensors.keys()


# -- orders, by what layers compute ------------------------------------------------------------------------------------


def test_a_dense_layer_on_a_map_gives_the_same_in_either_order():
    generator = np.random.default_rng(0)
    maps, kernel = generator.normal(size=(2, 7, 7, 5)), generator.normal(size=(5 * 49, 6))
    theirs = maps.transpose(0, 3, 1, 2).reshape(2, -1) @ kernel
    np.testing.assert_allclose(maps.reshape(2, -1) @ CHANNELS_FIRST.ours(kernel), theirs)
    np.testing.assert_array_equal(CHANNELS_FIRST.theirs(CHANNELS_FIRST.ours(kernel)), kernel)
    bias = np.arange(6.0)
    assert CHANNELS_FIRST.ours(bias) is bias


def test_offsets_of_x_and_background_change_places():
    offsets = np.arange(12.0)  # of a background and two classes: dx, dy, dw, dh of each
    np.testing.assert_array_equal(X_FIRST.ours(offsets)[:4], [1, 0, 3, 2])
    np.testing.assert_array_equal(BACKGROUND_FIRST_BOXES.ours(offsets), [5, 4, 7, 6, 9, 8, 11, 10])
    np.testing.assert_array_equal(
        BACKGROUND_FIRST_BOXES.theirs(BACKGROUND_FIRST_BOXES.ours(offsets)), [0, 0, 0, 0, *range(4, 12)]
    )
    np.testing.assert_array_equal(BACKGROUND_FIRST.ours(np.arange(4)), [1, 2, 3, 0])
    np.testing.assert_array_equal(BACKGROUND_FIRST.theirs(np.array([1, 2, 3, 0])), np.arange(4))


def test_another_epsilon_is_taken_by_the_variance_or_where_that_is_too_small_by_the_scale():
    spec = DetectorSpec.model_validate({"backbone": {"depth": 18, "bn": {"epsilon": 0}}, "neck": "fpn"})
    plan = lower_detector(spec).shared
    names = [each.name for each in plan.ops() if f"{each.name}".endswith("_bn") or "_bn" in each.name]
    generator, weights = np.random.default_rng(0), {}
    for place, name in enumerate(names):
        low = 1e-9 if place % 2 else 0.1
        weights[f"{name}/moving_variance"] = np.float32(generator.uniform(low, 2 * low, 4))
        weights[f"{name}/gamma"] = np.float32(generator.uniform(0.5, 1, 4))
    other = with_epsilon(plan, weights, 1e-5)
    for name in names:
        scales = [
            np.float64(each[f"{name}/gamma"]) / np.sqrt(np.float64(each[f"{name}/moving_variance"]) + epsilon)
            for each, epsilon in ((weights, 0), (other, 1e-5))
        ]
        np.testing.assert_allclose(*scales, rtol=1e-5)
        assert other[f"{name}/moving_variance"].min() > 0


# -- what is refused ---------------------------------------------------------------------------------------------------

ASKED = ("--batch-norm-epsilon", 1e-5, "--without-proof")


def without(*parts):
    return {name: values for name, values in state().items() if not any(part in name for part in parts)}


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (without("inner_blocks.2"), "missing: backbone.fpn.inner_blocks.2.0.weight"),
        (without("inner_blocks.0"), "missing: backbone.fpn.inner_blocks.0.0.weight"),
        (without("layer_blocks.3"), "missing: backbone.fpn.layer_blocks.3.0.weight"),
        (without("rpn.head.conv"), "missing: rpn.head.conv.0.0.weight"),
        (without("box_head.fc7"), "missing: roi_heads.box_head.fc7.weight"),
        (
            {**state(), "backbone.fpn.inner_blocks.4.0.weight": np.ones((16, 16, 1, 1), np.float32)},
            "unexpected: backbone.fpn.inner_blocks.4.0.weight",
        ),
        (
            {**state(), "roi_heads.mask_head.0.0.weight": np.ones((1, 1, 3, 3), np.float32)},
            "unexpected: roi_heads.mask_head.0.0.weight",
        ),
        (
            {**state(), "rpn.head.cls_logits.weight": np.ones((5, WIDTH, 1, 1), np.float32)},
            "of the wrong shape: rpn.head.cls_logits.weight (5, 16, 1, 1)",
        ),
        (
            {**state(), "rpn.head.bbox_pred.weight": np.ones((13, WIDTH, 1, 1), np.float32)},
            "of the wrong shape: rpn.head.bbox_pred.weight (13, 16, 1, 1)",
        ),
        (
            {**state(), "roi_heads.box_head.fc6.weight": np.ones((UNITS, WIDTH * 48), np.float32)},
            "of the wrong shape: roi_heads.box_head.fc6.weight (24, 768)",
        ),
        (
            {**state(), "roi_heads.box_predictor.bbox_pred.weight": np.ones((4, UNITS), np.float32)},
            "of the wrong shape: roi_heads.box_predictor.bbox_pred.weight (4, 24)",
        ),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_tensors_that_do_not_fit_are_named_and_nothing_is_written(tensors, told, tmp_path):
    path = saved(tensors, tmp_path)
    assert told in refused("port", path, *ASKED, "--out", tmp_path / "run", status=1)
    assert [each.name for each in tmp_path.iterdir()] == ["net.safetensors"]


def test_the_epsilon_is_asked_for_where_it_is_unknown(tmp_path):
    path = saved(state(), tmp_path)
    told = refused("port", path, "--out", tmp_path / "run")
    assert "batch-norm-epsilon:" in told and "0 for COCO_V1 of fasterrcnn_resnet50_fpn" in told
    for value, words in (("-1", "-1: should be at least 0 and less than 1"), ("nan", "nan: should be")):
        assert words in refused("port", path, "--batch-norm-epsilon", value, "--out", tmp_path / "run")
    assert recognise(of_state_dict(state(2), "net")).spec.backbone.decided().bn.epsilon == 1e-5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--size", 600), "size: detectors scale images by their shorter side; give it with the architecture"),
        (("--normalise", "unit"), "normalise: only for classifiers"),
        (("--fold-biases",), "fold-biases: only for classifiers"),
    ],
)
def test_options_of_classifiers_are_refused(words, told, tmp_path):
    path = saved(state(), tmp_path)
    assert told in refused("port", path, *ASKED, *words, "--out", tmp_path / "run")


def test_a_detector_without_its_heads_is_no_network_that_is_known(tmp_path):
    path = saved(without("roi_heads"), tmp_path)
    told = refused("port", path, *ASKED, "--out", tmp_path / "run")
    assert "match none of torchvision Faster R-CNN, torchvision Faster R-CNN v2" in told


def test_an_epsilon_is_only_for_state_dicts():
    with pytest.raises(ReskerasError, match=r"batch-norm-epsilon: 0.001 is only for state dicts"):
        reskeras.port("ResNet50", batch_norm_epsilon=0.001)


def test_weights_are_only_for_what_torchvision_would_compute(tmp_path):
    usual = {"backbone": "resnet-18", "neck": "fpn", **FASTER_RCNN}

    def spec(**fields):
        return DetectorSpec.model_validate({**usual, **fields})

    assert faster_rcnn(spec()).made == "FasterRCNN, block=basic, layers=[2, 2, 2, 2]"
    assert faster_rcnn(spec(backbone="resnet-50")).made == "fasterrcnn_resnet50_fpn"
    changed = spec(backbone="resnet-50", detections={"score": 0.3}, resize={**FASTER_RCNN["resize"], "shorter": 600})
    assert faster_rcnn(changed).made == "fasterrcnn_resnet50_fpn, min_size=600, box_score_thresh=0.3"
    few = spec(backbone="resnet-50", resize={**FASTER_RCNN["resize"], "multiple": None})
    assert faster_rcnn(few).made == "fasterrcnn_resnet50_fpn"  # and then differs:
    with pytest.raises(ReskerasError, match=r"resize.multiple None instead of 32"):
        check_same(few, {"resize": FASTER_RCNN["resize"]})
    for fields, told in (
        ({"neck": None, "anchors": {}, "regions": {}, "geometry": "cell"}, "has a feature pyramid, but this detector"),
        ({"regions": {"size": 5}}, "take regions of 7x7 cells, but this detector's have 5x5"),
    ):
        with pytest.raises(ReskerasError, match=told):
            faster_rcnn(spec(**fields))
    with pytest.raises(ReskerasError, match="would find other boxes: this one has geometry 'exact' instead of 'torchv"):
        check_same(spec(geometry="exact"), {})
    with pytest.raises(ReskerasError, match=r"resize.antialias True instead of False"):
        check_same(spec(resize={**FASTER_RCNN["resize"], "antialias": True}), {"resize": FASTER_RCNN["resize"]})
    with pytest.raises(ReskerasError, match=r"suppression 'linear' instead of 'hard'"):
        check_same(spec(detections={"suppression": "linear"}), {"resize": FASTER_RCNN["resize"]})
    with pytest.raises(ReskerasError, match="timm has no detectors"):
        target(TrainedNetwork(spec(), {}, None, ["a"]), "timm")
