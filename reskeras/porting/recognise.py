"""Finds the network that tensors belong to: a Keras model's by its graph, a state dict's by names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reskeras.data.decode import WHOLE
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.identification.conform import conform
from reskeras.identification.pixels import Adapted
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.blocks import BLOCKS
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.networks.overrides import laid_over
from reskeras.networks.request import network
from reskeras.plans.plan import Plan
from reskeras.porting.foreign_model import ForeignModel
from reskeras.porting.layouts import KERAS, LAYOUTS, REFUSED, UNIT, WeightLayout
from reskeras.porting.normalise import NORMALISE, Normalise, as_modelled
from reskeras.porting.rearranged import Rearranged
from reskeras.porting.shapes import Shapes

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
    it itself, on pixels in 0..255. `aside` are its layers that are not part of the network, `rearranged` operations
    whose numbers it has in another order; `note` is what a user should know of that."""

    title: str
    spec: AnyNetwork | DetectorSpec
    layers: Mapping[str, str]
    normalise: Normalise | None
    modelled: bool = False
    aside: frozenset[str] = frozenset()
    rearranged: Mapping[str, Rearranged] = field(default_factory=dict)
    note: str = ""

    @property
    def plan(self) -> Plan:
        """All operations of the network."""
        return plan_of(self.spec)


def plan_of(spec: AnyNetwork | DetectorSpec) -> Plan:
    """All operations of a network, or of the parts of a detector."""
    return lower_detector(spec).everything if isinstance(spec, DetectorSpec) else spec.lower()


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
    spec = (detector_of if layout.detector else spec_of)(source, layout, size)
    pixels = NORMALISE[layout.normalise]
    framing = WHOLE if layout.detector else replace(pixels.framing, interpolation=layout.interpolation)
    return Recognised(
        layout.title,
        spec,
        layout.layers(plan_of(spec)),
        replace(pixels, framing=framing),
        rearranged=layout.rearranged,
        note=layout.note,
    )


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
    for marks, reason in REFUSED.items():
        if layers.issuperset(marks):
            raise ReskerasError(f"port: {source.name} is {reason}")
    some = ", ".join(list(source.layers)[:4]) or "none"
    raise ReskerasError(
        f"port: the weight names of {source.name} match none of "
        f"{', '.join(layout.title for layout in LAYOUTS)}; its first layers are {some}"
    )


def detector_of(source: ForeignModel, layout: WeightLayout, size: int | None = None) -> DetectorSpec:
    """The detector that the weights belong to, with the settings of its original where that is known; ReskerasError
    where it has none, and where its batch norms' epsilon is unknown."""
    if size:
        raise ReskerasError(
            "size: detectors scale images by their shorter side; give it with the architecture, such as "
            "--architecture torchvision:fasterrcnn_resnet50_fpn,min_size=600,max_size=1000"
        )
    if layout.epsilons and source.epsilon is None:
        raise ReskerasError(
            f"batch-norm-epsilon: {source.name} does not hold the epsilon of its batch norms, which is "
            f"{layout.epsilons}; set --batch-norm-epsilon"
        )
    shapes = Shapes(layout, {name: array.shape for name, array in source.tensors.items()})
    told = dict(source.original.detector) if source.original and source.original.detector else {}
    fields = {**(layout.detector or {}), **told}
    for name, shown in shapes.heads().items():
        fields[name] = {**fields.get(name, {}), **shown}
    spec = validated(
        DetectorSpec, {"backbone": spec_of(source, layout).sparse(), **fields, "classes": shapes.classes() - 1}
    )
    lower_detector(spec)  # raises for contradictions
    return spec


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
    epsilon = source.original.epsilon if source.original else source.epsilon
    if epsilon is not None:
        fields["bn"] = {"epsilon": epsilon}
    stem, channels = shapes.stem()
    if not layout.detector:
        fields |= {"classes": shapes.classes(), "input_shape": [height, width, channels]}
    return network(
        None,
        **fields,
        **shapes.inside(block),
        block=block,
        stages=[{"units": units, "width": out // BLOCKS[block].expansion} for units, out in stages],
        stem=stem,
    )
