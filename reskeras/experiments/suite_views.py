"""How a suite's networks look at test images: the fields of `evaluation` at a scale, by task; and the runs beside."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from reskeras.documents.fields import Spec, whole
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.options import CANONICAL, Options
from reskeras.tasks.localisation.views import LocaliserViews


class ViewsSpec(Spec):
    """The views that test images are evaluated in (v1 section 3.4); see `evaluation.views`."""

    views: Literal[1, 2, 6, 10] = 1
    resize: Annotated[int, whole(1, 4096)] | None = None
    scales: tuple[Annotated[int, whole(1, 4096)], ...] = ()

    @property
    def in_words(self) -> str:
        """`10 crops`."""
        if self.scales:
            return f"whole images at {' '.join(map(str, self.scales))}"
        return "a single view" if self.views == 1 else f"{self.views} {'crops' if self.views == 10 else 'views'}"


class DetectorViewsSpec(Spec):
    """How a detector looks at test images (v1 appendix B); the fields of `detection.options.Options`."""

    refine: bool = False
    scales: tuple[float, ...] = ()
    canonical: float = CANONICAL
    shorter: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _possible(self) -> DetectorViewsSpec:
        try:
            self.options()
        except ReskerasError as error:
            raise ValueError(str(error)) from error
        return self

    def options(self) -> Options:
        """As detectors take them."""
        return Options(**self.model_dump())

    @property
    def in_words(self) -> str:
        """`single scale, refined and voted`."""
        return self.options().describe()


Role = Literal["classifier", "refiner"]
TASK_OF_ROLE: dict[Role, str] = {"classifier": "classification", "refiner": "refinement"}


class LocaliserViewsSpec(Spec):
    """How a localiser looks at test images (v1 appendix C): on the centre crop, or `dense` on whole images of these
    shorter sides; with the runs `beside` it that say what is in an image (`classifier`) or score its boxes anew
    (`refiner`); as an ensemble of `members`, each a localiser and its refiner, with consecutive seeds."""

    dense: tuple[int, ...] = ()
    beside: tuple[Role, ...] = ()
    members: Annotated[int, whole(1, 10)] = 1

    @model_validator(mode="after")
    def _possible(self) -> LocaliserViewsSpec:
        try:
            self.views()
        except ReskerasError as error:
            raise ValueError(str(error)) from error
        return self

    def views(self) -> LocaliserViews:
        """As localisers take them."""
        return LocaliserViews(self.dense)

    @property
    def in_words(self) -> str:
        """`centre crop, with a refiner, ensemble of 2`."""
        members = [f"ensemble of {self.members}"] if self.members > 1 else []
        return ", ".join([self.views().describe(), *(f"with a {role}" for role in self.beside), *members])


SuiteTask = Literal["classification", "detection", "localisation"]
Views = ViewsSpec | DetectorViewsSpec | LocaliserViewsSpec
VIEWS_OF: dict[str, type[Views]] = {
    "classification": ViewsSpec,
    "detection": DetectorViewsSpec,
    "localisation": LocaliserViewsSpec,
}


def views_of(task: str, said: dict[str, Any] | None, where: str) -> Views:
    """The views that `said` asks for, by default a single one; ReskerasError (status 2) for what the task does not
    have. Tasks without views of their own have those of classifiers."""
    return validated(VIEWS_OF.get(task, ViewsSpec), said or {}, where)
