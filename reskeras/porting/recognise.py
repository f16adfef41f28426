"""Finds the network that tensors belong to: a Keras model's by its graph, a state dict's by names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from reskeras.errors import ReskerasError
from reskeras.identification.conform import conform
from reskeras.identification.pixels import Adapted
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.excitation import squeeze_of
from reskeras.networks.overrides import laid_over
from reskeras.networks.request import network
from reskeras.porting.foreign_model import ForeignModel
from reskeras.porting.layouts import KERAS, LAYOUTS, TORCH, UNIT, WeightLayout
from reskeras.porting.normalise import NORMALISE, Normalise, as_modelled

Shape = tuple[int, ...]
SIZE = 224  # pixels, where nothing gives another size
STATISTIC = "running_mean"  # every batch norm has one in PyTorch, and no other normalisation
# layers that identify keras.applications' networks, for their preprocessing, which nothing else gives
APPLICATION_MARKS = {
    ("conv1_conv", "conv1_bn", "conv2_block1_1_bn"): ("keras.applications ResNet", "caffe"),
    ("conv1_conv", "conv2_block1_preact_bn", "post_bn"): ("keras.applications ResNetV2", "tf"),
    ("conv_7b", "block35_1_conv"): ("keras.applications InceptionResNetV2", "tf"),
}


@dataclass(frozen=True)
class Recognised:
    """The network that a source's tensors belong to: its title there, its spec, and their layer for each operation that
    has weights. `normalise` is the preprocessing for such weights, None where unknown; with `modelled` the source does
    it itself, on pixels in 0..255. `aside` are its layers that are not part of the network."""

    title: str
    spec: AnyNetwork
    layers: Mapping[str, str]
    normalise: Normalise | None
    modelled: bool = False
    aside: frozenset[str] = frozenset()


def recognise(source: ForeignModel, size: int | None = None) -> Recognised:
    """The network of `source`, for square images of `size` pixels (by default the source's size, else the usual one);
    ReskerasError (status 2), with the obstacles, where it is not in this design space."""
    return (_by_function if source.library is KERAS else _by_names)(source, size)


def _by_function(source: ForeignModel, size: int | None) -> Recognised:
    found = conform(source.model)
    if found.spec is None:
        raise ReskerasError(f"port: {source.name} is not a network in this design space: {found.why}")
    if not found.exact:
        raise ReskerasError(
            f"port: {source.name} is close to {found.name}, but no spec computes the same function; obstacles: "
            + "; ".join(found.obstacles_in_words())
        )
    spec = found.spec
    if size:
        spec = laid_over(spec, {"input_shape": [size, size, spec.lower().input_shape[-1]]})
    names = {layer.rpartition("/")[2] for layer in source.layers}
    marked = (row for marks, row in APPLICATION_MARKS.items() if {*marks} <= names)
    title, pixels = next(marked, ("a Keras model", None))
    modelled = as_modelled(found.preprocessing, source.tensors, spec.lower().input_shape[-1])
    aside = frozenset(step.name for step in found.preprocessing if isinstance(step, Adapted))
    return Recognised(
        title, spec, found.layers, modelled or (NORMALISE[pixels] if pixels else None), modelled is not None, aside
    )


def _by_names(source: ForeignModel, size: int | None) -> Recognised:
    layout = layout_of(source)
    spec = spec_of(source, layout, size)
    pixels = NORMALISE[layout.normalise]
    pixels = replace(pixels, framing=replace(pixels.framing, interpolation=layout.interpolation))
    return Recognised(layout.title, spec, layout.layers(spec.lower()), pixels)


def layout_of(source: ForeignModel) -> WeightLayout:
    """The first layout whose marks are all present; ReskerasError when there is none."""
    layers = set(source.layers)
    if not any(name.endswith(STATISTIC) for name in source.tensors):
        raise ReskerasError(
            f"port: {source.name} has no batch norm (no tensor {STATISTIC}); networks with another "
            "normalisation, such as of groups or weights, are not in this design space"
        )
    for layout in LAYOUTS:
        if layers.issuperset(layout.marks):
            return layout
    some = ", ".join(list(source.layers)[:4]) or "none"
    raise ReskerasError(
        f"port: the weight names of {source.name} match none of "
        f"{', '.join(layout.title for layout in LAYOUTS)}; its first layers are {some}"
    )


def spec_of(source: ForeignModel, layout: WeightLayout, size: int | None = None) -> AnyNetwork:
    """The network that the weights belong to, for square images of `size` pixels (by default the published size, else
    SIZE); ReskerasError where their shapes fit no network."""
    published = source.published
    shapes = Shapes(layout, {name: array.shape for name, array in source.tensors.items()})
    usual = published["input_size"][1:] if "input_size" in published else (SIZE, SIZE)
    height, width = (size, size) if size else usual
    stages = [shapes.stage(stage) for stage in range(1, 1 + shapes.stages())]
    if not stages:
        raise ReskerasError(f"port: {source.name} has no units named as in {layout.title}")
    block = "bottleneck" if shapes.kernel(f"{UNIT.format(s=1, u=1)}_conv3") else "basic"
    fields = {**layout.fields, **layout.blocks.get(block, {})}
    if source.original and source.original.epsilon is not None:
        fields["bn"] = {"epsilon": source.original.epsilon}
    stem, channels = shapes.stem()
    return network(
        None,
        **fields,
        **shapes.inside(block),
        block=block,
        stages=[{"units": units, "width": out // BLOCKS[block].expansion} for units, out in stages],
        stem=stem,
        classes=shapes.classes(),
        input_shape=[height, width, channels],
    )


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

    def _count(self, unit: Any) -> int:
        count = 0
        while self.kernel(f"{unit(count + 1)}_conv1"):
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
