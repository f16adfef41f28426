"""LocaliserSpec: the per-class region proposal network of v1 appendix C on a residual network, as data."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from reskeras.documents.fields import Spec, Width, whole, whole_shape, within
from reskeras.errors import ReskerasError
from reskeras.networks.catalog import name_of
from reskeras.networks.detector import WIDEST_RPN, AnchorSpec, Share, named_network
from reskeras.networks.network import NetworkSpec

TRUNK = "trunk"  # the field that identifies a LocaliserSpec
SHARES = (1 / 4, 1 / 2, 3 / 4, 1.0)  # default anchor sizes, of the crop's shorter side; the paper does not say
MARGIN = 8 / 7  # default shorter side of an image, of the crop's longer one: 256 to 224 (v1 section 3.4)
PRIOR = 0.01  # what units begin with, so that those of many classes do not swamp the loss (arXiv:1708.02002)

Trunk = Annotated[
    NetworkSpec, BeforeValidator(lambda value: named_network(value, TRUNK), json_schema_input_type=str | NetworkSpec)
]


class LocaliserSpec(Spec):
    """A localiser as the user specifies it: it says where in an image an object of a given class is, for every class.

    The trunk's `input_shape` is the crop that it is trained on: random ones of images whose shorter side is `shorter`.
    A 3x3 convolution and two sibling 1x1 convolutions on its map tell for each anchor and class the probability that
    the anchor is on an object of the class, by a logistic unit of its own, and that object's box. The paper leaves
    open which map, the anchors, their thresholds and the loss; these fields are ours.
    """

    task: ClassVar[str] = "localisation"
    noun: ClassVar[str] = "localiser"
    command: ClassVar[str] = "localise"
    geometry: ClassVar[str] = "exact"  # of anchors, as a detector's
    name: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")] | None = None
    trunk: Annotated[Trunk, Field(description="A residual network: its name in the catalogue, or its fields")]
    shared: Annotated[
        str | None,
        Field(max_length=100, description="Last stage or unit of the trunk that is used; default: the last stage"),
    ] = None
    shorter: Annotated[
        Annotated[int, whole(8, 4096)] | None,
        Field(
            description="Pixels of an image's shorter side, that crops are taken of; default: 8/7 of the crop's longer"
        ),
    ] = None
    anchors: AnchorSpec = AnchorSpec()
    width: Annotated[
        Width | None,
        Field(description="Channels of the 3x3 convolution; default: those of the trunk's map, at most 512"),
    ] = None
    positive: Annotated[Share, Field(description="Minimum IoU of a positive anchor with an object")] = 0.5
    negative: Annotated[Share, Field(description="IoU below which an anchor is background")] = 0.3
    sample: Annotated[int, whole(2, 4096), Field(description="Anchors per image in the loss")] = 8
    sample_share: Annotated[Share, Field(description="Maximum fraction of positives among them")] = 0.5
    per_class: Annotated[
        bool, Field(description="Four box numbers for each class, as in the paper; false: the same for all classes")
    ] = True
    beta: Annotated[
        float, within(0, 10, above=True), Field(description="Error of an offset above which smooth L1 is linear")
    ] = 1 / 9
    classes: Annotated[
        Annotated[int, whole(1, 10_000)] | None, Field(description="Number of classes; default: the data's")
    ] = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> LocaliserSpec:
        if self.negative > self.positive:
            raise ValueError(f"negative: {self.negative:g} must be at most positive ({self.positive:g})")
        return self

    @property
    def boxes(self) -> int:
        """How many boxes an anchor tells: one for each class, or one for all."""
        return (self.classes or 0) if self.per_class else 1

    def decided(self) -> LocaliserSpec:
        """The same with every default filled in, which resolves to itself. ReskerasError for contradictions."""
        network = self.trunk.decided()
        plan, (height, width, _) = network.lower(), network.input_shape
        shared = self.shared or f"stage{len(network.stages)}"
        end = plan.endpoint(shared)
        if not 1 <= end < len(plan.units) - 1:
            raise ReskerasError(f"shared: {shared!r} has no map to look at; choose a stage such as stage1")
        if self.shorter is not None and self.shorter < max(height, width):
            raise ReskerasError(f"shorter: {self.shorter} is below the {height}x{width} pixels of the trunk's crop")
        sizes = self.anchors.sizes or tuple(round(min(height, width) * share, 1) for share in SHARES)
        if len({*sizes}) < len(sizes):
            raise ReskerasError("anchors.sizes: should not repeat a number")
        return self.model_copy(
            update={
                "trunk": NetworkSpec.model_validate(network.model_dump(mode="json")),
                "classes": self.classes or network.classes,
                "shared": shared,
                "shorter": self.shorter or round(max(height, width) * MARGIN),
                "anchors": self.anchors.model_copy(update={"sizes": sizes}),
                "width": self.width or min(plan.unit_shapes()[end][-1], WIDEST_RPN),
            }
        )

    def describe(self) -> str:
        """How its trunk was interpreted, in one line."""
        return self.trunk.describe()

    def channels(self) -> int:
        """Channels of the images."""
        return whole_shape(self.trunk.decided().input_shape)[-1]


def localiser_name(spec: LocaliserSpec) -> str:
    """The name a localiser goes by: its own, else that of its trunk, as `resnet-18-localiser`."""
    return spec.name or f"{name_of(spec.trunk)}-localiser"
