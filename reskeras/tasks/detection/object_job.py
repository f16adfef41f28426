"""What trainings on annotated images have in common, whatever is built on the network: the base of their subjects and
jobs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError
from reskeras.networks.built_on import BuiltOnNetwork
from reskeras.networks.overrides import laid_over
from reskeras.plans.plan import Plan
from reskeras.plans.plan_data import unit_data
from reskeras.recipes.recipe import Recipe
from reskeras.tasks.detection.model import TrainedDetector
from reskeras.tasks.detection.object_feed import most_objects, used_images
from reskeras.tasks.detection.object_warnings import drawn_part, untested
from reskeras.tasks.detection.objects import Objects
from reskeras.tasks.detection.weighting import Weighting, check_weighting
from reskeras.tasks.task import find_task
from reskeras.training.form import training_context
from reskeras.training.job import Job
from reskeras.training.optimizer import optimizer_of
from reskeras.training.own_parts import NO_PARTS, OwnParts
from reskeras.training.transfer import freeze

# fields of a recipe that do not apply to annotated images, and the values that leave them off
ONLY_CLASSIFIERS: dict[str, tuple] = {
    "label_smoothing": (0.0,),
    "test_crop": (1.0,),
    "sizes": ((),),
    "xla": ("auto", False),
    "teacher": (None,),
}


@dataclass(frozen=True)
class ObjectSubject:
    """What is built on a network, as it was `lowered`, and the annotated images that it is trained on.

    Subclasses have a `measure`, and implement what else a Subject has.
    """

    lowered: Any
    name: str
    source: Source[Objects]
    preprocessing: Preprocessing
    own: OwnParts = NO_PARTS
    built: ClassVar[Callable[..., TrainedDetector]]  # its training model, of what was lowered

    @property
    def plan(self) -> Plan:
        """All units."""
        return self.lowered.everything

    def described(self) -> dict[str, Any]:
        """Units, canvas, and everything that determines the targets, for the fingerprint of checkpoints."""
        return {
            "units": [unit_data(unit) for unit in self.plan.units],
            "input": self.plan.input_shape,
            **self.targets(),
        }

    @abstractmethod
    def targets(self) -> dict[str, Any]:
        """What determines the targets, as plain data."""

    def compiled(self, recipe: Recipe, steps: int, synchronized: bool = False) -> TrainedDetector:
        """The training model in the recipe's precision and form, with its optimiser."""
        most = most_objects(self.source, recipe.augment)
        context = training_context(self.plan, recipe, synchronized)
        weighting = Weighting.of(recipe, self.source)
        model = type(self).built(self.lowered, self.name, most, context, recipe.freeze, weighting)
        freeze(model, self.lowered.network, recipe.freeze, recipe.frozen_bn)
        # shapes inside follow what a batch holds, which XLA cannot compile
        model.compile(optimizer=optimizer_of(model, recipe, steps, self.own.optimizer), jit_compile=False)
        return model


@dataclass(frozen=True)
class ObjectJob(Job):
    """Trains what is built on a network on annotated images by a recipe. ReskerasError when these contradict."""

    spec: BuiltOnNetwork
    source: Source[Objects]
    only_classifiers: ClassVar[Mapping[str, tuple]] = ONLY_CLASSIFIERS

    @cached_property
    def fitted(self) -> Any:
        """The spec with the classes of the data, and the recipe's stochastic depth."""
        spec, classes = self.spec, len(self.source.classes)
        if spec.sparse().get("classes", classes) != classes:
            raise ReskerasError(f"classes: {spec.classes} contradicts {self.source.name}, which has {classes} classes")
        if spec.channels() != self.source.channels:
            raise ReskerasError(
                f"{spec.on}.input_shape: {spec.channels()} channels contradict {self.source.name}, "
                f"whose images have {self.source.channels}"
            )
        if self.recipe.drop_path is not None and spec.network.drop_path is None:
            spec = laid_over(spec, {f"{spec.on}.drop_path": self.recipe.drop_path})
        return laid_over(spec, {"classes": classes})

    @cached_property
    def lowered(self) -> Any:
        """The plans of its parts."""
        return find_task(self.task).plan(self.fitted)

    @cached_property
    def plan(self) -> Plan:
        """All its units."""
        _check_recipe(self.recipe, self.own, self.only_classifiers, self.source.classes)
        plan = self.lowered.everything
        self.recipe.check(plan)
        if self.recipe.freeze is not None:
            self.lowered.network.endpoint(self.recipe.freeze, "freeze")  # its own layers are always trainable
        return plan

    @property
    def computed_whole(self) -> Plan:
        """The part that is computed once per image."""
        return self.lowered.shared

    @property
    def name(self) -> str:
        """`resnet-18-detector-bccd`."""
        return f"{find_task(self.task).name_of(self.spec)}-{Path(self.source.name.replace(':', '/')).name}"

    @property
    def notes(self) -> tuple[str, ...]:
        """How many images are used where not all are, and classes that are not tested."""
        test = self.source.test
        counts = np.bincount(test.labels[~test.ignored], minlength=len(self.source.classes)).tolist()
        train, used = self.source.training_images("train"), used_images(self.source, self.recipe)
        return (
            *drawn_part(train, used, self.source.classes),
            *untested(dict(zip(self.source.classes, counts, strict=True))),
        )

    def preprocessing(self) -> Preprocessing:
        """How images are normalised, measured on the training images."""
        height, width, channels = self.lowered.input_shape
        return Preprocessing.fit(self._used(), height, width, channels, self.recipe.normalise)

    def _used(self) -> Split:
        return used_images(self.source, self.recipe).images()


def _check_recipe(recipe: Recipe, own: OwnParts, only_classifiers: Mapping[str, tuple], classes: Sequence[str]) -> None:
    """ReskerasError for what does not apply to annotated images."""
    for name in own.described():
        if name != "optimizer":
            raise ReskerasError(f"{name}: a function of your own is only for classifiers")
    if recipe.normalise == "per_pixel_mean":
        raise ReskerasError("normalise: 'per_pixel_mean' is only for images of one size; use per_channel or scale")
    check_weighting(recipe, classes)
    for field, off in only_classifiers.items():
        if getattr(recipe, field) not in off:
            raise ReskerasError(f"{field}: {getattr(recipe, field)!r} is only for classifiers")
