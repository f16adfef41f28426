"""The forward pass of torchvision's and timm's residual networks in PyTorch, from a state dict alone.

Ports are checked against it where the original library is missing, so it shares no code with reskeras' plans: strides,
padding and order are written down here as those libraries document them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

EPSILON = 1e-5  # both libraries', where nothing else is given


def logits_of(tensors: Mapping[str, np.ndarray], images: np.ndarray, epsilon: float | None = None) -> np.ndarray:
    """float32 images (n, height, width, channels), normalised, to logits (n, classes). `epsilon` is that of batch
    norms, by default the libraries'."""
    import torch

    state = {name: torch.from_numpy(np.array(values)) for name, values in tensors.items()}
    x = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    network = (PreactResNet if "norm.weight" in tensors else ResNet)(
        state, torch.nn.functional, EPSILON if epsilon is None else epsilon
    )
    with torch.inference_mode():
        return network.logits(x).numpy()


@dataclass(frozen=True)
class ResNet:
    """The first version, as torchvision writes it: layer1.0.conv1, layer1.0.bn1. timm's names are the same, with
    conv1.0 to conv1.6 for a deep stem, an average pool before downsample.1, and se.fc1 and se.fc2."""

    state: Mapping[str, Any]
    ops: Any  # torch.nn.functional
    epsilon: float

    def logits(self, x: Any) -> Any:
        """(n, channels, height, width) to (n, classes)."""
        x = self.ops.max_pool2d(self.stem(x), 3, 2, 1)
        for stage in range(1, 5):
            for unit in range(self.count(f"layer{stage}")):
                x = self.unit(x, f"layer{stage}.{unit}", 2 if stage > 1 and unit == 0 else 1)
        return self.ops.linear(x.mean((2, 3)), self.state["fc.weight"], self.state.get("fc.bias"))

    def stem(self, x: Any) -> Any:
        """The convolutions before the pool."""
        if "conv1.weight" in self.state:
            return self.ops.relu(self.norm(self.conv(x, "conv1", 2), "bn1"))
        for conv, norm, stride in (("conv1.0", "conv1.1", 2), ("conv1.3", "conv1.4", 1), ("conv1.6", "bn1", 1)):
            x = self.ops.relu(self.norm(self.conv(x, conv, stride), norm))
        return x

    def unit(self, x: Any, name: str, stride: int) -> Any:
        """A basic block or a bottleneck, which strides in its 3x3."""
        convs = [number for number in (1, 2, 3) if f"{name}.conv{number}.weight" in self.state]
        y = x
        for number in convs:
            strided = number == len(convs) - 1
            y = self.norm(self.conv(y, f"{name}.conv{number}", stride if strided else 1), f"{name}.bn{number}")
            y = self.ops.relu(y) if number < len(convs) else y
        if f"{name}.se.fc1.weight" in self.state:
            gate = self.ops.relu(self.conv(y.mean((2, 3), keepdim=True), f"{name}.se.fc1"))
            y = y * self.conv(gate, f"{name}.se.fc2").sigmoid()
        return self.ops.relu(y + self.shortcut(x, f"{name}.downsample", stride))

    def shortcut(self, x: Any, name: str, stride: int) -> Any:
        """The identity, a projection, or an average pool and a projection."""
        if f"{name}.0.weight" in self.state:
            return self.norm(self.conv(x, f"{name}.0", stride), f"{name}.1")
        if f"{name}.1.weight" in self.state:
            return self.norm(self.conv(self.averaged(x, stride), f"{name}.1"), f"{name}.2")
        return x

    def averaged(self, x: Any, stride: int) -> Any:
        """Average pool, ceil mode, padding not counted."""
        return x if stride == 1 else self.ops.avg_pool2d(x, 2, stride, ceil_mode=True, count_include_pad=False)

    def count(self, stage: str) -> int:
        """Number of units of a stage."""
        return len({name.split(".")[1 + stage.count(".")] for name in self.state if name.startswith(f"{stage}.")})

    def conv(self, x: Any, name: str, stride: int = 1) -> Any:
        """A convolution with symmetric zero padding of half its kernel; its groups follow from the shapes."""
        kernel = self.state[f"{name}.weight"]
        return self.ops.conv2d(
            x,
            kernel,
            self.state.get(f"{name}.bias"),
            stride,
            kernel.shape[-1] // 2,
            groups=x.shape[1] // kernel.shape[1],
        )

    def norm(self, x: Any, name: str) -> Any:
        """Batch norm with its running statistics."""
        parts = (self.state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return self.ops.batch_norm(x, *parts, eps=self.epsilon)


class PreactResNet(ResNet):
    """The second version (pre-activation), as timm writes it: stages.0.blocks.0.norm1, its stem not activated before
    the pool."""

    def logits(self, x: Any) -> Any:
        x = self.ops.max_pool2d(self.stem(x), 3, 2, 1)
        for stage in range(4):
            for unit in range(self.count(f"stages.{stage}.blocks")):
                x = self.unit(x, f"stages.{stage}.blocks.{unit}", 2 if stage and unit == 0 else 1)
        x = self.ops.relu(self.norm(x, "norm")).mean((2, 3), keepdim=True)
        return self.conv(x, "head.fc").flatten(1)

    def stem(self, x: Any) -> Any:
        if "stem.conv.weight" in self.state:
            return self.conv(x, "stem.conv", 2)
        for number, stride in ((1, 2), (2, 1)):
            x = self.ops.relu(self.norm(self.conv(x, f"stem.conv{number}", stride), f"stem.norm{number}"))
        return self.conv(x, "stem.conv3")

    def unit(self, x: Any, name: str, stride: int) -> Any:
        """Batch norm and ReLU before each convolution; a projection shares the first."""
        convs = [number for number in (1, 2, 3) if f"{name}.conv{number}.weight" in self.state]
        y = first = self.ops.relu(self.norm(x, f"{name}.norm1"))
        for number in convs:
            y = y if number == 1 else self.ops.relu(self.norm(y, f"{name}.norm{number}"))
            y = self.conv(y, f"{name}.conv{number}", stride if number == len(convs) - 1 else 1)
        if f"{name}.downsample.conv.weight" not in self.state:
            return x + y
        # networks with a deep stem have an average pool before the projection
        deep = "stem.conv3.weight" in self.state
        shortcut = self.averaged(first, stride) if deep else first
        return y + self.conv(shortcut, f"{name}.downsample.conv", 1 if deep else stride)
