"""Shapes of a state dict's tensors, looked up by our names: what they tell of a network and of a detector's heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reskeras.errors import ReskerasError
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.excitation import squeeze_of
from reskeras.porting.layouts import STRIDES_OF_MAPS, TORCH, UNIT, WeightLayout

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Shapes:
    """Shapes of the tensors of a layout, looked up by our names."""

    layout: WeightLayout
    shapes: Mapping[str, Shape]

    def kernel(self, ours: str, kind: str = "conv") -> Shape | None:
        """A kernel's shape in our layout: (rows, columns, in, out), or (in, out); None where there is none."""
        layer = self.layout.layer(ours)
        shape = None if layer is None else self.shapes.get(TORCH.tensor(layer, kind, "kernel"))
        if shape is None:
            return None
        return (*shape[2:], shape[1], shape[0]) if kind == "conv" else shape[1::-1]

    def stages(self) -> int:
        """Number of stages."""
        return self._count(lambda stage: UNIT.format(s=stage, u=1))

    def stage(self, stage: int) -> tuple[int, int]:
        """(units, output channels) of a stage."""
        units = self._count(lambda unit: UNIT.format(s=stage, u=unit))
        convs = (self.kernel(f"{UNIT.format(s=stage, u=1)}_conv{number}") for number in (3, 2))
        return units, next((shape[-1] for shape in convs if shape), 0)

    def _count(self, name: Callable[[int], str], first: str = "_conv1") -> int:
        """How many there are that are called by `name`, with a kernel at their `first` layer."""
        count = 0
        while self.kernel(f"{name(count + 1)}{first}"):
            count += 1
        return count

    def inside(self, block: str) -> dict[str, Any]:
        """Groups, inner width and squeeze, where they are not the usual ones."""
        unit = UNIT.format(s=1, u=1)
        fields: dict[str, Any] = {}
        first, grouped, last = (self.kernel(f"{unit}_conv{number}") for number in (1, 2, 3))
        if block == "bottleneck" and first and last:
            fields["groups"] = first[-1] // grouped[-2] if grouped else 1
            fields["inner_factor"] = first[-1] * BLOCKS[block].expansion / last[-1]
        fields = {name: value for name, value in fields.items() if value != 1}
        gates = (self.kernel(f"{UNIT.format(s=stage, u=1)}_se_conv1") for stage in range(1, 1 + self.stages()))
        squeeze, multiple = squeeze_of([(gate[-2], gate[-1]) for gate in gates if gate])
        return {**fields, **({"squeeze": squeeze, "squeeze_multiple": multiple} if squeeze else {})}

    def heads(self) -> dict[str, dict[str, Any]]:
        """The fields of a detector's neck, proposals and regions that tensors show; of a missing tensor the usual."""
        lateral, dense = self.kernel("lateral4_conv"), self.kernel("region_dense1", "dense")
        convs = self._count(lambda number: f"region_conv{number}_conv", "")
        return {
            "neck": {
                "bn": self.layout.layer("lateral4_bn") is not None,
                **({"width": lateral[-1]} if lateral else {}),
                "strides": list(STRIDES_OF_MAPS.values()),
            },
            "proposals": {"convs": max(self._count(lambda number: f"rpn_conv{number}", ""), 1)},
            "regions": {
                "convs": convs,
                "dense": 1 if self.layout.layer("region_dense2") is None else 2,
                **({"width": dense[-1]} if dense else {}),
            },
        }

    def stem(self) -> tuple[dict[str, Any], int]:
        """The stem's fields, and the channels of the images."""
        strides, rest = (
            self.layout.stem["strides"],
            {name: value for name, value in self.layout.stem.items() if name != "strides"},
        )
        names = ["stem_conv"] if len(strides) == 1 else [f"stem_conv{number + 1}" for number in range(len(strides))]
        kernels = [kernel for name in names if (kernel := self.kernel(name)) is not None]
        if len(kernels) < len(names) or (len(strides) == 1 and kernels[0][0] != 7):
            raise ReskerasError(
                f"port: the stem is not that of {self.layout.title}, a 7x7 convolution or three 3x3 ones"
            )
        convs = [
            {"kernel": kernel[0], "width": kernel[-1], "stride": stride}
            for kernel, stride in zip(kernels, strides, strict=True)
        ]
        return {"convs": convs, **rest}, kernels[0][-2]

    def classes(self) -> int:
        """Outputs of the last layer."""
        shape = self.kernel("logits", "dense")
        if shape is None:
            raise ReskerasError(
                f"port: the layer of the logits, {self.layout.layer('logits')}, is missing; port the whole network"
            )
        return shape[-1]
