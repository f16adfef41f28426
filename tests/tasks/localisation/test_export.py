"""An exported localiser, alone or with a refiner, stands outside Keras: pixels in, the same boxes out, and a proof."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import reskeras
from reskeras.client import Client
from reskeras.errors import ReskerasError
from reskeras.export.runtimes import open_model
from reskeras.tasks.detection.average_precision import Detections
from reskeras.tasks.localisation.rule import OVERLAP, covered
from tests.cli.running import invoke, printed, refused
from tests.export.spoiling import spoil_a_folded_weight
from tests.export.stub import Stub
from tests.export.unreadable import UNREADABLE
from tests.export.warm_up import check_warm_up
from tests.tasks.detection.alike import alike

NAMES = ["disc", "square"]
PORTABLE = ("onnx", "openvino") if find_spec("tf2onnx") and find_spec("onnxruntime") and find_spec("openvino") else ()
KINDS = ("serving", "tflite", "tflite-float16", *PORTABLE)
SIGNATURES = ("serving_default", "bytes", "features", "of_classes", "pixels")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """(a copy of the localiser's run, its proofs by kind)."""
    copy = reskeras.Run(shutil.copytree(run.path, tmp_path_factory.mktemp("export") / "run"))
    return copy, {proof.kind: proof for proof in copy.export(*KINDS)}


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(exported[1]["serving"].path)


@pytest.fixture(scope="module")
def judged(refined, tmp_path_factory):
    """(a copy of the refiner's run, its SavedModel)."""
    copy = reskeras.Run(shutil.copytree(refined.path, tmp_path_factory.mktemp("export") / "refined"))
    [proof] = copy.export(timing=False)
    assert proof.holds and proof.agreement == 1 and proof.difference < 1e-4
    return copy, tf.saved_model.load(proof.path)


def told(images):
    """What `predict` tells of images, in the form of a server's answer."""
    rows = [image.detections for image in images]
    return {
        "boxes": np.array([[each.box for each in row] for row in rows], np.float32),
        "scores": np.array([[each.score for each in row] for row in rows], np.float32),
        "labels": np.array([[each.label for each in row] for row in rows], np.int32),
        "count": np.array([len(row) for row in rows]),
    }


def asked(loaded, files, signature="serving_default", **more):
    data = tf.constant([Path(file).read_bytes() for file in files])
    return {name: values.numpy() for name, values in loaded.signatures[signature](image_bytes=data, **more).items()}


def of_sizes(files, folder):
    """Images of other sizes and shapes than the crop, grey ones too."""
    image = Image.open(files[0]).convert("RGB")
    made = [image.resize((30, 20)), image.resize((400, 100)), image.convert("L"), image.crop((0, 0, 60, 1))]
    for number, each in enumerate(made):
        each.save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in range(len(made))]


def test_the_saved_model_finds_what_the_keras_model_finds(exported, loaded, files, tmp_path):
    every = [*files, *of_sizes(files, tmp_path)]
    expected = exported[0].predict(every, 2)
    found = asked(loaded, every)
    alike(found, told(expected), [image.size for image in expected], 1e-4, NAMES)
    assert found["boxes"].shape == (len(every), 2, 4) and (np.diff(found["scores"]) <= 0).all()
    best = [image.detections[0].name for image in exported[0].predict(every)]
    assert [name.decode() for name in found["classes"][:, 0]] == best and len({*best}) == 2


def test_a_classifiers_classes_are_asked_for_by_name(loaded, files):
    names = tf.constant([["square", "no class", "disc"]] * len(files))
    found, every = asked(loaded, files, "of_classes", classes=names), asked(loaded, files)
    for row in range(len(files)):
        assert found["classes"][row].tolist() == [b"square", b"", b"disc"]
        for place, name in ((0, b"square"), (2, b"disc")):
            own = every["classes"][row].tolist().index(name)
            np.testing.assert_allclose(found["boxes"][row, place], every["boxes"][row, own], atol=1e-3)
            assert found["scores"][row, place] == pytest.approx(every["scores"][row, own], abs=1e-5)
        assert not found["boxes"][row, 1].any() and found["scores"][row, 1] == 0


def test_pixels_of_any_size_have_the_boxes_of_their_file(loaded, judged, files, tmp_path):
    for model in (loaded, judged[1]):
        for file in [files[0], *of_sizes(files, tmp_path)]:
            pixels = tf.constant(np.asarray(Image.open(file).convert("RGB"))[np.newaxis])
            found, expected = model.signatures["pixels"](images=pixels), asked(model, [file])
            for name in ("boxes", "scores", "classes", "count", "status"):
                np.testing.assert_array_equal(found[name], expected[name])
    with pytest.raises(tf.errors.InvalidArgumentError, match="the batch is empty"):
        loaded.signatures["pixels"](images=tf.zeros([0, 9, 9, 3], tf.uint8))


@pytest.mark.parametrize("kind", ["tflite", *PORTABLE])
def test_a_file_finds_what_the_keras_model_finds_in_its_crop(exported, files, kind):
    run, proofs = exported
    path = Path(proofs[kind].path)
    file, precision = (next(path.glob("*.xml")), "f32") if path.is_dir() else (path, "")
    localiser, split = run.localiser(), run.source().test
    data = tf.constant([path.read_bytes() for path in files])
    crops = localiser.place(data, localiser.plan.canvas, localiser.plan.sides)
    located = localiser.look(split)
    found = open_model(file, precision)(images=crops.pixels.numpy())
    boxes = crops.in_image(tf.constant(found["boxes"])).numpy()
    np.testing.assert_allclose(found["scores"], located.scores[..., 0], atol=1e-4)
    np.testing.assert_allclose(boxes, located.boxes[:, :, 0], atol=0.05)
    assert found["best"].tolist() == located.scores[..., 0].argmax(axis=1).tolist()
    corner, scale = crops.corner[0].numpy(), crops.scale[0].numpy()
    assert (corner < 0).any() and not np.allclose(scale, 1)  # a crop is not the image


@pytest.mark.parametrize("kind", KINDS)
def test_the_proof_measures_both_sides_as_evaluation_does(exported, kind):
    run, proofs = exported
    proof, evaluation = proofs[kind], run.evaluate()
    assert proof.holds and proof.images == 8 and proof.accuracy_of == "right boxes"
    assert proof.keras_accuracy == pytest.approx(1 - evaluation.error) and 0 < proof.keras_accuracy < 1
    assert proof.accuracy == pytest.approx(proof.keras_accuracy, abs=0.1)
    if kind != "tflite-float16":
        assert proof.difference < 1e-4 and proof.agreement == 1
    assert [timing.batch for timing in proof.speed.timings] == [1, 32]


def test_what_a_tflite_takes_and_answers_is_written_beside_it(exported):
    path = Path(exported[1]["tflite"].path)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["input"]["shape"] == ["batch", 40, 40, 3] and facts["classes"] == NAMES
    assert {(each["name"], *each["shape"][1:]) for each in facts["outputs"]} == {
        ("scores", 2),
        ("boxes", 2, 4),
        ("best",),
    }
    assert "shorter side of 46 pixels" in facts["use"] and "crop 40x40" in facts["use"] and "best is" in facts["use"]


@pytest.mark.slow
def test_one_changed_weight_is_rejected_and_kept_aside(run, tmp_path, monkeypatch):
    copy = reskeras.Run(shutil.copytree(run.path, tmp_path / "run"))
    spoil_a_folded_weight(monkeypatch)
    with pytest.raises(ReskerasError, match="rejected, not equivalent to the model") as caught:
        copy.export(timing=False)
    assert caught.value.status == 1
    assert [(proof.kind, proof.holds) for proof in copy.proofs()] == [("serving", False), ("tflite", False)]
    assert sorted(path.name for path in (copy.folder.export_folder / "rejected").iterdir()) == [
        f"{copy.name}-serving",
        f"{copy.name}-tflite",
    ]


def test_what_cannot_be_read_leaves_the_images_beside_it_as_they_are(loaded, judged, files):
    first, last = files[0].read_bytes(), files[1].read_bytes()
    bad = [data for data, _ in UNREADABLE.values()]
    for model, signature in ((loaded, "serving_default"), (loaded, "features"), (judged[1], "bytes")):
        ask = model.signatures[signature]
        mixed, whole = ask(image_bytes=tf.constant([first, *bad, last])), ask(image_bytes=tf.constant([first, last]))
        said = [status.decode() for status in mixed["status"].numpy()]
        assert said == ["ok", *(why for _, why in UNREADABLE.values()), "ok"]
        for name, values in mixed.items():
            values, expected = values.numpy(), whole[name].numpy()
            if values.dtype == object:
                np.testing.assert_array_equal(values[[0, -1]], expected)
            else:
                np.testing.assert_allclose(values[[0, -1]], expected, atol=1e-3)
            if name != "status":
                assert not np.any(values[1:-1] != (b"" if name == "classes" else 0))


def test_with_a_refiner_its_boxes_and_scores_are_answered(judged, run, files):
    refined, model = judged
    expected = run.predict(files, 2, refiner=refined)
    alike(asked(model, files), told(expected), [image.size for image in expected], 1e-4, NAMES)
    alone = asked(model, files, "of_classes", classes=tf.constant([["disc"]] * len(files)))
    named = run.predict(files, refiner=refined, classes="disc")
    alike(alone, told(named), [image.size for image in named], 1e-4, NAMES)
    first = run.predict(files, 2)
    assert any(a.detections[0].box != b.detections[0].box for a, b in zip(first, expected, strict=True))


def test_the_proof_of_a_refiner_is_of_both_stages(judged):
    [proof] = judged[0].proofs()
    assert proof.keras_accuracy == pytest.approx(1 - judged[0].evaluate().error)


def test_a_class_without_a_box_is_wrong(exported):
    from reskeras.tasks.localisation.export import LocaliserExporter

    run, _ = exported
    exporter = run.exporter(run.source())
    assert isinstance(exporter, LocaliserExporter)
    split = exporter.sample
    image = np.repeat(np.arange(split.count), np.diff(split.starts)).astype(np.int32)
    right = Detections(image, split.labels, np.ones(len(image), np.float32), split.boxes)
    assert exporter.accuracy(right) == 1
    half = right.part(image < 4)
    true = split.held(2)
    assert exporter.accuracy(half) == pytest.approx(true[:4].sum() / true.sum())
    assert (covered(split, np.zeros((split.count, 2, 4))) < OVERLAP).all()


def test_warm_up_names_and_a_client(exported, loaded, files):
    run, proofs = exported
    folder = Path(proofs["serving"].path)
    assert (folder / "assets" / "classes.txt").read_text().split() == NAMES
    check_warm_up(folder, loaded, run.name, SIGNATURES, (1, 2, 4, 8, 16, 32))
    with Stub(loaded) as stub:
        [found] = Client(stub.url).detect(files[:1])
        shown = json.loads(printed("localise", "predict", "--url", stub.url, files[0], "--json"))
    assert [each.name for each in found.detections] == [
        name.decode() for name in asked(loaded, files[:1])["classes"][0]
    ]
    assert [each["name"] for each in shown[0]["detections"]] == [found.detections[0].name]


def test_kinds_that_cannot_be_are_refused_with_the_reason(run, refined):
    said = refused("localise", "export", run.path, "--to", "tflite-int8")
    assert "to: tflite-int8: 8-bit integers are too coarse for boxes; use tflite or" in said
    assert "export the localiser alone" in refused("localise", "export", refined.path, "--to", "tflite")
    assert "'onnxx' is not one of serving, tflite, tflite-float16, onnx, openvino; did you mean onnx?" in refused(
        "localise", "export", run.path, "--to", "onnxx"
    )
    assert "tolerance: 'x' is not one of serving, tflite" in refused(
        "localise", "export", run.path, "--tolerance", "x=1"
    )


def test_the_commands_tell_the_proof(run, trained, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "run")
    shown = printed("localise", "export", copy, "--to", "serving", "--no-timing")
    assert "right boxes" in shown and "agrees" in shown and "tensorflow_model_server" in shown
    served = invoke("serve", copy, "--dry-run")
    assert served.exit_code == 0 and "--model_config_file" in served.stdout
    assert f"make one with: reskeras localise export {run.path} --to serving" in refused("serve", run.path)
    assert "is a classifier, not a localiser" in refused("localise", "export", trained.path)
