"""A whole training of a detector: what it learns, what it leaves, what it is begun from, how it goes on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.networks.detector_plan import lower_detector
from reskeras.recipes.recipe import recipe
from reskeras.tasks.detection.model import LOSSES, training_model
from reskeras.tasks.detection.object_feed import used_images
from reskeras.tasks.detection.opening import open_objects
from reskeras.tasks.detection.task import DetectionTask
from tests.tasks.detection.shapes import DETECTOR, LEARNING, shapes_folder
from tests.tasks.detection.test_pyramid import FPN
from tests.training.test_resume import Failing, digest, stopping_at

ROOT = Path(__file__).parents[2]
SHORT = {**LEARNING, "epochs": 2}
SPEC = reskeras.DetectorSpec.model_validate(DETECTOR)


def test_a_detector_learns_squares_and_discs(detector_run):
    evaluation = detector_run.evaluate()
    assert evaluation.voc.map_area > 0.9
    assert evaluation.recall[300].share > 0.9


def test_each_loss_is_logged_apart_and_falls(detector_run):
    rows = detector_run.folder.metrics()
    for name in LOSSES:
        # the boxes' loss grows while there is more and more that is told of a box
        assert rows[-1][name] < (0.97 if name == "region_boxes" else 0.5) * max(row[name] for row in rows), name
        assert f"val_{name}" in rows[-1]
    total = sum(rows[-1][name] for name in LOSSES)
    assert rows[-1]["loss"] == pytest.approx(total, rel=1e-3)


def test_the_run_folder_has_what_a_run_has(detector_run):
    names = {path.name for path in detector_run.path.iterdir()}
    assert {
        "network.yaml",
        "resolved.yaml",
        "recipe.yaml",
        "preprocessing.npz",
        "classes.txt",
        "provenance.json",
        "metrics.jsonl",
        "checkpoints",
        "model.keras",
    } <= names
    assert detector_run.folder.classes() == ["disc", "square"]
    again = reskeras.detector(detector_run.path)
    assert again.classes == 2
    assert again.decided() == again.decided().decided()
    assert detector_run.folder.provenance()["data"]["train"] == 16


def test_pixels_are_measured_on_the_images_that_are_used(shapes):
    source, plain = open_objects(f"voc:{shapes}"), recipe("detector")
    chosen = recipe(plain, images=3)
    found, whole = (DetectionTask().job(SPEC, each, source, None).preprocessing() for each in (chosen, plain))
    alone = Preprocessing.fit(used_images(source, chosen).images(), 48, 64, 3, "per_channel")
    np.testing.assert_array_equal(found.mean, alone.mean)
    assert not np.array_equal(found.mean, whole.mean)


ALL_CHANGES = {
    "augment": {"mosaic": {"except_last": 1}, "rotate": 90, "hue": 0.1, "colour": 0.2, "flip": True},
    "class_weights": {"disc": 2},
    "loss": {"kind": "focal", "gamma": 1.0},
    "images": 13,
}


@pytest.mark.slow
def test_a_recipe_of_all_that_there_is_trains_and_is_kept(tmp_path, shapes):
    told = []
    fields = {**SHORT, **ALL_CHANGES, "epochs": 2, "precision": "mixed_bfloat16"}
    run = reskeras.train_detector(SPEC, f"voc:{shapes}", out=tmp_path / "run", tell=told.append, **fields)
    assert any(note.startswith("images: 13 of the 16 training images, with ") for note in told)
    assert run.folder.provenance()["training_images"] == 13 and len(run.folder.metrics()) == 2
    kept = run.folder.recipe()
    assert (kept.images, kept.class_weights, kept.augment.mosaic.except_last) == (13, {"disc": 2.0}, 1)
    assert all(np.isfinite(row[name]) for row in run.folder.metrics() for name in LOSSES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [{}, {**ALL_CHANGES, "batch_size": 3, "augment": {"mosaic": {}, "rotate": 90, "hue": 0.1}}],
    ids=["plain", "all"],
)
def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, shapes, more):
    fields = {**SHORT, "deterministic": True, "checkpoint_steps": 3, **more}
    whole = reskeras.train_detector(SPEC, f"voc:{shapes}", out=tmp_path / "whole", **fields)
    with pytest.raises(Failing):
        reskeras.train_detector(SPEC, f"voc:{shapes}", out=tmp_path / "run", callbacks=[stopping_at(7)], **fields)
    told = []
    resumed = reskeras.train_detector(
        SPEC, f"voc:{shapes}", out=tmp_path / "run", resume=True, tell=told.append, **fields
    )
    assert "resume: continuing after epoch 1, step 2" in told
    assert resumed.folder.provenance()["trained_sha256"] == whole.folder.provenance()["trained_sha256"]
    drop = {"seconds"}
    assert [{name: row[name] for name in row.keys() - drop} for row in resumed.folder.metrics()] == [
        {name: row[name] for name in row.keys() - drop} for row in whole.folder.metrics()
    ]


def test_another_detector_in_a_runs_place_is_refused(tmp_path, shapes, copied_detector):
    other = reskeras.detector(SPEC, settings=("anchors.sizes=[10, 20]",))
    with pytest.raises(ReskerasError, match=r"holds another training: network\.anchors"):
        reskeras.train_detector(other, f"voc:{shapes}", out=copied_detector.path, resume=True, **LEARNING)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A function that trains the backbone a little on coloured noise of some classes."""
    from PIL import Image

    def trained(names, **fields):
        folder, chance = tmp_path_factory.mktemp("noise"), np.random.default_rng(0)
        for label, name in enumerate(names):
            (folder / name).mkdir()
            for number in range(10):
                pixels = chance.integers(70 * label, 70 * label + 100, (48, 64, 3), np.uint8)
                Image.fromarray(pixels).save(folder / name / f"{number}.png")
        return reskeras.train(
            SPEC.backbone,
            f"folder:{folder}",
            epochs=2,
            batch_size=8,
            precision="float32",
            out=tmp_path_factory.mktemp("classifiers") / "noise",
            augment={"pad_crop": 0},
            **fields,
        )

    return trained


@pytest.fixture(scope="module")
def classifier(noise):
    """Something to begin from."""
    return noise(("dark", "light"))


def test_a_pyramid_begins_with_a_classifiers_backbone(classifier):
    plan = lower_detector(reskeras.DetectorSpec.model_validate({**FPN, "classes": 2}))
    own, before = read(training_model(plan, "tiny", 1)), read(classifier.model())
    fitted = DetectionTask().start(classifier).fitted_weights(own)
    assert fitted.keys() == own.keys()
    for name, value in fitted.items():
        np.testing.assert_array_equal(value, before.get(name, own[name]) if "logits" not in name else own[name])
    assert any(name.startswith("lateral") for name in own) and any(name.startswith("stage1") for name in before)


def test_a_detector_begins_with_its_backbones_weights_and_frozen_statistics(tmp_path, shapes, classifier):
    told = []
    run = reskeras.train_detector(
        SPEC, f"voc:{shapes}", out=tmp_path / "run", start=classifier.path, freeze="stage1", tell=told.append, **SHORT
    )
    assert f"starting from {classifier.path}, frozen up to stage1, batch norm frozen" in told
    before, after = read(classifier.model()), read(run.model())
    for name, value in before.items():
        if name.startswith("logits/"):
            continue
        kept = name.startswith(("stem", "stage1")) or "_bn" in name
        assert np.array_equal(value, after[name]) == kept, name
    assert run.folder.provenance()["begun_from"] == str(classifier.path)
    assert np.allclose(run.detector().preprocessing.mean, classifier.preprocessing().mean)


@pytest.mark.slow
def test_nothing_of_a_classifier_is_kept_that_means_nothing_to_a_detector(tmp_path, shapes, noise):
    """Logits of as many classes as a region's with the background, and a mean of each pixel of the canvas."""
    run = reskeras.train_detector(
        SPEC,
        f"voc:{shapes}",
        out=tmp_path / "run",
        **SHORT
        | {
            "epochs": 1,
            "learning_rate": 1e-9,
            "start": noise(("dark", "grey", "light"), normalise="per_pixel_mean").path,
        },
    )
    weights = read(run.model())
    assert weights["logits/kernel"].shape == (32, 3)
    assert weights["logits/kernel"].std() < 0.05
    preprocessing = run.detector().preprocessing
    assert (preprocessing.kind, preprocessing.mean.shape) == ("per_channel", (3,))
    assert run.evaluate(options=reskeras.tasks.detection.detector_inference.Options(scales=(0.5, 1))).images == 6


@pytest.mark.slow
def test_statistics_are_learned_where_the_recipe_says_so(tmp_path, shapes, classifier):
    run = reskeras.train_detector(
        SPEC, f"voc:{shapes}", out=tmp_path / "run", start=classifier.path, frozen_bn=False, **SHORT
    )
    before, after = read(classifier.model()), read(run.model())
    assert not np.array_equal(before["stem_bn/moving_mean"], after["stem_bn/moving_mean"])


@pytest.mark.slow
def test_a_detector_goes_on_from_a_detector(tmp_path, shapes, detector_run):
    run = reskeras.train_detector(
        detector_run.path,
        f"voc:{shapes}",
        out=tmp_path / "run",
        start=detector_run.path,
        **{**SHORT, "epochs": 1, "learning_rate": 1e-6},
    )
    before, after = read(detector_run.model()), read(run.model())
    assert all(np.allclose(before[name], after[name], atol=1e-4) for name in before)


def test_a_backbone_of_another_network_is_refused(tmp_path, shapes, classifier):
    other = reskeras.detector(SPEC, order="full_preact")
    with pytest.raises(ReskerasError, match=r"from: .* is a different network"):
        reskeras.train_detector(other, f"voc:{shapes}", out=tmp_path / "run", start=classifier.path, **SHORT)
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"normalise": "per_pixel_mean"}, "normalise: 'per_pixel_mean' is only for images of one size"),
        ({"test_crop": 0.9}, "test_crop: 0.9 is only for classifiers"),
        ({"sizes": [[0, 64]]}, "sizes: .* is only for classifiers"),
        ({"label_smoothing": 0.1}, "label_smoothing: 0.1 is only for classifiers"),
        ({"class_weights": {"disk": 2}}, "class_weights: 'disk' is not one of disc, square"),
        ({"loss": "binary_cross_entropy"}, "loss: 'binary_cross_entropy' is only for classifiers; use auto, or focal"),
        ({"loss": {"kind": "focal", "sum_classes": True}}, "loss.sum_classes: only for classifiers"),
        ({"images": 17}, "images: 17 of the 16 training images requested"),
        ({"augment": {"mosaic": {"except_last": 2}}}, "augment.mosaic.except_last: 2 leaves none of 2 epochs"),
        ({"schedule": {"kind": "constant", "warmup_until": {}}}, "schedule.warmup_until: needs a classifier's"),
        ({"augment": {"mixup": 0.1}}, "augment.mixup: not for detectors"),
        ({"freeze": "stage9"}, "'stage9' is not one of"),
        ({"freeze": "rpn"}, "'rpn' is not one of"),
    ],
)
def test_what_a_recipe_says_of_classifiers_is_refused(tmp_path, shapes, fields, message):
    with pytest.raises(ReskerasError, match=message) as caught:
        reskeras.train_detector(SPEC, f"voc:{shapes}", out=tmp_path / "run", **{**SHORT, **fields})
    assert caught.value.status == 2
    assert not (tmp_path / "run").exists()


def test_classes_that_contradict_the_data_are_refused(tmp_path, shapes):
    with pytest.raises(ReskerasError, match="classes: 5 contradicts"):
        reskeras.train_detector(reskeras.detector(SPEC, classes=5), f"voc:{shapes}", out=tmp_path / "run", **SHORT)


@pytest.mark.slow
def test_a_deep_scanned_backbone_trains(tmp_path, shapes):
    spec = reskeras.detector(
        SPEC, stages=[{"units": 2, "width": 16}, {"units": 3, "width": 16}, {"units": 3, "width": 16}]
    )
    run = reskeras.train_detector(
        spec, f"voc:{shapes}", out=tmp_path / "run", form="scanned", recompute=True, **{**SHORT, "epochs": 1}
    )
    assert np.isfinite(run.folder.metrics()[-1]["loss"])
    assert run.evaluate().images == 6


def trained(out, shapes, moment="never", devices=1, *fields):
    """The training that kills itself at a moment; its exit status and what it printed."""
    arguments = [str(out), str(shapes), moment, str(devices), *fields]
    command = [sys.executable, "-m", "tests.tasks.detection.killed", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path, shapes, devices):
    expected = digest(trained(tmp_path / "whole", shapes, devices=devices))
    for moment in ("step:2", "step:6", "step:11", "validation:3", "writing:2", "writing:4"):
        out = tmp_path / moment.replace(":", "-")
        assert trained(out, shapes, moment, devices).returncode == -signal.SIGKILL
        assert digest(trained(out, shapes, devices=devices)) == expected, moment


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_killed_between_canvases_it_ends_with_the_same_bits(tmp_path, devices):
    mixed = shapes_folder(tmp_path / "mixed", train=18, test=5, sizes=((48, 64), (64, 48), (56, 56)))
    fields = devices, "resize: {shorter: 48, longer: 64}"
    expected = digest(trained(tmp_path / "whole", mixed, "never", *fields))
    for moment in ("step:2", "step:8", "validation:2", "writing:2"):
        out = tmp_path / moment.replace(":", "-")
        assert trained(out, mixed, moment, *fields).returncode == -signal.SIGKILL
        assert digest(trained(out, mixed, "never", *fields)) == expected, moment


@pytest.mark.slow
def test_two_devices_learn_what_one_does(tmp_path, shapes):
    """The same global batch; the losses agree as far as each device's own statistics of it do."""
    rows = []
    for devices in (1, 2):
        done = trained(tmp_path / str(devices), shapes, devices=devices)
        assert done.returncode == 0, done.stderr
        rows.append(reskeras.DetectorRun(tmp_path / str(devices)).folder.metrics()[0])
    for name in LOSSES:
        assert rows[0][name] == pytest.approx(rows[1][name], rel=0.2), name


@pytest.mark.slow
def test_detectors_of_several_seeds_are_compared_by_their_precision(tmp_path, shapes):
    result = reskeras.train_seeds(
        SPEC, f"voc:{shapes}", seeds=2, task="detection", out=tmp_path / "runs", **{**LEARNING, "epochs": 2}
    )
    areas = [reskeras.Run(path).evaluate().voc.map_area for path in result.rows[0].runs.values()]
    assert [figures["map_area"] for figures in result.rows[0].figures.values()] == areas
    assert (tmp_path / "runs" / "report.html").is_file()


@pytest.mark.slow
def test_detectors_take_an_optimizer_of_the_program_alone(tmp_path, shapes):
    fields = {**SHORT, "out": tmp_path / "run"}
    with pytest.raises(ReskerasError, match="loss: a function of your own is only for classifiers"):
        reskeras.train_detector(SPEC, f"voc:{shapes}", loss=lambda targets, logits: logits, **fields)
    assert list(tmp_path.iterdir()) == []
    fields.pop("learning_rate", None)
    run = reskeras.train_detector(SPEC, f"voc:{shapes}", optimizer=keras.optimizers.Adam(1e-3), **fields)
    assert run.folder.provenance()["own"]["optimizer"]["name"] == "Adam"
