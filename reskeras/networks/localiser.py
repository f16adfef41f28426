"""LocaliserSpec: the per-class region proposal network of v1 appendix C on a residual network, as data."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from reskeras.documents.fields import Width, whole, within
from reskeras.errors import ReskerasError
from reskeras.networks.built_on import OfEachClass, Share, named_for
from reskeras.networks.detector import WIDEST_RPN, AnchorSpec
from reskeras.networks.network import NetworkSpec

TRUNK = "trunk"  # the field that identifies a LocaliserSpec
SHARES = (1 / 4, 1 / 2, 3 / 4, 1.0)  # default anchor sizes, of the crop's shorter side; the paper does not say
MARGIN = 8 / 7  # default shorter side of an image, of the crop's longer one: 256 to 224 (v1 section 3.4)
PRIOR = 0.01  # what units begin with, so that those of many classes do not swamp the loss (arXiv:1708.02002)


class LocaliserSpec(OfEachClass):
    """A localiser as the user specifies it: it says where in an image an object of a given class is, for every class.

    The trunk's `input_shape` is the crop that it is trained on: random ones of images whose shorter side is `shorter`.
    A 3x3 convolution and two sibling 1x1 convolutions on its map predict for each anchor and class the probability
    that the anchor is on an object of the class, by a logistic unit, and that object's box. The paper leaves open which
    map is used, the anchors, their thresholds and the loss; these fields are ours.
    """

    task: ClassVar[str] = "localisation"
    on: ClassVar[str] = TRUNK
    noun: ClassVar[str] = "localiser"
    command: ClassVar[str] = "localise"
    geometry: ClassVar[str] = "exact"  # of anchors, as a detector's
    trunk: Annotated[
        NetworkSpec, named_for(TRUNK), Field(description="A residual network: its name in the catalogue, or its fields")
    ]
    shared: Annotated[
        str | None, Field(max_length=100, description="Last stage or unit of the trunk to use; default: the last stage")
    ] = None
    shorter: Annotated[
        Annotated[int, whole(8, 4096)] | None,
        Field(
            description="Pixels of the shorter side of an image that is cropped; default: 8/7 of the crop's longer side"
        ),
    ] = None
    anchors: AnchorSpec = AnchorSpec()
    width: Annotated[
        Width | None,
        Field(description="Channels of the 3x3 convolution; default: those of the trunk's map, at most 512"),
    ] = None
    sample: Annotated[int, whole(2, 4096), Field(description="Anchors per image in the loss")] = 8
    sample_share: Annotated[Share, Field(description="Maximum fraction of positives among them")] = 0.5
    beta: Annotated[
        float, within(0, 10, above=True), Field(description="Error of an offset above which smooth L1 is linear")
    ] = 1 / 9

    def decided(self) -> LocaliserSpec:
        """The same with every default filled in, which resolves to itself. ReskerasError for contradictions."""
        network = self.trunk.decided()
        plan, (height, width, _) = network.lower(), network.input_shape
        shared = self.shared or f"stage{len(network.stages)}"
        end = plan.endpoint(shared, "shared")
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
