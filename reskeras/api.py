"""What a Python user calls: build, load, train, and a run with its friendly methods. The command line calls these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reskeras.analysis.analysis import SUMMARY_FILE, Analysis, read_analysis
from reskeras.analysis.analysis import analyse as analyse_weights
from reskeras.caller_state import preserved
from reskeras.data.kept import as_trained, division_of, is_own, kept_name
from reskeras.data.noise import noise_source
from reskeras.data.preprocessing import Preprocessing
from reskeras.data.registry import open_source
from reskeras.data.source import Source
from reskeras.detectors import DetectorRun
from reskeras.errors import ReskerasError
from reskeras.evaluation.accuracy import Evaluation, evaluate
from reskeras.evaluation.dense import DenseNetwork
from reskeras.evaluation.prediction import Prediction, predict_files
from reskeras.evaluation.statistics import recalibrate as recalibrated
from reskeras.evaluation.views import Views
from reskeras.export.artefacts import Exporter, check_kinds, export_run, is_measured
from reskeras.export.artefacts import Request as ExportRequest
from reskeras.export.lite import REPRESENTATIVE
from reskeras.export.noise import LayerNoise
from reskeras.export.proof import Proof, read_proofs
from reskeras.files import check_place, local_path, only_writer, write_json
from reskeras.graph.compile import compile_plan
from reskeras.graph.load import load_model, save_model
from reskeras.graph.weights import read
from reskeras.image_files import several
from reskeras.porting.originals import architecture as read_architecture
from reskeras.porting.port import class_names
from reskeras.porting.port import port as ported
from reskeras.porting.source import read_source
from reskeras.report.detection import page_of_detectors
from reskeras.report.page import write_page
from reskeras.report.runs import Material, page_of
from reskeras.report.search import draw_search
from reskeras.runs import (
    HOME,
    MODEL_FILE,
    PROVENANCE_FILE,
    REPORT_FILE,
    RunFolder,
    new_run,
    open_run,
    place_for,
    provenance,
)
from reskeras.spec.catalog import name_of
from reskeras.spec.fields import Spec
from reskeras.spec.recipe import Recipe, batch_note
from reskeras.spec.recipe import recipe as read_recipe
from reskeras.spec.request import network, recipe_of
from reskeras.spec.space import Space
from reskeras.training.boards import tensorboard
from reskeras.training.fit import Beside
from reskeras.training.job import Job, begun_division, without_data
from reskeras.training.strategy import open_replicas
from reskeras.training.transfer import Start
from reskeras.tuning.hypermodel import HyperModel, held_out
from reskeras.tuning.limits import Limits
from reskeras.tuning.objective import read_objective
from reskeras.tuning.outcome import Outcome
from reskeras.tuning.run import How, search_for
from reskeras.tuning.search import Search, place_for_search
from reskeras.tuning.workers import CHIEF, Crew, role

CALIBRATION = 256  # training images that a fresh network's statistics are measured over

if TYPE_CHECKING:  # reskeras.engine imports it first, quietly
    import keras


@preserved()
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
    plan = spec.lower().slice(after=after, until=until)
    return compile_plan(plan, name_of(spec), outputs=outputs, precision=precision, seed=seed, form=form,
                        recompute=recompute)


@preserved()
def load(path: str | Path) -> keras.Model:
    """The model of a run folder, or of a `.keras` file; our layers are registered, nothing is executed."""
    path = local_path(path, "model")
    return load_model(open_run(path).model_file if path.is_dir() else path)


@preserved()
def build_run(spec: Spec, out: str | Path | None = None, seed: int = 0) -> Path:
    """Compile `spec` with fresh weights and save it as a run folder; returns the folder."""
    path = place_for(out, name_of(spec))
    model = build(spec, seed=seed)
    with new_run(path, spec) as run:
        save_model(model, run.path / MODEL_FILE)
        write_json(run.path / PROVENANCE_FILE, provenance(seed=seed))
    return path


class Run:
    """A trained run, and what can be done with it."""

    def __init__(self, path: str | Path):
        self.folder: RunFolder = open_run(path)
        if self.folder.is_detector:
            raise ReskerasError(f"run: {path} is a detector, not a classifier; see reskeras detect evaluate, predict "
                                "and export, in Python reskeras.DetectorRun")

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def name(self) -> str:
        """The network's name."""
        return name_of(self.folder.spec())

    @preserved()
    def model(self) -> keras.Model:
        """The best model, float32."""
        return load_model(self.folder.model_file)

    def preprocessing(self) -> Preprocessing:
        """How images become this model's input."""
        return Preprocessing.load(self.folder.preprocessing_file, self.folder.spec().lower().input_shape)

    def source(self, data: str | None = None, data_dir: str | Path | None = None) -> Source:
        """The data the run was trained on, divided as it was then; or other `data`, which is opened for testing: all of
        a folder without a test split, its classes put in the run's order by name."""
        self.folder.preprocessing_file  # noqa: B018 - says what is missing in a run that was only built
        known, classes = self.folder.provenance().get("data", {}), self.folder.classes()
        if data is None and not known:
            raise ReskerasError(f"data: {self.path} was ported and has no data of its own; give --data")
        if is_own(data, known):
            opened = open_source(kept_name(known), data_dir or known.get("data_dir"), division=division_of(known))
            source = as_trained(replace(opened, name=known["name"]), known, classes, self.folder.data_file)
            return source.with_channels(self.preprocessing().channels)
        unnamed = not known and classes == class_names(None, len(classes))
        source = open_source(data, data_dir, testing=() if unnamed else classes)
        if unnamed and len(source.classes) != len(classes):
            raise ReskerasError(f"data: {source.name} has {len(source.classes)} classes, and {self.path} "
                                f"{len(classes)} without names")
        return source.with_channels(self.preprocessing().channels)

    @preserved()
    def evaluate(
        self, data: str | None = None, data_dir: str | Path | None = None, split: str = "test", *, views: int = 1,
        resize: int | None = None, scales: Sequence[int] = (), recalibrate: int = 0, save: bool = False,
        tell: Callable[[str], None] = lambda note: None,
    ) -> Evaluation:
        """Accuracy of the best model on a split (`test` or `train`), in float32.

        `views` 10 averages ten crops of images `resize` pixels square; `scales` applies the network to whole
        images and their mirror images with these shorter sides (v1 section 3.4). `recalibrate` measures batch
        norm's statistics anew over so many training images; with `save` the run's model keeps them. `tell` gets what is
        worth knowing of the images: which are looked at, which are left out.
        """
        looked = Views(views, resize, tuple(scales))
        if save and not recalibrate:
            raise ReskerasError("save: there is nothing to save without recalibrate")
        source = self.source(data, data_dir)
        images_of = source.training_images("split") if split == "train" else source.test
        calibrating = source.training_images("recalibrate") if recalibrate else None
        for note in source.notes:
            tell(note)
        model, preprocessing = self.model(), self.preprocessing()
        if recalibrate:
            images = recalibrated(model, calibrating, preprocessing, recalibrate)
            if save:
                with only_writer(self.path, "run"):
                    save_model(model, self.folder.model_file)
                self.folder.update_provenance(recalibrated={"images": images, "data": source.name})
        dense = DenseNetwork(self.folder.spec().lower(), model) if scales else None
        return evaluate(model, images_of, preprocessing, source.label, classes=source.classes,
                        views=looked, dense=dense)

    @preserved()
    def predict(
        self, paths: str | Path | Sequence[str | Path], top: int = 5,
        broken: Callable[[str, ReskerasError], None] | None = None,
    ) -> list[Prediction]:
        """The likeliest classes of an image file, or of several. A file that cannot be read is a ReskerasError; with
        `broken`, which is called with its path and that, the others are predicted."""
        return predict_files(self.model(), self.preprocessing(), self.folder.classes(), several(paths), top, broken)

    @preserved()
    def export(
        self, *kinds: str, data: str | None = None, data_dir: str | Path | None = None, pixels: str = "uint8",
        tolerances: Mapping[str, float] | None = None, representative: int = REPRESENTATIVE,
        keep_float: Sequence[str] = (), timing: bool = True, tell: Callable[[str], None] = lambda note: None,
    ) -> list[Proof]:
        """Artefacts, each proven on real test images: `serving`, `tflite`, `tflite-float16`, `tflite-dynamic`,
        `tflite-int8`, `tflite-int8-io`, `tflite-int16x8`; the first two when none is named. Also `keras-weights`,
        `torchvision-state-dict` and `timm-state-dict`, weights that those libraries load. A port without data is proven
        on random images.

        `pixels` is what the server takes, `uint8` or `float32`. `tolerances` are of the largest logit, by kind.
        `representative` training images give the ranges of quantised kinds; int8 kinds compute the layers of
        `keep_float` in float32. `tell` gets each kind as it begins.
        """
        kinds = kinds or ("serving", "tflite")
        check_kinds(kinds)
        self.folder.model_file  # noqa: B018 - says what is missing before the data is opened
        request = ExportRequest(pixels, tolerances or {}, representative, tuple(keep_float), timing)
        return export_run(self.folder, kinds, self._proving(kinds, data, data_dir), self.name, request, tell)

    def _proving(self, kinds: Sequence[str], data: str | None, data_dir: str | Path | None) -> Source:
        """The data that artefacts are proven on; random images for a port without any."""
        needy = [kind for kind in kinds if is_measured(kind)]
        known = self.folder.provenance().get("data")
        if data is not None or known:
            source = self.source(data, data_dir)
            if needy and source.train is None:
                # the ranges of a quantised network are those of its training images; a port has only the data given
                if known:
                    source = replace(source, train=self.source().train)
                else:
                    whole = open_source(data, data_dir).matched(source.classes)
                    source = whole.with_channels(self.preprocessing().channels)
            return source
        if needy:
            raise ReskerasError(f"to: {needy[0]} measures ranges on images, and {self.path} was ported and has none; "
                                "give --data")
        return noise_source(self.folder.classes(), self.preprocessing().size)

    @preserved()
    def analyse(
        self, data: str | None = None, data_dir: str | Path | None = None, *, images: int = 1000, lesions: int = 100,
        tell: Callable[[int, int], None] = lambda done, of: None,
    ) -> Analysis:
        """What goes on inside the best model: responses, the stream, gradients, units removed or swapped.

        As `analysis.analyse`; kept in the run's folder `analysis/`, from where `reskeras.read_analysis` reads it.
        """
        check_place(self.folder.analysis_folder)
        found = analyse_weights(self.name, self.folder.spec().lower(), read(self.model()), self.source(data, data_dir),
                                self.preprocessing(), images, lesions, tell)
        found.save(self.folder.analysis_folder)
        return found

    def proofs(self) -> list[Proof]:
        """The newest proof of each artefact in the run's export folder."""
        return read_proofs(self.folder.export_folder)

    @preserved()
    def material(self, label: str | None = None, data_dir: str | Path | None = None) -> Material:
        """What a report tells of the run: what stands in its folder, and its best model's mistakes."""
        folder, analysis, evaluation, test, missing = self.folder, None, None, None, ""
        if (folder.analysis_folder / SUMMARY_FILE).is_file():
            analysis = read_analysis(folder.analysis_folder)
        try:
            test = self.source(data_dir=data_dir).test
            evaluation = self.evaluate(data_dir=data_dir)
        except ReskerasError as error:
            missing = str(error)
        return Material(label or self.name, str(self.path), folder.spec().lower(), folder.metrics(),
                        folder.provenance(), self.preprocessing(), self.proofs(), analysis, evaluation, test, missing)

    @preserved()
    def explain(self, kind: str = "tflite-int8", data: str | None = None, data_dir: str | Path | None = None,
                representative: int = REPRESENTATIVE) -> list[LayerNoise]:
        """Signal over quantisation noise of each layer of an int8 kind, the noisiest first."""
        check_kinds([kind])
        request = ExportRequest(representative=representative)
        return Exporter(self.folder, self._proving([kind], data, data_dir), self.name, request).explain(kind)


def any_run(path: str | Path) -> Run | DetectorRun:
    """The run in a folder, of a classifier or of a detector."""
    return DetectorRun(path) if open_run(path).is_detector else Run(path)


@preserved()
def write_report(
    *runs: str | Path | Run | DetectorRun, out: str | Path | None = None, data_dir: str | Path | None = None,
) -> Path:
    """One HTML page of one run or several, that opens without a network; where it was written.

    All are classifiers, or all detectors. `out` is RUN/report.html for one run, saved_models/report.html for several.
    Test errors, precision, confusion matrix and worst mistakes need the run's images (`data_dir`); without them the
    page says so. Analyses and proofs are those that stand in the run folders.
    """
    opened = [run if isinstance(run, Run | DetectorRun) else any_run(run) for run in runs]
    if not opened:
        raise ReskerasError("report: name a run, or several")
    page = out or (opened[0].path if len(opened) == 1 else HOME) / REPORT_FILE
    check_place(page)
    detectors = [isinstance(run, DetectorRun) for run in opened]
    if len(set(detectors)) > 1:
        one, other = (opened[detectors.index(kind)].path for kind in (True, False))
        raise ReskerasError(f"report: {one} is a detector and {other} a classifier; make a page of each")
    names = [run.name for run in opened]
    labels = [name if names.count(name) == 1 else f"{name} ({run.path.name})" for run, name in zip(
        opened, names, strict=True)]
    labels = [label if labels.count(label) == 1 else str(run.path) for run, label in zip(opened, labels, strict=True)]
    known = [run.material(label, data_dir) for run, label in zip(opened, labels, strict=True)]
    return write_page((page_of_detectors if detectors[0] else page_of)(known), page)


@preserved()
def analyse_fresh(
    spec: str | Path | Spec, data: str = "digits", data_dir: str | Path | None = None, *, seed: int = 0,
    images: int = 1000, lesions: int = 0, tell: Callable[[int, int], None] = lambda done, of: None,
) -> Analysis:
    """The same of a network that was not trained, with the weights that `seed` gives it.

    Batch norm's statistics are measured over training images, without which what a deep fresh network gives is
    no number. `spec` gets the classes and channels of `data`.
    """
    source = open_source(data, data_dir)
    job = Job(network(spec), read_recipe("quick"), source, data_dir)
    preprocessing = job.preprocessing()
    model = compile_plan(job.plan, name_of(job.fitted), seed=seed)
    recalibrated(model, source.train, preprocessing, CALIBRATION)
    return analyse_weights(name_of(job.spec), job.plan, read(model), source, preprocessing, images, lesions, tell)


@preserved()
def train(
    spec: str | Path | Spec, data: str = "digits", recipe: str | Path | Recipe | None = None, *,
    out: str | Path | None = None, data_dir: str | Path | None = None, resume: bool = False,
    strategy: str = "auto", devices: int | None = None, histograms: bool = False, profile: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (), tell: Callable[[str], None] = lambda note: None,
    start: str | Path | Run | None = None, **recipe_fields: Any,
) -> Run:
    """Train a network on data by a recipe, into a run folder.

    `start` is a run to begin from, whose weights and preprocessing are taken; the logits are fresh for other classes,
    and a first convolution of coloured images is summed for grey ones. `freeze="stage2"` and `frozen_bn` of the recipe
    keep parts of it, `rate_factors` slow parts down.

    The recipe is by default that of the network's file, if it has one, else `quick`; `recipe_fields` such as
    `epochs=2` are laid over it. Classes and input channels follow the
    data. With `resume` a run folder that is there goes on from its newest state, and one that is not is made.
    `strategy` and `devices` are as in `training.strategy.open_replicas`. `histograms` and `profile`, a number
    of steps, add to the TensorBoard files in `logs/`. `tell` gets a line for each thing worth knowing. Raises
    ReskerasError before anything is written when the request is wrong.
    """
    replicas = open_replicas(strategy, devices)  # before TensorFlow computes anything
    named = recipe or recipe_of(spec)
    begun = None if start is None else start if isinstance(start, Run) else Run(start)
    spec, chosen = network(spec), read_recipe(named, **recipe_fields)
    replicas.check(chosen.batch_size, chosen.accumulate)
    source = open_source(data, data_dir)
    job = Job(without_data(spec, source) if begun else spec, chosen, source, data_dir)
    job.plan  # noqa: B018 - what does not fit is told before the notes
    path = place_for(out, job.name, resume or not replicas.is_chief)  # the chief may have made it by now
    if resume and (division := begun_division(path)) not in (None, source.division):
        source = open_source(data, data_dir, division=division)
        job = replace(job, source=source)
    for note in (*source.notes, batch_note(chosen, recipe_fields, named)):
        if note:
            tell(note)
    boards = tensorboard(RunFolder(path), histograms, profile) if replicas.is_chief else []
    beginning = begun and Start(str(begun.path), read(begun.model()), begun.preprocessing())
    if beginning:
        tell(f"from {beginning.name}" + (f", frozen up to {chosen.freeze}" if chosen.freeze else ""))
    job.run(path, replicas, Beside(resume, tell, [*boards, *callbacks], start=beginning))
    return Run(path)


@preserved()
def port(
    source: str | Path | keras.Model, *, application: str | None = None, architecture: str | None = None,
    classes: str | Path | None = None,
    size: int | None = None, normalise: str | None = None, fold_biases: bool = False, with_proof: bool = True,
    out: str | Path | None = None,
) -> Run:
    """A network that another library's users trained, as a run.

    `source` is a `keras.Model` or one of `tf_keras`, a file (.keras, .h5, .safetensors, .pth), a run folder that has a
    network alone, as `reskeras build` makes it, or a name of keras.applications to download; a file of Keras weights
    alone is those of an `application`. An `architecture`, such as timm:resnet50.a1_in1k, says whose a state dict is, as
    a config.json beside it may: the port is then proven against that library's own network. `classes` is a file of
    names (by default what that config.json says, else numbers), `size` that of the square images, `normalise` caffe,
    tf, torch, unit or raw. The port is asked the same as its source and refused (ReskerasError, status 1) when a logit
    differs by more than 1e-4 of the largest.
    """
    if isinstance(out, str | Path):
        place_for(out, "")  # a folder that is there is told before anything is read
    count = None if classes is None or application is None else len(class_names(classes, None))
    named = read_architecture(architecture) if architecture else None
    made = ported(read_source(source, application, count, named), size, normalise, fold_biases, with_proof)
    names = class_names(classes, made.spec.lower().units[-1].nodes[-1].units, made.labels)
    path = place_for(out, f"{made.name}-ported")
    made.save(path, names)
    return Run(path)


@preserved()
def tune(
    over: str | Path | Mapping[str, Any] | Space, spec: str | Path | Spec, data: str = "digits",
    recipe: str | Path | Recipe = "quick", *, tuner: str = "bayesian", objective: Sequence[str] = (),
    trials: int | None = None, executions: int = 1, epochs: int | None = None, patience: int | None = None,
    max_params: int | None = None, max_multiply_adds: int | None = None, max_activation_memory: int | None = None,
    max_latency_ms: float | None = None, seed: int = 0, workers: int = 1, restarts: int = 3,
    worker_timeout: float = 120.0, port: int = 0, out: str | Path | None = None, data_dir: str | Path | None = None,
    command: Sequence[str] | None = None, tell: Callable[[str], None] = lambda note: None,
    ended: Callable[[Outcome], None] = lambda outcome: None,
) -> Search:
    """Search a space (a name, a file, or a mapping) for the best network and recipe, beginning from `spec`.

    The arguments are those of `reskeras tune`. The search's folder is gone on with when it holds the same search.
    `command` starts the same search in a process, for several workers. `tell` gets what is worth knowing, `ended`
    each trial's outcome. Raises ReskerasError: status 2 for a wrong request, 1 when every trial failed.
    """
    how = How(tuner, read_objective(objective), trials, executions, seed, Crew(workers, restarts, worker_timeout), port)
    chosen = held_out(read_recipe(recipe, epochs=epochs))
    limits = Limits(max_params, max_multiply_adds, max_activation_memory, max_latency_ms)
    place = place_for_search(out, network(spec), data)
    model = HyperModel(over, spec, data, read_recipe(chosen, patience=patience), data_dir=data_dir, limits=limits)
    search = search_for(how, model, place, command, tell, ended)
    if role() in (None, CHIEF):
        draw_search(search)
    return search
