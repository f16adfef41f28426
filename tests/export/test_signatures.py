"""What a server is given: signatures, files as bytes, class names, warm-up, configuration."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

import reskeras
from reskeras.data.sample import sample_of_each_class
from tests.export.test_server_files import batching_in, models_in
from tests.export.unreadable import UNREADABLE, image_file
from tests.export.warm_up import check_warm_up

COLOUR = {"family": "cifar", "stages": [1, 1], "input_shape": [16, 16, 3]}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two classes, red and blue, of colour images of several sizes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for channel, name in ((0, "red"), (2, "blue")):
        (folder / name).mkdir()
        for index in range(20):
            pixels = rng.integers(0, 120, (20 + index, 30, 3), np.uint8)
            pixels[..., channel] += 120
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def served(photos, tmp_path_factory):
    """(run, loaded SavedModel, its folder) of a network trained on these photos."""
    run = reskeras.train(
        reskeras.network(**COLOUR),
        f"folder:{photos}",
        epochs=2,
        batch_size=8,
        out=tmp_path_factory.mktemp("runs") / "colours",
    )
    [proof] = run.export("serving", timing=False)
    return run, tf.saved_model.load(proof.path), Path(proof.path)


def asked(served, *files):
    """What the `bytes` signature answers for files."""
    return served[1].signatures["bytes"](image_bytes=tf.constant([Path(file).read_bytes() for file in files]))


def images_of_every_kind(folder):
    """Files as cameras, browsers and scanners make them."""
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 255, (40, 31, 3), np.uint8)
    made = {
        "colour.png": Image.fromarray(colour),
        "photo.jpg": Image.fromarray(colour),
        "grey.png": Image.fromarray(colour[..., 0]),
        "grey.jpg": Image.fromarray(colour[..., 0]),
        "rgba.png": Image.fromarray(np.dstack([colour, colour[..., 0]])),
        "deep.png": Image.fromarray(rng.integers(0, 65535, (20, 20), np.uint16)),
        "palette.png": Image.fromarray(colour).convert("P"),
        "thin.png": Image.fromarray(colour[:1]),
    }
    for name, image in made.items():
        image.save(folder / name)
    return [folder / name for name in made]


def test_files_as_bytes_get_the_classes_that_predict_names(served, tmp_path):
    files = images_of_every_kind(tmp_path)
    answer = asked(served, *files)
    for index, prediction in enumerate(served[0].predict(files)):
        names = [name.decode() for name in answer["classes"][index].numpy()]
        assert names == [name for name, _ in prediction.top]
        np.testing.assert_allclose(answer["probabilities"][index], [value for _, value in prediction.top], atol=1e-5)
    assert answer["probabilities"].dtype == tf.float32


def test_photographs_are_turned_by_their_exif_orientation(served, tmp_path):
    upright = Image.fromarray(np.random.default_rng(3).integers(0, 255, (40, 31, 3), np.uint8))
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    sideways = upright.transpose(Image.Transpose.ROTATE_90)
    sideways.save(tmp_path / "tagged.png", exif=exif)
    sideways.save(tmp_path / "untagged.png")
    answer = asked(served, *(tmp_path / f"{name}.png" for name in ("upright", "tagged", "untagged")))
    first, second, third = np.log(answer["probabilities"])
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
    assert not np.allclose(first, third, rtol=1e-3, atol=1e-4)


def test_a_grey_network_takes_colour_files(copied, tmp_path):
    [proof] = copied.export("serving", timing=False)
    loaded = (copied, tf.saved_model.load(proof.path))
    files = images_of_every_kind(tmp_path)
    answer = asked(loaded, *files)
    for index, prediction in enumerate(copied.predict(files, top=1)):
        assert answer["classes"][index, 0].numpy().decode() == prediction.top[0][0]


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_has_a_status_and_leaves_the_rows_beside_it_as_they_are(served, tmp_path, name):
    data, said = UNREADABLE[name]
    good = [path.read_bytes() for path in images_of_every_kind(tmp_path)[:3]]
    ask = served[1].signatures["bytes"]
    whole = ask(image_bytes=tf.constant([good[0], good[1], good[2]]))
    mixed = ask(image_bytes=tf.constant([good[0], data, good[2]]))
    assert list(whole["status"].numpy()) == [b"ok"] * 3
    assert list(mixed["status"].numpy()) == [b"ok", said.encode(), b"ok"]
    for output in ("classes", "probabilities"):
        np.testing.assert_array_equal(mixed[output].numpy()[[0, 2]], whole[output].numpy()[[0, 2]])
    assert set(mixed["classes"][1].numpy()) == {b""}
    assert not mixed["probabilities"][1].numpy().any()


def test_a_batch_of_what_cannot_be_read_is_answered_row_by_row(served):
    answer = served[1].signatures["bytes"](image_bytes=tf.constant([data for data, _ in UNREADABLE.values()]))
    assert [status.decode() for status in answer["status"].numpy()] == [said for _, said in UNREADABLE.values()]
    assert set(answer["classes"].numpy().ravel()) == {b""}


def test_a_session_answers_row_by_row_too(served):
    """TensorFlow Serving runs a SavedModel in a session, not in an eager function."""
    files = [image_file("PNG"), UNREADABLE["cut jpeg"][0], image_file("JPEG"), b""]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.load(session, ["serve"], str(served[2]))
        signature = meta.signature_def["bytes"]
        found = session.run(
            {name: tensor.name for name, tensor in signature.outputs.items()},
            {signature.inputs["image_bytes"].name: files},
        )
    assert list(found["status"]) == [b"ok", b"broken or cut off", b"ok", b"neither a JPEG nor a PNG"]
    expected = served[1].signatures["bytes"](image_bytes=tf.constant(files))
    np.testing.assert_array_equal(found["classes"], expected["classes"])
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-6)


def test_empty_batches_and_wrong_shapes_are_invalid_arguments(served):
    default, features, files = (served[1].signatures[name] for name in ("serving_default", "features", "bytes"))
    empty = tf.zeros([0, 16, 16, 3], tf.uint8)
    for ask in (
        lambda: default(images=empty),
        lambda: features(images=empty),
        lambda: files(image_bytes=tf.constant([], tf.string)),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="the batch is empty"):
            ask()
    for wrong in (tf.zeros([1, 15, 16, 3], tf.uint8), tf.zeros([1, 16, 16, 1], tf.uint8)):
        with pytest.raises(tf.errors.InvalidArgumentError, match="is not compatible with expected shape"):
            default(images=wrong)


def test_features_are_what_the_last_layer_sees(served):
    run, loaded, _ = served
    images = tf.constant(np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), np.uint8))
    features = loaded.signatures["features"](images=images)["features"].numpy()
    dense = run.model().get_layer("logits")
    logits = features @ dense.kernel.numpy() + dense.bias.numpy()
    np.testing.assert_allclose(loaded.signatures["serving_default"](images=images)["logits"], logits, atol=1e-4)


def test_class_names_warm_up_and_configuration(served):
    run, loaded, folder = served
    assert (folder / "assets" / "classes.txt").read_text().split() == ["blue", "red"]
    batches = batching_in(folder.parent.parent / "batching.config").allowed_batch_sizes
    check_warm_up(folder, loaded, run.name, ("serving_default", "features", "bytes"), batches)
    assert models_in(folder.parent.parent / "models.config").name == run.name


def test_saved_model_cli_lists_the_signatures(served):
    program = Path(sys.executable).with_name("saved_model_cli")
    shown = subprocess.run(
        [program, "show", "--dir", str(served[2]), "--all"], capture_output=True, text=True, check=True
    ).stdout
    for name in ("serving_default", "bytes", "features", "image_bytes", "DT_UINT8", "DT_STRING", "(-1, 16, 16, 3)"):
        assert name in shown


def test_float_pixels_on_request(copied):
    [proof] = copied.export("serving", pixels="float32", timing=False)
    loaded = tf.saved_model.load(proof.path).signatures["serving_default"]
    assert loaded.structured_input_signature[1]["images"].dtype == tf.float32
    with pytest.raises(reskeras.ReskerasError, match="pixels: 'int4' is not one of uint8, float32"):
        copied.export("serving", pixels="int4")


def test_a_folder_that_cannot_be_written_to(copied):
    copied.folder.export_folder.write_text("a file in its place")
    with pytest.raises(reskeras.ReskerasError, match="is not a writable folder") as caught:
        copied.export("serving")
    assert caught.value.status == 2


@pytest.mark.parametrize("counts, wanted", [([50, 50], 10), ([3, 97], 20), ([1, 1, 1], 2), ([5, 0, 9], 14)])
def test_samples_have_each_class_alike(counts, wanted):
    labels = np.repeat(np.arange(len(counts)), counts)
    chosen = sample_of_each_class(labels, wanted)
    assert len(chosen) == len(set(chosen)) == wanted
    taken = np.bincount(labels[chosen], minlength=len(counts))
    fair = wanted // len([count for count in counts if count])
    assert all(each == count if count < fair else each >= fair for each, count in zip(taken, counts, strict=True))


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A C program against TensorFlow's C API in the wheel, compiled."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    home = Path(tf.sysconfig.get_lib())
    made = tmp_path_factory.mktemp("c") / "ask"
    subprocess.run(
        [
            compiler,
            str(Path(__file__).with_name("ask.c")),
            "-o",
            str(made),
            f"-I{home / 'include'}",
            str(home / "libtensorflow_cc.so.2"),
            str(home / "libtensorflow_framework.so.2"),
            f"-Wl,-rpath,{home}",
        ],
        check=True,
    )
    return made


@pytest.mark.slow
def test_a_c_program_gets_the_logits_of_keras(served, program, tmp_path):
    run, _, folder = served
    images = np.random.default_rng(2).integers(0, 255, (5, 16, 16, 3), np.uint8)
    images.tofile(tmp_path / "images")
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    signature = saved.meta_graphs[0].signature_def["serving_default"]
    asked_for, (answering, index) = signature.inputs["images"].name, signature.outputs["logits"].name.split(":")
    done = subprocess.run(
        [program, folder, asked_for.split(":")[0], answering, index, tmp_path / "images", *map(str, images.shape)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = np.array(done.stdout.split(), np.float32).reshape(5, -1)
    expected = run.model().predict(run.preprocessing().normalise(images), verbose=0)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.slow
def test_openvino_gets_the_logits_of_keras(served):
    import openvino

    run, _, folder = served
    images = np.random.default_rng(2).integers(0, 255, (5, 16, 16, 3), np.uint8)
    model = openvino.convert_model(str(folder), input=[("serving_default_images:0", [-1, 16, 16, 3], np.uint8)])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(images)
    expected = run.model().predict(run.preprocessing().normalise(images), verbose=0)
    logits = next(values for port, values in found.items() if np.abs(values.sum(axis=1) - 1).max() > 1e-3)
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
