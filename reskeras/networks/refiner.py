"""RefinerSpec: the RoI-centric R-CNN of v1 appendix C on a residual network, as data."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from reskeras.documents.fields import Spec, whole, whole_shape, within
from reskeras.networks.catalog import name_of
from reskeras.networks.detector import Deviation, Share, named_network
from reskeras.networks.network import NetworkSpec

JUDGE = "judge"  # the field that identifies a RefinerSpec

Judge = Annotated[
    NetworkSpec, BeforeValidator(lambda value: named_network(value, JUDGE), json_schema_input_type=str | NetworkSpec)
]


class RefinerSpec(Spec):
    """A refiner as the user specifies it: it scores the best boxes of a localiser anew, and moves them.

    Each box is cut out of the image, warped to the judge's `input_shape`, and put through the network, which ends in
    two sibling dense layers: for each class a logistic unit and four numbers. The thresholds, shares and the loss
    are ours.
    """

    task: ClassVar[str] = "refinement"
    noun: ClassVar[str] = "refiner"
    command: ClassVar[str] = "localise"
    name: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")] | None = None
    judge: Annotated[Judge, Field(description="A residual network: its name in the catalogue, or its fields")]
    count: Annotated[int, whole(1, 2000), Field(description="Best boxes of a class that are judged")] = 200
    regions: Annotated[int, whole(1, 1000), Field(description="Regions per image of an epoch")] = 16
    positive: Annotated[Share, Field(description="Minimum IoU of a positive region with an object of the class")] = 0.5
    negative: Annotated[Share, Field(description="IoU below which a region is background")] = 0.5
    sample_share: Annotated[Share, Field(description="Fraction of positives in a batch")] = 0.25
    per_class: Annotated[
        bool, Field(description="Four box numbers for each class, as in the paper; false: the same for all classes")
    ] = True
    deviations: Annotated[
        tuple[Deviation, Deviation, Deviation, Deviation],
        Field(description="Divisors of the offsets of top, left, height and width"),
    ] = (0.1, 0.1, 0.2, 0.2)
    beta: Annotated[
        float, within(0, 10, above=True), Field(description="Error of an offset above which smooth L1 is linear")
    ] = 1.0
    classes: Annotated[
        Annotated[int, whole(1, 10_000)] | None, Field(description="Number of classes; default: the data's")
    ] = None

    @model_validator(mode="after")
    def _bounds_in_order(self) -> RefinerSpec:
        if self.negative > self.positive:
            raise ValueError(f"negative: {self.negative:g} must be at most positive ({self.positive:g})")
        return self

    @property
    def boxes(self) -> int:
        """How many boxes a region tells: one for each class, or one for all."""
        return (self.classes or 0) if self.per_class else 1

    def decided(self) -> RefinerSpec:
        """The same with every default filled in, which resolves to itself."""
        network = self.judge.decided()
        return self.model_copy(
            update={
                "judge": NetworkSpec.model_validate(network.model_dump(mode="json")),
                "classes": self.classes or network.classes,
            }
        )

    def describe(self) -> str:
        """How its judge was interpreted, in one line."""
        return self.judge.describe()

    def channels(self) -> int:
        """Channels of the images."""
        return whole_shape(self.judge.decided().input_shape)[-1]


def refiner_name(spec: RefinerSpec) -> str:
    """The name a refiner goes by: its own, else that of its judge, as `resnet-18-refiner`."""
    return spec.name or f"{name_of(spec.judge)}-refiner"
