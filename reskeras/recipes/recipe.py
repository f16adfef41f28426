"""Recipe: how to train, as data. Named recipes are the YAML files in `recipes/`."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from reskeras.documents.fields import Spec, whole, within
from reskeras.documents.shipped import read_document
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.plans.plan import Plan
from reskeras.recipes.augment import AugmentSpec
from reskeras.recipes.loss import AUTO, DistillationSpec, Loss

Pattern = Annotated[str, Field(min_length=1, max_length=200)]  # shell style, of names such as stage1_unit1_conv1/kernel
RunPath = Annotated[
    str,
    BeforeValidator(lambda value: os.fspath(value) if isinstance(value, os.PathLike) else value),
    Field(min_length=1, max_length=4096),
]
Form = Literal["auto", "unrolled", "scanned"]
Capability = tuple[int, int]  # of CUDA, such as (8, 0)
# compute capabilities from which NVIDIA's GPUs have tensor cores for a precision, and the first such generation
CAPABILITIES: dict[str, tuple[Capability, str]] = {
    "mixed_bfloat16": ((8, 0), "Ampere"),
    "mixed_float16": ((7, 0), "Volta"),
}
# fields, by path, that the checkpoints of earlier versions do not know, nor their suites all but the first: at their
# defaults a training is the same as without them
LATER = ("xla", "loss", "teacher", "distillation")
FLOAT = 4  # bytes
COPIES = 4  # of every parameter: the weight, its momentum, its gradient, and the model that is saved


class ErrorWarmupSpec(Spec):
    """A warm-up that ends when the network has begun to learn: `rate` times the learning rate until the training
    error is below `error` (v1 section 4.2: 0.01 instead of 0.1 until 80 %, for 110 layers)."""

    rate: Annotated[float, within(0, 1, above=True, below=True)] = 0.1
    error: Annotated[float, within(0, 1, above=True, below=True)] = 0.8
    from_layers: Annotated[int, whole(0, 10_000), Field(description="Networks of fewer layers do not warm up")] = 0


class ScheduleSpec(Spec):
    """The learning rate as a multiple of `learning_rate`: a linear warm-up from 0, then `kind`.

    constant: 1. cosine: half a cosine from 1 to 0. linear: a line from 1 to 0. steps: times `factor` at each of
    `drops`. plateau: times `factor` when the watched error has not fallen by `least` for `patience` epochs (v1
    section 3.4). Positions are fractions of the whole training (v1 section 4.2 drops at 1/2 and 3/4), so that a
    recipe keeps its shape for any number of epochs.
    """

    kind: Literal["constant", "cosine", "linear", "steps", "plateau"] = "cosine"
    warmup: Annotated[float, within(0, 1, below=True)] = 0.0
    warmup_until: ErrorWarmupSpec | None = None
    drops: tuple[Annotated[float, within(0, 1)], ...] = (0.5, 0.75)
    factor: Annotated[float, within(0, 1, above=True, below=True)] = 0.1
    patience: Annotated[int, whole(1, 10_000)] = 5
    least: Annotated[float, within(0, 1)] = 0.001

    @property
    def follows_length(self) -> bool:
        """Whether the rate at a step depends on how long the whole training is."""
        return self.warmup > 0 or self.kind in ("cosine", "linear", "steps")

    @property
    def in_words(self) -> str:
        """`cosine after a warm-up`."""
        return f"{self.kind} after a warm-up" if self.warmup else self.kind


class Recipe(Spec):
    """A training recipe; every field has a default, so a file sets only what differs."""

    description: Annotated[str, Field(max_length=500)] = ""
    epochs: Annotated[int, whole(1, 100_000)] = 15
    iterations: Annotated[
        Annotated[int, whole(1, 100_000_000)] | None,
        Field(description="Number of updates to train for, instead of epochs; the last epoch ends early"),
    ] = None
    batch_size: Annotated[int, whole(1, 65_536), Field(description="Images per batch over all replicas")] = 128
    accumulate: Annotated[
        int, whole(1, 1024), Field(description="Split each batch into this many parts and accumulate their gradients")
    ] = 1
    learning_rate: Annotated[float, within(0, 100, above=True)] = 0.1
    schedule: ScheduleSpec = ScheduleSpec()
    momentum: Annotated[float, within(0, 1, below=True)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[
        float, within(0, 1), Field(description="Coupled: this times the weight is added to its gradient")
    ] = 1e-4
    decayed: Annotated[tuple[Pattern, ...], Field(description="Name patterns of the weights that decay")] = (
        "*/kernel",
    )
    rate_factors: Annotated[
        dict[Pattern, Annotated[float, within(0, 1000)]],
        Field(default_factory=dict, description="Learning rate factors by name pattern of weights; 0 freezes them"),
    ]
    freeze: Annotated[
        str | None,
        Field(max_length=100, description="Freeze the network up to and including this stage or unit, such as stage2"),
    ] = None
    frozen_bn: Annotated[
        bool, Field(description="Freeze batch norm: its statistics, scale and shift stay those of the initial run")
    ] = False
    clip_norm: Annotated[
        Annotated[float, within(0, 1e6, above=True)] | None, Field(description="Clip the gradient's global norm")
    ] = None
    ema: Annotated[
        float,
        within(0, 1, below=True),
        Field(description="Momentum of a moving average of the weights, which is validated and saved instead; 0: off"),
    ] = 0.0
    loss: Annotated[Loss, Field(description="auto: that of the data's kind of labels")] = AUTO
    teacher: Annotated[
        RunPath | None, Field(description="Run of a classifier whose outputs are learnt as well: distillation")
    ] = None
    distillation: DistillationSpec = DistillationSpec()
    label_smoothing: Annotated[float, within(0, 1, below=True)] = 0.0
    class_weights: Annotated[
        Literal["none", "balanced"], Field(description="balanced: weight losses by inverse class frequency")
    ] = "none"
    drop_path: Annotated[
        Annotated[float, within(0, 1, below=True)] | None,
        Field(description="Stochastic depth rate of the last unit, unless the network sets its own"),
    ] = None
    sync_bn: Annotated[bool, Field(description="Compute batch norm over all replicas' images; slower")] = False
    augment: AugmentSpec = AugmentSpec()
    normalise: Literal["per_pixel_mean", "per_channel", "scale"] = "per_channel"
    holdout: Annotated[
        float, within(0, 0.9), Field(description="Fraction of training images held out to pick the best epoch")
    ] = 0.0
    patience: Annotated[
        Annotated[int, whole(1, 100_000)] | None,
        Field(description="Stop after this many epochs without improvement on the held-out images"),
    ] = None
    precision: Annotated[
        Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"],
        Field(
            description="auto: bf16 where the device has it; on older GPUs with tensor cores float16, its loss scaled"
        ),
    ] = "auto"
    xla: Annotated[Literal["auto"] | bool, Field(description="Compile the training step with XLA; auto: on a GPU")] = (
        "auto"
    )
    form: Annotated[Form, Field(description="How equal units are compiled; auto: scanned when there are many")] = "auto"
    recompute: Annotated[bool, Field(description="Recompute units in the backward pass; saves memory")] = False
    deterministic: Annotated[bool, Field(description="Make results bit-for-bit reproducible; slower")] = False
    checkpoint_steps: Annotated[
        Annotated[int, whole(1, 10_000_000)] | None,
        Field(description="Also save the training state after every so many steps, not only after each epoch"),
    ] = None
    keep: Annotated[int, whole(1, 1000), Field(description="Number of most recent training states to keep")] = 3
    seed: Annotated[int, whole(0, 2**31 - 1)] = 0

    @model_validator(mode="after")
    def _fields_that_go_together(self) -> Recipe:
        if self.recompute and self.form == "unrolled":
            raise ValueError("recompute needs form scanned or auto, not unrolled")
        if self.form == "scanned" and self.sync_bn:
            raise ValueError(
                "sync_bn needs form unrolled or auto: replicas cannot synchronise inside a loop over units"
            )
        if self.patience and not self.holdout:
            raise ValueError("patience needs held-out images; set holdout, such as 0.1")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of accumulate {self.accumulate}")
        return self

    @property
    def step_images(self) -> int:
        """Images of one forward and backward pass, over all replicas."""
        return self.batch_size // self.accumulate

    def identifying(self, without: Collection[str], later: Collection[str] = LATER) -> dict[str, Any]:
        """What a training is known by, as plain data: the fields but for those `without`, and but for those of `later`
        that have their defaults."""
        data = self.model_dump(mode="json", exclude={*without})
        for path in later:
            *groups, name = path.split(".")
            spec: Any = self
            part: Any = data
            for group in groups:
                spec, part = getattr(spec, group, None), (part or {}).get(group)
            if spec is not None and getattr(spec, name) == type(spec).model_fields[name].default:
                part.pop(name, None)
        return data

    def steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole training."""
        return self.iterations * self.accumulate if self.iterations else self.epochs * steps_per_epoch

    def check_replicas(self, count: int) -> None:
        """Raise ReskerasError when the recipe asks for what `count` replicas cannot do."""
        if count == 1:
            return
        if self.xla is True:  # it cannot compile their reductions
            raise ReskerasError(f"xla: true works with one replica only, and there are {count}; use auto or false")
        if self.accumulate > 1:
            raise ReskerasError(
                f"accumulate: {self.accumulate} works with one replica only, and there are {count}: "
                "Keras' optimisers accumulate gradients before reducing them over replicas; use a smaller batch_size"
            )
        if self.batch_size % count:
            raise ReskerasError(
                f"batch_size: {self.batch_size} cannot be split evenly over {count} replicas; "
                f"use a multiple, such as {-(-self.batch_size // count) * count}"
            )

    def step_bytes(self, plan: Plan, images: int, precision: str) -> int:
        """Lower bound in bytes of the memory for a step on `images` images, in a Keras dtype policy: weights, and the
        activations kept for the backward pass.

        The network is counted as in the plan. Activations are not counted where parts are frozen or recomputed, so that
        this never exceeds what is used.
        """
        total = plan.complexity().total
        kept = 0 if self.recompute or self.freeze else total.activation_bytes(images, precision)
        return COPIES * FLOAT * total.parameters + kept

    @property
    def soft_labels(self) -> bool:
        """Whether labels are a number for each class: smoothed or mixed, or each with a loss of its own."""
        return bool(self.label_smoothing or self.augment.mixes or self.loss.each_class)

    def check(self, plan: Plan) -> None:
        """Raise ReskerasError when a pattern matches no weight of `plan`, or what is to be frozen is not in it."""
        names = plan.weight_names()
        if self.freeze is not None and plan.endpoint(self.freeze) == len(plan.units) - 1:
            raise ReskerasError(f"freeze: {self.freeze} freezes the whole network, so nothing is left to train")
        if self.teacher is None and "distillation" in self.model_fields_set:
            raise ReskerasError("distillation: needs a run to learn from; set teacher, or give --teacher RUN")
        for field in ("decayed", "rate_factors"):
            for pattern in getattr(self, field):
                if not fnmatch.filter(names, pattern):
                    raise ReskerasError(
                        f"{field}: {pattern!r} matches no weight of this network; "
                        f"its weights are named {names[0]}, ..., {names[-1]}"
                    )


def gpu_precision(asked: str, capability: Capability) -> str:
    """The Keras dtype policy for `asked` on GPUs of at least compute capability `capability`.

    `auto` is the first of mixed_bfloat16 and mixed_float16 that they have tensor cores for, else float32. ReskerasError
    (status 2) for bf16 where they lack it.
    """
    if asked == "mixed_bfloat16" and capability < CAPABILITIES[asked][0]:
        raise ReskerasError(
            f"precision: {asked} needs a GPU of the {CAPABILITIES[asked][1]} generation or later, and this one has "
            f"compute capability {capability[0]}.{capability[1]}; use mixed_float16 or auto"
        )
    return next(iter(gpu_halves(capability)), "float32") if asked == "auto" else asked


def gpu_halves(capability: Capability) -> tuple[str, ...]:
    """The half-precision policies that such GPUs have tensor cores for, the best first."""
    return tuple(policy for policy, (least, _) in CAPABILITIES.items() if capability >= least)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Full batches in an epoch of `count` images; fewer than a batch are one batch."""
    return max(count // batch_size, 1)


def recipe(source: str | Path | Recipe = "quick", **fields: Any) -> Recipe:
    """The recipe that `source` names (a shipped name or a YAML file), with `fields` laid over it.

    Raises ReskerasError (status 2) for unknown names, fields and values.
    """
    chosen = source if isinstance(source, Recipe) else read_document("recipe", Recipe, source)
    changes = {name: value for name, value in fields.items() if value is not None}
    if "epochs" in changes and chosen.iterations:
        changes.setdefault("iterations", None)  # who asks for epochs means epochs
    return validated(Recipe, {**chosen.sparse(), **changes}) if changes else chosen


def batch_note(chosen: Recipe, fields: dict[str, Any], source: str | Path | Recipe) -> str:
    """A note for when the batch size was changed and the learning rate was not; empty if there is nothing to note.

    The gradient of a batch is a mean, so the learning rate depends on the batch size: proportionally, as a rule
    (arXiv:1706.02677).
    """
    if fields.get("batch_size") is None or fields.get("learning_rate") is not None:
        return ""
    meant = recipe(source).batch_size
    if 0.5 < chosen.batch_size / meant < 2:
        return ""
    rate = chosen.learning_rate
    return (
        f"learning_rate {rate:g} is meant for batches of {meant} images; the usual rule for {chosen.batch_size} is "
        f"--learning-rate {rate * chosen.batch_size / meant:.2g}"
    )
