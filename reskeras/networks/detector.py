"""DetectorSpec: Faster R-CNN in C4 form on a residual network (arXiv:1506.01497; v1 appendix A), as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from reskeras.documents.fields import Spec, Width, whole, within
from reskeras.errors import ReskerasError
from reskeras.networks.built_on import BuiltOnNetwork, Share, named_for
from reskeras.networks.geometry import GEOMETRIES
from reskeras.networks.neck import FpnSpec, Neck
from reskeras.networks.network import NetworkSpec
from reskeras.networks.resize import ResizeSpec, largest
from reskeras.networks.resolved import ResolvedNetwork
from reskeras.plans.plan import Plan

if TYPE_CHECKING:  # the choices are the table's keys, which only run time knows
    GeometryName: TypeAlias = str
else:
    GeometryName = Literal[tuple(GEOMETRIES)]
BACKBONE = "backbone"  # the field that identifies a DetectorSpec
SHARES = (1 / 8, 1 / 4, 1 / 2, 7 / 8)  # default anchor sizes, of the canvas' shorter side: about 64 to 512 of 600
ANCHOR_CELLS = 8  # default side of the anchors of a pyramid's map, in its cells (arXiv:1612.03144 section 4.1)
OF_NECKS = ("convs", "dense", "width")  # fields of regions that only detectors with a neck have
WIDEST_RPN = 512  # channels of the proposal network's convolution, in the paper 512 for VGG


Backbone = Annotated[NetworkSpec, named_for(BACKBONE)]
Deviation = Annotated[float, within(0, 10, above=True)]


def _once(values: tuple) -> tuple:
    if len(set(values)) < len(values):
        raise ValueError("should not repeat a number")
    return values


class AnchorSpec(Spec):
    """Boxes that proposals are encoded relative to: one of each size and ratio at each position of the shared map.

    `sizes` are the sides, in pixels of the canvas, of squares of the anchors' areas; `ratios` are height over width.
    """

    sizes: (
        Annotated[
            tuple[Annotated[float, within(1, 8192)], ...],
            Field(
                min_length=1,
                max_length=32,
                description="Default: 1/8, 1/4, 1/2 and 7/8 of the canvas's shorter side; with a neck, 8 times the "
                "stride of each map. With a neck, the same number for each map, finest map first",
            ),
        ]
        | None
    ) = None
    ratios: Annotated[
        tuple[Annotated[float, within(0.05, 20)], ...],
        Field(min_length=1, max_length=16, description="Height over width"),
        AfterValidator(_once),
    ] = (0.5, 1.0, 2.0)


class ProposalSpec(Spec):
    """The region proposal network, and which of its boxes become regions (arXiv:1506.01497 section 3)."""

    width: Annotated[
        Width | None,
        Field(description="Channels of the 3x3 convolutions; default: those of the shared feature map, at most 512"),
    ] = None
    convs: Annotated[int, whole(1, 8), Field(description="Number of 3x3 convolutions")] = 1
    positive: Annotated[Share, Field(description="Minimum IoU of a positive anchor with an object")] = 0.7
    negative: Annotated[Share, Field(description="IoU below which an anchor is background")] = 0.3
    sample: Annotated[int, whole(2, 4096), Field(description="Anchors per image in the loss")] = 256
    sample_share: Annotated[Share, Field(description="Maximum fraction of positives among them")] = 0.5
    before: Annotated[
        int,
        whole(1, 20_000),
        Field(description="Top-scoring boxes per image (with a neck: per map) before non-maximum suppression"),
    ] = 2000
    before_testing: Annotated[
        Annotated[int, whole(1, 20_000)] | None, Field(description="The same in testing; default: as in training")
    ] = None
    overlap: Annotated[Share, Field(description="IoU above which the lower-scoring of two boxes is suppressed")] = 0.7
    training: Annotated[int, whole(1, 4096), Field(description="Boxes per image kept in training")] = 1000
    testing: Annotated[int, whole(1, 4096), Field(description="Boxes per image kept in testing")] = 300

    @property
    def tested(self) -> int:
        """`before_testing`, or as many as in training."""
        return self.before_testing or self.before


class RegionSpec(Spec):
    """How each region is processed: how its features are pooled from the shared map, and how it is trained."""

    pool: Annotated[
        Literal["align", "max"],
        Field(description="align: RoIAlign (arXiv:1703.06870); max: RoI pooling, as in the paper"),
    ] = "align"
    size: Annotated[
        Annotated[int, whole(2, 64)] | None,
        Field(description="Height and width of a region's feature map; default: 14; with a neck, 7"),
    ] = None
    points: Annotated[int, whole(1, 8), Field(description="RoIAlign's sampling points per cell, along one side")] = 2
    context: Annotated[
        bool, Field(description="Append features of the whole image to those of each region (v1 appendix B)")
    ] = False
    convs: Annotated[
        int, whole(0, 8), Field(description="With a neck: 3x3 convolutions of a region's map, of the neck's width")
    ] = 0
    dense: Annotated[int, whole(1, 4), Field(description="With a neck: dense layers after them")] = 2
    width: Annotated[Width, Field(description="With a neck: units of a dense layer")] = 1024
    sample: Annotated[int, whole(2, 1024), Field(description="Regions per image in training")] = 128
    sample_share: Annotated[Share, Field(description="Maximum fraction of positives among them")] = 0.25
    positive: Annotated[Share, Field(description="Minimum IoU of a positive region with an object")] = 0.5
    deviations: Annotated[
        tuple[Deviation, Deviation, Deviation, Deviation],
        Field(description="Divisors of the offsets of top, left, height and width"),
    ] = (0.1, 0.1, 0.2, 0.2)
    beta: Annotated[
        float,
        within(0, 10, above=True),
        Field(description="Error of an offset above which smooth L1 is linear; Fast R-CNN has 1, torchvision 1/9"),
    ] = 1 / 9


class DetectionSpec(Spec):
    """Which boxes a detector reports for an image."""

    score: Annotated[float, within(0, 1, below=True), Field(description="Report boxes above this probability")] = 0.05
    overlap: Annotated[
        Share, Field(description="IoU above which the lower-scoring of two boxes of a class is suppressed")
    ] = 0.5
    suppression: Annotated[
        Literal["hard", "linear", "gaussian"],
        Field(
            description="hard: a suppressed box is dropped; soft-NMS (arXiv:1704.04503) lowers its score instead. "
            "linear: times 1 - IoU, above overlap; gaussian: the scores of all boxes, times exp(-IoU^2 / sigma)"
        ),
    ] = "hard"
    sigma: Annotated[float, within(0, 10, above=True), Field(description="Width of the gaussian suppression")] = 0.5
    class_agnostic: Annotated[bool, Field(description="Boxes also suppress those of other classes")] = False
    most: Annotated[int, whole(1, 1000), Field(description="Maximum number of boxes per image")] = 100


class DetectorSpec(BuiltOnNetwork):
    """A Faster R-CNN detector as the user specifies it; every field but the backbone is optional.

    The backbone's `input_shape` is the canvas: every image is scaled to fit on it, so that all shapes are static. With
    `resize` there are several, which follow from it; `input_shape` is then the largest.
    """

    task: ClassVar[str] = "detection"
    on: ClassVar[str] = BACKBONE
    noun: ClassVar[str] = "detector"
    command: ClassVar[str] = "detect"
    earlier: ClassVar[Mapping[str, Any]] = {"geometry": "cell", "regions.beta": 1.0}
    backbone: Annotated[Backbone, Field(description="A residual network: its name in the catalogue, or its fields")]
    shared: Annotated[
        str | None,
        Field(
            max_length=100, description="Last stage or unit that runs once per image; default: the second-to-last stage"
        ),
    ] = None
    neck: Annotated[
        Neck | None,
        Field(description="fpn: heads on a feature pyramid; null: the last stages classify regions of one map (C4)"),
    ] = None
    anchors: AnchorSpec = AnchorSpec()
    proposals: ProposalSpec = ProposalSpec()
    regions: RegionSpec = RegionSpec()
    detections: DetectionSpec = DetectionSpec()
    geometry: Annotated[
        GeometryName,
        Field(
            description="Where in the image a cell of a map is. exact: in the middle of the pixels that it depends on; "
            "cell: in the middle of its stride; torchvision: at the first pixel of its stride, with anchors of whole "
            "pixels, none left out, and regions of at least one cell"
        ),
    ] = "exact"
    resize: Annotated[
        ResizeSpec | None,
        Field(description="Scale images by their shorter side, onto several canvases; default: fit them on one"),
    ] = None
    classes: Annotated[
        Annotated[int, whole(1, 10_000)] | None, Field(description="Number of object classes; default: the data's")
    ] = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> DetectorSpec:
        if self.proposals.negative > self.proposals.positive:
            raise ValueError(
                f"proposals.negative: {self.proposals.negative:g} should be at most proposals.positive "
                f"({self.proposals.positive:g})"
            )
        if GEOMETRIES[self.geometry].least and self.regions.pool != "align":
            raise ValueError(f"geometry: {self.geometry} needs regions.pool align, not {self.regions.pool}")
        return self

    def decided(self) -> DetectorSpec:
        """The same with every default filled in, which resolves to itself. ReskerasError for contradictions."""
        network, resize = self.backbone.decided(), self.resize
        if resize:
            resize = resize.at_stride(network.lower().stride)
            shape = (*largest(resize.canvases or ()), network.input_shape[-1])
            network = self.backbone.model_copy(update={"input_shape": shape}).decided()
        if len(network.stages) < 2:
            raise ReskerasError("backbone: a single stage cannot be split between image and regions; use two or more")
        plan = network.lower()
        split = self._on_pyramid(plan, self.neck) if self.neck else self._on_one_map(network, plan)
        each = len(split["sizes"]) // (len(split["neck"].levels()) if split["neck"] else 1)
        for first in range(0, len(split["sizes"]), each):
            if len({*split["sizes"][first : first + each]}) < each:
                raise ReskerasError("anchors.sizes: should not repeat a number of one map")
        return self.model_copy(
            update={
                "backbone": NetworkSpec.model_validate(network.model_dump(mode="json")),
                "classes": self.classes or network.classes,
                "resize": resize,
                **{name: split[name] for name in ("shared", "neck")},
                "anchors": self.anchors.model_copy(update={"sizes": split["sizes"]}),
                "proposals": self.proposals.model_copy(update={"width": split["width"]}),
                "regions": self.regions.model_copy(update={"size": self.regions.size or split["size"]}),
            }
        )

    def _on_one_map(self, network: ResolvedNetwork, plan: Plan) -> dict[str, Any]:
        """What is decided where the last stages judge regions of one map."""
        shared = self.shared or shared_by_default(network)
        end = plan.endpoint(shared, "shared")
        if not 1 <= end < len(plan.units) - 2:
            raise ReskerasError(
                f"shared: {shared!r} leaves no unit for the regions, or none for the image; choose a "
                f"stage such as stage{len(network.stages) - 1}"
            )
        fields = RegionSpec.model_fields
        if foreign := [name for name in OF_NECKS if getattr(self.regions, name) != fields[name].default]:
            raise ReskerasError(f"regions.{foreign[0]}: only with a neck; without one the last stages judge regions")
        shorter = self.resize.shorter if self.resize else min(network.input_shape[:2])
        return {
            "shared": shared,
            "neck": None,
            "sizes": self.anchors.sizes or tuple(round(shorter * share, 1) for share in SHARES),
            "width": self.proposals.width or min(plan.unit_shapes()[end][-1], WIDEST_RPN),
            "size": 14,
        }

    def _on_pyramid(self, plan: Plan, neck: FpnSpec) -> dict[str, Any]:
        """What is decided with a neck."""
        if self.shared is not None:
            raise ReskerasError(f"shared: {self.shared!r} contradicts neck, with which the whole backbone is shared")
        if self.regions.context or self.regions.pool != "align":
            field = "context" if self.regions.context else "pool"
            raise ReskerasError(f"regions.{field}: {getattr(self.regions, field)} is possible only without a neck")
        neck = neck.decided_on(plan)
        levels, sizes = neck.levels(), self.anchors.sizes
        if sizes and len(sizes) % len(levels):
            raise ReskerasError(
                f"anchors.sizes: {len(sizes)} sizes for {len(levels)} maps (strides {', '.join(map(str, levels))}); "
                "give as many for each"
            )
        return {
            "shared": None,
            "neck": neck,
            "sizes": sizes or tuple(ANCHOR_CELLS * float(stride) for stride in levels),
            "width": self.proposals.width or neck.width,
            "size": 7,
        }


def shared_by_default(network: ResolvedNetwork) -> str:
    """The second-to-last stage, up to which the network is shared unless the spec says otherwise."""
    return f"stage{len(network.stages) - 1}"
