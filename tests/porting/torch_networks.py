"""PyTorch networks with torchvision's and timm's parameter names, written as those libraries' modules are; torchvision
itself where it imports. Random weights with statistics that have been measured, so that outputs are finite."""

import torch
from torch import nn

try:
    import torchvision
except (ImportError, RuntimeError):  # it is optional, and a build for another PyTorch fails so
    torchvision = None

UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def conv3x3(channels, width, stride=1, groups=1):
    return nn.Conv2d(channels, width, 3, stride, 1, groups=groups, bias=False)


def conv1x1(channels, width, stride=1):
    return nn.Conv2d(channels, width, 1, stride, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, channels, width, stride, downsample, groups, base_width):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(channels, width, stride), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = conv3x3(width, width), nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, channels, width, stride, downsample, groups, base_width):
        super().__init__()
        inner = int(width * (base_width / 64)) * groups
        self.conv1, self.bn1 = conv1x1(channels, inner), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = conv3x3(inner, inner, stride, groups), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = conv1x1(inner, 4 * width), nn.BatchNorm2d(4 * width)
        self.relu, self.downsample = nn.ReLU(inplace=True), downsample

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(out)))))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """`deep` is timm's ResNet-D: three 3x3 in the stem, an average pool before each projection."""

    def __init__(self, block, units, classes, groups=1, base_width=64, deep=False):
        super().__init__()
        self.channels, self.deep = 64, deep
        if deep:
            self.conv1 = nn.Sequential(
                conv3x3(3, 32, 2),
                nn.BatchNorm2d(32),
                nn.ReLU(),
                conv3x3(32, 32),
                nn.BatchNorm2d(32),
                nn.ReLU(),
                conv3x3(32, 64),
            )
        else:
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1, self.relu, self.maxpool = nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        for stage, count in enumerate(units):
            layers = [
                self.unit(block, 64 * 2**stage, 2 if stage and not unit else 1, unit == 0, groups, base_width)
                for unit in range(count)
            ]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(self.channels, classes)

    def unit(self, block, width, stride, first, groups, base_width):
        out, downsample = width * block.expansion, None
        if first and (stride != 1 or self.channels != out):
            downsample = nn.Sequential(conv1x1(self.channels, out, stride), nn.BatchNorm2d(out))
            if self.deep:
                pool = (
                    nn.Identity() if stride == 1 else nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
                )
                downsample = nn.Sequential(pool, conv1x1(self.channels, out), nn.BatchNorm2d(out))
        made = block(self.channels, width, stride, downsample, groups, base_width)
        self.channels = out
        return made

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Named(nn.Module):
    """Parts under names that an attribute cannot have before the others are made."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


class PreactBottleneck(nn.Module):
    """timm's of ResNetV2: norm1 to norm3 before the convolutions, downsample.conv after the first."""

    def __init__(self, channels, width, stride, first):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), conv1x1(channels, width)
        self.norm2, self.conv2 = nn.BatchNorm2d(width), conv3x3(width, width, stride)
        self.norm3, self.conv3 = nn.BatchNorm2d(width), conv1x1(width, 4 * width)
        self.downsample = Named(conv=conv1x1(channels, 4 * width, stride)) if first else None

    def forward(self, x):
        first = torch.relu(self.norm1(x))
        shortcut = x if self.downsample is None else self.downsample.conv(first)
        out = self.conv2(torch.relu(self.norm2(self.conv1(first))))
        return shortcut + self.conv3(torch.relu(self.norm3(out)))


class PreactBasic(nn.Module):
    """timm's of resnetv2_18 and resnetv2_34: a shortcut without a projection is always the raw stream."""

    def __init__(self, channels, width, stride, first):
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(channels), conv3x3(channels, width, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(width), conv3x3(width, width)
        projects = stride > 1 or channels != width
        self.downsample = Named(conv=conv1x1(channels, width, stride)) if projects else None

    def forward(self, x):
        first = torch.relu(self.norm1(x))
        shortcut = x if self.downsample is None else self.downsample.conv(first)
        return shortcut + self.conv2(torch.relu(self.norm2(self.conv1(first))))


class ResNetV2(nn.Module):
    """timm's, with batch norm; the stem is not activated before its pool."""

    def __init__(self, block, units, classes):
        super().__init__()
        self.stem = Named(conv=nn.Conv2d(3, 64, 7, 2, 3, bias=False))
        stages, channels = [], 64
        for stage, count in enumerate(units):
            blocks = []
            for unit in range(count):
                blocks.append(block(channels, 64 * 2**stage, 2 if stage and not unit else 1, unit == 0))
                channels = (256 if block is PreactBottleneck else 64) * 2**stage
            stages.append(Named(blocks=nn.Sequential(*blocks)))
        self.stages, self.norm = nn.Sequential(*stages), nn.BatchNorm2d(channels)
        self.head = Named(fc=nn.Conv2d(channels, classes, 1))

    def forward(self, x):
        x = nn.functional.max_pool2d(self.stem.conv(x), 3, 2, 1)
        for stage in self.stages:
            x = stage.blocks(x)
        return self.head.fc(torch.relu(self.norm(x)).mean((2, 3), keepdim=True)).flatten(1)


def measured(network, size=64):
    """`network` with random scales and shifts, and the statistics that real numbers have under them."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            # a residual is less than its stream, as in trained networks: else rounding grows with every unit
            nn.init.uniform_(module.weight, 0.2, 0.8, generator=generator)
            nn.init.normal_(module.bias, 0, 0.3, generator=generator)
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.rand(8, 3, size, size, generator=generator) * 4 - 2)
    return network.eval()


def resnet(depth, classes=10, **fields):
    """torchvision's resnet18 to 152, and what it makes of groups and base_width."""
    torch.manual_seed(0)
    if torchvision is not None and not fields:
        return measured(getattr(torchvision.models, f"resnet{depth}")(num_classes=classes))
    return measured(ResNet(BasicBlock if depth < 50 else Bottleneck, UNITS[depth], classes, **fields))


def resnet_v2(depth, classes=10):
    """timm's resnetv2_18 to 152."""
    torch.manual_seed(0)
    return measured(ResNetV2(PreactBasic if depth < 50 else PreactBottleneck, UNITS[depth], classes))
