"""How a suite's networks look at test images: the fields of `evaluation` at a scale, by task."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import model_validator

from reskeras.documents.fields import Spec, whole
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.tasks.detection.options import CANONICAL, Options


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


SuiteTask = Literal["classification", "detection"]
Views = ViewsSpec | DetectorViewsSpec
VIEWS_OF: dict[SuiteTask, type[Views]] = {"classification": ViewsSpec, "detection": DetectorViewsSpec}


def views_of(task: SuiteTask, said: dict[str, Any] | None, where: str) -> Views:
    """The views that `said` asks for, by default a single one; ReskerasError (status 2) for what the task does not
    have."""
    return validated(VIEWS_OF[task], said or {}, where)
