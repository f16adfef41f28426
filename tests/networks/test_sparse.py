"""Claims about sparse specs: what was typed survives files, overrides lie on top, resolving is stable."""

from __future__ import annotations

import json

import pytest

import reskeras
from reskeras.documents.document import parse_yaml, to_yaml
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.networks.catalog import catalog, name_of
from reskeras.networks.network import NetworkSpec

ROWS = {name: row.spec for name, row in catalog().items()}
RESIDUAL = {name: spec for name, spec in ROWS.items() if isinstance(spec, NetworkSpec)}
CUSTOM = {
    "counts": {"family": "cifar", "stages": [1, 2, 3]},
    "rows": {
        "family": "cifar",
        "drop_path": 0.2,
        "stages": [
            {"units": 2, "width": 24, "block": "single"},
            {"units": 1, "width": 48, "block": "bottleneck", "order": "full_preact", "shortcut": "B"},
            {"units": 2, "width": 64, "order": "relu_preact", "shortcut": "C", "stride": 1},
        ],
    },
    "skips": {
        "family": "cifar",
        "shortcut": "B",
        "stages": [
            {"units": 1, "skip": {"kind": "scale", "shortcut": 0.25}},
            {"units": 1, "skip": "dropout"},
            {"units": 1, "skip": "conv1x1", "shortcut": "C"},
        ],
    },
    "bare": {
        "stem": {"convs": [{"width": 8, "kernel": 5, "stride": 2}, {"width": 12}], "pool": {}},
        "stages": [{"units": 1, "width": 12}],
        "input_shape": "40x24x1",
        "classes": 2,
        "head": {"pool": "max", "dropout": 0.1},
        "initialiser": "glorot_uniform",
        "padding": "same",
    },
    "inside": {
        "depth": 50,
        "groups": 4,
        "inner_factor": 1.5,
        "squeeze": 8,
        "projection": "pooled",
        "squeeze_multiple": 8,
    },
    "raw": {"depth": 18, "order": "full_preact", "first_shortcut": "raw"},
    "named": {"name": "my.net-1", "depth": 29, "zero_gamma": True, "bn": {"momentum": 0.99}, "conv_bias": True},
}


@pytest.mark.parametrize(
    "spec", [*ROWS.values(), *(NetworkSpec(**fields) for fields in CUSTOM.values())], ids=[*ROWS, *CUSTOM]
)
def test_a_sparse_spec_survives_yaml_and_json(spec):
    data, _ = parse_yaml(to_yaml(spec.sparse()), "net.yaml")
    assert validated(type(spec), data) == spec
    assert validated(type(spec), data).sparse() == spec.sparse()
    assert validated(type(spec), json.loads(json.dumps(spec.sparse()))) == spec


@pytest.mark.parametrize(
    "spec", [*RESIDUAL.values(), *(NetworkSpec(**fields) for fields in CUSTOM.values())], ids=[*RESIDUAL, *CUSTOM]
)
def test_a_resolved_spec_resolves_to_itself(spec):
    resolved = reskeras.resolve(spec)
    data, _ = parse_yaml(to_yaml(resolved.model_dump(mode="json")), "resolved.yaml")
    assert reskeras.resolve(validated(NetworkSpec, data)) == resolved
    assert reskeras.plan(validated(NetworkSpec, data)) == reskeras.plan(spec)


def test_a_file_holds_what_was_typed_and_nothing_else(tmp_path):
    spec = reskeras.network("resnet-152", order="full_preact")
    assert spec.sparse() == {"depth": 152, "order": "full_preact"}
    path = tmp_path / "network.yaml"
    path.write_text(to_yaml(spec.sparse()))
    assert path.read_text() == "depth: 152\norder: full_preact\n"
    assert reskeras.network(path) == reskeras.network(tmp_path) == spec


def test_stage_rows_differ_where_they_say_so_and_nowhere_else():
    rows = reskeras.resolve(NetworkSpec(**CUSTOM["rows"])).stages
    assert [(row.units, row.width, row.block, row.order, row.shortcut, row.stride) for row in rows] == [
        (2, 24, "single", "original", "A", 1),
        (1, 48, "bottleneck", "full_preact", "B", 2),
        (2, 64, "basic", "relu_preact", "C", 1),
    ]
    assert [row.skip.kind for row in rows] == ["identity"] * 3
    assert reskeras.plan(**CUSTOM["rows"]).unit_shapes() == (
        (32, 32, 16),
        (32, 32, 24),
        (32, 32, 24),
        (16, 16, 192),
        (16, 16, 64),
        (16, 16, 64),
        (10,),
    )


def test_skips_may_differ_by_stage_and_conv1x1_is_option_c():
    rows = reskeras.resolve(NetworkSpec(**CUSTOM["skips"])).stages
    assert [(row.shortcut, row.skip.kind) for row in rows] == [("B", "scale"), ("B", "dropout"), ("C", "identity")]
    assert (rows[0].skip.shortcut, rows[0].skip.residual, rows[1].skip.rate) == (0.25, 0.5, 0.5)


def test_conv1x1_and_option_c_are_one_network():
    assert reskeras.plan("cifar-resnet-110-conv1x1") == reskeras.plan("cifar-resnet-110", shortcut="C")


@pytest.mark.parametrize(
    ("name", "shortcut"),
    [
        ("resnet-18", "B"),
        ("resnet-50", "B"),
        ("preact-200", "B"),
        ("cifar-resnet-20", "A"),
        ("cifar-preact-110", "A"),
        ("cifar-resnet-164", "B"),
        ("cifar-preact-1001", "B"),
        ("cifar-resnet-110-1layer", "A"),
        ("plain-34", "none"),
    ],
)
def test_default_shortcuts_are_those_of_the_papers(name, shortcut):
    assert {row.shortcut for row in reskeras.resolve(RESIDUAL[name]).stages} == {shortcut}


# --- overrides ---


def test_an_override_makes_the_network_it_describes():
    assert reskeras.network("resnet-50", order="full_preact") == ROWS["preact-50"]
    assert reskeras.network("cifar-resnet-20", depth=56) == ROWS["cifar-resnet-56"]
    assert reskeras.network("resnet-18", order=None) == ROWS["resnet-18"]


def test_depth_and_stages_replace_each_other():
    staged = reskeras.network("cifar-resnet-20", stages=[1, 1, 1])
    assert "depth" not in staged.sparse()
    assert reskeras.resolve(staged).depth == 8
    assert reskeras.network(staged, depth=20).sparse() == {"family": "cifar", "depth": 20}
    assert "depth" not in reskeras.network("cifar-resnet-20", settings=("stages=[1, 1]",)).sparse()


def test_a_setting_reaches_inside_what_depth_made():
    changed = reskeras.resolve(reskeras.network("resnet-50", settings=("stages.1.width=48", "bn.momentum=0.99")))
    plain = reskeras.resolve(reskeras.network("resnet-50"))
    assert [row.width for row in changed.stages] == [64, 48, 256, 512]
    assert [row.units for row in changed.stages] == [3, 4, 6, 3]
    assert {row.block for row in changed.stages} == {"bottleneck"}
    assert changed.bn.momentum == 0.99
    assert changed.bn.epsilon == plain.bn.epsilon


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("stem.pool.kernel=2", ("stem", "pool", "kernel"), 2),
        ("stem.convs.0.width=32", ("stem", "convs", 0, "width"), 32),
        ("head.dropout=0.5", ("head", "dropout"), 0.5),
        ("stages.0.skip=dropout", ("stages", 0, "skip", "kind"), "dropout"),
        ("skip={kind: scale, shortcut: 0.5}", ("stages", 3, "skip", "shortcut"), 0.5),
        ("input_shape=64x64x1", ("input_shape",), (64, 64, 1)),
        ("input_shape=[64, 64, 1]", ("input_shape",), (64, 64, 1)),
        ("zero_gamma=true", ("zero_gamma",), True),
        ("classes=7", ("classes",), 7),
    ],
)
def test_a_setting_is_laid_over_the_network(setting, path, value):
    here = reskeras.resolve(reskeras.network("resnet-18", settings=(setting,)))
    for part in path:
        here = here[part] if isinstance(part, int) else getattr(here, part)
    assert here == value


def test_settings_follow_one_another():
    spec = reskeras.network("cifar-resnet-110", settings=("skip=dropout", "skip.rate=0.3"))
    assert spec.sparse()["skip"] == {"kind": "dropout", "rate": 0.3}


def test_overriding_leaves_the_catalogue_alone():
    before = json.dumps({name: spec.sparse() for name, spec in ROWS.items()})
    reskeras.network("cifar-resnet-110-dropout-0.5", settings=("skip.rate=0.1", "bn.momentum=0.5"))
    reskeras.network("vgg-19", settings=("classes=10",))
    assert json.dumps({name: row.spec.sparse() for name, row in catalog().items()}) == before


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("nonsense", ["--set", "'nonsense'", "path=value"]),
        ("=3", ["--set", "'=3'", "path=value"]),
        ("stages.7.width=3", ["--set", "stages", "0 to 3", "7"]),
        ("stages.x.width=3", ["--set", "stages", "0 to 3", "'x'"]),
        ("stages.1.width=0", ["stages.1.width: 0"]),
        ("stages.1.wdith=48", ["'stages.1.wdith'", "did you mean width"]),
        ("bn.momentun=0.9", ["'bn.momentun'", "did you mean momentum"]),
        ("depth.deeper=3", ["--set", "depth.deeper"]),
        ("shortcut=D", ["shortcut: 'D'", "A, B, C, none"]),
        ("stem.convs=[", ["--set", "'['", "stem.convs"]),
        ("name=!!int x", ["--set", "'!!int x'", "name"]),
        ("name=2001-13-45", ["--set", "'2001-13-45'"]),
        ("name=!!python/name:os.system", ["--set", "python"]),
        ("classes=" + "[" * 5000, ["--set", "classes"]),
        ("stages.²=1", ["--set", "²"]),
    ],
)
def test_a_wrong_setting_is_refused_by_name(setting, said):
    with pytest.raises(ReskerasError) as refusal:
        reskeras.network("resnet-50", settings=(setting,))
    assert refusal.value.status == 2
    for part in said:
        assert part in str(refusal.value)


def test_a_setting_through_a_number_leads_nowhere():
    with pytest.raises(ReskerasError, match="does not exist in this"):
        reskeras.network("cifar-resnet-20", settings=("stem=1", "stem.convs.0.width=3"))


# --- names ---


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"depth": 50}, "resnet-50"),
        ({"depth": 50, "classes": 10, "input_shape": (64, 64, 3)}, "resnet-50"),
        ({"depth": 50, "shortcut": "B", "order": "full_preact"}, "preact-50"),
        ({"family": "imagenet", "block": "basic", "stages": [2, 2, 2, 2], "shortcut": "A"}, "resnet-18-A"),
        ({"depth": 20, "shortcut": "none"}, "cifar-plain-20"),
        ({"depth": 110, "skip": "dropout"}, "cifar-resnet-110-dropout-0.5"),
        ({"depth": 50, "name": "mine"}, "mine"),
        ({"depth": 26}, "cifar-variant-26"),
        ({"depth": 50, "zero_gamma": True}, "imagenet-variant-50"),
    ],
)
def test_a_network_goes_by_its_own_name_its_catalogue_name_or_its_depth(fields, name):
    assert name_of(reskeras.network(**fields)) == name


def test_a_catalogue_name_leads_back_to_itself_or_to_its_shorter_twin():
    for name, spec in ROWS.items():
        assert reskeras.plan(name_of(spec)) == reskeras.plan(spec), name
        assert name.startswith(name_of(spec)) or name.endswith("conv1x1"), name


@pytest.mark.parametrize("setting", ["bn.momentum", "=0.9", "bn.momentum=", "bn.momentum= "])
def test_a_setting_without_a_path_or_a_value_is_refused(setting):
    with pytest.raises(ReskerasError, match="is not of the form path=value"):
        reskeras.network("resnet-18", settings=(setting,))
