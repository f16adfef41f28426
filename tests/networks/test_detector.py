"""DetectorSpec: what may be said, what is decided, what is refused; and its plans."""

import json
import subprocess
import sys

import pytest
import yaml

from reskeras.documents.document import to_yaml
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.networks.built_on import built_name
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.network import NetworkSpec
from reskeras.networks.request import detector, network


def test_a_detectors_own_fields_are_given_like_those_of_its_backbone():
    spec = detector("resnet-18", neck="fpn", anchors={"ratios": [1.0]}, classes=3, order="full_preact")
    settings = "neck=fpn", "anchors.ratios=[1.0]", "classes=3", "order=full_preact"
    assert spec == detector("resnet-18", settings=settings)
    assert detector(backbone="resnet-34", neck={"width": 32}).neck.width == 32
    assert detector(spec, settings=("neck.width=64",)).neck.width == 64
    with pytest.raises(ReskerasError, match=r"field: 'nek' is not one of .*did you mean neck"):
        detector("resnet-18", nek="fpn")
    with pytest.raises(ReskerasError, match=r"'anchors\.size' is not one of ratios, sizes"):
        detector("resnet-18", anchors={"size": [8]})


def test_a_spec_is_as_sparse_as_it_was_typed_and_survives_yaml():
    spec = detector("resnet-18", classes=3, settings=("anchors.sizes=[16, 32]", "bn.momentum=0.95"))
    assert spec.sparse() == {
        "backbone": {"depth": 18, "bn": {"momentum": 0.95}},
        "classes": 3,
        "anchors": {"sizes": [16.0, 32.0]},
    }
    assert validated(DetectorSpec, yaml.safe_load(to_yaml(spec.sparse()))) == spec
    assert validated(DetectorSpec, json.loads(spec.decided().model_dump_json())).decided() == spec.decided()


def test_a_network_is_the_backbone_of_a_detector():
    assert detector("cifar-preact-110").backbone == network("cifar-preact-110")
    assert detector(depth=34, shortcut="C").backbone == NetworkSpec(depth=34, shortcut="C")
    assert built_name(detector("resnet-18")) == "resnet-18-detector"


def test_defaults_follow_canvas_and_backbone():
    spec = detector("resnet-50", input_shape=(600, 1000, 3)).decided()
    assert spec.shared == "stage3"
    assert spec.anchors.sizes == (75.0, 150.0, 300.0, 525.0)
    assert spec.proposals.width == 512
    assert detector("cifar-resnet-20").decided().proposals.width == 32


def test_where_the_network_is_divided_can_be_said():
    plan = lower_detector(detector("resnet-18", settings=("shared=stage2_unit1",)))
    assert [unit.name for unit in plan.shared.units][-1] == "stage2_unit1"
    assert plan.regions.units[0].name == "stage2_unit2"
    assert plan.stride == 8


@pytest.mark.parametrize(("settings", "anchors"), [((), 12), (("anchors.ratios=[1]", "anchors.sizes=[8]"), 1)])
def test_outputs_count_classes_and_anchors(settings, anchors):
    plan = lower_detector(detector("resnet-18", classes=7, settings=settings))
    assert plan.objectness.output_shape[-1] == anchors == plan.anchors
    assert plan.anchor_deltas.output_shape[-1] == 4 * anchors
    assert (plan.logits.output_shape, plan.box_deltas.output_shape) == ((8,), (28,))


def test_context_doubles_what_is_told_from():
    plain, context = (
        lower_detector(detector("resnet-18", classes=7, settings=settings))
        for settings in ((), ("regions.context=true",))
    )
    assert context.logits.input_shape[0] == 2 * plain.logits.input_shape[0]


def test_parameters_are_the_backbones_and_the_new_layers():
    plan = lower_detector(detector("resnet-18", classes=7))
    network_alone = plan.network.complexity().parameters - (512 + 1) * 1000
    new = (9 * 256 * 256 + 256) + (256 + 1) * 12 + (256 + 1) * 48 + (512 + 1) * 8 + (512 + 1) * 28
    assert plan.parameters == network_alone + new


def test_a_file_names_a_backbone_or_says_it(tmp_path):
    path = tmp_path / "d.yaml"
    path.write_text("backbone: resnet-18\nregions: {pool: max}\n")
    assert detector(path).regions.pool == "max"
    path.write_text("backbone:\n  depth: 18\nregions:\n  pool: mean\n")
    with pytest.raises(ReskerasError, match=r"regions.pool: 'mean' is not one of align, max .*line 4"):
        detector(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("backbone: resnet-19", "'resnet-19' is not one of .* did you mean resnet-1"),
        ("backbone: inception-v4", "backbone: inception-v4 has no stages to share"),
        ("backbone: {family: imagenet, depth: 18, stages: [1, 1]}", "depth: 18 contradicts stages"),
        ("backbone: {family: cifar, stages: [3]}", "backbone: a single stage cannot be split"),
        ("backbone: resnet-18\nshared: stage9", "shared: 'stage9' is not one of"),
        ("backbone: resnet-18\nshared: stem", "shared: 'stem' leaves no unit"),
        ("backbone: resnet-18\nshared: stage4", "shared: 'stage4' leaves no unit"),
        ("backbone: resnet-18\nanchors: {sizes: []}", r"anchors.sizes: \[\]: needs at least 1"),
        ("backbone: resnet-18\nanchors: {sizes: [8, 8]}", "should not repeat a number"),
        ("backbone: resnet-18\nanchors: {sizes: [0]}", "anchors.sizes.0: 0: should be at least 1"),
        (
            "backbone: resnet-18\nproposals: {positive: 0.2}",
            r"proposals.negative: 0.3 should be at most proposals.positive \(0.2\)",
        ),
        (
            "backbone: resnet-18\nproposals: {testing: 3000}",
            "proposals.testing: 3000 should be at most proposals.before",
        ),
        ("backbone: resnet-18\nproposals: {overlap: 1.5}", "proposals.overlap"),
        ("backbone: resnet-18\nregions: {size: 1}", "regions.size"),
        ("backbone: resnet-18\nclasses: 0", "classes"),
        ("backbone: resnet-18\nanchor: {}", "'anchor' is not one of .*did you mean anchors"),
        ("backbone: !!python/name:os.system x", "not a valid YAML"),
    ],
)
def test_what_contradicts_itself_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "d.yaml").write_text(text + "\n")
    with pytest.raises(ReskerasError, match=message) as caught:
        detector(tmp_path / "d.yaml")
    assert caught.value.status == 2
    assert "\n" not in str(caught.value)


def test_a_mistyped_setting_is_told_with_the_nearest_field():
    with pytest.raises(ReskerasError, match=r"--set: 'anchor' is not one of .* did you mean anchors"):
        detector("resnet-18", settings=("anchor.sizes=[8]",))


def test_a_detector_is_no_network(tmp_path):
    (tmp_path / "d.yaml").write_text("backbone: resnet-18\n")
    with pytest.raises(ReskerasError, match="is a detector; see reskeras detect"):
        network(tmp_path / "d.yaml")


def test_a_spec_needs_no_tensorflow():
    code = (
        "import sys, reskeras; from reskeras.networks.detector_plan import lower_detector as lower; "
        "lower(reskeras.detector('resnet-18')); assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
