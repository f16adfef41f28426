"""A trained refiner's run, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from reskeras.caller_state import preserved
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.networks.refiner import RefinerSpec
from reskeras.networks.refiner_plan import lower_refiner
from reskeras.tasks.detection.object_run import ObjectRun
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.localisation.evaluation import LocalisationEvaluation
from reskeras.tasks.localisation.run import LocaliserRun
from reskeras.tasks.refinement.refiner import Refiner

if TYPE_CHECKING:
    from reskeras.tasks.localisation.export import RefinerExporter


class RefinerRun(ObjectRun):
    """A trained refiner."""

    task: ClassVar[str] = "refinement"

    @preserved()
    def refiner(self) -> Refiner:
        """The best model, ready for image files."""
        spec = cast(RefinerSpec, self.folder.spec())  # a run is opened as of its own task alone
        return Refiner(lower_refiner(spec), read(self.model()), self.preprocessing())

    def localiser(self) -> LocaliserRun:
        """The run whose boxes it learnt to judge; ReskerasError (status 2) where it has gone."""
        path = self.folder.recipe().teacher
        if path is None:
            raise ReskerasError(f"run: {self.path} does not say whose boxes it judges; give the localiser's run")
        return LocaliserRun.named_by("teacher", path)

    def judge(self, source: Source[Objects], images: Objects) -> LocalisationEvaluation:
        """Errors where the class is given, of the localiser's boxes by centre crops."""
        return self.localiser().judged_with(self, source, images)

    def check_export(
        self, kinds: tuple[str, ...], tolerances: Mapping[str, float], batch: int | None, images: int
    ) -> None:
        """As any run on annotated images."""
        from reskeras.tasks.localisation.export import RefinerExporter

        RefinerExporter.check(kinds, tolerances, batch, images)

    def exporter(self, source: Source[Objects], **request: Any) -> RefinerExporter:
        """Of `serving`, with the localiser whose boxes it judges in the same artefact."""
        from reskeras.tasks.localisation.export import RefinerExporter, Weighted

        own = Weighted(self.plan, read(self.model()), self.preprocessing())
        first = self.localiser().weighted()
        return RefinerExporter.of(self.folder, source, self.name, localiser=first, refiner=own, **request)
