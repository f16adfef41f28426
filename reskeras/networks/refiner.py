"""RefinerSpec: the RoI-centric R-CNN of v1 appendix C on a residual network, as data."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from reskeras.documents.fields import whole, within
from reskeras.networks.built_on import OfEachClass, Share, named_for
from reskeras.networks.detector import Deviation
from reskeras.networks.network import NetworkSpec

JUDGE = "judge"  # the field that identifies a RefinerSpec


class RefinerSpec(OfEachClass):
    """A refiner as the user specifies it: it scores the best boxes of a localiser anew, and moves them.

    Each box is cut out of the image, warped to the judge's `input_shape`, and put through the network, which ends in
    two sibling dense layers: for each class a logistic unit and four numbers. The thresholds, shares and the loss
    are ours.
    """

    task: ClassVar[str] = "refinement"
    on: ClassVar[str] = JUDGE
    noun: ClassVar[str] = "refiner"
    command: ClassVar[str] = "localise"
    judge: Annotated[
        NetworkSpec, named_for(JUDGE), Field(description="A residual network: its name in the catalogue, or its fields")
    ]
    count: Annotated[int, whole(1, 2000), Field(description="Number of a class's best boxes that are scored")] = 200
    regions: Annotated[int, whole(1, 1000), Field(description="Regions per image in an epoch")] = 16
    negative: Annotated[Share, Field(description="IoU below which a box is background")] = 0.5
    sample_share: Annotated[Share, Field(description="Fraction of positives in a batch")] = 0.25
    deviations: Annotated[
        tuple[Deviation, Deviation, Deviation, Deviation],
        Field(description="Divisors of the offsets of top, left, height and width"),
    ] = (0.1, 0.1, 0.2, 0.2)
    beta: Annotated[
        float, within(0, 10, above=True), Field(description="Error of an offset above which smooth L1 is linear")
    ] = 1.0

    def decided(self) -> RefinerSpec:
        """The same with every default filled in, which resolves to itself."""
        network = self.judge.decided()
        return self.model_copy(
            update={
                "judge": NetworkSpec.model_validate(network.model_dump(mode="json")),
                "classes": self.classes or network.classes,
            }
        )
