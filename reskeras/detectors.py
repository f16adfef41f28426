"""What a Python user calls for detection: train a detector, and a run of one with its friendly methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reskeras.caller_state import preserved
from reskeras.data.kept import changes, division_of, is_own, kept_name
from reskeras.data.preprocessing import Preprocessing
from reskeras.detection.detector import Detector, Options
from reskeras.detection.evaluate import DetectionEvaluation, evaluate_detector
from reskeras.detection.export import KINDS, check_detector_kinds, export_detector
from reskeras.detection.job import FRESH, DetectorJob
from reskeras.detection.objects import ObjectSource
from reskeras.detection.opening import open_objects
from reskeras.detection.prediction import ImageDetections, check_score, predict_images
from reskeras.errors import ReskerasError
from reskeras.export.proof import Proof, read_proofs
from reskeras.graph.load import load_model
from reskeras.graph.weights import read
from reskeras.image_files import several
from reskeras.report.detection import DetectorMaterial
from reskeras.report.found import check_folder, save_found
from reskeras.runs import RunFolder, open_run, place_for
from reskeras.spec.detector import detector_name, lower_detector
from reskeras.spec.fields import Spec
from reskeras.spec.overrides import laid_over
from reskeras.spec.recipe import Recipe, batch_note
from reskeras.spec.recipe import recipe as read_recipe
from reskeras.spec.request import detector
from reskeras.training.boards import tensorboard
from reskeras.training.fit import Beside
from reskeras.training.job import begun_division
from reskeras.training.strategy import open_replicas
from reskeras.training.transfer import Start

RECIPE = "detector"

if TYPE_CHECKING:  # reskeras.engine imports it first, quietly
    import keras


class DetectorRun:
    """A trained detector's run, and what can be done with it."""

    def __init__(self, path: str | Path):
        self.folder: RunFolder = open_run(path)
        if not self.folder.is_detector:
            raise ReskerasError(f"run: {path} is a classifier, not a detector; see reskeras evaluate")

    def __repr__(self) -> str:
        return f"DetectorRun({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.folder.path

    @property
    def name(self) -> str:
        """The detector's name."""
        return detector_name(self.folder.detector())

    @preserved()
    def model(self) -> keras.Model:
        """The best model, float32."""
        return load_model(self.folder.model_file)

    @preserved()
    def detector(self, options: Options = Options(), score: float | None = None) -> Detector:  # noqa: B008 - frozen
        """The best model ready to look at image files; it tells what it is sure of by `score` (the detector's own)."""
        spec = self.folder.detector()
        spec = spec if score is None else laid_over(spec, {"detections.score": score})
        plan = lower_detector(spec)
        preprocessing = Preprocessing.load(self.folder.preprocessing_file, plan.input_shape)
        return Detector(plan, read(self.model()), preprocessing, options)

    def source(self, data: str | None = None, data_dir: str | Path | None = None) -> ObjectSource:
        """The data the run was trained on, divided as it was then; or other `data`, which is opened for testing."""
        known, classes = self.folder.provenance()["data"], self.folder.classes()
        if not is_own(data, known):
            return open_objects(data, data_dir, testing=classes)
        opened = open_objects(kept_name(known), data_dir or known["data_dir"], division=division_of(known))
        source = replace(opened, name=known["name"])
        if list(source.classes) != classes:
            raise ReskerasError(f"data: the classes of {source.name} are not those the run was trained on")
        notes = [note for note in source.notes if note not in (known.get("notes") or ())]
        if differences := changes(known, self.folder.data_file, source):
            notes.append(f"{source.name} has changed since the training: {', '.join(differences)}")
        return replace(source, notes=tuple(notes))

    @preserved()
    def evaluate(
        self, data: str | None = None, data_dir: str | Path | None = None, split: str = "test",
        options: Options = Options(), tell: Callable[[int, int], None] = lambda done, of: None,  # noqa: B008 - frozen
        say: Callable[[str], None] = lambda note: None,
    ) -> DetectionEvaluation:
        """Average precision and recall of the best model on a split (`test` or `train`), in float32.

        `options` are those of v1 appendix A. `tell` gets how many images are done, and of how many, `say` what is
        worth knowing of the images.
        """
        source = self.source(data, data_dir)
        images = source.training_images("split") if split == "train" else source.test
        for note in source.notes:
            say(note)
        return evaluate_detector(self.detector(options), images, source.classes, source.label, tell)

    @preserved()
    def predict(
        self, paths: str | Path | Sequence[str | Path], out: str | Path | None = None, score: float | None = None,
        options: Options = Options(), broken: Callable[[str, ReskerasError], None] | None = None,  # noqa: B008 - frozen
    ) -> list[ImageDetections]:
        """The objects in an image file or in several, the surest first; those with a probability of at least `score`,
        which is by default the detector's own, 0.05.

        `out` is a new folder for the images with boxes drawn in (NAME-detections.png; without `score` those of 0.5 or
        more) and detections.json, in COCO's form. Nothing is written when a file is missing or broken,
        unless `broken` is called with its path and that: then the others are looked at.
        """
        check_score(score)
        if out is not None:
            check_folder(out)
        classes = self.folder.classes()
        found = predict_images(self.detector(options, score), classes, several(paths), broken)
        if out is not None:
            save_found(found, classes, out, score)
        return found

    @preserved()
    def export(
        self, *kinds: str, data: str | None = None, data_dir: str | Path | None = None,
        tolerances: Mapping[str, float] | None = None, timing: bool = True,
        tell: Callable[[str], None] = lambda note: None,
    ) -> list[Proof]:
        """A SavedModel that takes image files and gives boxes, scores and names of classes, proven on real test images:
        `serving`, the only kind there is.

        `tolerances` are by kind: how much a probability, or a corner as a share of the image's longer side, may differ.
        `tell` gets each kind as it begins. What is not the detector is kept aside, and a ReskerasError (status 1).
        """
        kinds = kinds or KINDS
        check_detector_kinds([*kinds, *(tolerances or {})])
        self.folder.model_file  # noqa: B018 - says what is missing before the data is opened
        return export_detector(self.folder, kinds, self.source(data, data_dir), self.name, tolerances, timing, tell)

    def proofs(self) -> list[Proof]:
        """The newest proof of each artefact in the run's export folder."""
        return read_proofs(self.folder.export_folder)

    @preserved()
    def material(self, label: str | None = None, data_dir: str | Path | None = None) -> DetectorMaterial:
        """What a report tells of the run: what stands in its folder, and how good its best model is."""
        folder, evaluation, test, missing = self.folder, None, None, ""
        try:
            source = self.source(data_dir=data_dir)
            evaluation = evaluate_detector(self.detector(), source.test, source.classes, source.label)
            test = source.test
        except ReskerasError as error:
            missing = str(error)
        return DetectorMaterial(
            label or self.name, str(self.path), lower_detector(folder.detector()), tuple(folder.classes()),
            folder.metrics(), folder.provenance(), self.proofs(), evaluation, test, missing)


@preserved()
def train_detector(
    spec: str | Path | Spec, data: str, recipe: str | Path | Recipe = RECIPE, *, out: str | Path | None = None,
    data_dir: str | Path | None = None, resume: bool = False, strategy: str = "auto", devices: int | None = None,
    histograms: bool = False, profile: int = 0, callbacks: Sequence[keras.callbacks.Callback] = (),
    tell: Callable[[str], None] = lambda note: None, start: str | Path | None = None, **recipe_fields: Any,
) -> DetectorRun:
    """Train a Faster R-CNN detector on annotated images by a recipe, into a run folder.

    `spec` is a DetectorSpec, or what `reskeras.spec.request.detector` understands. `data` is voc:PATH, coco:PATH or
    tfds:NAME. `start` is a run to begin from: of a classifier with the same network as the backbone, or of a detector;
    batch norm is then frozen with its statistics, as in the paper, unless the recipe says `frozen_bn` itself. The rest
    is as in `reskeras.train`.
    """
    replicas = open_replicas(strategy, devices)  # before TensorFlow computes anything
    chosen = read_recipe(recipe, **recipe_fields)
    begun = None if start is None else open_run(start)
    if begun and "frozen_bn" not in chosen.sparse():
        chosen = read_recipe(chosen, frozen_bn=True)
    spec = detector(spec)
    replicas.check(chosen.batch_size, chosen.accumulate)
    source = open_objects(data, data_dir)
    if begun:
        spec = laid_over(spec, {"classes": len(source.classes)})  # however many the run told apart
    job = DetectorJob(spec, chosen, source, data_dir)
    job.plan  # noqa: B018 - what does not fit is told before the notes
    path = place_for(out, job.name, resume or not replicas.is_chief)  # the chief may have made it by now
    if resume and (division := begun_division(path)) not in (None, source.division):
        source = open_objects(data, data_dir, division=division)
        job = replace(job, source=source)
    for note in (*source.notes, batch_note(chosen, recipe_fields, recipe)):
        if note:
            tell(note)
    boards = tensorboard(RunFolder(path), histograms, profile) if replicas.is_chief else []
    beginning = begun and _start(begun)
    if beginning:
        frozen = [f"frozen up to {chosen.freeze}"] if chosen.freeze else []
        frozen += ["batch norm frozen"] if chosen.frozen_bn else []
        tell(", ".join([f"from {beginning.name}", *frozen]))
    job.run(path, replicas, Beside(resume, tell, [*boards, *callbacks], start=beginning))
    return DetectorRun(path)


def _start(begun: RunFolder) -> Start:
    """What a detector begins with from a run. A classifier's classes are none of its regions', however many; and a
    canvas shows images at any place, so that no pixel has a mean of its own."""
    weights = read(load_model(begun.model_file))
    if not begun.is_detector:
        weights = {name: value for name, value in weights.items() if not name.startswith("logits/")}
    return Start(str(begun.path), weights, Preprocessing.load(begun.preprocessing_file).by_channel(), FRESH)
