"""An exported detector stands outside Keras: files in, the detector's own boxes out, and a proof that can fail."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from PIL import Image

import reskeras
from reskeras.client import Client
from reskeras.errors import ReskerasError
from reskeras.networks.detector import DetectorSpec
from reskeras.networks.detector_plan import lower_detector
from reskeras.tasks.detection import export
from reskeras.tasks.detection.average_precision import voc_precision
from reskeras.tasks.detection.detection_proof import files_of
from reskeras_cli.classification_results import echo_proofs
from reskeras_cli.main import commands
from tests.export.spoiling import spoil_a_folded_weight
from tests.export.stub import Stub
from tests.export.test_server_files import batching_in, models_in
from tests.export.unreadable import UNREADABLE
from tests.export.warm_up import check_warm_up
from tests.tasks.detection.alike import alike, one_of
from tests.tasks.detection.by_hand import by_hand
from tests.tasks.detection.scenes import detected

ASK = """
import sys, numpy as np, tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
found = serve(image_bytes=tf.constant([open(path, "rb").read() for path in sys.argv[3:]]))
found = {name: values.numpy() for name, values in found.items()}
assert not [name for name in sys.modules if name.startswith("reskeras")]
np.savez(sys.argv[2], **{name: values.astype("S") if values.dtype == object else values
                         for name, values in found.items()})
"""


@pytest.fixture(scope="module")
def exported(detector_run, tmp_path_factory):
    """(run, its proof) of a copy of the trained detector."""
    run = reskeras.DetectorRun(shutil.copytree(detector_run.path, tmp_path_factory.mktemp("export") / "run"))
    [proof] = run.export()
    return run, proof


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(exported[1].path)


@pytest.fixture(scope="module")
def images(shapes):
    """The files of the test images, in order."""
    names = (shapes / "ImageSets" / "Main" / "test.txt").read_text().split()
    return [shapes / "JPEGImages" / f"{name}.png" for name in names]


def told(found, row):
    """What is told of one image: [(class, score, box)]."""
    found = {name: np.asarray(values) for name, values in found.items()}
    return [
        (found["classes"][row, place].decode(), found["scores"][row, place], found["boxes"][row, place])
        for place in range(found["count"][row])
    ]


def asked(loaded, *files):
    return loaded.signatures["serving_default"](image_bytes=tf.constant(files))


def agree(found, expected):
    assert [name for name, _, _ in found] == [name for name, _, _ in expected]
    np.testing.assert_allclose([score for _, score, _ in found], [score for _, score, _ in expected], atol=1e-4)
    np.testing.assert_allclose([box for _, _, box in found], [box for _, _, box in expected], atol=1e-2)


def test_the_saved_model_finds_what_the_keras_model_finds(exported, loaded, images):
    found = asked(loaded, *(path.read_bytes() for path in images))
    assert sum(found["count"].numpy()) >= len(images)
    for row, expected in enumerate(by_hand(exported[0], images)):
        agree(told(found, row), expected)
        rest = found["count"][row].numpy()
        assert not np.any(found["boxes"][row, rest:])
        assert not np.any(found["scores"][row, rest:])
        assert set(found["classes"][row, rest:].numpy()) <= {b""}


def test_the_proof_measures_both_sides_as_evaluation_does(exported):
    run, proof = exported
    assert proof.holds
    assert proof.difference < 1e-4
    assert proof.agreement == 1
    assert proof.images == run.source().test.count
    measured = run.evaluate().voc.map_area
    assert measured > 0.5
    assert proof.accuracy == pytest.approx(measured)
    assert proof.keras_accuracy == pytest.approx(measured)
    assert [timing.batch for timing in proof.speed.timings] == [1, 4]


def test_precision_of_the_artefact_is_measured_from_its_own_answers(exported, loaded):
    run, proof = exported
    test, classes = run.source().test, run.folder.classes()
    rows = []
    for index, data in enumerate(files_of(test)):
        for name, score, box in told(asked(loaded, data), 0):
            rows.append((index, classes.index(name), score, *box))
    assert voc_precision(detected(rows), test, tuple(classes)).map_area == pytest.approx(proof.accuracy)


def test_the_report_tells_what_its_accuracy_is(exported, capsys):
    run, proof = exported
    report = json.loads((run.folder.export_folder / "report.json").read_text())
    assert report[proof.path]["accuracy_of"] == "mAP at 0.5"
    assert proof in run.proofs()
    echo_proofs(run.proofs())
    assert "mAP at 0.5" in capsys.readouterr().out


def test_versions_go_up_and_nothing_half_written_is_left(exported):
    run, _ = exported
    [proof] = run.export("serving", timing=False)
    model = run.folder.export_folder / run.name
    assert proof.path == str(model / "2")
    assert sorted(path.name for path in model.iterdir()) == ["1", "2"]


def test_one_changed_weight_is_rejected_and_kept_aside(copied_detector, monkeypatch):
    spoil_a_folded_weight(monkeypatch)
    with pytest.raises(ReskerasError, match="rejected, not equivalent to the model") as caught:
        copied_detector.export(timing=False)
    assert caught.value.status == 1
    [proof] = copied_detector.proofs()
    assert not proof.holds
    assert proof.difference > proof.tolerance > 10 * proof.keras_noise
    folder = copied_detector.folder.export_folder
    assert [path.name for path in (folder / "rejected").iterdir()] == [f"{copied_detector.name}-serving"]
    assert not list(folder.glob("*/[0-9]*"))
    assert not (folder / "models.config").exists()


def test_a_box_that_is_not_scaled_back_is_rejected(copied_detector, monkeypatch):
    found = export.Detector.found
    monkeypatch.setattr(
        export.ServedDetector,
        "__call__",
        lambda self, files: {
            **_named(self, found(self._detector(), files)),
            "boxes": found(self._detector(), files)["boxes"] * 1.004,
        },
    )
    with pytest.raises(ReskerasError, match="rejected"):
        copied_detector.export(timing=False)


def _named(served, found):
    names = tf.gather(
        tf.constant([*served.classes, ""]), tf.where(found["labels"] < 0, len(served.classes), found["labels"])
    )
    return {"scores": found["scores"], "count": found["count"], "classes": names}


def test_a_process_without_reskeras_gets_the_same_boxes(exported, loaded, images, tmp_path):
    subprocess.run(
        [sys.executable, "-c", ASK, exported[1].path, tmp_path / "found.npz", *images],
        check=True,
        cwd=tmp_path,
        capture_output=True,
    )
    expected = asked(loaded, *(path.read_bytes() for path in images))
    with np.load(tmp_path / "found.npz") as found:
        for row in range(len(images)):
            agree(told(found, row), told(expected, row))


@pytest.mark.slow
def test_saved_model_cli_shows_and_runs_it(exported, loaded, images, tmp_path):
    program, path = Path(sys.executable).with_name("saved_model_cli"), exported[1].path
    shown = subprocess.run([program, "show", "--dir", path, "--all"], capture_output=True, text=True, check=True).stdout
    for name in ("serving_default", "bytes", "features", "image_bytes", "boxes", "scores", "count", "(-1, 100, 4)"):
        assert name in shown
    np.save(tmp_path / "files.npy", np.array([path.read_bytes() for path in images]))
    subprocess.run(
        [
            program,
            "run",
            "--dir",
            path,
            "--tag_set",
            "serve",
            "--signature_def",
            "serving_default",
            "--inputs",
            f"image_bytes={tmp_path / 'files.npy'}",
            "--outdir",
            tmp_path,
        ],
        check=True,
        capture_output=True,
    )
    expected = asked(loaded, *(path.read_bytes() for path in images))
    np.testing.assert_allclose(np.load(tmp_path / "boxes.npy"), expected["boxes"], atol=1e-3)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected["scores"], atol=1e-5)


def files_of_every_kind(path):
    """An image as cameras, browsers and scanners make files of it, in several sizes."""
    image = Image.open(path).convert("RGB")
    small, wide = image.resize((30, 20)), image.resize((400, 100))
    made = [
        (image, "PNG"),
        (image, "JPEG"),
        (small, "PNG"),
        (wide, "JPEG"),
        (image.convert("L"), "PNG"),
        (image.convert("RGBA"), "PNG"),
        (image.convert("P"), "PNG"),
        (image.crop((0, 0, 60, 1)), "PNG"),
    ]
    files = []
    for each, kind in made:
        held = io.BytesIO()
        each.save(held, kind)
        files.append(held.getvalue())
    return files


def test_files_of_every_kind_and_size_in_one_batch_get_what_each_gets_alone(exported, loaded, images):
    files = files_of_every_kind(images[0])
    together = asked(loaded, *files)
    detector = exported[0].detector()
    for row, data in enumerate(files):
        size = tf.io.decode_image(data).shape[:2]
        alike(one_of(together, row), detector.found(tf.constant([data])), [size], 1e-4, ["disc", "square"])


@pytest.mark.parametrize("signature", ["serving_default", "bytes", "features"])
def test_what_cannot_be_read_leaves_the_images_beside_it_as_they_are(loaded, images, signature):
    first, last = images[0].read_bytes(), images[1].read_bytes()
    bad = [data for data, _ in UNREADABLE.values()]
    ask = loaded.signatures[signature]
    whole = ask(image_bytes=tf.constant([first, *[first] * len(bad), last]))
    mixed = ask(image_bytes=tf.constant([first, *bad, last]))
    assert [status.decode() for status in mixed["status"].numpy()] == [
        "ok",
        *(said for _, said in UNREADABLE.values()),
        "ok",
    ]
    for name, values in mixed.items():
        values = values.numpy()
        np.testing.assert_array_equal(values[[0, -1]], whole[name].numpy()[[0, -1]])
        if name != "status":
            assert not np.any(values[1:-1] != (b"" if name == "classes" else 0))
    if signature != "features":
        assert mixed["count"][0] > 0


@pytest.mark.parametrize("signature", ["serving_default", "bytes", "features"])
@pytest.mark.parametrize(
    "files, said",
    [([], "the batch is empty"), ([[b"two"], [b"axes"]], "is not compatible with expected shape")],
    ids=["empty", "two axes"],
)
def test_a_request_that_is_none_is_an_invalid_argument(loaded, signature, files, said):
    with pytest.raises(tf.errors.InvalidArgumentError, match=said):
        loaded.signatures[signature](image_bytes=tf.constant(files, tf.string))


def test_features_are_the_shared_map(exported, loaded, images):
    run, data = exported[0], images[0].read_bytes()
    features = loaded.signatures["features"](image_bytes=tf.constant([data, data]))["features"]
    assert features.shape == (2, *lower_detector(run.folder.spec()).map_shape)
    detector = run.detector()
    (image,), _ = detector.placed(tf.constant([data]))
    (shared,) = detector.features_on(image)
    np.testing.assert_allclose(features[1:], shared, atol=1e-4)


def test_class_names_warm_up_and_configuration(exported, loaded):
    run, proof = exported
    folder = Path(proof.path)
    assert (folder / "assets" / "classes.txt").read_text().split() == ["disc", "square"]
    batches = batching_in(run.folder.export_folder / "batching.config").allowed_batch_sizes
    assert list(batches) == [1, 2, 4]
    check_warm_up(folder, loaded, run.name, ("serving_default", "bytes", "features"), batches)
    model = models_in(run.folder.export_folder / "models.config")
    assert (model.name, model.base_path) == (run.name, f"/models/{run.name}")


def test_a_client_gets_names_scores_and_boxes(loaded, images):
    with Stub(loaded) as stub:
        found = Client(stub.url).detect(images)
        with pytest.raises(ReskerasError, match="the served model is a detector"):
            Client(stub.url).predict(images[:1])
    assert [len(body["instances"]) for _, body in stub.requests] == [4, 2, 1]
    expected = asked(loaded, *(path.read_bytes() for path in images))
    for row, (path, image) in enumerate(zip(images, found, strict=True)):
        assert image.path == str(path)
        agree([(each.name, each.score, each.box) for each in image.detections], told(expected, row))


def test_a_server_of_a_classifier_is_no_detector(images):
    answer = (200, '{"predictions": [{"classes": ["cat"], "probabilities": [1.0]}]}')
    with Stub(script=[answer]) as stub, pytest.raises(ReskerasError, match="is it a detector"):
        Client(stub.url).detect(images[:1])


def test_an_answer_that_counts_without_end_is_refused(images):
    answer = (200, '{"predictions": [{"count": Infinity, "classes": [], "scores": [], "boxes": []}]}')
    with Stub(script=[answer]) as stub, pytest.raises(ReskerasError, match="is it a detector"):
        Client(stub.url).detect(images[:1])


def test_serve_starts_a_server_on_it_and_says_how_to_export(exported, detector_run):
    shown = CliRunner().invoke(commands, ["serve", str(exported[0].path), "--dry-run"])
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["tensorflow_model_server", "docker"]
    refused = CliRunner().invoke(commands, ["serve", str(detector_run.path)])
    assert refused.exit_code == 2
    assert f"make one with: reskeras detect export {detector_run.path}" in refused.stderr


PHOTOGRAPHS = {"shorter": 800, "longer": 1333}
EIGHTEEN = [[64 + 8 * n, 112] for n in range(7)] + [[112, 64 + 8 * n] for n in range(12)]


@pytest.mark.parametrize(
    ("resize", "told"),
    [
        (PHOTOGRAPHS | {"multiple": 32}, "has 83; .*resize.multiple=256, or port with size_divisible=256, .* 11$"),
        ({"shorter": 64, "canvases": EIGHTEEN}, "has 18; train with fewer resize.canvases$"),
    ],
)
def test_more_canvases_than_a_server_can_load_are_refused(resize, told):
    spec = DetectorSpec.model_validate({"backbone": "resnet-18", "neck": "fpn", "resize": resize})
    with pytest.raises(ReskerasError, match="to: serving has a graph for each canvas, for at most 16, and .*" + told):
        export.check_served(spec)


@pytest.mark.parametrize("resize", [PHOTOGRAPHS | {"multiple": 256}, {"shorter": 600}, None])
def test_so_many_canvases_are_served(resize):
    export.check_served(DetectorSpec.model_validate({"backbone": "resnet-18", "neck": "fpn", "resize": resize}))


def test_other_kinds_are_refused_by_name(detector_run):
    for ask in (lambda: detector_run.export("coreml"), lambda: detector_run.export(tolerances={"coreml": 0.1})):
        with pytest.raises(ReskerasError, match="'coreml' is not one of serving") as caught:
            ask()
        assert caught.value.status == 2
