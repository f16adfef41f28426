"""What tasks on annotated images have in common: specs that are built on a network, whose weights they begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.networks.any_spec import AnySpec
from reskeras.networks.built_on import BuiltOnNetwork, built_name
from reskeras.networks.network import NetworkSpec
from reskeras.networks.overrides import laid_over
from reskeras.readers import OBJECTS
from reskeras.tasks.task import Task

if TYPE_CHECKING:
    from reskeras.data.source import Source
    from reskeras.report.sections import Table
    from reskeras.tasks.detection.objects import Objects
    from reskeras.tasks.run import Run
    from reskeras.training.transfer import Start


class ObjectTask(Task):
    """A task whose specs are built on a network. `fresh` are the layers, by pattern, that a network for classification
    lacks, or whose shapes depend on classes and anchors."""

    annotation: ClassVar[str] = OBJECTS
    pipeline: ClassVar[str] = "object-detection"
    fresh: ClassVar[tuple[str, ...]]

    def network(self, spec: BuiltOnNetwork) -> NetworkSpec:
        """What it is built on."""
        return spec.network

    def name_of(self, spec: BuiltOnNetwork) -> str:
        """`resnet-18-detector`."""
        return built_name(spec)

    def tables(self, plan: Any) -> Sequence[Table]:
        """The stages of all parts."""
        from reskeras.report.stage_table import stage_table

        return [stage_table(plan.parts)]

    def beginning_spec(self, spec: Any, source: Source[Objects]) -> AnySpec:
        """`spec` with the number of classes of the data."""
        return laid_over(spec, {"classes": len(source.classes)})

    def start(self, begun: Run) -> Start:
        """The weights of a run of this task, or of a classifier with the same network, without its logits; a per-pixel
        mean becomes a per-channel one, because images are shown at any position."""
        start = super().start(begun)
        weights = start.weights
        if begun.task != self.name:
            weights = {name: value for name, value in weights.items() if not name.startswith("logits/")}
        return replace(start, weights=weights, preprocessing=start.preprocessing.by_channel(), fresh=self.fresh)
