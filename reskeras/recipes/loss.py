"""Losses of classifiers as data: one class per kind, with the fields that it has; and distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from reskeras.documents.fields import Spec, one_of, within


class LossSpec(Spec):
    """Base of all losses. `each_class`: every class has a loss of its own, so that an image may show several; the
    targets are float (n, classes)."""

    kind: str
    each_class: ClassVar[bool] = False


class Auto(LossSpec):
    """cross_entropy, or binary_cross_entropy where an image of the data may show several classes."""

    kind: Literal["auto"] = "auto"


class CrossEntropy(LossSpec):
    """Cross-entropy of the softmax of all logits: an image shows one class."""

    kind: Literal["cross_entropy"] = "cross_entropy"


class EachClassSpec(LossSpec):
    """A loss of each class's sigmoid, averaged over the classes, or summed."""

    each_class: ClassVar[bool] = True
    sum_classes: Annotated[bool, Field(description="Sum the losses of an image's classes instead of averaging")] = False


class BinaryCrossEntropy(EachClassSpec):
    """Cross-entropy of each class's sigmoid (arXiv:2110.00476, section 3.2).

    With `threshold` targets above it are 1, all others 0: each class of a mixed image is then fully present, and label
    smoothing is undone. The paper's recipes have 0.2.
    """

    kind: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    threshold: Annotated[
        Annotated[float, within(0, 1, below=True)] | None,
        Field(description="Make smoothed and mixed targets 1 above this and 0 elsewhere"),
    ] = None


class Focal(EachClassSpec):
    """Binary cross-entropy times (1 - p)^gamma, where p is the probability of being right, and alpha for a class that
    the image shows, 1 - alpha for one that it does not (arXiv:1708.02002, equation 5); without alpha neither is
    weighted."""

    kind: Literal["focal"] = "focal"
    gamma: Annotated[float, within(0, 20), Field(description="0 is binary cross-entropy")] = 2.0
    alpha: Annotated[
        Annotated[float, within(0, 1)] | None,
        Field(description="Weight of the classes that an image shows; null: no weights"),
    ] = 0.25


LOSSES: dict[str, type[LossSpec]] = {
    "auto": Auto,
    "cross_entropy": CrossEntropy,
    "binary_cross_entropy": BinaryCrossEntropy,
    "focal": Focal,
}
AUTO = Auto(kind="auto")

if TYPE_CHECKING:  # the choices are the table's, which only run time knows
    Loss: TypeAlias = LossSpec
else:
    Loss = one_of(LOSSES)


class DistillationSpec(Spec):
    """How much is learnt from a teacher: the loss is (1 - share) x that of the labels + share x T^2 x the divergence
    KL(teacher, student) of both outputs at temperature T (arXiv:1503.02531)."""

    temperature: Annotated[float, within(0, 1000, above=True), Field(description="T, by which logits are divided")] = (
        4.0
    )
    share: Annotated[float, within(0, 1, above=True), Field(description="Weight of the teacher in the loss")] = 0.9
