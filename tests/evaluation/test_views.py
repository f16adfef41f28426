"""Ten crops and whole images at several scales against crops and windows cut by hand in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.evaluation.dense import DenseNetwork
from reskeras.evaluation.views import Views, shorter_side, ten_crops
from reskeras.graph.compile import Context, compile_plan
from reskeras.graph.weights import places, read, write


def images_of(run, size):
    """Test images of `run` resized to `size`, uint8 values as float32, and labels."""
    split, images, labels = run.source().test, [], []
    for index in range(split.count):
        image, label = split.example(tf.constant(index, tf.int64))
        images.append(np.clip(np.round(tf.image.resize(image, size, antialias=True).numpy()), 0, 255))
        labels.append(int(label))
    return np.stack(images).astype(np.float32), np.array(labels)


def softmax(logits):
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def hand_cut(images, size):
    """Ten crops (10, n, size, size, c): four corners and the centre, then each mirrored."""
    edge = images.shape[1] - size
    five = [
        images[:, :size, :size],
        images[:, :size, edge:],
        images[:, edge:, :size],
        images[:, edge:, edge:],
        images[:, edge // 2 : edge // 2 + size, edge // 2 : edge // 2 + size],
    ]
    return np.stack(five + [np.flip(crop, axis=2) for crop in five])


def expected(probabilities, labels):
    own = probabilities[np.arange(len(labels)), labels]
    rank = (probabilities >= own[:, None]).sum(axis=1)
    return (rank <= 1).mean(), (rank <= 5).mean(), -np.log(own).mean()


def check(result, probabilities, labels):
    top1, top5, loss = expected(probabilities, labels)
    assert (result.top1, result.top5) == (pytest.approx(top1), pytest.approx(top5))
    assert result.loss == pytest.approx(loss, rel=1e-4)
    np.testing.assert_allclose(result.confidence, probabilities.max(axis=1), rtol=1e-4)
    assert np.array_equal(result.predicted, probabilities.argmax(axis=1))


def test_ten_crops_of_small_images_are_cut_from_the_padded_image(trained):
    preprocessing, model = trained.preprocessing(), trained.model()
    images, labels = images_of(trained, (16, 16))
    normalised = (images - preprocessing.mean) / preprocessing.std
    crops = hand_cut(np.pad(normalised, [(0, 0), (4, 4), (4, 4), (0, 0)]), 16)
    mean = np.mean([softmax(model.predict(crop, verbose=0)) for crop in crops], axis=0)
    result = trained.evaluate(views=10)
    check(result, mean, labels)
    assert result.views == "10 views"


def test_ten_crops_are_cut_from_a_square_of_the_size_asked_for(trained):
    preprocessing, model = trained.preprocessing(), trained.model()
    images, labels = images_of(trained, (21, 21))
    crops = (hand_cut(images, 16) - preprocessing.mean) / preprocessing.std
    mean = np.mean([softmax(model.predict(crop, verbose=0)) for crop in crops], axis=0)
    check(trained.evaluate(views=10, resize=21), mean, labels)


def by_a_pixel(images, down, right):
    """Images moved by a pixel or none each way, by indices: what comes in at an edge is the row before the last one."""
    size = images.shape[1]
    rows, columns = (np.abs(np.arange(size) - step) for step in (down, right))
    rows, columns = (np.where(places == size, size - 2, places) for places in (rows, columns))
    return images[:, rows][:, :, columns]


@pytest.mark.parametrize(("views", "shifts"), [(2, {(0, 0): 1}), (6, {(0, 0): 1 / 2, (1, 1): 1 / 4, (-1, -1): 1 / 4})])
def test_mirrored_and_shifted_views_are_averaged_by_their_shares(trained, views, shifts):
    preprocessing, model = trained.preprocessing(), trained.model()
    images, labels = images_of(trained, (16, 16))
    normalised, mean = (images - preprocessing.mean) / preprocessing.std, 0.0
    for (down, right), share in shifts.items():
        moved = by_a_pixel(normalised, down, right)
        mean += (
            share
            / 2
            * (softmax(model.predict(moved, verbose=0)) + softmax(model.predict(moved[:, :, ::-1], verbose=0)))
        )
    result = trained.evaluate(views=views)
    check(result, mean, labels)
    assert result.views == f"{views} views"
    plain = trained.evaluate()
    assert np.abs(plain.confidence - result.confidence).max() > 1e-3


def test_ten_crops_are_ten_different_windows():
    image = np.arange(2 * 6 * 9 * 1, dtype=np.float32).reshape(2, 6, 9, 1)
    crops = ten_crops(tf.constant(image), 4, 4).numpy()
    assert crops.shape == (2, 10, 4, 4, 1)
    np.testing.assert_array_equal(crops[1, 3], image[1, 2:, 5:])
    np.testing.assert_array_equal(crops[1, 8], image[1, 2:, 5:][:, ::-1])
    np.testing.assert_array_equal(crops[0, 4], image[0, 1:5, 2:6])
    assert len({crop.tobytes() for crop in crops[0]}) == 10


def test_whole_images_at_their_own_size_are_the_mean_of_image_and_mirror_image(trained):
    preprocessing, model = trained.preprocessing(), trained.model()
    images, labels = images_of(trained, (16, 16))
    both = [(view - preprocessing.mean) / preprocessing.std for view in (images, images[:, :, ::-1])]
    mean = np.mean([softmax(model.predict(view, verbose=0)) for view in both], axis=0)
    result = trained.evaluate(scales=[16])
    check(result, mean, labels)
    assert result.views == "whole images and mirror images, shorter side 16"


NETWORKS = [
    {"family": "cifar", "stages": [1, 1], "input_shape": [16, 16, 3]},
    {"family": "cifar", "stages": [1, 1], "input_shape": [16, 16, 3], "order": "full_preact"},
    {"family": "imagenet", "stages": [1, 1, 1, 1], "block": "bottleneck", "input_shape": [64, 64, 3], "classes": 7},
]


@pytest.mark.sample(1)
@pytest.mark.parametrize("fields", NETWORKS)
def test_larger_images_give_the_mean_over_windows_of_feature_maps(fields):
    height = fields["input_shape"][0]
    small = reskeras.network(**fields).lower()
    model = compile_plan(small, "small", Context(seed=3))
    big_shape = [height * 2, height * 3, 3]
    big = reskeras.network(**{**fields, "input_shape": big_shape}).lower()
    last = small.units[-2].name
    features = compile_plan(big.slice(until=last), "big")
    values = read(model)
    write(features, {name: values[name] for name in places(features)})
    rest = small.slice(after=last)
    head = compile_plan(rest, "head")
    write(head, {name: values[name] for name in places(head)})
    images = np.random.default_rng(0).normal(size=(2, *big_shape)).astype(np.float32)
    maps = features.predict(images, verbose=0)
    window = rest.input_shape[0]
    each = [
        softmax(head.predict(maps[:, down : down + window, right : right + window], verbose=0))
        for down in range(maps.shape[1] - window + 1)
        for right in range(maps.shape[2] - window + 1)
    ]
    assert len(each) > 10
    found = DenseNetwork(small, model).probabilities(images).numpy()
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-5)
    native = images[:, :height, :height]
    np.testing.assert_allclose(
        DenseNetwork(small, model).probabilities(native).numpy(), softmax(model.predict(native, verbose=0)), atol=1e-5
    )


def test_several_scales_are_averaged_and_shapes_kept(trained):
    dense = DenseNetwork(trained.folder.spec().lower(), trained.model())
    split, preprocessing = trained.source().test, trained.preprocessing()
    result = trained.evaluate(scales=[12, 24])
    for index in (0, 17):
        image, _ = split.example(tf.constant(index, tf.int64))
        parts = []
        for scale in (12, 24):
            resized = np.clip(np.round(tf.image.resize(image, (scale, scale), antialias=True).numpy()), 0, 255)
            for view in (resized, resized[:, ::-1]):
                normalised = ((view - preprocessing.mean) / preprocessing.std).astype(np.float32)
                parts.append(dense.probabilities(normalised[None]).numpy()[0])
        assert result.confidence[index] == pytest.approx(np.mean(parts, axis=0).max(), abs=1e-5)
    assert shorter_side(tf.zeros([20, 45, 3]), 40).shape == [40, 90, 3]
    assert shorter_side(tf.zeros([45, 20, 3]), 10).shape == [22, 10, 3]


def test_views_that_do_not_go_together_are_refused(trained):
    for wrong, said in [
        ({"crops": 5}, "views: 5 is not one of 1, 2, 6, 10"),
        ({"crops": 10, "scales": (32,)}, "scales: whole images are not cropped"),
        ({"resize": 40}, "resize: only applies to ten crops"),
        ({"scales": (0,)}, "scales: 0: should be between 1 and 4,096"),
        ({"scales": (5000,)}, "scales: 5000: should be between 1 and 4,096"),
    ]:
        with pytest.raises(ReskerasError, match=said):
            Views(**wrong)
    with pytest.raises(ReskerasError, match="resize: 9 is smaller than the network's input of 16x16"):
        trained.evaluate(views=10, resize=9)
    with pytest.raises(ReskerasError, match="would resize a 10x4000 image"):
        shorter_side(tf.zeros([10, 4000, 3]), 2000)


def test_a_network_without_pooling_is_not_applied_to_other_sizes():
    plan = reskeras.network("vgg-19", input_shape=[32, 32, 3]).lower()
    with pytest.raises(ReskerasError, match="head does not pool its feature maps"):
        DenseNetwork(plan, None)
