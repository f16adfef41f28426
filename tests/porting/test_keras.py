"""Networks of keras.applications become ours and go back, with random weights in place of downloaded ones."""

import keras
import numpy as np
import pytest
from PIL import Image

import reskeras
from reskeras.data.decode import WHOLE
from reskeras.errors import ReskerasError
from reskeras.graph.weights import read
from reskeras.networks.diff import difference
from reskeras.porting.back import application_of
from reskeras.porting.foreign_model import of_keras
from reskeras.porting.layouts import APPLICATIONS
from tests.graph.by_hand import distance
from tests.graph.test_against_keras_applications import calibrated


def application(name, size, classes=1000, activation=None):
    keras.utils.set_random_seed(0)
    network = getattr(keras.applications, name)(
        weights=None, classifier_activation=activation, classes=classes, input_shape=(size, size, 3)
    )
    return calibrated(network, np.random.default_rng(0), size)


def images_of(size, seed=0, count=2):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3)).astype(np.float32)


def preprocessed(name, images):
    if name.startswith("Inception"):
        module = "inception_resnet_v2"
    elif name.endswith("V2"):
        module = "resnet_v2"
    else:
        module = "resnet"
    return getattr(keras.applications, module).preprocess_input(images.copy())


def agrees(run, network, name, size):
    """Whether the run gives the logits of the network, each from raw pixels by its own preprocessing."""
    images = images_of(size)
    expected = network(preprocessed(name, images), training=False).numpy()
    assert np.ptp(expected, axis=0).max() > 0.01
    found = run.model()(run.preprocessing().normalise(images.astype(np.uint8)), training=False)
    return distance(found, expected) < 1e-4


@pytest.mark.parametrize("name", [pytest.param("ResNet50", marks=pytest.mark.slow), "ResNet50V2"])
def test_a_network_of_keras_applications_and_its_preprocessing(name, tmp_path):
    network = application(name, 64, 10)
    run = reskeras.port(network, out=tmp_path / "run")
    assert agrees(run, network, name, 64)
    assert run.folder.provenance()["ported"]["proof"]["difference"] < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("size", [224, 160])
@pytest.mark.parametrize("name", APPLICATIONS)
def test_all_of_them_at_224_and_another_size(name, size, tmp_path):
    network = application(name, size)
    run = reskeras.port(network, out=tmp_path / "run")
    assert agrees(run, network, name, size)
    if name == "InceptionResNetV2":
        assert reskeras.conform(run.model()).paper == "inception-resnet-v2-released"


@pytest.fixture(scope="module")
def network():
    return application("ResNet50", 64, 4, "softmax")


@pytest.fixture(scope="module")
def run(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("port")
    network.save(folder / "net.keras")
    (folder / "names.txt").write_text("ant\nbee\ncat\ndog\n")
    return reskeras.port(folder / "net.keras", classes=folder / "names.txt", out=folder / "run")


def test_a_file_with_a_softmax_is_proven_on_its_logits(run, network):
    images = images_of(64)
    logits = run.model()(run.preprocessing().normalise(images.astype(np.uint8)), training=False)
    probabilities = keras.ops.softmax(logits)
    assert distance(probabilities, network(preprocessed("ResNet50", images), training=False)) < 1e-4


@pytest.mark.slow
def test_a_port_predicts_exports_and_says_that_it_has_no_data(run, tmp_path):
    Image.fromarray(images_of(90)[0].astype(np.uint8)).save(tmp_path / "image.png")
    (prediction,) = run.predict([tmp_path / "image.png"], top=4)
    assert {name for name, _ in prediction.top} == {"ant", "bee", "cat", "dog"}
    (proof,) = run.export("tflite", timing=False)
    assert proof.holds
    with pytest.raises(ReskerasError, match="was ported and has no data; give --data"):
        run.evaluate()
    with pytest.raises(ReskerasError, match="tflite-int8 is calibrated on images"):
        run.export("tflite-int8")


def test_published_weights_look_at_the_centre_of_a_larger_image(run):
    preprocessing = run.preprocessing()
    image = Image.fromarray(images_of(110)[0].astype(np.uint8))
    expected = np.asarray(image.resize((73, 73), Image.Resampling.BILINEAR).crop((4, 4, 68, 68)), np.int32)
    assert preprocessing.framing.crop == 224 / 256
    assert np.abs(preprocessing.fit_image(np.asarray(image)).numpy() - expected).max() <= 1
    assert "resize to cover 73x73, crop 64x64" in preprocessing.describe()
    assert type(preprocessing).load(run.folder.preprocessing_file).framing == preprocessing.framing


@pytest.mark.slow
def test_back_to_keras_weights_to_the_last_bit(run, network):
    (proof,) = run.export("keras-weights", timing=False)
    assert proof.difference < 1e-5
    again = keras.applications.ResNet50(weights=proof.path, classes=4, input_shape=(64, 64, 3))
    for one, two in zip(network.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=one.path)


@pytest.mark.slow
def test_weights_alone_need_a_name(run, network, tmp_path):
    network.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(ReskerasError, match="--as, one of ResNet50"):
        reskeras.port(tmp_path / "net.weights.h5", out=tmp_path / "run")
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\ndog\n")
    again = reskeras.port(
        tmp_path / "net.weights.h5",
        application="resnet50",
        classes=tmp_path / "names.txt",
        size=64,
        out=tmp_path / "run",
    )
    images = images_of(64)
    np.testing.assert_array_equal(*(each.model()(images, training=False) for each in (run, again)))


@pytest.mark.slow
def test_a_whole_h5_file(network, run, tmp_path):
    network.save(tmp_path / "net.h5")
    again = reskeras.port(tmp_path / "net.h5", out=tmp_path / "run")
    images = images_of(64)
    np.testing.assert_array_equal(*(each.model()(images, training=False) for each in (run, again)))


@pytest.mark.slow
def test_folded_biases_make_it_the_papers_network_but_for_epsilon(network, tmp_path):
    run = reskeras.port(network, fold_biases=True, out=tmp_path / "run")
    assert not any(name.endswith("conv1/bias") for name in read(run.model()))
    changes = {change.field for change in difference(reskeras.network("resnet-50"), run.folder.spec()).fields}
    assert changes == {"bn.epsilon", "bn.momentum", "classes", "input_shape", "initialiser"}


def test_biases_that_no_batch_norm_follows_are_not_folded(tmp_path):
    with pytest.raises(ReskerasError, match="no batch norm follows"):
        reskeras.port(application("ResNet50V2", 64, 4), fold_biases=True, out=tmp_path / "run")


@pytest.mark.slow
def test_our_own_network_as_keras_weights(tmp_path):
    from reskeras.graph.load import save_model

    run = reskeras.port(application("ResNet50", 64, 4), fold_biases=True, out=tmp_path / "run")
    save_model(run.model(), run.folder.model_file)
    (proof,) = run.export("keras-weights", timing=False)
    assert proof.holds
    again = keras.applications.ResNet50(
        weights=proof.path, classes=4, input_shape=(64, 64, 3), classifier_activation=None
    )
    assert agrees(run, again, "ResNet50", 64)


@pytest.mark.parametrize("depth", [18, 34, 20])
def test_a_network_that_keras_applications_lacks_is_refused_by_its_depth(depth):
    spec = reskeras.network(depth=depth, family="cifar" if depth == 20 else "imagenet")
    with pytest.raises(
        ReskerasError, match=f"^to: .* no residual network of {depth} layers, only ResNet50, "
    ) as refusal:
        application_of(spec)
    assert refusal.value.status == 2 and "did you mean" not in str(refusal.value)


def test_networks_of_keras_applications_are_found_by_depth_and_order():
    assert application_of(reskeras.network(depth=101, order="full_preact")) == ("ResNet101V2", "tf")
    assert application_of(reskeras.network(depth=50)) == ("ResNet50", "caffe")


@pytest.mark.parametrize(
    ("source", "options", "message", "status"),
    [
        ("ResNet51", {}, "'ResNet51' is not one of ResNet50.*did you mean", 2),
        ("nowhere/net.keras", {}, "file not found", 2),
        ("broken.keras", {}, "broken or not a Keras model", 1),
        ("broken.h5", {}, "broken or not a Keras model", 1),
        ("broken.safetensors", {}, "broken or not a safetensors file", 1),
        ("broken.txt", {}, "not one of .keras", 2),
        ("broken.keras", {"normalise": "bgr"}, "broken", 1),
    ],
)
def test_what_cannot_be_read(source, options, message, status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for suffix in ("keras", "h5", "safetensors", "txt"):
        (tmp_path / f"broken.{suffix}").write_bytes(b"\xff\xff\xff\xff\xff\xff\xff\x7f" + b"{}" * 40)
    with pytest.raises(ReskerasError, match=message) as refusal:
        reskeras.port(source, out=tmp_path / "run", **options)
    assert refusal.value.status == status
    assert len(str(refusal.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_keras_model_of_another_space_is_refused_with_what_it_has(tmp_path):
    network = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=2)
    with pytest.raises(ReskerasError, match=r"_32 is not a network in this design space: it has depthwise 3x3 conv"):
        reskeras.port(network, out=tmp_path / "run")
    headless = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), include_top=False)
    with pytest.raises(ReskerasError, match="obstacles: head without global average pool, without dense, 1000"):
        reskeras.port(headless, out=tmp_path / "run")


def test_wrong_names_of_classes_and_pixels(network, tmp_path):
    (tmp_path / "names.txt").write_text("ant\n")
    with pytest.raises(ReskerasError, match="1 line, but the network has 4"):
        reskeras.port(network, classes=tmp_path / "names.txt", out=tmp_path / "run")
    with pytest.raises(ReskerasError, match=r"^classes: file not found: \S+none\.txt$"):
        reskeras.port(network, classes=tmp_path / "none.txt", out=tmp_path / "run")
    with pytest.raises(ReskerasError, match="'bgr' is not one of caffe, tf, torch"):
        reskeras.port(network, normalise="bgr", out=tmp_path / "run")
    with pytest.raises(ReskerasError, match="out:"):
        reskeras.port(network, out=tmp_path)


@pytest.mark.slow
@pytest.mark.slow
def test_a_port_is_fine_tuned_on_other_classes(run, tmp_path):
    smaller = reskeras.network(run.path, input_shape=[32, 32, 3])
    tuned = reskeras.train(
        smaller,
        "digits",
        start=run,
        epochs=1,
        freeze="stage4",
        batch_size=256,
        precision="float32",
        learning_rate=1e-5,
        out=tmp_path / "tuned",
    )
    before, after = (read(each.model()) for each in (run, tuned))
    np.testing.assert_array_equal(before["stage4_unit3_conv2/kernel"], after["stage4_unit3_conv2/kernel"])
    assert after["logits/kernel"].shape == (2048, 10)
    assert tuned.preprocessing().framing == WHOLE


@pytest.mark.parametrize("begins", [True, False], ids=["input layer", "model"])
def test_a_sequential_model_is_asked_for_what_comes_before_its_softmax(begins):
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    start = [keras.Input((8, 8, 3)), *layers] if begins else [keras.Sequential([keras.Input((8, 8, 3)), *layers])]
    model = keras.Sequential([*start, keras.layers.Dense(5, activation="softmax")])
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    logits = of_keras(model, "asked").ask(images)
    np.testing.assert_allclose(keras.ops.softmax(logits), model(images), atol=1e-6)
    assert np.ptp(np.sum(np.exp(logits), axis=1)) > 1e-6  # they are no probabilities
