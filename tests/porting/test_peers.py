"""Networks of torchvision and timm themselves, not of their names alone, become ours and give the same logits.

`make test-peers` installs both libraries (the extra `peers`) and runs these.
"""

import numpy as np
import pytest

import reskeras

pytestmark = pytest.mark.peers

TORCHVISION = ("resnet18", "resnet34", "resnet50", "resnext50_32x4d", "wide_resnet50_2")
TIMM = ("resnet18", "resnet26d", "resnet50", "resnet50d", "resnext50_32x4d")


def randomised(network):
    """`network` with batch-norm statistics, scales and shifts that differ by channel, so that none can be mixed up."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values, low, high in ((module.weight, 0.5, 1.5), (module.bias, -0.2, 0.2),
                                      (module.running_mean, -0.2, 0.2), (module.running_var, 0.5, 1.5)):
                values.data.uniform_(low, high, generator=generator)
    return network.eval()


@pytest.mark.parametrize(("library", "name"), [*(("torchvision", name) for name in TORCHVISION),
                                               *(("timm", name) for name in TIMM)])
def test_a_librarys_own_network_gives_the_same_logits(library, name, tmp_path):
    import safetensors.torch
    import timm
    import torch
    import torchvision

    torch.manual_seed(0)
    make = {"torchvision": lambda: torchvision.models.get_model(name, weights=None),
            "timm": lambda: timm.create_model(name, pretrained=False)}[library]
    network = randomised(make())
    safetensors.torch.save_file(network.state_dict(), tmp_path / "net.safetensors")
    run = reskeras.port(tmp_path / "net.safetensors", size=64, out=tmp_path / "run")
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))).numpy()
    assert np.ptp(expected, axis=0).max() > 0.01
    logits = np.asarray(run.model()(images, training=False))
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", TORCHVISION[:3])
def test_a_run_goes_back_into_torchvisions_network(name, tmp_path):
    import torch
    import torchvision

    torch.manual_seed(0)
    network = randomised(torchvision.models.get_model(name, weights=None))
    torch.save(network.state_dict(), tmp_path / "net.pth")
    run = reskeras.port(tmp_path / "net.pth", size=64, out=tmp_path / "run")
    [proof] = run.export("torchvision-state-dict")
    import safetensors.torch

    again = torchvision.models.get_model(name, weights=None)
    exported = proof.path if str(proof.path).endswith(".safetensors") else next(run.path.rglob("*.safetensors"))
    again.load_state_dict(safetensors.torch.load_file(exported), strict=False)
    for key, values in network.state_dict().items():
        if "num_batches_tracked" not in key:
            assert torch.equal(values, again.state_dict()[key]), key
