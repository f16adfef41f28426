"""The Python API besides runs and `train`: build, load, report, analyse, port, tune. The command line uses it too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reskeras.analysis.analysis import Analysis
from reskeras.analysis.analysis import analyse as analyse_weights
from reskeras.caller_state import preserved
from reskeras.data.registry import Data, open_source
from reskeras.errors import ReskerasError
from reskeras.evaluation.statistics import recalibrate as recalibrated
from reskeras.files import check_place, local_path, write_json
from reskeras.graph.compile import Context, compile_plan
from reskeras.graph.load import load_model, save_model
from reskeras.graph.weights import read
from reskeras.networks.any_network import AnyNetwork
from reskeras.networks.any_spec import AnySpec
from reskeras.networks.catalog import name_of
from reskeras.networks.request import network
from reskeras.porting.foreign_model import read_source
from reskeras.porting.originals import architecture as read_architecture
from reskeras.porting.port import class_names
from reskeras.porting.recognise import recognise
from reskeras.recipes.recipe import Recipe, given
from reskeras.recipes.recipe import recipe as read_recipe
from reskeras.report.page import write_page
from reskeras.run_provenance import provenance
from reskeras.runs import HOME, MODEL_FILE, PROVENANCE_FILE, REPORT_FILE, new_run, place_for
from reskeras.spaces.space import Space
from reskeras.tasks.cards import report_card
from reskeras.tasks.run import Run
from reskeras.tasks.task import TASKS, find_task
from reskeras.tuning.hypermodel import HyperModel, held_out
from reskeras.tuning.limits import Limits
from reskeras.tuning.objective import read_objective
from reskeras.tuning.outcome import Outcome
from reskeras.tuning.run import SearchOptions, search_for
from reskeras.tuning.search import Search, place_for_search
from reskeras.tuning.search_plot import draw_search
from reskeras.tuning.workers import CHIEF, Crew, role

CALIBRATION = 256  # training images over which an untrained network's statistics are measured

if TYPE_CHECKING:  # reskeras.engine imports it first, quietly
    import keras


@preserved()
def build(
    source: str | Path | AnyNetwork | None = None,
    *,
    outputs: Iterable[str] | None = None,
    after: str | None = None,
    until: str | None = None,
    precision: str = "float32",
    seed: int | None = None,
    form: str = "unrolled",
    recompute: bool = False,
    **fields: Any,
) -> keras.Model:
    """Compile a network to a Keras functional model, with fresh weights.

    `source` and `fields` are those of `reskeras.network`. Images are float32 (batch, height, width,
    channels), logits float32 (batch, classes). `outputs` names units or stages ("stage2", "stage3_unit1",
    "logits") and makes the model give a dict of their feature maps; `after` and `until` cut a slice out, a
    backbone or a head. `seed` fixes the initial weights, operation by operation. `form` scanned makes each run of equal
    units one layer with a loop; with `recompute` units are recomputed in the backward pass.
    """
    spec = network(source, **fields)
    spec.check_fresh()
    plan = spec.lower().slice(after=after, until=until)
    return compile_plan(plan, name_of(spec), Context(precision, seed, form, recompute), outputs=outputs)


@preserved()
def load(path: str | Path) -> keras.Model:
    """The model of a run folder, or of a `.keras` file; reskeras' layers are registered, nothing is executed."""
    path = local_path(path, "model")
    if path.is_dir():
        return Run(path).model()
    for each in TASKS:
        find_task(each).run_type()  # registers the layers of its own
    return load_model(path)


@preserved()
def build_run(spec: AnyNetwork, out: str | Path | None = None, seed: int = 0) -> Path:
    """Compile `spec` with fresh weights and save it as a run folder; returns the folder."""
    path = place_for(out, name_of(spec))
    model = build(spec, seed=seed)
    with new_run(path, spec) as run:
        save_model(model, run.path / MODEL_FILE)
        write_json(run.path / PROVENANCE_FILE, provenance(seed=seed))
    return path


@preserved()
def write_report(
    *runs: str | Path | Run,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    tell: Callable[[str], None] = lambda note: None,
) -> Path:
    """One HTML page of one run or several, that opens offline; returns its path.

    All are of one task: classifiers, or detectors. `out` is RUN/report.html for one run, saved_models/report.html for
    several. Test errors, precision, confusion matrix and worst mistakes need the run's images (`data_dir`); without
    them the page says so. Analyses and proofs are read from the run folders.

    Each run also gets a model card in the form of the Hugging Face hub's, RUN/README.md, with the figures of its test,
    and one beside its exports. A card that was edited, or another file of that name, is left as it is,
    and `tell` gets a note of it.
    """
    opened = [run if isinstance(run, Run) else Run(run) for run in runs]
    if not opened:
        raise ReskerasError("report: name at least one run")
    page = out or (opened[0].path if len(opened) == 1 else HOME) / REPORT_FILE
    check_place(page)
    of, *others = {run.task: run for run in opened}.values()
    if others:
        nouns = [find_task(run.task).noun for run in (of, *others)]
        raise ReskerasError(
            f"report: {of.path} is a {nouns[0]} and {others[0].path} a {nouns[1]}; make a report of each"
        )
    names = [run.name for run in opened]
    labels = [
        name if names.count(name) == 1 else f"{name} ({run.path.name})" for run, name in zip(opened, names, strict=True)
    ]
    labels = [label if labels.count(label) == 1 else str(run.path) for run, label in zip(opened, labels, strict=True)]
    known = [run.material(label, data_dir) for run, label in zip(opened, labels, strict=True)]
    written = write_page(find_task(of.task).page(known), page)
    for run, material in zip(opened, known, strict=True):
        report_card(run, material, tell)
    return written


@preserved()
def analyse_fresh(
    spec: str | Path | AnyNetwork,
    data: Data = "digits",
    data_dir: str | Path | None = None,
    *,
    seed: int = 0,
    images: int = 1000,
    lesions: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Analysis:
    """Analyse an untrained network, with the initial weights of `seed`; as a run's `analyse`.

    Batch norm's statistics are measured over training images first: without them the outputs of a deep untrained
    network are not finite. `spec` gets the classes and channels of `data`.
    """
    source = open_source(data, data_dir)
    asked = network(spec)
    asked.check_fresh()
    name = name_of(asked)
    job = find_task("classification").on(source).job(asked, read_recipe("quick"), source, data_dir)
    preprocessing = job.preprocessing()
    model = compile_plan(job.plan, name, Context(seed=seed))
    recalibrated(model, source.training_images("data"), preprocessing, CALIBRATION)
    return analyse_weights(name, job.plan, read(model), source, preprocessing, images, lesions, progress)


@preserved()
def port(
    source: str | Path | keras.Model,
    *,
    application: str | None = None,
    architecture: str | None = None,
    classes: str | Path | None = None,
    size: int | None = None,
    normalise: str | None = None,
    fold_biases: bool = False,
    batch_norm_epsilon: float | None = None,
    with_proof: bool = True,
    out: str | Path | None = None,
) -> Run:
    """Import a network that was trained with another library, as a run.

    `source` is a `keras.Model` or one of `tf_keras`, a file (.keras, .h5, .safetensors, .pth), a run folder that
    holds only a network, as `reskeras build` makes it, or the name of a network of keras.applications to download; a
    file of weights alone needs the name of its `application`. An `architecture`, such as timm:resnet50.a1_in1k, names
    the original of a state dict, as a config.json beside it may: the port is then proven against that library's
    network. `classes` is a file of names (by default what that config.json says, else numbers), `size` that of the
    square images, `normalise` caffe, tf, torch, unit or raw. `batch_norm_epsilon` is that of a state dict, which does
    not hold it. A Faster R-CNN of torchvision becomes a detector's run. The port is compared with its source on the
    same images and refused (ReskerasError, status 1) when a logit differs by more than 1e-4 of the largest, or of a
    detector a probability or a corner, as a share of the image's longer side.
    """
    if isinstance(out, str | Path):
        place_for(out, "")  # refuses an existing folder before anything is read
    count = None if classes is None or application is None else len(class_names(classes, None))
    named = read_architecture(architecture) if architecture else None
    found = read_source(source, application, count, named, batch_norm_epsilon)
    if with_proof:
        found.asked()  # fails before the work where the source cannot be run
    known = recognise(found, size)
    task = find_task(known.spec.task)
    made = task.port(found, known, known.spec, normalised=normalise, fold_biases=fold_biases, with_proof=with_proof)
    names = class_names(classes, made.classes, made.labels)
    path = place_for(out, f"{made.name}-ported")
    made.save(path, names)
    return Run(path)


@preserved()
def tune(
    over: str | Path | Mapping[str, Any] | Space,
    spec: str | Path | AnySpec,
    data: Data = "digits",
    recipe: str | Path | Recipe | None = None,
    *,
    task: str = "classification",
    tuner: str = "bayesian",
    objective: Sequence[str] = (),
    trials: int | None = None,
    executions: int = 1,
    epochs: int | None = None,
    patience: int | None = None,
    max_params: int | None = None,
    max_multiply_adds: int | None = None,
    max_activation_memory: int | None = None,
    max_latency_ms: float | None = None,
    seed: int = 0,
    workers: int = 1,
    restarts: int = 3,
    worker_timeout: float = 120.0,
    port: int = 0,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    command: Sequence[str] | None = None,
    tell: Callable[[str], None] = lambda note: None,
    ended: Callable[[Outcome], None] = lambda outcome: None,
) -> Search:
    """Search a space (a name, a file, or a mapping) for the best network and recipe, beginning from `spec`, which is
    for a `task`, such as "localisation".

    The arguments are those of `reskeras tune`. A folder that holds the same search is resumed.
    `command` starts the same search in a process, for several workers. `tell` gets notes, `ended` each trial's
    outcome. Raises ReskerasError: status 2 for a wrong request, 1 when every trial failed.
    """
    read_objective(objective)  # wrong ones fail before the data is opened
    own = find_task(task)
    named = own.recipe if recipe is None else recipe
    chosen = read_recipe(held_out(read_recipe(named, **given(epochs=epochs))), **given(patience=patience))
    limits = Limits(max_params, max_multiply_adds, max_activation_memory, max_latency_ms)
    base = own.spec(spec)
    place = place_for_search(out, base, data) if isinstance(data, str) else None  # refused before the data is opened
    model = HyperModel(over, base, data, chosen, task=task, data_dir=data_dir, limits=limits)
    place = place or place_for_search(out, base, model.source.name)
    goal = model.objective(objective)
    how = SearchOptions(tuner, goal, trials, executions, seed, Crew(workers, restarts, worker_timeout), port)
    search = search_for(how, model, place, command, tell, ended)
    if role() in (None, CHIEF):
        draw_search(search)
    return search
