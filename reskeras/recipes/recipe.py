"""Recipe: how to train, as data. Named recipes are the YAML files in `recipes/`."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from reskeras.documents.fields import Spec, whole, within
from reskeras.documents.shipped import read_document
from reskeras.documents.validation import validated
from reskeras.errors import ReskerasError
from reskeras.plans.plan import Plan
from reskeras.recipes.augment import AugmentSpec
from reskeras.recipes.batch_statistics import BatchStatisticsSpec
from reskeras.recipes.class_weights import ClassWeights
from reskeras.recipes.lookahead import LookaheadSpec
from reskeras.recipes.loss import AUTO, DistillationSpec, Loss
from reskeras.recipes.optimizer import SGD, Optimizer, Pattern, check_own, chosen_kind, fields_with
from reskeras.recipes.schedule import ScheduleSpec
from reskeras.recipes.sizes import Sizes, at_largest, check_sizes
from reskeras.recipes.whitening import WhitenSpec

RunPath = Annotated[
    str,
    BeforeValidator(lambda value: os.fspath(value) if isinstance(value, os.PathLike) else value),
    Field(min_length=1, max_length=4096),
]
Form = Literal["auto", "unrolled", "scanned"]
LAST_SEED = 2**31 - 1
FLOAT = 4  # bytes
COPIES = 3  # of every parameter, beside what the optimiser keeps: the weight, its gradient, the model that is saved


class Recipe(Spec):
    """A training recipe; every field has a default, so a file sets only what differs."""

    description: Annotated[str, Field(max_length=500, description="What the recipe is for, shown in lists")] = ""
    epochs: Annotated[int, whole(1, 100_000), Field(description="Number of passes over the training images")] = 15
    iterations: Annotated[
        Annotated[int, whole(1, 100_000_000)] | None,
        Field(description="Number of updates to train for, instead of epochs; the last epoch ends early"),
    ] = None
    batch_size: Annotated[int, whole(1, 65_536), Field(description="Images per batch over all replicas")] = 128
    accumulate: Annotated[
        int, whole(1, 1024), Field(description="Split each batch into this many parts and accumulate their gradients")
    ] = 1
    learning_rate: Annotated[
        float, within(0, 100, above=True), Field(description="The rate that the schedule multiplies")
    ] = 0.1
    schedule: ScheduleSpec = ScheduleSpec()
    optimizer: Annotated[
        Optimizer, Field(description="sgd, adamw, lamb or muon, or a mapping of a kind and its own fields")
    ] = SGD
    momentum: Annotated[float, within(0, 1, below=True), Field(description="For sgd: momentum")] = 0.9
    nesterov: Annotated[bool, Field(description="For sgd: Nesterov's momentum")] = False
    weight_decay: Annotated[
        float,
        within(0, 1),
        Field(
            description="This multiple of a weight is added to its gradient (sgd) or to its update before scaling "
            "(lamb), or, times the learning rate, subtracted from it (adamw, muon)"
        ),
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
    bn_statistics: Annotated[
        BatchStatisticsSpec | None,
        Field(description="Measure batch norm's statistics anew on the images of the run that training starts from"),
    ] = None
    clip_norm: Annotated[
        Annotated[float, within(0, 1e6, above=True)] | None, Field(description="Clip the gradient's global norm")
    ] = None
    ema: Annotated[
        float,
        within(0, 1, below=True),
        Field(description="Momentum of a moving average of the weights, which is validated and saved instead; 0: off"),
    ] = 0.0
    lookahead: Annotated[
        LookaheadSpec | None, Field(description="Slow weights to which the weights return every few updates")
    ] = None
    whiten: Annotated[
        WhitenSpec | None, Field(description="Begin with a first convolution that whitens the training images")
    ] = None
    loss: Annotated[
        Loss,
        Field(
            description="auto: chosen by the data's kind of labels. Detectors and localisers take auto, or focal for "
            "the objectness of anchors"
        ),
    ] = AUTO
    teacher: Annotated[
        RunPath | None, Field(description="Run of a classifier whose outputs are learnt too: distillation")
    ] = None
    distillation: DistillationSpec = DistillationSpec()
    label_smoothing: Annotated[
        float, within(0, 1, below=True), Field(description="Share of the target that is spread over all classes")
    ] = 0.0
    class_weights: ClassWeights = "none"
    drop_path: Annotated[
        Annotated[float, within(0, 1, below=True)] | None,
        Field(description="Stochastic depth rate of the last unit, unless the network sets its own"),
    ] = None
    sync_bn: Annotated[bool, Field(description="Compute batch norm over all replicas' images; slower")] = False
    augment: AugmentSpec = AugmentSpec()
    normalise: Annotated[
        Literal["per_pixel_mean", "per_channel", "scale"],
        Field(
            description="per_pixel_mean: subtract the mean of each pixel (v1 section 4.2); per_channel: subtract each "
            "channel's mean and divide by its deviation; scale: to -1..1"
        ),
    ] = "per_channel"
    test_crop: Annotated[
        float,
        within(0.1, 1),
        Field(
            description="Side of the centre crop of a test image as a share of the image's: at 0.95, 224 pixels are "
            "the centre of 235. Evaluation, prediction and export use it too"
        ),
    ] = 1.0
    sizes: Sizes = ()
    images: Annotated[
        Annotated[int, whole(1, 100_000_000)] | None,
        Field(
            description="Train on only this many of the training images, stratified by class and drawn by the seed; a "
            "smaller number is a subset of a larger one with the same seed"
        ),
    ] = None
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
            description="auto: bf16 where the device has it; float16 with a scaled loss on older GPUs with tensor cores"
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
        Field(description="Also save the training state every this many steps, not only after each epoch"),
    ] = None
    keep: Annotated[int, whole(1, 1000), Field(description="Number of most recent training states to keep")] = 3
    seed: Annotated[
        int, whole(0, LAST_SEED), Field(description="Seed of initial weights, the order of images, and augmentation")
    ] = 0

    @model_validator(mode="after")
    def _fields_that_go_together(self) -> Recipe:
        if self.recompute and self.form == "unrolled":
            raise ValueError("recompute: needs form scanned or auto, not unrolled")
        if self.form == "scanned" and self.sync_bn:
            raise ValueError(
                "sync_bn: needs form unrolled or auto, because replicas cannot synchronise inside a loop over units"
            )
        if self.patience and not self.holdout:
            raise ValueError("patience: needs held-out images; set holdout, such as 0.1")
        if self.batch_size % self.accumulate:
            raise ValueError(f"batch_size: {self.batch_size} is not a multiple of accumulate ({self.accumulate})")
        if self.ema and self.lookahead:
            raise ValueError("ema: lookahead averages the weights too; set only one of them")
        check_own(self.optimizer, self.model_fields_set)
        return self

    @model_serializer(mode="wrap")
    def _without_the_fields_of_another_optimizer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return fields_with(self.optimizer.kind, dump(self))

    def under(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that were set, without sgd's where `changes` choose another optimiser."""
        return fields_with(chosen_kind(changes), self.sparse())

    @property
    def slots(self) -> int:
        """How many numbers the optimiser keeps at least for each weight."""
        return self.optimizer.slots if self.optimizer.kind != SGD.kind or self.momentum else 0

    @property
    def step_images(self) -> int:
        """Images of one forward and backward pass, over all replicas."""
        return self.batch_size // self.accumulate

    def steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole training."""
        return self.iterations * self.accumulate if self.iterations else self.epochs * steps_per_epoch

    def synchronises(self, replicas: int) -> bool:
        """Whether `replicas` exchange numbers inside the forward and backward pass."""
        return self.sync_bn and replicas > 1

    def check_replicas(self, count: int) -> None:
        """Raise ReskerasError when the recipe asks for what `count` replicas cannot do."""
        if count == 1:
            return
        if self.xla is True and self.synchronises(count):
            raise ReskerasError(
                f"xla: true cannot compile sync_bn over {count} replicas, which reduces inside the network; "
                "use xla auto or false"
            )
        if self.accumulate > 1:
            raise ReskerasError(
                f"accumulate: {self.accumulate} works with one replica only, but there are {count}: "
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

        The network is counted as in the plan, at the largest of `sizes` if there are any. Activations are not counted
        where parts are frozen or recomputed, so that this never exceeds what is used.
        """
        total = at_largest(plan, self.sizes).complexity().total
        kept = 0 if self.recompute or self.freeze else total.activation_bytes(images, precision)
        return (COPIES + self.slots) * FLOAT * total.parameters + kept

    @property
    def weights_classes(self) -> bool:
        """Whether the losses of classes are weighted."""
        return self.class_weights != "none"

    @property
    def soft_labels(self) -> bool:
        """Whether labels are a number for each class: smoothed or mixed, or each with a loss of its own."""
        return bool(self.label_smoothing or self.augment.mixes or self.loss.each_class)

    def check(self, plan: Plan) -> None:
        """Raise ReskerasError when a pattern matches no weight of `plan`, what is to be frozen is not in it, or images
        of the sizes do not fit it."""
        check_sizes(self.sizes, plan)
        if self.whiten:
            self.whiten.convolution(plan)
        names = plan.weight_names()
        if self.freeze is not None and plan.endpoint(self.freeze, "freeze") == len(plan.units) - 1:
            raise ReskerasError(f"freeze: {self.freeze} freezes the whole network, so nothing is left to train")
        if self.teacher is None and "distillation" in self.model_fields_set:
            raise ReskerasError("distillation: needs a run to learn from; set teacher or give --teacher RUN")
        by_name = {"decayed": self.decayed, "rate_factors": self.rate_factors, **self.optimizer.patterns}
        for field, patterns in by_name.items():
            for pattern in patterns:
                if not fnmatch.filter(names, pattern):
                    raise ReskerasError(
                        f"{field}: {pattern!r} matches no weight of this network; "
                        f"its weights are named {names[0]}, ..., {names[-1]}"
                    )


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Full batches in an epoch of `count` images; fewer than a batch are one batch."""
    return max(count // batch_size, 1)


def recipe(source: str | Path | Recipe = "quick", **fields: Any) -> Recipe:
    """The recipe that `source` names (a shipped name or a YAML file), with `fields` laid over it; None is a value, such
    as that of a recipe that does not whiten.

    Raises ReskerasError (status 2) for unknown names, fields and values.
    """
    chosen = source if isinstance(source, Recipe) else read_document("recipe", Recipe, source)
    if "epochs" in fields and chosen.iterations:
        fields.setdefault("iterations", None)  # who asks for epochs means epochs
    return validated(Recipe, {**chosen.under(fields), **fields}) if fields else chosen


def given(**fields: Any) -> dict[str, Any]:
    """Those of `fields` that were given: flags and arguments are None where they were not."""
    return {name: value for name, value in fields.items() if value is not None}
