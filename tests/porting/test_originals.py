"""What says whose weights a state dict's are, and what a port is called where nothing does; test_peers asks the
libraries themselves."""

import json
import sys

import numpy as np
import pytest
import safetensors.torch as safetensors

import reskeras
from reskeras.data.decode import Framing
from reskeras.errors import ReskerasError
from reskeras.porting.normalise import NORMALISE, as_published
from reskeras.porting.originals import Architecture, architecture, architecture_beside
from reskeras.porting.port import random_images
from tests.cli.running import invoke, refused
from tests.porting import torch_networks as networks

PUBLISHED = {
    "tag": "a1_in1k",
    "input_size": [3, 48, 48],
    "test_input_size": [3, 64, 64],
    "interpolation": "bicubic",
    "crop_pct": 0.95,
    "crop_mode": "center",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "classifier": "fc",
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A state dict of a small network, with nothing beside it."""
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    safetensors.save_file(networks.resnet(18, classes=5).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("text", "library", "name", "arguments"),
    [
        ("timm:resnet50", "timm", "resnet50", {}),
        ("timm:resnet50.a1_in1k", "timm", "resnet50.a1_in1k", {}),
        ("timm:resnet50,output_stride=8,act_layer=silu", "timm", "resnet50", {"output_stride": 8, "act_layer": "silu"}),
        (
            "torchvision:resnet50,replace_stride_with_dilation=[false, true], norm_layer=null",
            "torchvision",
            "resnet50",
            {"replace_stride_with_dilation": [False, True], "norm_layer": None},
        ),
        ("torchvision:resnet50.IMAGENET1K_V2", "torchvision", "resnet50.IMAGENET1K_V2", {}),
    ],
)
def test_an_architecture_is_a_library_a_name_and_arguments(text, library, name, arguments):
    assert architecture(text) == Architecture(library, name, arguments)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resnet50", "LIBRARY:NAME, such as timm:resnet50"),
        ("timm:", "LIBRARY:NAME"),
        (":resnet50", "'' is not one of"),
        ("tim:resnet50", "did you mean timm?"),
        ("timm:hf-hub:you/weights", "LIBRARY:NAME"),
        ("timm:a/b", "LIBRARY:NAME"),
        ("timm:resnet50,silu", "ARGUMENT=VALUE"),
        ("timm:resnet50,pretrained=true", "the argument pretrained is not allowed"),
        ("timm:resnet50,checkpoint_path=/etc/passwd", "the argument checkpoint_path is not allowed"),
        ("timm:resnet50,block_args={a: 1}", "block_args: {'a': 1} is not a number, text or list"),
        ("timm:resnet50,layers=[3, 1000000000, 6, 3]", "layers: [3, 1000000000, 6, 3] has a number beyond 4,096"),
        ("timm:resnet50,base_width=.nan", "base_width: nan has a number beyond 4,096"),
    ],
)
def test_what_is_none_is_refused(text, said, weights, tmp_path):
    assert said in refused("port", weights, "--architecture", text, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_hubs_file_beside_weights_says_whose_they_are(tmp_path):
    assert architecture_beside(tmp_path / "model.safetensors") is None
    told = {
        "architecture": "resnet50",
        "num_classes": 1000,
        "global_pool": "avg",
        "pretrained_cfg": PUBLISHED,
        "model_args": {"output_stride": 8},
    }
    (tmp_path / "config.json").write_text(json.dumps(told))
    found = architecture_beside(tmp_path / "model.safetensors")
    assert (found.library, found.name) == ("timm", "resnet50.a1_in1k")
    assert found.arguments == {"global_pool": "avg", "output_stride": 8}
    assert found.published["mean"] == (0.5, 0.5, 0.5)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert architecture_beside(tmp_path / "model.safetensors") is None
    for broken in ("{", '{"architecture": 3}', '{"architecture": "resnet50", "pretrained_cfg": {"mean": "grey"}}'):
        (tmp_path / "config.json").write_text(broken)
        with pytest.raises(ReskerasError, match=r"port: .*config\.json is broken") as caught:
            architecture_beside(tmp_path / "model.safetensors")
        assert caught.value.status == 1


def test_a_file_beside_the_weights_that_is_not_for_them_is_named(weights, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(weights.read_bytes())
    told = {
        "architecture": "resnet18",
        "label_names": ["ant\nbee", "\x1b[1mcat", "dog", "elk", "fox"],
        "pretrained_cfg": {"input_size": [3, 48, 48]},
    }
    (tmp_path / "config.json").write_text(json.dumps(told))
    said = refused("port", tmp_path / "net.safetensors", "--out", tmp_path / "run")
    assert "'ant\\nbee', published with the weights, is not a class name; set --classes" in said
    assert not (tmp_path / "run").exists()
    (tmp_path / "names").write_text("a\nb\nc\nd\ne")
    run = reskeras.port(tmp_path / "net.safetensors", classes=tmp_path / "names", out=tmp_path / "run")
    ported = run.folder.provenance()["ported"]
    assert run.preprocessing().size == (48, 48, 3)
    assert ported["pixels"] == "assumed"  # neither mean nor std is told


def test_random_images_are_dark_and_bright_fine_and_coarse():
    images = random_images(48, 64, 3)
    assert images.shape == (8, 48, 64, 3)
    assert images.dtype == np.uint8
    means = images.mean(axis=(1, 2, 3))
    assert means.min() < 40
    assert means.max() > 245
    coarse = images.astype(int)[6].reshape(2, 24, 64, 3)
    assert not np.ptp(coarse, axis=1).any()
    assert random_images(1, 3, 1).shape == (8, 1, 3, 1)


def test_a_state_dict_alone_is_checked_and_not_proven(weights, tmp_path):
    shown = invoke("port", weights, "--size", 48, "--out", tmp_path / "run")
    assert shown.exit_code == 0, shown.output
    assert (
        "check      logits of 8 random images differ from those of the default network with these names by"
        in shown.stdout
    )
    assert "proof      none: a state dict does not record activation, anti-aliasing, dilation" in shown.stdout
    assert "use --architecture timm:NAME or torchvision:NAME to compare with the original" in shown.stdout
    assert "(by channel); assumed, the source does not say" in shown.stdout
    ported = reskeras.Run(tmp_path / "run").folder.provenance()["ported"]
    assert ported["proof"]["difference"] < 1e-4
    assert ported["proof"]["against"] is None
    assert ported["pixels"] == "assumed"


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_without_its_library_a_named_network_is_not_proven_either(weights, tmp_path, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    run = reskeras.port(weights, architecture=f"{library}:resnet18", size=48, out=tmp_path / "run")
    proof = run.folder.provenance()["ported"]["proof"]
    assert proof["against"] is None
    assert library in proof["why_unproven"]


def test_a_library_that_ends_its_process_leaves_the_port_unproven(weights, tmp_path, monkeypatch):
    """As torchvision 0.29 did to one that had loaded TensorFlow."""
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "timm.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(folder)
    run = reskeras.port(weights, architecture="timm:resnet18", size=48, out=tmp_path / "run")
    proof = run.folder.provenance()["ported"]["proof"]
    assert (proof["against"], proof["why_unproven"]) == (None, "the process that runs timm was killed (SIGSEGV)")


def test_a_library_that_does_not_load_leaves_the_port_unproven(weights, tmp_path, monkeypatch):
    (tmp_path / "timm.py").write_text("raise RuntimeError('built for another PyTorch')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    run = reskeras.port(weights, architecture="timm:resnet18", size=48, out=tmp_path / "run")
    assert run.folder.provenance()["ported"]["proof"]["why_unproven"] == (
        "timm cannot be imported here: built for another PyTorch"
    )


def test_a_keras_model_is_its_own_proof(tmp_path):
    from tests.porting.test_keras import application

    run = reskeras.port(application("ResNet50", 64, 4), out=tmp_path / "run")
    proof = run.folder.provenance()["ported"]["proof"]
    assert (proof["against"], proof["why_unproven"]) == ("the Keras model itself", None)
    assert refused("port", "ResNet50", "--architecture", "timm:resnet50").startswith("reskeras: architecture: timm's")


def test_pixels_are_prepared_as_published():
    found = as_published({**PUBLISHED, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1)}, NORMALISE["torch"])
    assert found.framing == Framing(0.95, "bicubic")
    np.testing.assert_allclose(found.mean, (127.5, 102, 76.5))
    np.testing.assert_allclose(found.std, (51, 51, 25.5))
    assert as_published({"mean": (0.5,) * 3, "std": (0.5,) * 3}, NORMALISE["torch"]).kind == "scale"
    assert as_published({}, NORMALISE["torch"]) == NORMALISE["torch"]


@pytest.mark.parametrize(
    "told",
    [
        {"crop_mode": "squash"},
        {"interpolation": "nearest"},
        {"crop_pct": 1.2},
        {"std": (0.0, 1.0, 1.0)},
        {"mean": (0.5,)},
    ],
)
def test_pixels_that_cannot_be_prepared_so_are_refused(told):
    with pytest.raises(ReskerasError, match=r"preprocessing is not supported.*--normalise"):
        as_published(told, NORMALISE["torch"])
