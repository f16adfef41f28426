"""Recipe: how to train, as data. Named recipes are the YAML files in `recipes/`."""

from __future__ import annotations

import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reskeras.errors import ReskerasError, unknown
from reskeras.spec.augment import AugmentSpec
from reskeras.spec.document import parse_yaml, read_yaml
from reskeras.spec.fields import Spec, integer, number
from reskeras.spec.plan import Plan
from reskeras.spec.validation import validated

Pattern = Annotated[str, Field(min_length=1, max_length=200)]  # shell style, of names such as stage1_unit1_conv1/kernel
Form = Literal["auto", "unrolled", "scanned"]


class ScheduleSpec(Spec):
    """The learning rate as a multiple of `learning_rate`: a linear warm-up from 0, then `kind`.

    constant: 1. cosine: half a cosine from 1 to 0. steps: times `factor` at each of `drops`. Where things
    happen is told as a share of the whole training (v1 section 4.2 drops at 1/2 and 3/4), so that a recipe
    keeps its shape for any number of epochs.
    """

    kind: Literal["constant", "cosine", "steps"] = "cosine"
    warmup: number(0, 1, below=True) = 0.0
    drops: tuple[number(0, 1), ...] = (0.5, 0.75)
    factor: number(0, 1, above=True, below=True) = 0.1


class Recipe(Spec):
    """A training recipe; every field has a default, so that a file says only what differs."""

    description: Annotated[str, Field(max_length=500)] = ""
    epochs: integer(1, 100_000) = 15
    batch_size: integer(1, 65_536) = 128
    learning_rate: number(0, 100, above=True) = 0.1
    schedule: ScheduleSpec = ScheduleSpec()
    momentum: number(0, 1, below=True) = 0.9
    nesterov: bool = False
    weight_decay: Annotated[number(0, 1), Field(description="Coupled: this times a weight joins its gradient")] = 1e-4
    decayed: Annotated[tuple[Pattern, ...], Field(description="Names of the weights that decay")] = ("*/kernel",)
    rate_factors: Annotated[dict[Pattern, number(0, 1000)], Field(
        default_factory=dict, description="Names of weights to a factor of their learning rate; 0 keeps them")]
    clip_norm: Annotated[number(0, 1e6, above=True) | None, Field(description="Bound on the gradient's norm")] = None
    augment: AugmentSpec = AugmentSpec()
    normalise: Literal["per_pixel_mean", "per_channel", "scale"] = "per_channel"
    holdout: Annotated[number(0, 0.9), Field(description="Share of training images that picks the best epoch")] = 0.0
    precision: Literal["auto", "float32", "mixed_bfloat16"] = "auto"
    form: Annotated[Form, Field(description="How equal units are compiled; auto: scanned when there are many")] = "auto"
    recompute: Annotated[bool, Field(description="The backward pass computes units again; saves memory")] = False
    seed: integer(0, 2**31 - 1) = 0

    @model_validator(mode="after")
    def _recomputes_in_a_loop(self) -> Recipe:
        if self.recompute and self.form == "unrolled":
            raise ValueError("recompute goes with form scanned or auto, not with unrolled")
        return self

    def check(self, plan: Plan) -> None:
        """Raise ReskerasError when a pattern matches no weight of `plan`."""
        names = plan.weight_names()
        for field in ("decayed", "rate_factors"):
            for pattern in getattr(self, field):
                if not fnmatch.filter(names, pattern):
                    raise ReskerasError(f"{field}: {pattern!r} matches no weight of this network; "
                                        f"its weights are called {names[0]}, ..., {names[-1]}")


def recipe_names() -> list[str]:
    """Names of the recipes that come with reskeras."""
    return sorted(entry.name.removesuffix(".yaml") for entry in files("reskeras.spec.recipes").iterdir()
                  if entry.name.endswith(".yaml"))


def recipe(source: str | Path | Recipe = "quick", **fields: Any) -> Recipe:
    """The recipe that `source` names (a shipped name or a YAML file), with `fields` laid over it.

    Raises ReskerasError (status 2) for unknown names, fields and values.
    """
    if isinstance(source, Recipe):
        chosen = source
    elif str(source) in recipe_names():
        text = (files("reskeras.spec.recipes") / f"{source}.yaml").read_text(encoding="utf-8")
        chosen = validated(Recipe, *_with_place(parse_yaml(text, f"recipe {source}"), f"recipe {source}"))
    elif Path(source).is_file():
        chosen = validated(Recipe, *_with_place(read_yaml(Path(source)), str(source)))
    elif Path(source).suffix in (".yaml", ".yml", ".json"):
        raise ReskerasError(f"recipe: there is no file {source}")
    else:
        raise unknown("recipe", source, recipe_names())
    changes = {name: value for name, value in fields.items() if value is not None}
    return validated(Recipe, {**chosen.sparse(), **changes}) if changes else chosen


def _with_place(parsed: tuple, where: str) -> tuple:
    data, lines = parsed
    return data, where, lines
