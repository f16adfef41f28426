"""What a Python user calls: build, load, train, and a run with its friendly methods. The command line calls these."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reskeras.data.preprocessing import Preprocessing
from reskeras.data.registry import open_source
from reskeras.data.source import Source
from reskeras.errors import ReskerasError
from reskeras.evaluation.accuracy import Evaluation, evaluate
from reskeras.evaluation.dense import DenseNetwork
from reskeras.evaluation.prediction import Prediction, predict_files
from reskeras.evaluation.statistics import recalibrate as recalibrated
from reskeras.evaluation.views import Views
from reskeras.export.artefacts import check_kinds, export_run
from reskeras.export.proof import Proof
from reskeras.graph.compile import compile_plan
from reskeras.graph.load import load_model, save_model
from reskeras.runs import (
    CLASSES_FILE,
    MODEL_FILE,
    PREPROCESSING_FILE,
    PROVENANCE_FILE,
    RECIPE_FILE,
    RunFolder,
    check_same,
    new_run,
    open_run,
    place_for,
    provenance,
)
from reskeras.spec.catalog import name_of
from reskeras.spec.document import to_yaml
from reskeras.spec.fields import Spec
from reskeras.spec.lower import lower
from reskeras.spec.network import NetworkSpec
from reskeras.spec.recipe import Recipe, batch_note
from reskeras.spec.recipe import recipe as read_recipe
from reskeras.spec.request import network
from reskeras.spec.resolve import resolve
from reskeras.training.boards import tensorboard
from reskeras.training.feed import Feed
from reskeras.training.fit import Beside, fit
from reskeras.training.strategy import open_replicas

if TYPE_CHECKING:  # reskeras.engine imports it first, quietly
    import keras


def build(
    source: str | Path | Spec | None = None, *, outputs: Iterable[str] | None = None, after: str | None = None,
    until: str | None = None, precision: str = "float32", seed: int | None = None, form: str = "unrolled",
    recompute: bool = False, **fields: Any,
) -> keras.Model:
    """Compile a network to a Keras functional model, with fresh weights.

    `source` and `fields` are those of `reskeras.network`. Images are float32 (batch, height, width,
    channels), logits float32 (batch, classes). `outputs` names units or stages ("stage2", "stage3_unit1",
    "logits") and makes the model give a dict of their feature maps; `after` and `until` cut a slice out, a
    backbone or a head. `seed` fixes the start, operation by operation. `form` scanned makes each run of equal units one
    layer with a loop, with `recompute` computing them again in the backward pass.
    """
    spec = network(source, **fields)
    plan = lower(spec).slice(after=after, until=until)
    return compile_plan(plan, name_of(spec), outputs=outputs, precision=precision, seed=seed, form=form,
                        recompute=recompute)


def load(path: str | Path) -> keras.Model:
    """The model of a run folder, or of a `.keras` file; our layers are registered, nothing is executed."""
    path = Path(path)
    return load_model(open_run(path).model_file if path.is_dir() else path)


def build_run(spec: Spec, out: str | Path | None = None, seed: int = 0) -> Path:
    """Compile `spec` with fresh weights and save it as a run folder; returns the folder."""
    path = place_for(out, name_of(spec))
    model = build(spec, seed=seed)
    with new_run(path, spec) as run:
        save_model(model, run.path / MODEL_FILE)
        (run.path / PROVENANCE_FILE).write_text(json.dumps(provenance(seed=seed), indent=2) + "\n", encoding="utf-8")
    return path


def fitted_to_data(spec: Spec, source: Source) -> Spec:
    """`spec` with the classes and channels of `source`; ReskerasError when what was set contradicts them."""
    classes, channels = len(source.classes), source.channels
    resolved = resolve(spec) if isinstance(spec, NetworkSpec) else spec
    asked = spec.sparse()
    if asked.get("classes", classes) != classes:
        raise ReskerasError(f"classes: {asked['classes']} contradicts {source.name}, which has {classes} classes")
    if asked.get("input_shape", (channels,))[-1] != channels:
        raise ReskerasError(f"input_shape: {asked['input_shape'][-1]} channels contradict {source.name}, "
                            f"whose images have {channels}")
    return network(spec, classes=classes, input_shape=(*resolved.input_shape[:2], channels))


class Run:
    """A trained run, and what can be done with it."""

    def __init__(self, path: str | Path):
        self.folder: RunFolder = open_run(path)

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def name(self) -> str:
        """The network's name."""
        return name_of(self.folder.spec())

    def model(self) -> keras.Model:
        """The best model, float32."""
        return load_model(self.folder.model_file)

    def preprocessing(self) -> Preprocessing:
        """How images become this model's input."""
        return Preprocessing.load(self.folder.preprocessing_file)

    def source(self, data: str | None = None, data_dir: str | Path | None = None) -> Source:
        """The data the run was trained on, or `data` with the same classes."""
        self.folder.preprocessing_file  # noqa: B018 - says what is missing in a run that was only built
        known = self.folder.provenance().get("data", {})
        same = data is None or data == known.get("name")
        source = open_source(data or known["name"], data_dir or (known.get("data_dir") if same else None))
        if list(source.classes) != self.folder.classes():
            raise ReskerasError(f"data: the classes of {source.name} are not those the run was trained on")
        return source

    def evaluate(
        self, data: str | None = None, data_dir: str | Path | None = None, split: str = "test", *, views: int = 1,
        resize: int | None = None, scales: Sequence[int] = (), recalibrate: int = 0, save: bool = False,
    ) -> Evaluation:
        """Accuracy of the best model on a split (`test` or `train`), in float32.

        `views` 10 averages ten crops of images `resize` pixels square; `scales` applies the network to whole
        images and their mirror images with these shorter sides (v1 section 3.4). `recalibrate` measures batch
        norm's statistics anew over so many training images; with `save` the run's model keeps them.
        """
        looked = Views(views, resize, tuple(scales))
        if save and not recalibrate:
            raise ReskerasError("save: there is nothing to save without recalibrate")
        source, model, preprocessing = self.source(data, data_dir), self.model(), self.preprocessing()
        if recalibrate:
            images = recalibrated(model, source.train, preprocessing, recalibrate)
            if save:
                save_model(model, self.folder.model_file)
                self.folder.update_provenance(recalibrated={"images": images, "data": source.name})
        dense = DenseNetwork(lower(self.folder.spec()), model) if scales else None
        return evaluate(model, getattr(source, split), preprocessing, source.label, classes=source.classes,
                        views=looked, dense=dense)

    def predict(self, paths: Sequence[str | Path], top: int = 5) -> list[Prediction]:
        """The likeliest classes of image files."""
        return predict_files(self.model(), self.preprocessing(), self.folder.classes(), paths, top)

    def export(self, *kinds: str, data: str | None = None, data_dir: str | Path | None = None) -> list[Proof]:
        """Artefacts (`serving`, `tflite`), each proven on real test images; all kinds when none is named."""
        kinds = kinds or ("serving", "tflite")
        check_kinds(kinds)
        self.folder.model_file  # noqa: B018 - says what is missing before the data is opened
        return export_run(self.folder, kinds, self.source(data, data_dir), self.name)


def train(
    spec: str | Path | Spec, data: str = "digits", recipe: str | Path | Recipe = "quick", *,
    out: str | Path | None = None, data_dir: str | Path | None = None, resume: bool = False,
    strategy: str = "auto", devices: int | None = None, histograms: bool = False, profile: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (), tell: Callable[[str], None] = lambda note: None,
    **recipe_fields: Any,
) -> Run:
    """Train a network on data by a recipe, into a run folder.

    `recipe_fields` such as `epochs=2` are laid over the recipe. Classes and input channels follow the
    data. With `resume` a run folder that is there goes on from its newest state, and one that is not is made.
    `strategy` and `devices` are as in `training.strategy.open_replicas`. `histograms` and `profile`, a number
    of steps, add to the TensorBoard files in `logs/`. `tell` gets a line for each thing worth knowing. Raises
    ReskerasError before anything is written when the request is wrong.
    """
    replicas = open_replicas(strategy, devices)  # before TensorFlow computes anything
    spec, chosen = network(spec), read_recipe(recipe, **recipe_fields)
    replicas.check(chosen.batch_size, chosen.accumulate)
    source = open_source(data, data_dir)
    fitted = fitted_to_data(_with_drop_path(spec, chosen), source)
    plan, name = lower(fitted), f"{name_of(spec)}-{Path(source.name.replace(':', '/')).name}"
    path = place_for(out, name, resume or not replicas.is_chief)  # the chief may have made it by now
    chosen.check(plan)
    for note in (*source.notes, batch_note(chosen, recipe_fields, recipe)):
        if note:
            tell(note)
    going_on = resume and path.exists()
    if going_on:
        check_same(path, fitted, chosen, source.name)
        preprocessing = Preprocessing.load(RunFolder(path).preprocessing_file)
    else:  # every worker measures the same images
        preprocessing = Preprocessing.fit(source.train, *plan.input_shape, chosen.normalise)
    Feed(chosen, source, preprocessing, replicas).check()
    if not going_on and replicas.is_chief:
        with new_run(path, spec, fitted) as run:
            (run.path / RECIPE_FILE).write_text(to_yaml(chosen.sparse()), encoding="utf-8")
            (run.path / CLASSES_FILE).write_text("\n".join(source.classes) + "\n", encoding="utf-8")
            preprocessing.save(run.path / PREPROCESSING_FILE)
            facts = provenance(seed=chosen.seed, data=_data_facts(source, data_dir),
                               preprocessing=preprocessing.describe())
            (run.path / PROVENANCE_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    tell(f"preprocessing: {preprocessing.describe()}")
    boards = tensorboard(RunFolder(path), histograms, profile) if replicas.is_chief else []
    fit(plan, name_of(spec), chosen, source, preprocessing, RunFolder(path), replicas,
        Beside(going_on, tell, [*boards, *callbacks]))
    return Run(path)


def _with_drop_path(spec: Spec, chosen: Recipe) -> Spec:
    """`spec` with the recipe's stochastic depth, unless it says something about it itself."""
    if chosen.drop_path is None or "drop_path" not in type(spec).model_fields or "drop_path" in spec.model_fields_set:
        return spec
    return network(spec, drop_path=chosen.drop_path)


def _data_facts(source: Source, data_dir: str | Path | None) -> dict[str, Any]:
    return {
        "name": source.name, "label": source.label, "data_dir": str(Path(data_dir).absolute()) if data_dir else None,
        "train": source.train.count, "test": source.test.count, "notes": list(source.notes),
    }
