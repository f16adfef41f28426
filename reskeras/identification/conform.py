"""A model compared with the papers: its closest spec, its deviations, and whether that spec is the same function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from reskeras.documents.document import to_yaml
from reskeras.errors import ReskerasError
from reskeras.files import write_text
from reskeras.identification.archive import read_config
from reskeras.identification.canonical import canonical
from reskeras.identification.closest import Closest, closest
from reskeras.identification.deviations import (
    PARTS,
    UNIT_SECTION,
    Deviation,
    deviations,
    precision_deviation,
    reference,
)
from reskeras.identification.dtype_policies import QUANTISED
from reskeras.identification.foreign import Foreign, Unlike
from reskeras.identification.functional import functional
from reskeras.identification.graph import read_graph
from reskeras.identification.layer_classes import strange_layers
from reskeras.identification.pixels import is_known, split
from reskeras.identification.series import series
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.catalog import name_of
from reskeras.networks.diff import Step, UnitChange, unit_changes
from reskeras.networks.vgg import VggSpec
from reskeras.plans import operations as op
from reskeras.printable import few, short_repr


@dataclass(frozen=True)
class Conformity:
    """What a Keras model is, judged by its graph alone.

    spec: the closest one, None where none is near; `why` then gives the reason. name: that spec's name.
    paper and source: the paper's network that it is compared with. deviations: where it differs from that network.
    obstacles: operations in which the spec and the model differ as functions, as `reskeras diff` writes them from the
    spec to the model. preprocessing: what the model does to its pixels ahead of the network; not part of the spec.
    softmax: the model ends in one, and the spec's model returns the logits before it. layers: where the spec is exact,
    the model's layer for each operation that has weights, MODEL/LAYER for a layer of a nested model.
    """

    spec: AnyNetwork | None = None
    name: str | None = None
    paper: str | None = None
    source: str | None = None
    deviations: tuple[Deviation, ...] = ()
    obstacles: tuple[UnitChange, ...] = ()
    preprocessing: tuple[op.Op, ...] = ()
    softmax: bool = False
    why: str = ""
    layers: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        return short_repr(
            self,
            self.name or f"not a network in this design space: {self.why}",
            exact=self.exact,
            deviations=len(self.deviations),
            obstacles=len(self.obstacles),
        )

    @property
    def exact(self) -> bool:
        """Whether the spec, given the model's weights, compiles to the same function, from after the model's own
        preprocessing to before its softmax."""
        return self.spec is not None and not self.obstacles

    def write(self, path: str | Path) -> Path:
        """Write the spec as YAML; ReskerasError that names the obstacles when none compiles to the same function."""
        if self.spec is None:
            raise ReskerasError(f"write: the model is not a network in this design space: {self.why}")
        if self.obstacles:
            raise ReskerasError(
                "write: no spec compiles to the same function; obstacles: " + "; ".join(self.obstacles_in_words())
            )
        write_text(path, to_yaml(self.spec.sparse()))
        return Path(path)

    def obstacles_in_words(self) -> Iterator[str]:
        """The first few obstacles to the same function, in words."""
        signs = {"-": "without", "+": "with", "~": "different"}
        for change in self.obstacles[:3]:
            yield f"{change.units} {', '.join(f'{signs[step.sign]} {step.words}' for step in change.steps[:3])}"
        if len(self.obstacles) > 3:
            yield f"{len(self.obstacles) - 3} more"

    def preprocessing_in_words(self) -> Iterator[str]:
        """The model's own preprocessing, step by step."""
        return (step.words for step in self.preprocessing)

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "network": self.name,
            "spec": None if self.spec is None else self.spec.sparse(),
            "exact": self.exact,
            "paper": self.paper,
            "source": self.source,
            "why": self.why,
            "preprocessing": list(self.preprocessing_in_words()),
            "softmax": self.softmax,
            "deviations": [asdict(each) for each in self.deviations],
            "obstacles": [{**asdict(each), "section": section_of_units(each.units)} for each in self.obstacles],
        }


def conform(model: Any) -> Conformity:
    """Identify `model`: a `keras.Model`, a `.keras` or `.h5` file, a run folder, or what
    `keras.saving.serialize_keras_object` returns.

    Only the configuration is read, and no layer is instantiated: layer names, weights and the code of custom layers
    play no part. Raises ReskerasError for what has no graph to read (status 2) or is broken (status 1); a model that
    is not a network in this design space gives a Conformity without a spec.
    """
    config = read_config(model)
    try:
        tensors = read_graph(config)
        steps, nodes, shape = split(series(tensors), tensors.shape)
        nodes = canonical(nodes, shape if is_known(shape) else None)
        while nodes and isinstance(nodes[-1], op.Dropout):
            nodes = nodes[:-1]
        softmax = bool(nodes) and nodes[-1] == Foreign(name="", what="softmax")
        found = closest(nodes[:-1] if softmax else nodes, shape)
    except Unlike as reason:
        strange = [f"{name} ({kind})" for name, kind in strange_layers(config).items()]
        unknown = f"; unknown layers: {few(strange)}" if strange else ""
        return Conformity(why=f"{reason}{unknown}")
    paper = reference(found.spec)
    plans = (functional(plan, found.spec) for plan in (found.planned, found.found))
    quantised = sorted({each for each in tensors.precisions if QUANTISED in each})
    obstacles = (
        *unit_changes(*plans),
        *(UnitChange("network", (Step("+", "", "precision", f"layers in {each}"),)) for each in quantised),
    )
    layers = {} if obstacles else _layers(found)
    return Conformity(
        found.spec,
        _name(found.spec),
        paper.name,
        paper.source,
        (*deviations(found, paper.spec), *precision_deviation(tensors.precisions)),
        obstacles,
        steps,
        softmax,
        layers=layers,
    )


def _layers(found: Closest) -> dict[str, str]:
    """The names of our operations with trained weights to the model's layers; both plans are alike."""
    ours, theirs = ([each for each in plan.ops() if each.learned] for plan in (found.planned, found.found))
    return {one.name: other.name for one, other in zip(ours, theirs, strict=True)}


def _name(spec: AnyNetwork) -> str:
    """The name of a spec; a VGG is named for its depth."""
    return spec.fallback_name if isinstance(spec, VggSpec) else name_of(spec)


def section_of_units(units: str) -> str:
    """Where the papers describe the units of a change."""
    return PARTS.get(units, UNIT_SECTION)
