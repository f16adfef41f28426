"""Models that prepare their pixels themselves: a run does the same to pixels of 0..255, or the model is refused."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import reskeras
from reskeras.errors import ReskerasError
from reskeras.evaluation.difference import relative_difference
from reskeras.identification.pixels import AUGMENTATIONS, Affine, ReversedChannels, standardised
from reskeras.porting.foreign_model import of_keras
from reskeras.porting.normalise import NORMALISE, as_modelled
from reskeras.porting.recognise import recognise
from tests.cli.running import printed
from tests.porting.test_people import body, lively, probabilities

MEAN, DEVIATION = np.float32([120, 110, 100]), np.float32([60, 50, 40])
APPLICATIONS = keras.applications


def model_of(prepare, shape=(16, 16, 3), dtype=None):
    """A small network behind `prepare`, a function of the image or layers in a list."""
    image = keras.Input(shape, dtype=dtype)
    x = keras.Sequential(prepare)(image) if isinstance(prepare, list) else prepare(image)
    keras.utils.set_random_seed(0)
    return lively(keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(body(x)))))


def adapted(**options):
    layer = layers.Normalization(**options)
    layer.adapt(np.random.default_rng(0).integers(0, 256, (30, 4, 4, 3)).astype(np.float32) * [1, 0.7, 0.4])
    return layer


def pixels(shape=(16, 16, 3), seed=3):
    """Noise of different brightness, as averages over noise alone are alike."""
    noise = np.random.default_rng(seed).uniform(0, 255, (4, *shape))
    return (noise * np.linspace(0.1, 1, 4)[:, None, None, None]).astype(np.uint8)


TAKEN = {
    "rescaling": lambda: [layers.Rescaling(1 / 255)],
    "rescaling with an offset": lambda: [layers.Rescaling(1 / 127.5, offset=-1)],
    "rescaling by channel": lambda: [layers.Rescaling([0.1, 0.2, 0.3], offset=[-1, -2, -3])],
    "rescaling by an array": lambda: [layers.Rescaling(np.float32([0.1, 0.2, 0.3]))],
    "a normalization told": lambda: [layers.Normalization(mean=MEAN, variance=DEVIATION**2)],
    "a normalization adapted": lambda: [adapted()],
    "one number for all channels": lambda: [adapted(axis=None)],
    "both": lambda: [layers.Rescaling(1 / 255), layers.Normalization(mean=MEAN / 255, variance=(DEVIATION / 255) ** 2)],
    "augmentation": lambda: [layers.RandomFlip(), layers.RandomRotation(0.2), layers.Rescaling(1 / 255)],
    "augmentation called by itself": lambda: lambda x: layers.RandomFlip()(x) / 255,
    "caffe": lambda: APPLICATIONS.resnet.preprocess_input,
    "tf": lambda: APPLICATIONS.resnet_v2.preprocess_input,
    "torch": lambda: lambda x: APPLICATIONS.imagenet_utils.preprocess_input(x, mode="torch"),
    "arithmetic": lambda: lambda x: (x - MEAN) / DEVIATION,
    "blue first, by an index": lambda: lambda x: (x[..., ::-1] - MEAN) * (1 / DEVIATION),
    "blue first, by a flip": lambda: lambda x: ops.flip(x / 255 - np.float32([0.1, 0.2, 0.3]), axis=-1),
    "turned twice": lambda: lambda x: ops.flip(x[..., ::-1] * np.float32([0.1, 0.2, 0.3]), axis=-1),
    "a cast": lambda: lambda x: ops.cast(x, "float32") / 255,
}


@pytest.mark.sample(7)
@pytest.mark.parametrize("name", TAKEN)
def test_a_run_does_to_raw_pixels_what_the_model_does(name, tmp_path):
    model = model_of(TAKEN[name]())
    found = reskeras.conform(model)
    assert found.exact
    assert found.preprocessing
    assert found.data()["preprocessing"]
    run = reskeras.port(model, out=tmp_path / "run")
    images = pixels()
    expected = probabilities(model, images.astype(np.float32))
    assert np.ptp(expected, axis=0).max() > 1e-3
    assert relative_difference(probabilities(run.model(), run.preprocessing().normalise(images)), expected) < 1e-4
    assert run.folder.provenance()["ported"]["pixels"] == "told"
    assert run.folder.provenance()["ported"]["proof"]["difference"] < 1e-4


@pytest.mark.parametrize("prepare", [[layers.Rescaling(1 / 255)], lambda x: ops.cast(x, "float32") - 100])
def test_whole_numbers_and_other_channels(prepare, tmp_path):
    images = pixels((16, 16, 2))
    model = model_of(prepare, (16, 16, 2), "uint8")
    run = reskeras.port(model, out=tmp_path / "run")
    assert (
        relative_difference(
            probabilities(run.model(), run.preprocessing().normalise(images)), probabilities(model, images)
        )
        < 1e-4
    )


@pytest.mark.sample(5)
@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_an_augmentation_leaves_images_as_they_are(kind):
    arguments = (
        {},
        {"factor": 0.5},
        {"height_factor": 0.5},
        {"height_factor": 0.5, "width_factor": 0.5},
        {"rate": 0.3},
        {"stddev": 0.3},
    )
    for each in arguments:
        try:
            layer = getattr(layers, kind)(**each)
            break
        except (TypeError, ValueError):
            continue
    images = np.random.default_rng(0).uniform(-300, 600, (2, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(layer(images, training=False), images)


def test_augmentation_alone_tells_nothing_of_the_pixels(tmp_path):
    run = reskeras.port(model_of([layers.RandomFlip()]), out=tmp_path / "run")
    assert run.folder.provenance()["ported"]["pixels"] == "assumed"


def test_weights_of_keras_applications_inside_a_model_are_known_by_their_layers():
    """Transfer learning: a base inside, called for inference, and layers around it."""
    base = APPLICATIONS.ResNet50V2(weights=None, include_top=False, input_shape=(32, 32, 3))
    image = keras.Input((32, 32, 3))
    outside = keras.Sequential([image, base, layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(3)])
    x = APPLICATIONS.resnet_v2.preprocess_input(layers.RandomFlip("horizontal")(image))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(base(x, training=False)))
    inside = keras.Model(image, layers.Dense(3)(x))
    for model in (outside, inside):
        known = recognise(of_keras(model, "a model"))
        assert (known.normalise.kind, known.modelled) == ("scale", model is inside)


# near misses: never the same function


def after_a_convolution(x):
    return layers.Rescaling(0.5, offset=1)(layers.Conv2D(3, 3, padding="same", use_bias=False)(x))


LEFT = {
    "after a convolution": lambda: after_a_convolution,
    "after padding": lambda: [layers.ZeroPadding2D(1), layers.Rescaling(1 / 255, offset=1), layers.Conv2D(3, 3)],
    "by row": lambda: [adapted(axis=1)],
    "by position": lambda: [adapted(axis=(1, 2, 3))],
    "by position, told": lambda: lambda x: x - np.arange(256, dtype=np.float32).reshape(1, 16, 16, 1),
    "inverted": lambda: [layers.Normalization(mean=MEAN, variance=DEVIATION, invert=True)],
    "another order of channels": lambda: lambda x: ops.stack([x[..., index] for index in (2, 0, 1)], axis=-1),
    "one channel twice": lambda: lambda x: ops.stack([x[..., index] for index in (2, 1, 1)], axis=-1),
    "columns reversed": lambda: lambda x: x[:, :, ::-1],
    "columns flipped": lambda: lambda x: ops.flip(x, axis=2),
    "a number by the pixels": lambda: lambda x: 255 / (x + 1),
    "a cast that rounds": lambda: lambda x: ops.cast(ops.cast(x / 10, "int32"), "float32"),
    "contrast always": lambda: [layers.AutoContrast()],
    "a part of the image": lambda: lambda x: x[:, 2:, :, :],
    "a lambda": lambda: [layers.Lambda(lambda x: x / 255)],
    "nothing left": lambda: lambda x: x * 0,
}


@pytest.mark.parametrize("name", LEFT)
def test_what_a_run_would_not_do_is_in_the_way(name):
    assert not reskeras.conform(model_of(LEFT[name]())).exact


@pytest.mark.parametrize("prepare", [lambda x: x - 100, lambda x: x * 2, lambda x: 100 - x])
def test_whole_numbers_wrap_around(prepare):
    assert not reskeras.conform(model_of(prepare, dtype="uint8")).exact


def test_numbers_by_channel_must_be_as_many_as_the_image_has():
    assert not reskeras.conform(model_of(lambda x: x - MEAN, (16, 16, 1))).exact
    assert not isinstance(standardised((1.0, 2.0), (1.0,) * 3), Affine)


@pytest.mark.parametrize(
    ("layer", "words"),
    [(layers.Resizing(16, 16), "resizing to 16x16"), (layers.CenterCrop(16, 16), "centre crop to 16x16")],
)
def test_a_model_that_resizes_is_told_how_to_be_ported(layer, words, tmp_path):
    model = model_of(lambda x: layers.Rescaling(1 / 255)(layer(x)), (20, 20, 3))
    found = reskeras.conform(model)
    assert found.exact
    assert lower_shape(found.spec) == (16, 16, 3)
    with pytest.raises(ReskerasError, match=f"resizes its images itself \\({words}\\)") as refusal:
        reskeras.port(model, out=tmp_path / "run")
    rest = eval(str(refusal.value).rpartition("follows: ")[2], {"keras": keras, "model": model})
    run = reskeras.port(rest, out=tmp_path / "run")
    assert run.preprocessing().std[0] == 255


def lower_shape(spec):
    return tuple(reskeras.plan(spec).input_shape)


def test_other_refusals(tmp_path):
    with pytest.raises(ReskerasError, match="inverts its pixels"):
        reskeras.port(model_of(lambda x: 255 - x), out=tmp_path / "run")
    with pytest.raises(ReskerasError, match="normalise: 'tf' is for models that take preprocessed pixels"):
        reskeras.port(model_of([layers.Rescaling(1 / 255)]), normalise="tf", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_names_the_preprocessing(tmp_path):
    model_of(APPLICATIONS.resnet.preprocess_input).save(tmp_path / "net.keras")
    told = printed("conform", tmp_path / "net.keras")
    assert "channels reversed; plus -103.9 -116.8 -123.7" in told
    assert "yes, after its preprocessing" in told


def test_grey_images_are_prepared_by_the_mean_of_the_colours():
    for known in NORMALISE.values():
        grey, coloured = (known.preprocessing(8, 8, channels) for channels in (1, 3))
        assert grey.mean.tolist() == pytest.approx([np.mean(known.mean)])
        assert grey.std.tolist() == pytest.approx([np.mean(known.std)])
        assert [*coloured.mean, *coloured.std] == pytest.approx([*known.mean, *known.std])
    assert len(set(NORMALISE["torch"].mean)) == 3


def test_steps_ahead_of_reversed_channels_go_with_their_channels():
    by, plus, image = np.array([0.5, 0.25, 2.0]), np.array([-1.0, 3.0, 5.0]), np.array([10.0, 100.0, 200.0])
    ahead = Affine(name="ahead", what="ahead", scale=tuple(by), offset=tuple(plus))
    turn = ReversedChannels(name="turn", what="turn")
    for steps, expected, reverse in (
        ((ahead, turn), (image * by + plus)[::-1], True),
        ((turn, ahead), image[::-1] * by + plus, True),
        ((ahead, turn, ahead, turn), ((image * by + plus)[::-1] * by + plus)[::-1], False),
    ):
        found = as_modelled(steps, {}, 3)
        assert found.reverse is reverse
        prepared = (image - found.mean) / found.std  # the first convolution is turned around in place of the channels
        np.testing.assert_allclose(prepared[::-1] if reverse else prepared, expected)
