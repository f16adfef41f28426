"""Proof that an artefact is equivalent to the model: the differences of their outputs on the same real images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf, isinf
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from reskeras.evaluation.difference import TOLERANCE, proven_difference
from reskeras.evaluation.intervals import Interval, paired, wilson
from reskeras.evaluation.multilabel import mean_average_precision
from reskeras.export.speed import Speed
from reskeras.printable import short_repr

DIFFERENCE, DISAGREEMENT = "difference", "disagreement"
TOP1, AP = "top-1", "mAP"


Difference = Annotated[float, BeforeValidator(lambda value: inf if value is None else value)]  # null in JSON


@dataclass(frozen=True)
class Trial:
    """An artefact run in another `precision` than that of its proof, on the same images.

    Whether it `holds` goes by the agreement: less precise arithmetic differs, and must not decide otherwise. An
    artefact that is `bound` to hold is rejected where it does not; else that is a finding, and `found` says where it
    begins, or why there is no answer.
    """

    precision: str
    difference: Difference
    agreement: float
    least_agreement: float
    bound: bool
    found: str = ""

    @property
    def holds(self) -> bool:
        """Whether the answers are finite and agree."""
        return not isinf(self.difference) and self.agreement >= self.least_agreement

    @property
    def objection(self) -> str:
        """Why it does not hold, in words."""
        return f"an agreement of {self.agreement:.2%} in {self.precision}, less than {self.least_agreement:.0%}"

    @property
    def verdict(self) -> str:
        """In a word or two."""
        if self.holds:
            return "agrees"
        return "REJECTED" if self.bound else "differs"


@dataclass(frozen=True)
class Operation:
    """An operation alone, on what the artefact gave it: the share of its results that equal those of the exact
    arithmetic, and by how many `steps` the farthest differs."""

    name: str
    equal: float
    steps: float


@dataclass(frozen=True)
class IntegerProof:
    """An integer artefact compared with the exact arithmetic of the network's integer form.

    `equal`: the share of logits that are the same integer; `steps`: by how many the farthest differs; `top`: the share
    of images with the same top class. `floats`: operations that compute in float32 and should not; `changed`: layers
    whose constants are not those of the network. `worst` is the operation that differs most by itself. `bits` are those
    of the weights. `instructions` are those for integers of the processor that it was computed on.
    """

    bits: int
    equal: float
    steps: float
    top: float
    floats: tuple[str, ...]
    changed: tuple[str, ...]
    worst: Operation
    instructions: tuple[str, ...] = ()

    @property
    def criteria(self) -> dict[str, tuple[bool, str]]:
        """Whether each criterion is met, and what is found, in words."""
        most, least = (3, 0.995) if self.bits == 8 else (8, 0.99)
        return {
            "floats": (not self.floats, f"operations in float32: {', '.join(self.floats)}"),
            "constants": (not self.changed, f"other weights than the network in {', '.join(self.changed[:3])}"),
            "operations": (self.worst.steps <= 1, f"{self.worst.name} differs by {self.worst.steps:.3g} steps"),
            "equal": (self.equal >= 0.85, f"{self.equal:.2%} of logits as computed in integers, less than 85%"),
            "steps": (self.steps <= most, f"a logit that differs by {self.steps:.3g} steps, more than {most}"),
            "top": (self.top >= least, f"an agreement of {self.top:.2%} with the integer form, less than {least:.1%}"),
        }

    @property
    def figures(self) -> dict[str, str]:
        """The figures by what they are called in tables."""
        worst = self.worst
        return {
            "constants": "changed" if self.changed else "equal",
            "float operations": f"{len(self.floats)}",
            "operations alone": f"{worst.equal:.3%}, {worst.steps:g} steps ({worst.name})",
            "equal logits": f"{self.equal:.2%}",
            "farthest": f"{self.steps:g} steps",
            "top class": f"{self.top:.2%}",
            "processor": ", ".join(self.instructions) or "no instructions for integers",
        }

    @property
    def holds(self) -> bool:
        """Whether the artefact computes what the integer form does."""
        return not self.objections

    @property
    def objections(self) -> list[str]:
        """What speaks against it, in words."""
        return [found for met, found in self.criteria.values() if not met]


@dataclass(frozen=True)
class Proof:
    """An artefact compared with the Keras model on `images` real images.

    `difference` is the largest difference of logits, see `proven_difference`; `agreement` the share of images with
    the same top class; accuracies are top-1, as `accuracy_of` says; for multi-label images see `prove_labels`, for
    detectors `detection_proof.py`. `gained` are the images that only the artefact gets right, `lost` those that only
    the Keras model does; None where they are not counted. What is compared with the tolerance is `measure`: the
    difference, or for integer arithmetic, which saturates beyond its calibrated ranges, the `disagreement`,
    1 - agreement; and the agreement must be at least `least_agreement`. `keras_noise` is how much Keras' own outputs
    differ, in the terms of `difference`, when images are evaluated one at a time; it is measured when a proof fails: of
    a network that amplifies rounding errors so much, as a deep untrained one may, no artefact can agree better. `crash`
    says why an artefact could not be made or run at all. `against` describes the network of another library in which
    exported weights were verified. `batch` is how many images the artefact takes at a time, None for any number;
    `trials` are runs in other precisions, `integers` the comparison of integer kinds with exact arithmetic. `model` is
    the digest of the model that it was made of, "" in older reports, and it is `stale` if the run has another one by
    now. `speed` is of the machine that measured it last; None where that was left out, and in older reports.
    """

    kind: str
    path: str
    bytes: int
    images: int
    difference: Difference
    tolerance: float
    agreement: float
    keras_accuracy: float
    accuracy: float
    measure: str = DIFFERENCE
    keras_noise: float | None = None
    accuracy_of: str = TOP1
    least_agreement: float = 0.0
    crash: str | None = None
    against: str | None = None
    batch: int | None = None
    trials: tuple[Trial, ...] = ()
    integers: IntegerProof | None = None
    model: str = ""
    stale: bool = False
    gained: int | None = None
    lost: int | None = None
    speed: Speed | None = None

    def __repr__(self) -> str:
        verdict = "agrees" if self.holds else "REJECTED"
        return short_repr(
            self,
            f"{self.kind} {verdict}",
            difference=self.difference,
            agreement=self.agreement,
            accuracy=self.accuracy,
            path=self.path,
        )

    @property
    def measured(self) -> float:
        """The figure that is compared with the tolerance; infinite for outputs that prove nothing."""
        return self.difference if self.measure == DIFFERENCE or isinf(self.difference) else 1 - self.agreement

    @property
    def holds(self) -> bool:
        """Whether the artefact is equivalent to the model, within tolerance."""
        own = self.measured <= self.tolerance and self.agreement >= self.least_agreement
        own = own and (self.integers is None or self.integers.holds)
        return own and all(trial.holds for trial in self.trials if trial.bound)

    @property
    def interval(self) -> Interval | None:
        """That of the accuracy, where it is a share of images."""
        return wilson(round(self.accuracy * self.images), self.images) if self.accuracy_of == TOP1 else None

    @property
    def change(self) -> Interval | None:
        """The interval of how much the accuracy differs from the Keras model's, on the same images."""
        if self.gained is None or self.lost is None:
            return None
        return paired(self.gained, self.lost, self.images)

    @property
    def verdict(self) -> str:
        """In a few words."""
        if not self.holds:
            return "REJECTED"
        return "agrees, with an older model" if self.stale else "agrees"

    @property
    def objection(self) -> str:
        """Why the proof does not hold, in words."""
        if self.crash:
            return f"{self.path} {self.crash}"
        noise = (
            f" (Keras' own outputs differ by {self.keras_noise:.2g} when images are evaluated one at a time)"
            if self.keras_noise is not None
            else ""
        )
        found = (
            [f"a {self.measure} of {self.measured:.2g}, more than {self.tolerance:g}"]
            if not self.measured <= self.tolerance
            else []
        )
        found += (
            [f"an agreement of {self.agreement:.2%}, less than {self.least_agreement:.0%}"]
            if self.agreement < self.least_agreement
            else []
        )
        found += self.integers.objections if self.integers else []
        found += [trial.objection for trial in self.trials if trial.bound and not trial.holds]
        return f"{self.path} has {' and '.join(found)}{noise}"

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain data for JSON, with what follows from them."""
        return {**asdict(self), "holds": self.holds, "interval": self.interval, "change": self.change}


def prove(kind: str, path: str, size: int, logits: np.ndarray, reference: np.ndarray, labels: np.ndarray) -> Proof:
    """Compare the `logits` of an artefact with the Keras model's `reference`, both (images, classes).

    Outputs that are not finite, or constant over the images, prove nothing: their difference is infinite.
    """
    difference = proven_difference(logits, reference)
    finite = np.isfinite(logits).all(axis=1)
    top, expected = np.where(finite, logits.argmax(axis=1), -1), reference.argmax(axis=1)
    return Proof(
        kind,
        path,
        bytes=size,
        images=len(labels),
        difference=difference,
        tolerance=TOLERANCE,
        agreement=float((top == expected).mean()),
        keras_accuracy=float((expected == labels).mean()),
        accuracy=float((top == labels).mean()),
        gained=int(((top == labels) & (expected != labels)).sum()),
        lost=int(((top != labels) & (expected == labels)).sum()),
    )


def prove_labels(
    kind: str, path: str, size: int, logits: np.ndarray, reference: np.ndarray, labels: np.ndarray
) -> Proof:
    """As `prove`, for multi-label images, whose `labels` are uint8 (images, classes).

    Agreement is the share of labels that both give (at a probability of 1/2) among those that either gives; accuracies
    are mean average precision.
    """
    given, expected = logits > 0, reference > 0  # what is no number is not given
    either = (given | expected).sum()
    return Proof(
        kind,
        path,
        bytes=size,
        images=len(labels),
        difference=proven_difference(logits, reference),
        tolerance=TOLERANCE,
        agreement=float((given & expected).sum() / either) if either else 1.0,
        keras_accuracy=mean_average_precision(labels, reference),
        accuracy=mean_average_precision(labels, logits),
        accuracy_of=AP,
    )
