"""A trained classifier's run, and what can be done with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from reskeras.artefacts import VERIFIED
from reskeras.caller_state import preserved
from reskeras.data.given import pictures
from reskeras.data.registry import Data, open_source
from reskeras.data.source import Source, Split
from reskeras.errors import ReskerasError
from reskeras.evaluation.accuracy import evaluate
from reskeras.evaluation.dense import DenseNetwork
from reskeras.evaluation.heads import SOFTMAX, Head
from reskeras.evaluation.views import Views
from reskeras.export.proof import Proof
from reskeras.export.samples import REPRESENTATIVE
from reskeras.files import check_place, only_writer
from reskeras.graph.load import save_model
from reskeras.graph.weights import read
from reskeras.image_files import several
from reskeras.tasks.run import Run

if TYPE_CHECKING:  # not needed for training, so imported where it is used
    import numpy as np

    from reskeras.analysis.analysis import Analysis
    from reskeras.evaluation.prediction import Prediction
    from reskeras.export.quantisation_noise import LayerNoise
    from reskeras.tasks.classification.export import ClassifierExporter
    from reskeras.tasks.classification.page import ClassifierMaterial


class ClassifierRun(Run[Split]):
    """A trained classifier."""

    task: ClassVar[str] = "classification"
    head: ClassVar[Head] = SOFTMAX
    threshold: ClassVar[float] = 0.0  # from which probability a class is predicted, and of how many at most
    top: ClassVar[int] = 5
    measured: ClassVar[Callable[..., Any]] = staticmethod(evaluate)

    def source(self, data: Data | None = None, data_dir: str | Path | None = None) -> Source[Split]:
        """As for any run, with images converted to the network's number of channels. ReskerasError for images of
        several classes where the run's have one, or the other way round."""
        source, several = super().source(data, data_dir), self.multi_label
        if source.multi_label != several:
            has, had = ("several classes" if each else "one class" for each in (source.multi_label, several))
            raise ReskerasError(f"data: {source.name} has {has} per image, but {self.path} was trained on {had}")
        return source.with_channels(self.preprocessing().channels)

    def judge(self, source: Source[Split], images: Split) -> Any:
        """Accuracy and loss on single views (one centre crop)."""
        return self.measured(self.model(), images, self.preprocessing(), source.label, classes=source.classes)

    @preserved()
    def evaluate(
        self,
        data: Data | None = None,
        data_dir: str | Path | None = None,
        split: str = "test",
        *,
        views: int = 1,
        resize: int | None = None,
        scales: Sequence[int] = (),
        recalibrate: int = 0,
        save: bool = False,
        tell: Callable[[str], None] = lambda note: None,
    ) -> Any:
        """Accuracy of the best model on a split (`test` or `train`), in float32.

        `views` averages the probabilities of an image and its mirror image (2), of both shifted by a pixel too, which
        count half (6, arXiv:2404.00498), or of ten crops of images resized to `resize` pixels square (10); `scales`
        applies the network fully convolutionally to whole images and their mirror images with these shorter sides (v1
        section 3.4). `recalibrate`
        re-estimates the batch norm statistics on that many training images; with `save` they are stored in the run's
        model. `tell` gets the notes about the images: which are used, which are left out. The result is an
        `Evaluation`, of a multi-label run a `LabelEvaluation`.
        """
        looked = Views(views, resize, tuple(scales))
        if save and not recalibrate:
            raise ReskerasError("save: there is nothing to save without recalibrate")
        source = self.source(data, data_dir)
        images_of = self.images(source, split, tell)
        calibrating = source.training_images("recalibrate") if recalibrate else None
        model, preprocessing = self.model(), self.preprocessing()
        if calibrating:
            from reskeras.evaluation.statistics import recalibrate as recalibrated

            images = recalibrated(model, calibrating, preprocessing, recalibrate)
            if save:
                with only_writer(self.path, "run"):
                    save_model(model, self.folder.model_file)
                self.folder.update_provenance(recalibrated={"images": images, "data": source.name})
        dense = DenseNetwork(self.plan, model, self.head) if scales else None
        return self.measured(
            model, images_of, preprocessing, source.label, classes=source.classes, views=looked, dense=dense
        )

    @preserved()
    def predict(
        self,
        paths: str | Path | Sequence[str | Path] | np.ndarray,
        top: int | None = None,
        broken: Callable[[str, ReskerasError], None] | None = None,
        threshold: float | None = None,
    ) -> list[Prediction]:
        """The most likely classes of one or several image files, or of images in memory, an array as in
        `reskeras.source`, which are called `image 0` and so on: at most `top`, by default 5, with a probability of
        `threshold` or more; of a multi-label run by default all of 1/2 or more.

        A file that cannot be read raises ReskerasError; with `broken`, which is called with the path and the error, the
        others are still predicted.
        """
        from reskeras.evaluation.prediction import predict_files

        top, threshold = self.top if top is None else top, self.threshold if threshold is None else threshold
        if top < 1:
            raise ReskerasError(f"top: {top}: should be at least 1")
        if not 0 <= threshold <= 1:
            raise ReskerasError(f"threshold: {threshold:g}: should be at least 0 and at most 1")
        files = pictures(paths) or [os.fspath(each) for each in several(paths)]
        return predict_files(
            self.model(), self.preprocessing(), self.folder.classes(), files, top, broken, threshold, self.head
        )

    @preserved()
    def export(
        self,
        *kinds: str,
        data: Data | None = None,
        data_dir: str | Path | None = None,
        pixels: str = "uint8",
        tolerances: Mapping[str, float] | None = None,
        representative: int = REPRESENTATIVE,
        keep_float: Sequence[str] = (),
        images: int = VERIFIED,
        batch: int | None = None,
        timing: bool = True,
        tell: Callable[[str], None] = lambda note: None,
    ) -> list[Proof]:
        """Artefacts, each proven on real test images, at most `images`: `serving`, `tflite`, `tflite-float16`,
        `tflite-dynamic`, `tflite-int8`, `tflite-int8-io`, `tflite-int8-w4`, `tflite-int16x8`, `onnx`, `onnx-int8`,
        `openvino`, `openvino-int8`; the first two when none is named. Also `keras-weights`, `torchvision-state-dict`
        and `timm-state-dict`, weights that those libraries load. A port without data is proven on random images.

        `pixels` is the input dtype of all but `.tflite` files, `uint8` or `float32`. `tolerances` are relative to the
        largest logit, by kind. Quantised kinds are calibrated on `representative` training images; int8 kinds keep the
        layers `keep_float` in float32. `.tflite`, ONNX and OpenVINO files take `batch` images at a time, by default any
        number. `tell` gets each kind as it begins, and a note of a model card that is kept because it was edited.
        """
        from reskeras.tasks.cards import carded
        from reskeras.tasks.classification.export import check_integer_kinds

        quantised, exporter = getattr(self.folder.spec(), "quantise", None), self.exporter()
        kinds = kinds or ((f"tflite-{quantised}",) if quantised else ("serving", "tflite"))
        exporter.check(kinds, tolerances or {}, batch, images)
        check_integer_kinds(kinds, quantised, keep_float)
        self.folder.model_file  # noqa: B018 - says what is missing before the data is opened
        made = exporter.of(
            self.folder,
            self._proving(kinds, data, data_dir),
            self.name.removesuffix(f"-{quantised}"),  # kinds end in it
            pixels=pixels,
            tolerances=tolerances or {},
            representative=representative,
            keep_float=tuple(keep_float),
            images=images,
            batch=batch,
            timing=timing,
        )
        with carded(self, tell):
            return made.export(kinds, tell)

    def verifier(self, data: Data | None, data_dir: str | Path | None) -> ClassifierExporter:
        """As any run's."""
        return self.exporter().of(self.folder, self._proving((), data, data_dir), self.name)

    def exporter(self) -> type[ClassifierExporter]:
        """What exports it."""
        from reskeras.tasks.classification.export import ClassifierExporter

        return ClassifierExporter

    def _proving(self, kinds: Sequence[str], data: Data | None, data_dir: str | Path | None) -> Source[Split]:
        """The data that artefacts are verified on; random images for a port without data."""
        from reskeras.data.random_images import noise_source
        from reskeras.tasks.classification.export import is_measured

        needy = [kind for kind in kinds if is_measured(kind)]
        known = self.folder.provenance().get("data")
        if data is not None or known:
            source = self.source(data, data_dir)
            if needy and source.train is None:
                # the ranges of a quantised network are those of its training images; a port has only the data given
                if known or data is None:
                    source = replace(source, train=self.source().train)
                else:
                    whole = open_source(data, data_dir).matched(source.classes)
                    source = whole.with_channels(self.preprocessing().channels)
            return source
        if needy:
            raise ReskerasError(
                f"to: {needy[0]} is calibrated on images, but {self.path} was ported and has none; give --data"
            )
        return noise_source(self.folder.classes(), self.preprocessing().size)

    @preserved()
    def analyse(
        self,
        data: Data | None = None,
        data_dir: str | Path | None = None,
        *,
        images: int = 1000,
        lesions: int = 100,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> Analysis:
        """Analyse the best model: layer responses, the residual stream, gradients, units removed or swapped.

        As `analysis.analyse`; stored in the run's folder `analysis/`, where `reskeras.read_analysis` finds it.
        """
        from reskeras.analysis.analysis import analyse

        check_place(self.folder.analysis_folder)
        found = analyse(
            self.name,
            self.plan,
            read(self.model()),
            self.source(data, data_dir),
            self.preprocessing(),
            images,
            lesions,
            progress,
        )
        found.save(self.folder.analysis_folder)
        return found

    @preserved()
    def material(self, label: str | None = None, data_dir: str | Path | None = None) -> ClassifierMaterial:
        """As for any run, with the latest analysis."""
        from reskeras.analysis.analysis import SUMMARY_FILE, read_analysis
        from reskeras.tasks.classification.page import ClassifierMaterial

        known, folder = super().material(label, data_dir), self.folder.analysis_folder
        analysis = read_analysis(folder) if (folder / SUMMARY_FILE).is_file() else None
        return ClassifierMaterial(**vars(known), analysis=analysis)

    @preserved()
    def explain(
        self,
        kind: str = "tflite-int8",
        data: Data | None = None,
        data_dir: str | Path | None = None,
        representative: int = REPRESENTATIVE,
    ) -> list[LayerNoise]:
        """Signal to quantisation noise ratio of each layer of an int8 kind, noisiest first."""
        exporter = self.exporter()
        exporter.check([kind])
        return exporter.of(
            self.folder, self._proving([kind], data, data_dir), self.name, representative=representative
        ).explain(kind)
