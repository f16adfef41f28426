"""DetectorSpec: Faster R-CNN in C4 form on a residual network (arXiv:1506.01497; v1 appendix A), as data."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from reskeras.documents.fields import Spec, Width, whole, whole_shape, within
from reskeras.errors import ReskerasError, unknown
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import catalog, name_of
from reskeras.networks.network import NetworkSpec
from reskeras.networks.resolved import ResolvedNetwork
from reskeras.plans.operation import Shape

BACKBONE = "backbone"  # the field that identifies a DetectorSpec
SHARES = (1 / 8, 1 / 4, 1 / 2, 7 / 8)  # default anchor sizes, of the canvas' shorter side: about 64 to 512 of 600
WIDEST_RPN = 512  # channels of the proposal network's convolution, in the paper 512 for VGG


def _named_network(value: Any) -> Any:
    """A catalogue name stands for its row."""
    if not isinstance(value, str):
        return value
    if value not in catalog():
        raise unknown(BACKBONE, value, catalog())
    return backbone_of(catalog()[value].spec)


def backbone_of(spec: AnyNetwork) -> NetworkSpec:
    """`spec`; ReskerasError when it is no residual or plain network."""
    if not isinstance(spec, NetworkSpec):
        raise ReskerasError(f"{BACKBONE}: {name_of(spec)} has no stages to share; choose a residual or plain network")
    return spec


Backbone = Annotated[NetworkSpec, BeforeValidator(_named_network, json_schema_input_type=str | NetworkSpec)]
Deviation = Annotated[float, within(0, 10, above=True)]
Share = Annotated[float, within(0, 1, above=True, below=True)]


def _once(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("should name each number once")
    return values


class AnchorSpec(Spec):
    """Boxes that proposals are told relative to: at each position of the shared map one of each size and ratio.

    `sizes` are the sides, in pixels of the canvas, of squares of the anchors' areas; `ratios` are height over width.
    """

    sizes: (
        Annotated[
            tuple[Annotated[float, within(1, 8192)], ...],
            Field(
                min_length=1, max_length=16, description="Default: 1/8, 1/4, 1/2 and 7/8 of the canvas' shorter side"
            ),
            AfterValidator(_once),
        ]
        | None
    ) = None
    ratios: Annotated[
        tuple[Annotated[float, within(0.05, 20)], ...], Field(min_length=1, max_length=16), AfterValidator(_once)
    ] = (0.5, 1.0, 2.0)

    @property
    def per_position(self) -> int:
        """Anchors at each position of the shared map."""
        return len(self.sizes or SHARES) * len(self.ratios)


class ProposalSpec(Spec):
    """The region proposal network, and which of its boxes become regions (arXiv:1506.01497 section 3)."""

    width: Annotated[
        Width | None,
        Field(description="Channels of its 3x3 convolution; default: those of the shared map, at most 512"),
    ] = None
    positive: Annotated[Share, Field(description="Overlap with an object from which on an anchor is one")] = 0.7
    negative: Annotated[Share, Field(description="Overlap below which an anchor is background")] = 0.3
    sample: Annotated[int, whole(2, 4096), Field(description="Anchors of an image that the loss looks at")] = 256
    sample_share: Annotated[Share, Field(description="Largest share of objects among them")] = 0.5
    before: Annotated[int, whole(1, 20_000), Field(description="Best boxes of an image that suppression looks at")] = (
        2000
    )
    overlap: Annotated[Share, Field(description="Overlap at which of two boxes the worse is suppressed")] = 0.7
    training: Annotated[int, whole(1, 4096), Field(description="Boxes of an image left for training")] = 1000
    testing: Annotated[int, whole(1, 4096), Field(description="Boxes of an image left for testing")] = 300


class RegionSpec(Spec):
    """What is done with each region: its part of the shared map, and how it is learned."""

    pool: Annotated[
        Literal["align", "max"],
        Field(description="align: RoIAlign (arXiv:1703.06870); max: RoI pooling, as in the paper"),
    ] = "align"
    size: Annotated[int, whole(2, 64), Field(description="Rows and columns of a region's map")] = 14
    points: Annotated[int, whole(1, 8), Field(description="RoIAlign's points in a cell, along one side")] = 2
    context: Annotated[
        bool, Field(description="Features of the whole image beside those of each region (v1 appendix A)")
    ] = False
    sample: Annotated[int, whole(2, 1024), Field(description="Regions of an image that are trained on")] = 128
    sample_share: Annotated[Share, Field(description="Largest share of objects among them")] = 0.25
    positive: Annotated[Share, Field(description="Overlap with an object from which on a region is one")] = 0.5
    deviations: Annotated[
        tuple[Deviation, Deviation, Deviation, Deviation],
        Field(description="What offsets of top, left, height and width are divided by"),
    ] = (0.1, 0.1, 0.2, 0.2)


class DetectionSpec(Spec):
    """What a detector tells of an image."""

    score: Annotated[float, within(0, 1, below=True), Field(description="Lowest probability that is told")] = 0.05
    overlap: Annotated[Share, Field(description="Overlap at which of two boxes of a class the worse is suppressed")] = (
        0.5
    )
    most: Annotated[int, whole(1, 1000), Field(description="Boxes of an image")] = 100


class DetectorSpec(Spec):
    """A Faster R-CNN detector as a person would say it; all but the backbone may be left out.

    The backbone's `input_shape` is the canvas: every image is scaled to fit on it, so that all shapes are static.
    """

    task: ClassVar[str] = "detection"
    name: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")] | None = None
    backbone: Annotated[Backbone, Field(description="A residual network: a name of the catalogue or its fields")]
    shared: Annotated[
        str | None,
        Field(
            max_length=100,
            description="Stage or unit up to which the network is shared; default: the last stage but one",
        ),
    ] = None
    anchors: AnchorSpec = AnchorSpec()
    proposals: ProposalSpec = ProposalSpec()
    regions: RegionSpec = RegionSpec()
    detections: DetectionSpec = DetectionSpec()
    classes: Annotated[
        Annotated[int, whole(1, 10_000)] | None, Field(description="Of objects; default: those of the data")
    ] = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> DetectorSpec:
        if self.proposals.negative > self.proposals.positive:
            raise ValueError(
                f"proposals.negative {self.proposals.negative:g} is above proposals.positive "
                f"{self.proposals.positive:g}"
            )
        return self

    def decided(self) -> DetectorSpec:
        """The same with every default filled in, which resolves to itself. ReskerasError for contradictions."""
        network = self.backbone.decided()
        if len(network.stages) < 2:
            raise ReskerasError("backbone: one stage cannot be divided between image and regions; choose two or more")
        plan = network.lower()
        shared = self.shared or shared_by_default(network)
        end = plan.endpoint(shared)
        if not 1 <= end < len(plan.units) - 2:
            raise ReskerasError(
                f"shared: {shared!r} leaves no unit for the regions, or none for the image; choose a "
                f"stage such as stage{len(network.stages) - 1}"
            )
        shorter = min(network.input_shape[:2])
        sizes = self.anchors.sizes or tuple(round(shorter * share, 1) for share in SHARES)
        width = self.proposals.width or min(plan.unit_shapes()[end][-1], WIDEST_RPN)
        return self.model_copy(
            update={
                "backbone": NetworkSpec.model_validate(network.model_dump(mode="json")),
                "shared": shared,
                "classes": self.classes or network.classes,
                "anchors": self.anchors.model_copy(update={"sizes": sizes}),
                "proposals": self.proposals.model_copy(update={"width": width}),
            }
        )

    def describe(self) -> str:
        """How its backbone was interpreted, in one line."""
        return self.backbone.describe()

    def canvas(self) -> Shape:
        """Height, width and channels of the canvas that images are placed on."""
        return whole_shape(self.backbone.decided().input_shape)


def shared_by_default(network: ResolvedNetwork) -> str:
    """The last stage but one, up to which the network is shared unless the spec says otherwise."""
    return f"stage{len(network.stages) - 1}"


def detector_name(spec: DetectorSpec) -> str:
    """The name a detector goes by: its own, else that of its backbone, as `resnet-18-detector`."""
    return spec.name or f"{name_of(spec.backbone)}-detector"
