"""Checkpoints as training scripts write them: the weights are found, whatever is around them and before their names."""

import argparse

import numpy as np
import pytest
import safetensors.torch as safetensors
import torch

from reskeras.errors import ReskerasError
from reskeras.porting.foreign_model import of_state_dict
from reskeras.porting.recognise import layout_of
from reskeras.porting.state_dict import read_state_dict

STATE = {
    "conv1.weight": torch.arange(27.0).reshape(1, 3, 3, 3),
    "bn1.running_mean": torch.ones(1),
    "bn1.num_batches_tracked": torch.tensor(3),
}
OTHER = {name: tensor + 1 for name, tensor in STATE.items()}


def prefixed(*prefixes):
    return {f"{''.join(prefixes)}{name}": tensor for name, tensor in STATE.items()}


def written(content, path):
    torch.save(content, path)
    return path


CHECKPOINTS = {
    "alone": STATE,
    "module": prefixed("module."),
    "model": prefixed("model."),
    "net": prefixed("net."),
    "backbone": prefixed("backbone."),
    "compiled": prefixed("_orig_mod."),
    "both": prefixed("module.", "_orig_mod."),
    "averaged": {"n_averaged": torch.tensor(7), **prefixed("module.")},
    "lightning": {"epoch": 3, "state_dict": prefixed("model."), "optimizer_states": [{"lr": 0.1}]},
    "torchvision": {"model": STATE, "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(2)}}}, "epoch": 9},
    "model_ema alone": {"epoch": 1, "model_ema": prefixed("module.")},
    "ema": {"ema": STATE},
    "net inside": {"net": STATE},
    "nested": {"model": {"state_dict": STATE, "arch": "resnet18"}},
    "trained before averaged": {"model_ema": OTHER, "state_dict_ema": OTHER, "model": STATE},
    "the only one": {"epoch": 3, "my_weights": STATE},
}


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".pth.tar"])
def test_files_are_known_by_their_endings(tmp_path, suffix):
    assert read_state_dict(written(STATE, tmp_path / f"net{suffix}")).keys() == {"conv1.weight", "bn1.running_mean"}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_weights_are_found_in_a_checkpoint(tmp_path, name):
    found = read_state_dict(written(CHECKPOINTS[name], tmp_path / "net.pth"))
    assert found.keys() == {"conv1.weight", "bn1.running_mean"}
    np.testing.assert_array_equal(found["conv1.weight"], STATE["conv1.weight"])


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2, torch.float64]
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_numbers_of_every_kind_become_float32(tmp_path, dtype, suffix):
    state = {"a": torch.tensor([[0.5, 2.0], [-1.0, 8.0]]).to(dtype)}
    path = tmp_path / f"net{suffix}"
    safetensors.save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    [values] = read_state_dict(path).values()
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, [[0.5, 2.0], [-1.0, 8.0]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"epoch": 3, "optimizer": {"lr": 0.1}},
            "has no named tensors; it has epoch, optimizer; weights are expected in",
        ),
        ([1, 2], "it has list"),
        (
            {"state_dict": STATE, "args": argparse.Namespace(lr=0.1)},
            "argparse.Namespace besides its tensors, which is not executed; save only the weights",
        ),
        ({"one": STATE, "other": OTHER}, "it has one, other"),
        ({}, "it has nothing"),
    ],
)
def test_what_has_no_weights_says_what_it_has(tmp_path, content, said):
    with pytest.raises(ReskerasError) as caught:
        read_state_dict(written(content, tmp_path / "net.pth"))
    assert said in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert caught.value.status == 1


def test_another_normalisation_is_named(tmp_path):
    with pytest.raises(ReskerasError, match=r"has no batch norm \(no tensor running_mean\)"):
        layout_of(of_state_dict({"conv1.weight": np.ones((1, 3, 7, 7), np.float32), "bn1.weight": np.ones(1)}, "net"))
