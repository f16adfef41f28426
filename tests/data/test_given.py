"""Arrays and datasets that a program hands over: what is understood, what is said about it, what is refused."""

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.data import pixels
from reskeras.data.survey import labels_of
from reskeras.errors import ReskerasError
from tests.data.kinds import images_of, pixels_of

X, Y = images_of(30)
TEST = images_of(9, seed=1)


def refusal(data, **options):
    with pytest.raises(ReskerasError) as caught:
        reskeras.source(data, **options)
    message = str(caught.value)
    assert caught.value.status == 2 and message.startswith("data: ") and "\n" not in message
    return message


def dataset(images=X, labels=Y):
    return tf.data.Dataset.from_tensor_slices((images, labels))


def test_arrays_are_read_as_they_are_in_their_order():
    source = reskeras.source((X, Y), TEST)
    for split, (images, labels) in ((source.train, (X, Y)), (source.test, TEST)):
        found = pixels_of(split)
        np.testing.assert_array_equal(found[0], images)
        np.testing.assert_array_equal(found[1], labels)
        np.testing.assert_array_equal(labels_of(split)[1], labels)
    assert (source.classes, source.channels, source.name, source.given) == (("0", "1", "2"), 3, "arrays", "arrays")
    X_again = X.copy()
    later = reskeras.source((X_again, Y), TEST)
    X_again[:] = 0  # the source has its own
    np.testing.assert_array_equal(pixels_of(later.train)[0], X)


@pytest.mark.parametrize("form", ["pair of pairs", "four", "lists", "test apart", "a Source"])
def test_pairs_come_in_several_forms(form):
    made = {
        "pair of pairs": lambda: reskeras.source(((X, Y), TEST)),
        "four": lambda: reskeras.source((X, Y, *TEST)),
        "lists": lambda: reskeras.source([[X, Y.tolist()], [TEST[0], TEST[1].tolist()]]),
        "test apart": lambda: reskeras.source((X, Y), TEST),
        "a Source": lambda: reskeras.source(reskeras.source((X, Y), TEST)),
    }[form]()
    assert (made.train.count, made.test.count) == (30, 9)
    np.testing.assert_array_equal(pixels_of(made.test)[0], TEST[0])


@pytest.mark.parametrize(
    ("shape", "channels"), [((30, 5, 7), 1), ((30, 5, 7, 1), 1), ((30, 5, 7, 3), 3)], ids=lambda each: str(each)
)
def test_grey_images_have_channels_or_none(shape, channels):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    source = reskeras.source((images, Y))
    assert source.channels == channels
    assert pixels_of(source.train)[0].shape[1:] == (5, 7, channels)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "int64", "uint16"])
@pytest.mark.parametrize("kind", ["arrays", "datasets"])
def test_numbers_of_any_dtype_are_the_same_images(dtype, kind):
    images = X.astype(dtype)
    source = reskeras.source((images, Y) if kind == "arrays" else dataset(images))
    whole = reskeras.source((X, Y))
    np.testing.assert_array_equal(pixels_of(source.train)[0], pixels_of(whole.train)[0])
    told = [note for note in source.notes if "float images from 0 to 255 became uint8, exactly" in note]
    assert bool(told) == dtype.startswith("float")


@pytest.mark.parametrize("kind", ["arrays", "datasets"])
def test_floats_from_0_to_1_are_recognised_and_rounding_is_told(kind):
    def notes_of(images):
        source = reskeras.source((images, Y) if kind == "arrays" else dataset(images))
        return source, " ".join(source.notes)

    source, notes = notes_of((X / 255).astype(np.float32))
    assert "float images from 0 to 1 became uint8, exactly" in notes
    np.testing.assert_array_equal(pixels_of(source.train)[0], pixels_of(reskeras.source((X, Y)).train)[0])
    _, notes = notes_of((X + np.float32(0.25)) / 255)
    assert "from 0 to 1 became uint8, rounded by up to 0.25 of a level" in notes
    _, notes = notes_of(X + np.float32(0.4))
    assert "from 0 to 255 became uint8, rounded by up to 0.40 of a level" in notes


def test_a_dataset_whose_first_images_are_dark_is_read_on_its_own_scale():
    images = X.astype(np.float32)
    images[:2] = 1.0
    source = reskeras.source(dataset(images), dataset(*TEST))
    np.testing.assert_array_equal(pixels_of(source.train)[0], images)


def test_labels_may_be_names_columns_of_one_and_whole_floats():
    names = np.array(["wolf", "ape", "cat"])[Y]
    source = reskeras.source((X, names), (TEST[0], ["cat"] * 9))
    assert source.classes == ("ape", "cat", "wolf")
    np.testing.assert_array_equal(labels_of(source.train)[1], np.array([2, 0, 1])[Y])
    assert labels_of(source.test)[1].tolist() == [1] * 9
    for labels in (Y[:, None], Y.astype(np.float32), Y.astype(np.uint8), names.astype("S"), names.astype(object)):
        assert len(reskeras.source((X, labels)).classes) == 3
    asked = reskeras.source((X, names), classes=["cat", "ape", "wolf", "yak"])
    assert asked.classes == ("cat", "ape", "wolf", "yak")
    assert any("no training image of 1 of 4 classes: yak" in note for note in asked.notes)


def test_rows_of_0_and_1_are_several_classes():
    rows = np.stack([Y == 0, Y > 0, Y == 2], axis=1)
    for data in ((X, rows), (X, rows.astype(float)), dataset(X, rows.astype(np.int64)), dataset(X, rows).batch(4)):
        source = reskeras.source(data, data)
        assert source.multi_label and source.train.label_shape == (3,)
        np.testing.assert_array_equal(pixels_of(source.train)[1], rows)
    assert not [note for note in source.notes if "single 1" in note]


def test_one_hot_labels_are_of_one_class_unless_said_otherwise():
    one_hot = reskeras.source((X, np.eye(4)[Y]), (X, np.eye(4)[Y]))
    assert not one_hot.multi_label and one_hot.classes == ("0", "1", "2", "3")
    np.testing.assert_array_equal(pixels_of(one_hot.train)[1], Y)
    assert any("a single 1 in each row" in note and "multi_label=True" in note for note in one_hot.notes)
    assert reskeras.source((X, np.eye(4)[Y]), multi_label=True).multi_label
    several = np.eye(4)[Y]
    several[0] = 1  # one row of several, anywhere, and all labels are
    assert reskeras.source((X, np.eye(4)[Y]), (X, several)).multi_label
    with pytest.raises(ReskerasError, match="multi_label: labels of several classes per image are rows of 0 and 1"):
        reskeras.source((X, Y), multi_label=True)


def test_images_held_out_stay_held_out_when_others_come():
    few = reskeras.source((X[::2], Y[::2]))
    many = reskeras.source((X, Y))
    held = {image.tobytes() for image in pixels_of(few.test)[0]}
    trained = {image.tobytes() for image in pixels_of(few.train)[0]}
    assert held and len(held & {image.tobytes() for image in pixels_of(many.test)[0]}) >= len(held) - 1
    assert len(trained & {image.tobytes() for image in pixels_of(many.train)[0]}) >= len(trained) - 1
    twice = reskeras.source((np.repeat(X, 2, axis=0), np.repeat(Y, 2)))
    for image in {image.tobytes() for image in pixels_of(twice.test)[0]}:
        assert image not in {each.tobytes() for each in pixels_of(twice.train)[0]}


def test_validation_images_are_watched():
    source = reskeras.source((X, Y), TEST, validation=(X[:6], Y[:6]))
    assert source.validation.count == 6 and source.origins["validation"] == "x_validation and y_validation"
    assert reskeras.source((X, Y), validation=(X[:6], Y[:6])).validation.count == 6


def test_datasets_of_images_of_several_sizes_and_keras_folders():
    sizes = [(5, 7), (9, 4), (6, 6)]
    images = [np.random.default_rng(i).integers(0, 256, (*sizes[i % 3], 3), np.uint8) for i in range(30)]
    made = tf.data.Dataset.from_generator(
        lambda: zip(images, Y, strict=True),
        output_signature=(tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([], tf.int64)),
    ).apply(tf.data.experimental.assert_cardinality(30))
    source = reskeras.source(made, dataset(*TEST))
    for index, image in enumerate(images):
        np.testing.assert_array_equal(source.train.example(tf.constant(index, tf.int64))[0], image)
    named = dataset(X.astype(np.float32)).batch(8)
    named.class_names = ["ape", "cat", "wolf"]
    found = reskeras.source(named)
    assert found.classes == ("ape", "cat", "wolf") and found.given == "tf.data.Dataset"
    assert any("the training dataset is batched; its images were taken one by one" in note for note in found.notes)


def test_a_dataset_is_read_once():
    passes = []

    def generate():
        passes.append(1)
        yield from zip(X, Y, strict=True)

    spec = tf.TensorSpec([12, 12, 3], tf.uint8), tf.TensorSpec([], tf.int64)
    made = tf.data.Dataset.from_generator(generate, output_signature=spec)
    source = reskeras.source(made.apply(tf.data.experimental.assert_cardinality(30)))
    pixels_of(source.train), pixels_of(source.test)
    assert len(passes) == 1


NAN = X.astype(np.float32)
NAN[4, 3, 2, 1] = np.nan


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ((X, Y[:-1]), "x has 30 images, but y has 29 labels"),
        (((X, Y), (TEST[0], TEST[1][:-1])), "x_test has 9 images, but y_test has 8 labels"),
        ((NAN, Y), r"x\[4\] has a pixel nan"),
        ((X - 1.0, Y), r"x\[\d+\] has a pixel -1; images are uint8, or floats from 0 to 1 or 0 to 255"),
        ((X.astype(int) + 200, Y), r"x\[\d+\] has a pixel [23]\d\d;"),
        ((X * 2.0, Y), r"x\[\d+\] has a pixel \d+; images are"),
        ((X / 200, Y), r"x has floats up to 1\.\d+, neither 0 to 1 nor 0 to 255; clip or scale them"),
        (
            ((X / 255, Y), (TEST[0].astype(float), TEST[1])),
            r"x_test has floats up to \d+, but training images are from 0 to 1",
        ),
        (((X.astype(float), Y), (TEST[0] / 255, TEST[1])), r"x_test has floats up to 0\.\d+, but .* from 0 to 255"),
        (((X, Y), (TEST[0], TEST[1] + 1)), r"y_test\[6\] is 3; y has 3 classes, from 0"),
        ((X, Y - 1), r"y\[0\] is -1; labels are class numbers, 0 to 999,999"),
        ((X, Y + 10**7), r"y\[0\] is 10000000; labels are class numbers"),
        ((X, Y + 0.5), r"y\[0\] is 0.5; labels are whole numbers"),
        ((X, np.where(Y == 2, np.nan, Y)), r"y\[20\] is nan; labels are whole numbers"),
        ((X, np.eye(3)[Y] / 2), r"y\[0\] is \[0.5, 0.0, 0.0\]; rows of labels hold only 0 and 1"),
        ((X, np.zeros((30, 2, 2))), r"y has shape \(30, 2, 2\); labels have shape \(n,\), or \(n, classes\)"),
        ((X, [[0], [1, 2]] * 15), "y has entries of different lengths"),
        ((X, ["a", ""] * 15), r"y\[1\] is '', which is not a valid class name"),
        ((X, np.array([{}, "b"] * 15)), r"y\[0\] is \{\}, which is not a valid class name"),
        (((X, Y), (TEST[0], ["a"] * 9)), "y_test has names, but y has numbers"),
        (((X, ["ape", "cat"] * 15), (TEST[0], ["yak"] * 9)), "class in y_test: 'yak' is not one of ape, cat"),
        (((X, np.eye(3)[Y]), TEST), "y_test has numbers, but y has rows of 0 and 1"),
        ((X, np.zeros((len(X), 3))), "y has no 1 in any row, so no image of any class to learn from"),
        (((X, np.eye(3)[Y]), (TEST[0], np.eye(4)[TEST[1]])), "y_test has 4 classes, but y has 3"),
        (((X, Y), (TEST[0][..., :1], TEST[1])), "images of x_test have 1 channel, but those of x 3 channels"),
        ((np.moveaxis(X, 3, 1), Y), r"images of shape \(3, 12, 12\).*channels come last"),
        ((X[..., None], Y), r"x has shape \(30, 12, 12, 3, 1\)"),
        ((np.zeros((30, 4, 4, 4), np.uint8), Y), r"images of shape \(4, 4, 4\)"),
        ((X[:0], Y[:0]), "x has no images"),
        ((X > 9, Y), "x has dtype bool"),
        ((X.astype(str), Y), "x has bytes or text; decode them first"),
        ((X.astype(object), Y), "x has Python objects, as NumPy makes of images of several sizes"),
        ((X, np.zeros(30, int)), r"arrays has one class \(0\)"),
        ((X[:3], Y[[0, 10, 20]]), "x and y has one image per class; at least two are needed"),
        ((X,), r"a tuple of 1 \(ndarray\) is not data; give a source's name, a Source, arrays"),
        (X, "a value of type ndarray is not data"),
        ({"x": X}, "a value of type dict is not data"),
        (None, "a value of type NoneType is not data"),
    ],
)
def test_wrong_arrays_are_refused_and_the_place_named(data, told):
    import re

    assert re.search(told, message := refusal(data)), message


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: dataset().repeat(), "is infinite; leave out .repeat(), or use .take(count)"),
        (lambda: dataset().filter(lambda x, y: y > 0), "does not say how many elements it has; use .apply("),
        (
            lambda: dataset().map(lambda x, y: {"x": x, "y": y}),
            "of a different structure, a dict of x, y; (image, label)",
        ),
        (lambda: dataset().map(lambda x, y: x), "of a different structure, (12, 12, 3); (image, label)"),
        (lambda: dataset().map(lambda x, y: (x, y, y)), "of a different structure, ((12, 12, 3), (), ())"),
        (lambda: dataset().map(lambda x, y: (y, x)), "has elements ((), (12, 12, 3))"),
        (lambda: dataset().map(lambda x, y: (tf.io.encode_png(x), y)), "has bytes or text; decode them first"),
        (lambda: dataset().map(lambda x, y: (tf.cast(x, tf.bfloat16), y)), "has dtype bfloat16; images are uint8"),
        (lambda: dataset().batch(2).batch(2), "has elements ((None, None, 12, 12, 3), (None, None))"),
        (lambda: dataset().take(0), "has no images"),
        (lambda: dataset(NAN), "the training dataset, element 4, has a pixel nan"),
        (lambda: dataset(X / 200), ", neither 0 to 1 nor 0 to 255; clip or scale them"),
        (
            lambda: (dataset(X / 255), dataset(X.astype(float))),
            "the test dataset has floats up to 119, but training images are from 0 to 1",
        ),
        (lambda: (dataset(X.astype(float)), dataset(X / 255)), "but training images are from 0 to 255"),
    ],
)
def test_wrong_datasets_are_refused_with_advice(make, told):
    assert told in refusal(make())


def test_whole_numbers_need_no_scale_beside_floats():
    assert reskeras.source((dataset(X / 255), dataset())).test.count == 30
    assert reskeras.source((X / 255, Y), TEST).test.count == 9


def test_a_dataset_that_fails_says_why():
    made = dataset().map(lambda x, y: (tf.debugging.check_numerics(tf.cast(x, tf.float32) / 0, "broken"), y))
    with pytest.raises(ReskerasError, match=r"the training dataset could not be read: [^{]*broken") as caught:
        reskeras.source(made)
    assert caught.value.status == 1 and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["arrays", "datasets"])
def test_images_that_do_not_fit_into_memory_are_refused_by_their_size(kind, monkeypatch):
    monkeypatch.setattr(pixels, "memory", lambda: 3 * 5000)
    message = refusal((X, Y) if kind == "arrays" else dataset())
    size = "12,960" if kind == "arrays" else "5,184"
    assert (
        f"has {size} bytes of pixels or more, and there is room for 5,000 in memory; write the images to files"
        in message
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"classes": "abc"}, "classes: 'abc': should be a list of names"),
        ({"classes": ["a", "a", "b"]}, "classes: 'a' is named twice"),
        ({"classes": ["a", "b\nc", "d"]}, r"classes: 'b\\nc' is not a valid class name"),
        ({"classes": ["a", "b"]}, r"y\[20\] is 2; there are 2 classes"),
        ({"name": "digits:x"}, "name: 'digits:x': should be a word or two"),
        ({"name": ""}, "name: '': should be a word"),
        ({"name": " "}, "name: ' ': should be a word"),
        ({"name": ".."}, r"name: '\.\.': should be a word"),
        ({"name": "a\0"}, "name: .* should be a word"),
        ({"name": "n" * 101}, "name: 'nnn.* should be a word"),
        ({"classes": 3}, "classes: 3: should be a list of names"),
        ({"classes": []}, r"classes: \[\]: should be a list of names"),
        ({"mirror": "no"}, "mirror: 'no': should be True or False"),
        ({"data_dir": "sets"}, "data_dir: only for a source's name"),
    ],
)
def test_wrong_options_are_refused(options, told):
    with pytest.raises(ReskerasError, match=told) as caught:
        reskeras.source((X, Y), **options)
    assert caught.value.status == 2


def test_names_of_classes_may_be_any_iterable():
    assert reskeras.source((X, Y), classes=iter(["ape", "cat", "wolf"])).classes == ("ape", "cat", "wolf")


@pytest.mark.parametrize("field", ["test", "validation", "classes", "name", "mirror"])
def test_a_named_source_has_its_own(field):
    for data in ("digits", reskeras.source("digits")):
        with pytest.raises(ReskerasError, match=f"{field}: only for arrays and datasets"):
            reskeras.source(data, **{field: False})
