"""The same networks in PyTorch's idiom: modules, channels-last memory."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def build(name: str) -> nn.Module:
    """The network `name`: images (batch, 3, height, width) in, logits out."""
    net = BottleneckNet() if name == "resnet-50" else CifarNet((int(name.rpartition("-")[2]) - 2) // 6)
    return net.to(memory_format=torch.channels_last)


class Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut of option A."""

    def __init__(self, narrow: int, wide: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(narrow, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide)
        self.conv2, self.bn2 = nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide)
        self.stride, self.more = stride, wide - narrow

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The unit's output."""
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.more)) if self.stride == 2 else x
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + shortcut, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions; a projection where the shape changes (option B)."""

    def __init__(self, narrow: int, width: int, stride: int):
        super().__init__()
        wide = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(narrow, width, 1, stride, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide)
        same = narrow == wide
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(narrow, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The unit's output."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + self.shortcut(x), inplace=True)


class CifarNet(nn.Module):
    """6n + 2 layers for 32x32 images."""

    def __init__(self, units: int):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        blocks, narrow = [], 16
        for width in (16, 32, 64):
            for _ in range(units):
                blocks.append(Basic(narrow, width, 1 if narrow == width else 2))
                narrow = width
        self.blocks, self.logits = nn.Sequential(*blocks), nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = self.blocks(F.relu(self.bn(self.conv(x)), inplace=True))
        return self.logits(x.mean((2, 3)))


class BottleneckNet(nn.Module):
    """ResNet-50 for 224x224 images, the stride in the first convolution of a unit (v1)."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        blocks, narrow = [], 64
        for width, units, first in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for unit in range(units):
                blocks.append(Bottleneck(narrow, width, 1 if unit else first))
                narrow = 4 * width
        self.blocks, self.logits = nn.Sequential(*blocks), nn.Linear(2048, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x = F.max_pool2d(F.relu(self.bn(self.conv(x)), inplace=True), 3, 2, 1)
        return self.logits(self.blocks(x).mean((2, 3)))
