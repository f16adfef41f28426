"""Where the cells of a detector look: by its geometry, on canvases of several sizes, in runs made without one."""

import hashlib
import json

import numpy as np
import pytest
import yaml

import reskeras
from reskeras.errors import ReskerasError
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.overrides import laid_over
from reskeras.networks.request import spec_of
from reskeras.plans.receptive_field import receptive_field
from reskeras.runs import RunFolder, check_same
from reskeras.tasks.detection.job import DetectorSubject
from reskeras.tasks.detection.layers import Proposals, RegionMaps
from reskeras.tasks.detection.loss_layers import RegionLosses
from reskeras.tasks.detection.model import Networks
from tests.tasks.detection.shapes import DETECTOR


def cells(geometry, network="resnet-18", size=(224, 224), **fields):
    spec = reskeras.detector(network, input_shape=(*size, 3), settings=(f"geometry={geometry}",), **fields)
    return lower_detector(spec).levels()[0]


@pytest.mark.parametrize(("geometry", "offset"), [("exact", 0.5), ("cell", 8), ("torchvision", 0)])
def test_of_resnet_18_with_symmetric_padding(geometry, offset):
    assert cells(geometry).stride == 16
    assert cells(geometry).offsets == (offset, offset)


def test_it_depends_on_the_canvas_where_padding_does():
    plan = lower_detector(reskeras.detector("resnet-50", input_shape=(224, 225, 3), padding="same"))
    assert plan.levels()[0].offsets == (3.5, 0.5)
    assert plan.at(225, 224).levels()[0].offsets == (0.5, 3.5)
    assert [field.middle for field in receptive_field(plan.shared)] == [3.5, 0.5]


def test_parts_wired_for_another_canvas_look_where_its_cells_do():
    spec = {**DETECTOR, "backbone": {**DETECTOR["backbone"], "padding": "same"}, "classes": 2}
    plan = lower_detector(reskeras.DetectorSpec.model_validate(spec))
    networks = Networks(plan, any_size=True)
    own, other = plan.levels()[0].offsets, plan.at(49, 63).levels()[0].offsets
    assert own != other
    for wired, offsets in ((networks.at(49, 63), other), (networks, own)):
        assert [each["offsets"] for each in wired.anchored()["levels"]] == [offsets]
        assert [tuple(each["offsets"]) for each in wired.maps.levels] == [offsets]


def test_the_default_is_exact_and_others_are_refused():
    assert reskeras.detector("resnet-18").geometry == "exact"
    with pytest.raises(ReskerasError, match="geometry: 'exakt' is not one of exact, cell, torchvision; did you mean"):
        reskeras.detector("resnet-18", settings=("geometry=exakt",))
    with pytest.raises(ReskerasError, match=r"geometry: torchvision needs regions\.pool align, not max"):
        reskeras.detector("resnet-18", settings=("geometry=torchvision", "regions.pool=max"))


@pytest.fixture
def earlier(copied_detector):
    """A run made before there were these fields."""
    path = copied_detector.path
    for name in ("network.yaml", "resolved.yaml"):
        data = yaml.safe_load((path / name).read_text())
        data.pop("geometry", None)
        data.get("regions", {}).pop("beta", None)
        (path / name).write_text(yaml.safe_dump(data))
    return path


def test_a_run_without_the_fields_means_what_it_meant(earlier, copied_detector):
    spec = spec_of(earlier)
    assert (spec.geometry, spec.regions.beta) == ("cell", 1.0)
    assert reskeras.DetectorRun(earlier).plan.levels()[0].offsets == (2.0, 2.0)
    kept = laid_over(spec, {"detections.score": 0.3})
    assert (kept.geometry, kept.regions.beta) == ("cell", 1.0)


def test_a_run_with_them_keeps_them(detector_run):
    spec = RunFolder(detector_run.path).spec()
    assert (spec.geometry, spec.regions.beta) == ("exact", pytest.approx(1 / 9))


def test_resuming_an_earlier_run_tells_what_differs(earlier):
    run = RunFolder(earlier)
    now = reskeras.detector(str(earlier)).decided()
    check_same(earlier, now, run.recipe(), run.provenance()["data"]["name"])
    with pytest.raises(ReskerasError, match="geometry"):
        check_same(earlier, laid_over(now, {"geometry": "exact"}), run.recipe(), run.provenance()["data"]["name"])


@pytest.mark.parametrize(
    ("spec", "before"),
    [
        ({"backbone": "resnet-18", "classes": 3}, "8a686a9f143c7249"),
        ({"backbone": "cifar-preact-110", "classes": 3, "regions": {"context": True}}, "ccc023ec2d4de901"),
    ],
    ids=["resnet-18", "pre-activation with context"],
)
def test_checkpoints_of_earlier_trainings_are_of_the_same_training(spec, before):
    # the digests are those of the version before geometry, beta and necks
    meant = {**spec, "geometry": "cell", "regions": {**spec.get("regions", {}), "beta": 1.0}}
    subject = DetectorSubject(lower_detector(reskeras.DetectorSpec.model_validate(meant)), "n", None, None)
    told = json.dumps(subject.described(), sort_keys=True)
    assert hashlib.sha256(told.encode()).hexdigest().startswith(before)


def test_layers_saved_by_earlier_versions_mean_what_they_meant():
    shapes = {"sizes": [8.0], "ratios": [1.0], "stride": 8.0}
    maps = {"pool": "align", "size": 2, "points": 2, "stride": 8.0}
    features = np.random.default_rng(0).normal(size=(1, 6, 6, 1)).astype(np.float32)
    boxes = np.float32([[[8, 8, 24, 40]]])
    stride = maps.pop("stride")
    earlier = RegionMaps.from_config({"name": "m", "stride": stride, **maps})
    now = RegionMaps(name="m", **maps, levels=[{"stride": stride, "offsets": [4.0, 4.0]}])
    np.testing.assert_array_equal(earlier([features, boxes]), now([features, boxes]))
    proposing = {"before": 9, "count": 4, "overlap": 0.7, "name": "p"}
    inputs = [features, np.tile(features, 4) / 4, np.float32([[0, 0, 48, 48]])]
    earlier = Proposals.from_config({**proposing, **shapes})
    now = Proposals(**proposing, levels=[{**shapes, "offsets": [4.0, 4.0], "rounded": False}])
    np.testing.assert_array_equal(earlier(inputs)[0], now(inputs)[0])
    assert RegionLosses.from_config({"name": "l", "classes": 2}).beta == 1.0
