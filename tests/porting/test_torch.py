"""State dicts of torchvision's and timm's names become our networks, and go back to the last bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch as safetensors
import torch

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.weights import places, read
from reskeras.networks.catalog import name_of
from tests.graph.by_hand import distance
from tests.porting import torch_networks as networks

FAST = {
    "resnet18": (lambda: networks.resnet(18), "resnet-18"),
    "resnet34": (lambda: networks.resnet(34), "resnet-34"),
    "resnet50": (lambda: networks.resnet(50), "imagenet-variant-50"),
    "resnext50_32x4d": (lambda: networks.resnet(50, groups=32, base_width=4), "resnext-50-32x4d"),
    "wide_resnet50_2": (lambda: networks.resnet(50, base_width=128), "wide-resnet-50-2"),
    "resnet50d": (lambda: networks.resnet(50, deep=True), "resnet-50-d"),
    "resnetv2_50": (lambda: networks.resnet_v2(50), "imagenet-variant-50"),
    "resnetv2_18": (lambda: networks.resnet_v2(18), "imagenet-variant-18"),
}
SMALL = ("resnet18", "resnext50_32x4d", "resnetv2_18")  # what they do not tell, the others do
SLOW = {
    "resnet101": (lambda: networks.resnet(101), ""),
    "resnet152": (lambda: networks.resnet(152), ""),
    "resnext101_32x8d": (lambda: networks.resnet(101, groups=32, base_width=8), ""),
    "resnetv2_101": (lambda: networks.resnet_v2(101), ""),
}


def saved(network, path):
    safetensors.save_file(network.state_dict(), path)
    return path


def theirs(network, images):
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))).numpy()


def check(network, path, sizes):
    for size in sizes:
        run = reskeras.port(path, size=size, out=path.with_name(f"run{size}"))
        images = np.random.default_rng(size).normal(size=(2, size, size, 3)).astype(np.float32)
        expected = theirs(network, images)
        assert np.ptp(expected, axis=0).max() > 0.01
        assert distance(run.model()(images, training=False), expected) < 1e-4
    return run


@pytest.mark.parametrize(
    "name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in FAST]
)
def test_a_state_dict_gives_the_logits_of_its_network(name, tmp_path):
    make, expected = FAST[name]
    run = check(network := make(), saved(network, tmp_path / f"{name}.safetensors"), [64])
    assert name_of(run.folder.spec()) == expected
    ported = run.folder.provenance()["ported"]
    assert ported["proof"]["difference"] < 1e-4
    assert len(ported["sha256"]) == 64


@pytest.mark.slow
@pytest.mark.parametrize("name", {**FAST, **SLOW})
def test_at_224_and_another_size(name, tmp_path):
    network = {**FAST, **SLOW}[name][0]()
    check(network, saved(network, tmp_path / f"{name}.safetensors"), [224, 160])


@pytest.fixture(scope="module")
def network():
    return networks.resnet(18)


@pytest.fixture(scope="module")
def run(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("port")
    return reskeras.port(saved(network, folder / "net.safetensors"), size=64, out=folder / "run")


def test_pth_files_and_what_training_scripts_wrap_them_in(network, run, tmp_path):
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "net.pth")
    again = reskeras.port(tmp_path / "net.pth", size=64, out=tmp_path / "run")
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(*(each.model()(images, training=False) for each in (run, again)))


def test_a_pickle_is_not_executed(tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"conv1.weight": Harm()}, tmp_path / "bad.pth")
    with pytest.raises(ReskerasError, match="not executed") as refusal:
        reskeras.port(tmp_path / "bad.pth", out=tmp_path / "run")
    assert refusal.value.status == 1
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "run").exists()


def test_back_to_a_state_dict_to_the_last_bit(network, run):
    (proof,) = run.export("torchvision-state-dict", timing=False)
    assert proof.difference < 1e-5
    back = safetensors.load_file(proof.path)
    networks.resnet(18).load_state_dict(back, strict=False)
    wanted = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    assert back.keys() == wanted.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in wanted.items())


@pytest.mark.sample(1)
@pytest.mark.parametrize("fields", [{"drop_path": 0.2}, {"head": {"dropout": 0.3}}, {"bn": {"scale": False}}], ids=str)
def test_what_only_training_knows_does_not_hinder_the_way_back(fields, tmp_path):
    spec = reskeras.network("resnet-18-B", classes=4, input_shape=[32, 32, 3], **fields)
    run = reskeras.port(reskeras.build(spec, seed=1), out=tmp_path / "run")
    kept = run.folder.spec()
    assert (kept.drop_path, kept.head and kept.head.dropout, kept.bn and kept.bn.scale) == (
        spec.drop_path,
        spec.head and spec.head.dropout,
        spec.bn and spec.bn.scale,
    )
    (proof,) = run.export("torchvision-state-dict", timing=False)
    assert proof.holds
    network = networks.resnet(18, classes=4)
    assert not network.load_state_dict(safetensors.load_file(proof.path), strict=False).unexpected_keys


TIMM = {
    "narrow": {"stages": [{"units": 1, "width": width} for width in (8, 12, 16, 24)], "input_shape": [48, 48, 1]},
    "squeezed": {"squeeze": 16, "squeeze_multiple": 8},
    "pooled": {"projection": "pooled"},
    "deep": {
        "block": "bottleneck",
        "stride_on": "3x3",
        "projection": "pooled",
        "stem": {"convs": [{"width": 8, "stride": 2}, {"width": 8}, {"width": 16}], "pool": {}},
    },
    "second": {
        "order": "full_preact",
        "first_shortcut": "raw",
        "stem": {"convs": [{"kernel": 7, "width": 64, "stride": 2}], "pool": {"border": "edge"}, "activated": False},
    },
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", TIMM)
def test_a_folder_for_timm_comes_back_with_its_pixels_and_classes(name, tmp_path):
    fields = {"family": "imagenet", "stages": [1, 1, 1, 1], "classes": 4, "input_shape": [48, 48, 3], **TIMM[name]}
    (tmp_path / "names").write_text("ant\nbee\ncat\ndog")
    run = reskeras.port(
        reskeras.build(**fields, seed=1), classes=tmp_path / "names", normalise="unit", out=tmp_path / "run"
    )
    [proof] = run.export("timm-state-dict", timing=False)
    assert proof.holds
    assert proof.against == "the default network with these names, because timm is not installed"
    told = json.loads(Path(proof.path, "config.json").read_text())["pretrained_cfg"]
    first = safetensors.load_file(f"{proof.path}/model.safetensors")[f"{told['first_conv']}.weight"]
    assert first.shape[1] == told["input_size"][0] == fields["input_shape"][-1]
    back = reskeras.port(f"{proof.path}/model.safetensors", out=tmp_path / "back")
    assert reskeras.plan(back.folder.spec()).units == reskeras.plan(run.folder.spec()).units
    assert back.folder.classes() == ["ant", "bee", "cat", "dog"]
    images = np.random.default_rng(0).integers(0, 256, (2, *back.preprocessing().size)).astype(np.uint8)
    answers = [each.model()(each.preprocessing().normalise(images), training=False) for each in (run, back)]
    np.testing.assert_allclose(*answers, rtol=1e-5, atol=1e-6)
    assert run.export("timm-state-dict", timing=False) == [proof]  # in place of the first


@pytest.mark.parametrize("epsilon", [1e-6, 1e-2])
def test_another_epsilon_goes_into_the_variances_on_the_way_back(epsilon, tmp_path):
    fields = {"family": "imagenet", "stages": [1, 1, 1, 1], "classes": 4, **TIMM["narrow"], "bn": {"epsilon": epsilon}}
    model = reskeras.build(**fields, seed=1)
    for name, (variable, _) in places(model).items():
        if name.endswith("/moving_variance"):
            variable.assign(np.geomspace(0.05, 0.5, variable.shape[0]))  # beside which 0.01 is much
    run = reskeras.port(model, normalise="unit", out=tmp_path / "run")
    [proof] = run.export("timm-state-dict", timing=False)
    assert proof.holds
    back = reskeras.port(f"{proof.path}/model.safetensors", out=tmp_path / "back")
    norms = [
        {each.epsilon for each in reskeras.plan(each.folder.spec()).ops() if each.kind == "bn"} for each in (run, back)
    ]
    assert norms == [{epsilon}, {1e-5}]
    ours, theirs = (read(each.model()) for each in (run, back))
    for name, variances in ours.items():
        if name.endswith("/moving_variance"):
            np.testing.assert_allclose(theirs[name] + np.float32(1e-5), variances + np.float32(epsilon), rtol=1e-6)
    images = np.random.default_rng(0).normal(size=(2, 48, 48, 1)).astype(np.float32)
    assert distance(back.model()(images, training=False), run.model()(images, training=False)) < 1e-4


def test_biases_go_into_the_means_on_the_way_back(tmp_path):
    fields = {"family": "imagenet", "stages": [1, 1, 1, 1], "classes": 4, **TIMM["narrow"], "conv_bias": True}
    model = reskeras.build(**fields, seed=1)
    rng = np.random.default_rng(0)
    for name, (variable, _) in places(model).items():
        if name.endswith("/bias"):
            variable.assign(rng.normal(size=variable.shape))
    run = reskeras.port(model, normalise="unit", out=tmp_path / "run")
    assert run.folder.spec().conv_bias
    [proof] = run.export("timm-state-dict", timing=False)
    assert proof.holds
    back = reskeras.port(f"{proof.path}/model.safetensors", out=tmp_path / "back")
    assert not any(name.endswith("_conv1/bias") for name in read(back.model()))
    images = rng.normal(size=(2, 48, 48, 1)).astype(np.float32)
    assert distance(back.model()(images, training=False), run.model()(images, training=False)) < 1e-4


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"family": "cifar", "stages": [1, 1, 1], "input_shape": [16, 16, 3]}, "have 4 stages, but this one has 3"),
        ({"squeeze": 4}, "squeeze 16, but .* squeeze 4"),
        ({"squeeze": 16}, "reduces 64 channels to 8 .* but this network to 4; use squeeze_multiple: 8"),
        (
            {"stem": {"convs": [{"kernel": 7, "width": 16, "stride": 2}], "pool": {}}},
            "plain stem has 64 channels, .* 16",
        ),
        ({"shortcut": "A"}, r"the network is not timm's resnet18, layers=\[1, 1, 1, 1\]: stage2_unit1"),
        ({"order": "full_preact"}, "timm ResNetV2 has no layer for stem_bn"),
    ],
)
def test_what_timm_has_not_is_refused(fields, said, tmp_path):
    fields = {"family": "imagenet", "stages": [1, 1, 1, 1], "classes": 4, "input_shape": [48, 48, 3], **fields}
    run = reskeras.port(reskeras.build(**fields), out=tmp_path / "run")
    with pytest.raises(ReskerasError, match=said) as refusal:
        run.export("timm-state-dict", timing=False)
    assert refusal.value.status == 2
    assert str(refusal.value).startswith(("to:", "export:"))


@pytest.mark.slow
def test_biases_and_epsilon_are_folded_on_the_way_back(tmp_path):
    run = biased_run(tmp_path, stride_on="3x3")
    (proof,) = run.export("torchvision-state-dict", timing=False)
    network = networks.resnet(50, classes=4)
    assert not network.load_state_dict(safetensors.load_file(proof.path), strict=False).unexpected_keys
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    assert distance(run.model()(images, training=False), theirs(network.eval(), images)) < 1e-4


@pytest.mark.slow
def test_another_network_has_no_state_dict_and_the_message_says_what_differs(tmp_path):
    with pytest.raises(ReskerasError, match=r"stage2_unit1 - 1x1 conv, 128, \+ 1x1 conv, 128, /2") as refusal:
        biased_run(tmp_path).export("torchvision-state-dict", timing=False)
    assert len(str(refusal.value).splitlines()) == 1
    assert not list((tmp_path / "biased" / "export").glob("*.safetensors"))


def biased_run(folder, **fields):
    """A port of a Keras network with biases and another epsilon, which strides where it is told."""
    from tests.porting.test_keras import application

    run = reskeras.port(application("ResNet50", 64, 4), out=folder / "biased")
    if fields:
        from reskeras.documents.document import to_yaml
        from reskeras.graph.load import save_model
        from reskeras.graph.weights import read, write
        from reskeras.networks.request import NETWORK_FILE

        spec = reskeras.network(run.path, **fields)
        model = reskeras.build(spec)
        write(model, read(run.model()))
        save_model(model, run.folder.model_file)
        (run.path / NETWORK_FILE).write_text(to_yaml(spec.sparse()))
    return run


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda state: state.pop("layer2.0.conv1.weight"), ["layer2"]),
        (lambda state: state.pop("layer2.1.bn2.running_mean"), ["missing: layer2.1.bn2.running_mean"]),
        (lambda state: state.update({"extra.weight": torch.zeros(3)}), ["unexpected: extra.weight"]),
        (
            lambda state: state.update({"layer3.0.bn1.bias": torch.zeros(3)}),
            ["of the wrong shape: layer3.0.bn1.bias (3,)"],
        ),
        (lambda state: state.pop("fc.weight"), ["fc"]),
        (lambda state: state["conv1.weight"].fill_(float("nan")), ["non-finite", "conv1.weight"]),
        (lambda state: state.clear(), ["no tensors"]),
        (lambda state: state.pop("bn1.weight") + state.pop("conv1.weight").sum(), ["none of", "torchvision ResNet"]),
    ],
    ids=["a unit", "a statistic", "one more", "a shape", "no logits", "not a number", "nothing", "other names"],
)
def test_what_does_not_fit_is_listed_by_name(network, tmp_path, change, parts):
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    change(state)
    safetensors.save_file(state, tmp_path / "net.safetensors")
    with pytest.raises(ReskerasError) as refusal:
        reskeras.port(tmp_path / "net.safetensors", size=64, out=tmp_path / "run")
    assert all(part in str(refusal.value) for part in parts), str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_without_pytorch_a_port_is_kept_only_when_asked_for(network, tmp_path, monkeypatch):
    import sys

    path = saved(network, tmp_path / "net.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ReskerasError, match=r"PyTorch is not installed.*--without-proof"):
        reskeras.port(path, size=64, out=tmp_path / "run")
    run = reskeras.port(path, size=64, out=tmp_path / "run", with_proof=False)
    proof = run.folder.provenance()["ported"]["proof"]
    assert proof["difference"] is None
    assert proof["why_unproven"] == "PyTorch is not installed"


def test_a_wrong_port_is_refused(network, tmp_path, monkeypatch):
    from reskeras.porting import port as module

    monkeypatch.setattr(
        module, "our_weights", lambda *args: {name: values * 1.001 for name, values in original(*args).items()}
    )
    with pytest.raises(ReskerasError, match="differ by") as refusal:
        reskeras.port(saved(network, tmp_path / "net.safetensors"), size=64, out=tmp_path / "run")
    assert refusal.value.status == 1
    assert not (tmp_path / "run").exists()


from reskeras.porting.convert import our_weights as original  # noqa: E402
