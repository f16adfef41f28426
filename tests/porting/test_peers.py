"""Networks of torchvision and timm themselves, not of their names alone: ported and proven by the library's own, or
refused with a reason that is true; never a proof that is none.

`make test-peers` installs both libraries (the extra `peers`) and runs these.
"""

import fnmatch
import json
import re

import numpy as np
import pytest

import reskeras
from reskeras.errors import ReskerasError
from reskeras.porting.port import random_images

try:
    import timm
    import torch
    import torchvision
    from safetensors.torch import load_file, save_file
except (ImportError, RuntimeError):  # the tests are left out then, as their names are still collected
    timm = torch = torchvision = None

pytestmark = pytest.mark.peers

TORCHVISION = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)
FAMILIES = (
    "resnet*",
    "resnext*",
    "seresne*",
    "wide_resnet*",
    "resnetv2*",
    "resnetrs*",
    "resnetaa*",
    "resnetblur*",
    "ecaresnet*",
    "regnetx*",
    "regnety*",
)
LARGEST = 130e6  # parameters; a network of more takes minutes and tells nothing else
# families outside this design space, and what a refusal says of them; the first pattern that fits
NAMES = "weight names of .* match none of"
REFUSED = [
    ("ecaresnet*", r"unexpected: layer1\.0\.se\.conv|missing: layer1\.0\.downsample|EcaModule in"),
    ("regnety_*_sgn", "has no batch norm"),
    ("regnet*", NAMES),
    ("resnet*_clip*", NAMES),
    ("*ts", NAMES),
    ("resnet??q", NAMES),
    ("resnet50_mlp", NAMES),
    ("resnet50_gn", "has no batch norm"),
    ("resnetv2_*_bit", "has no batch norm"),
    ("resnetv2_50d_evos", "has no batch norm"),
    ("resnetv2_50d_gn", "has no batch norm"),
    ("resnetv2_50d_frn", "has no batch norm"),
    ("resnetblur*", "the original has BlurPool2d"),
    ("resnetaa*", "the original has an average pool in"),
    ("seresnetaa*", "the original has an average pool in"),
    ("seresnextaa*", "the original has an average pool in"),
    ("resnetrs*", r"unexpected|missing|of the wrong shape|differ by"),
]


def names():
    """What timm calls so."""
    return sorted({name for family in FAMILIES for name in timm.list_models(family)}) if timm else ["resnet18"]


def lively(network):
    """`network` with scales and shifts that differ by channel, so that none can be mixed up, and the statistics that go
    with them. A residual is less than its stream, as in trained networks: else rounding grows with every unit, and
    seresnet101 in float32 is 0.13 of the largest logit from itself in float64."""
    generator = torch.Generator().manual_seed(0)
    norms = {name: module for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    last = {}  # of each unit: bn3, or bn2 of a basic one
    for name in norms:
        unit, _, own = name.rpartition(".")
        if unit and re.fullmatch(r"(bn|norm)\d", own):
            last[unit] = max(last.get(unit, ""), own)
    images = (random_images(64, 64, 3) / 255 - 0.45) / 0.225
    with torch.no_grad():
        for name, module in norms.items():
            module.momentum = 1.0
            if module.affine:
                size = 0.2 if last.get(name.rpartition(".")[0]) == name.rpartition(".")[2] else 1.0
                module.weight.uniform_(0.5 * size, 1.5 * size, generator=generator)
                module.bias.uniform_(-0.2 * size, 0.2 * size, generator=generator)
        network.train()(torch.from_numpy(np.float32(np.moveaxis(images, -1, 1))))
    return network.eval()


def made(library, name, **arguments):
    torch.manual_seed(0)
    if library == "torchvision":
        return lively(torchvision.models.get_model(name, weights=None, num_classes=10, **arguments))
    return lively(timm.create_model(name, pretrained=False, num_classes=10, **arguments))


def saved(network, path):
    save_file(network.state_dict(), path)
    return path


def agrees(run, network):
    """Whether the run gives the logits of the library's network, which rounds on its own."""
    given = run.preprocessing().normalise(random_images(*run.preprocessing().size)).numpy()
    with torch.inference_mode():
        expected = network(torch.from_numpy(np.ascontiguousarray(np.moveaxis(given, -1, 1)))).numpy()
    assert np.ptp(expected, axis=0).max() > 1e-3 * np.abs(expected).max()
    found = np.asarray(run.model()(given, training=False))
    return np.abs(found - expected).max() < 3e-4 * np.abs(expected).max()


def check(library, name, tmp_path):
    network = made(library, name)
    path = saved(network, tmp_path / "net.safetensors")
    said = next((said for pattern, said in REFUSED if fnmatch.fnmatch(name, pattern)), None)
    if said is not None:
        with pytest.raises(ReskerasError, match=said):
            reskeras.port(path, architecture=f"{library}:{name}", size=64, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()
    else:
        run = reskeras.port(path, architecture=f"{library}:{name}", size=64, out=tmp_path / "run")
        proof = run.folder.provenance()["ported"]["proof"]
        assert proof["difference"] < 1e-4
        assert re.fullmatch(rf"{library} [\d.+a-z]+'s {name}", proof["against"])
        assert agrees(run, network)
    try:  # without its name
        alone = reskeras.port(path, size=64, out=tmp_path / "alone")
    except ReskerasError:
        return
    assert alone.folder.provenance()["ported"]["proof"]["against"] is None


@pytest.mark.parametrize("name", names())
def test_a_network_of_timm_is_proven_by_timm_or_refused_with_the_reason(name, tmp_path):
    if sum(parameter.numel() for parameter in meta(name).parameters()) > LARGEST:
        pytest.skip("too large")
    check("timm", name, tmp_path)


def meta(name):
    with torch.device("meta"):
        return timm.create_model(name, pretrained=False)


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_network_of_torchvision_is_proven_by_torchvision(name, tmp_path):
    check("torchvision", name, tmp_path)


@pytest.mark.parametrize(
    ("library", "name", "arguments", "said"),
    [
        ("timm", "resnet50", {"output_stride": 8}, "dilation 2 in layer3"),
        ("timm", "resnet50", {"act_layer": "silu"}, "SiLU in act1"),
        ("timm", "resnet18", {"act_layer": "relu6"}, "ReLU6 in act1"),  # noise alone never reaches 6
        ("timm", "resnet50", {"global_pool": "max"}, "a global max pool"),
        ("torchvision", "resnet50", {"replace_stride_with_dilation": [False, True, True]}, "dilation 2 in layer3"),
    ],
)
def test_what_leaves_no_tensor_is_no_proof(library, name, arguments, said, tmp_path):
    """The same keys and shapes, and other logits."""
    path = saved(made(library, name, **arguments), tmp_path / "net.safetensors")
    told = ",".join(f"{key}={json.dumps(value)}" for key, value in arguments.items())
    with pytest.raises(ReskerasError, match=rf"the original has .*{said}.*; nothing was saved"):
        reskeras.port(path, architecture=f"{library}:{name},{told}", size=64, out=tmp_path / "run")
    run = reskeras.port(path, size=64, out=tmp_path / "alone")
    proof = run.folder.provenance()["ported"]["proof"]
    assert proof["against"] is None
    assert "does not record activation, anti-aliasing, dilation" in proof["why_unproven"]


def test_another_epsilon_makes_another_network_and_no_proof(tmp_path):
    network = made("timm", "resnet18", norm_layer=lambda width, **where: torch.nn.BatchNorm2d(width, eps=0.05, **where))
    run = reskeras.port(saved(network, tmp_path / "net.safetensors"), size=64, out=tmp_path / "run")
    assert not agrees(run, network)
    assert run.folder.provenance()["ported"]["proof"]["against"] is None


def test_the_hubs_config_beside_the_weights_proves_and_prepares(tmp_path):
    network = made("timm", "resnetv2_50")
    saved(network, tmp_path / "model.safetensors")
    told = {
        "architecture": "resnetv2_50",
        "num_classes": 10,
        "pretrained_cfg": {
            key: value
            for key, value in timm.models.get_pretrained_cfg("resnetv2_50.a1h_in1k").to_dict().items()
            if isinstance(value, str | int | float | list | tuple | None)
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(told))
    run = reskeras.port(tmp_path / "model.safetensors", size=64, out=tmp_path / "run")
    ported = run.folder.provenance()["ported"]
    assert ported["proof"]["against"].endswith("resnetv2_50.a1h_in1k")
    assert (ported["pixels"], ported["published"]["test_input_size"]) == ("told", [3, 288, 288])
    preprocessing = run.preprocessing()
    assert (preprocessing.kind, preprocessing.framing.crop, preprocessing.framing.interpolation) == (
        "scale",
        0.95,
        "bicubic",
    )


@pytest.mark.parametrize("size", [(300, 217), (217, 300), (500, 1000), (131, 130), (48, 64), (223, 225)])
@pytest.mark.parametrize(
    "name",
    [
        "timm:resnet50.a1_in1k",
        "timm:resnetv2_50.a1h_in1k",
        "timm:resnet18.tv_in1k",
        "torchvision:resnet50.IMAGENET1K_V1",
        "torchvision:resnet50.IMAGENET1K_V2",
    ],
)
def test_photos_are_framed_as_the_librarys_own_transforms_frame_them(name, size):
    from PIL import Image

    from reskeras.porting.normalise import NORMALISE, as_published
    from reskeras.porting.original_network import Timm, Torchvision
    from reskeras.porting.originals import architecture

    found = architecture(name)
    published = {"timm": Timm, "torchvision": Torchvision}[found.library](found).published()
    pixels = as_published(published, NORMALISE["torch"])
    side = published["input_size"][1]
    smooth = np.random.default_rng(0).integers(60, 196, (size[0] // 16 + 2, size[1] // 16 + 2, 3)).astype(np.uint8)
    photo = Image.fromarray(smooth).resize(size[::-1], Image.Resampling.BICUBIC)
    if found.library == "timm":
        data = timm.data.resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(found.name).to_dict())
        expected = timm.data.create_transform(**data, is_training=False)(photo)
    else:
        expected = torchvision.models.get_model_weights("resnet50")[found.name.partition(".")[2]].transforms()(photo)
    preparation = pixels.preprocessing(side, side, 3)
    given = preparation.normalise(preparation.fit_image(np.asarray(photo))).numpy()
    apart = np.abs(given - np.moveaxis(expected.numpy(), 0, -1)) * preparation.std
    assert apart.max() < 2.5  # of 255; both round to whole pixels
    assert apart.mean() < 0.6


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50",
        "resnet50c",
        "resnet50d",
        "resnext50_32x4d",
        "seresnet18",
        "seresnet50",
        "wide_resnet50_2",
        "resnetv2_18",
        "resnetv2_18d",
        "resnetv2_50",
        "resnetv2_50d",
    ],
)
def test_a_run_goes_back_into_timms_network_as_timm_loads_it(name, tmp_path):
    network = made("timm", name)
    (tmp_path / "names").write_text("\n".join("abcdefghij"))
    run = reskeras.port(
        saved(network, tmp_path / "net.safetensors"), size=64, classes=tmp_path / "names", out=tmp_path / "run"
    )
    [proof] = run.export("timm-state-dict", timing=False)
    assert proof.holds
    assert proof.against.startswith(f"timm {timm.__version__}'s {'se' if name.startswith('se') else ''}resnet")
    again = timm.create_model(f"local-dir:{proof.path}", pretrained=True).eval()
    for key, values in network.state_dict().items():
        if "num_batches_tracked" not in key:
            assert torch.equal(values, again.state_dict()[key]), key
    data = timm.data.resolve_model_data_config(again)
    assert tuple(data["input_size"]) == (3, 64, 64)
    np.testing.assert_allclose(np.multiply(data["mean"], 255), run.preprocessing().mean, rtol=1e-5)
    assert agrees(run, again)
    back = reskeras.port(tmp_path / f"run/export/{run.name}-timm-state-dict/model.safetensors", out=tmp_path / "back")
    assert back.folder.provenance()["ported"]["proof"]["against"] == proof.against
    assert back.preprocessing().framing == run.preprocessing().framing
    assert back.folder.classes() == run.folder.classes()


@pytest.mark.parametrize("name", TORCHVISION[:3])
def test_a_run_goes_back_into_torchvisions_network(name, tmp_path):
    network = made("torchvision", name)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    run = reskeras.port(tmp_path / "net.pth", size=64, out=tmp_path / "run")
    [proof] = run.export("torchvision-state-dict", timing=False)
    assert proof.holds
    assert proof.against.startswith("torchvision 0.")
    again = torchvision.models.get_model(name, weights=None, num_classes=10)
    told = again.load_state_dict(load_file(proof.path), strict=False)
    assert not told.unexpected_keys
    assert all("num_batches_tracked" in key for key in told.missing_keys)
    for key, values in network.state_dict().items():
        if "num_batches_tracked" not in key:
            assert torch.equal(values, again.state_dict()[key]), key
