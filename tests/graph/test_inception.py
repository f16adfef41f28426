"""Inception networks compiled: cells by hand from the paper's figures, training, endpoints, counts."""

from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.errors import ReskerasError
from reskeras.graph.scanned import ScannedUnits
from tests.graph.by_hand import Hand, distance, randomised

MINIATURE = {"stem": "small", "cells": [1, 1, 1], "width_factor": 0.1, "classes": 3, "input_shape": [21, 21, 3]}
UNITS = ["stem", "stage1_unit1", "stage2_unit1", "stage2_unit2", "stage3_unit1", "stage3_unit2"]


class Cell(Hand):
    """Convolutions of one cell by hand, with batch norm and ReLU, and its 3x3 pools."""

    def conv(self, x, name, stride=1, padding="SAME"):
        number = name[-1]
        x = tf.nn.conv2d(x, self.weights(name)["kernel"], stride, padding)
        return self.bn_relu(x, f"{name[:-5]}bn{number}")

    def chain(self, x, branch, length, strided=False):
        for number in range(1, length + 1):
            last = strided and number == length
            x = self.conv(x, f"branch{branch}_conv{number}", *((2, "VALID") if last else ()))
        return x

    def reduced(self, x, *lengths):
        """Branches that stride in their last convolution, beside a max-pool."""
        made = [self.chain(x, branch, length, strided=True) for branch, length in enumerate(lengths, start=1)]
        return tf.concat([*made, tf.nn.max_pool2d(x, 3, 2, "VALID")], axis=-1)

    def added(self, x, factor, *lengths):
        """relu(x + factor times the linear 1x1 of the branches)."""
        made = tf.concat([self.chain(x, branch, length) for branch, length in enumerate(lengths, start=1)], axis=-1)
        linear = self.weights("expansion_conv")
        return tf.nn.relu(x + factor * (tf.nn.conv2d(made, linear["kernel"], 1, "SAME") + linear["bias"]))


def average(x):
    """Over 3x3, of those positions that are in the image."""
    ones = tf.ones_like(x)
    kernel = tf.ones([3, 3, x.shape[-1], 1])
    total, count = (tf.nn.depthwise_conv2d(each, kernel, [1, 1, 1, 1], "SAME") for each in (x, ones))
    return total / count


def v4_cell_a(cell, x):
    return tf.concat(
        [cell.chain(x, 1, 1), cell.chain(x, 2, 2), cell.chain(x, 3, 3), cell.chain(average(x), 4, 1)], axis=-1
    )


def v4_cell_b(cell, x):
    return tf.concat(
        [cell.chain(x, 1, 1), cell.chain(x, 2, 3), cell.chain(x, 3, 5), cell.chain(average(x), 4, 1)], axis=-1
    )


def v4_cell_c(cell, x):
    narrow, deep = cell.chain(x, 2, 1), cell.chain(x, 3, 3)
    forked = [
        cell.conv(end, f"branch{branch}_branch{side}_conv1")
        for branch, end in ((2, narrow), (3, deep))
        for side in (1, 2)
    ]
    return tf.concat([cell.chain(x, 1, 1), *forked, cell.chain(average(x), 4, 1)], axis=-1)


RESIDUAL = {  # reductions and cells: convolutions in each branch, figures 10 to 13 and 16 to 19
    "stage1_unit1": lambda cell, x: cell.added(x, 0.17, 1, 2, 3),
    "stage2_unit1": lambda cell, x: cell.reduced(x, 1, 3),
    "stage2_unit2": lambda cell, x: cell.added(x, 0.1, 1, 3),
    "stage3_unit1": lambda cell, x: cell.reduced(x, 2, 2, 3),
    "stage3_unit2": lambda cell, x: cell.added(x, 0.2, 1, 3),
}
BY_HAND = {
    "resnet-v1": RESIDUAL,
    "resnet-v2": RESIDUAL,
    "v4": {
        "stage1_unit1": v4_cell_a,
        "stage2_unit1": lambda cell, x: cell.reduced(x, 1, 3),
        "stage2_unit2": v4_cell_b,
        "stage3_unit1": lambda cell, x: cell.reduced(x, 2, 4),
        "stage3_unit2": v4_cell_c,
    },
}


@pytest.mark.parametrize("kind", BY_HAND)
def test_every_unit_is_what_its_figure_says(kind):
    model = randomised(reskeras.build(inception=kind, **MINIATURE, outputs=[*UNITS, "logits"]))
    images = np.random.default_rng(1).normal(size=(4, 21, 21, 3)).astype(np.float32)
    found = model(images, training=False)
    for before, unit in pairwise(UNITS):
        assert distance(found[unit], BY_HAND[kind][unit](Cell(model, unit), found[before])) < 1e-5
    head = model.get_layer("logits")
    features = tf.reduce_mean(found[UNITS[-1]], axis=(1, 2))
    assert distance(found["logits"], features @ head.kernel + head.bias) < 1e-5


def kernels(kind):
    """Kernel shapes of a network of the paper's widths, by layer."""
    return {
        layer.name: tuple(layer.kernel.shape)
        for layer in reskeras.build(
            inception=kind, stem="small", cells=[1, 1, 1], input_shape=[21, 21, 3], until="stage2_unit2"
        ).layers
        if isinstance(layer, keras.layers.Conv2D)
    }


def test_a_7x1_kernel_has_seven_rows():
    found = kernels("resnet-v2")
    assert found["stage2_unit2_branch2_conv2"] == (1, 7, 128, 160)  # figure 17: 1x1 128, 1x7 160, 7x1 192
    assert found["stage2_unit2_branch2_conv3"] == (7, 1, 160, 192)


def test_the_last_cell_of_the_released_network_is_neither_scaled_nor_activated():
    fields = {**MINIATURE, "inception": "resnet-v2", "last_linear": True, "final_width": 50}
    model = randomised(reskeras.build(**fields, outputs=[*UNITS, "logits"]))
    found = model(np.random.default_rng(1).normal(size=(4, 21, 21, 3)).astype(np.float32))
    cell, x = Cell(model, UNITS[-1]), found[UNITS[-2]]
    linear = cell.weights("expansion_conv")
    made = tf.concat([cell.chain(x, 1, 1), cell.chain(x, 2, 3)], axis=-1)
    expected = x + tf.nn.conv2d(made, linear["kernel"], 1, "SAME") + linear["bias"]
    assert distance(found[UNITS[-1]], expected) < 1e-5
    assert np.min(found[UNITS[-1]]) < 0
    assert model.get_layer("head_conv").filters == 5  # a tenth of 50


@pytest.mark.parametrize(
    "form, kind",
    [
        pytest.param(form, kind, marks=[] if (form, kind) == ("unrolled", "resnet-v2") else pytest.mark.slow)
        for form in ("unrolled", "scanned")
        for kind in BY_HAND
    ],
)
def test_training_learns_by_heart(form, kind):
    cells = [1, 1, 1] if form == "unrolled" else [3, 3, 1]
    model = reskeras.build(inception=kind, **{**MINIATURE, "cells": cells}, dropout=0.0, seed=0, form=form)
    assert any(isinstance(layer, ScannedUnits) for layer in model.layers) == (form == "scanned")
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(12, 21, 21, 3)).astype(np.float32), rng.integers(0, 3, 12)
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    losses = [float(model.train_on_batch(images, labels)) for _ in range(15)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("kind", BY_HAND)
def test_keras_counts_what_the_plan_counts(kind):
    total = reskeras.plan(inception=kind, **MINIATURE).complexity().total
    model = reskeras.build(inception=kind, **{**MINIATURE, "dropout": 0.0})
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == total.parameters
    assert sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights) == total.statistics


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"inception": "v4", "scaling": 0.2}, "scaling: v4 has no residuals"),
        ({"inception": "v4", "last_linear": True}, "last_linear: v4 has no residuals"),
        ({"inception": "resnet-v1", "scaling": [0.1, 0.2]}, "scaling"),
        ({"inception": "resnet-v1", "scaling": 0}, "scaling"),
        ({"inception": "v3"}, "inception: 'v3' is not one of v4, resnet-v1, resnet-v2"),
        ({"inception": "v4", "cells": [4, 7]}, "cells"),
        ({"inception": "v4", "input_shape": [64, 64, 3]}, "choose a larger input_shape"),
        ({"inception": "v4", "depth": 76}, "'depth' is not one of"),
    ],
)
def test_what_is_no_inception_network_is_refused(fields, said):
    with pytest.raises(ReskerasError) as caught:
        reskeras.network(**fields)
    assert said in str(caught.value)
    assert caught.value.status == 2


def test_a_file_with_the_field_inception_is_one(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("inception: resnet-v2\nstem: small\ncells: [1, 1, 1]\nscaling: 0.2\ninput_shape: 32x32x3\n")
    spec = reskeras.network(path)
    assert spec.scaling == (0.2, 0.2, 0.2)
    assert reskeras.network(path, settings=("cells.1=3",)).cells == (1, 3, 1)
    assert reskeras.network("inception-v4", settings=("cells.1=3", "bn.momentum=0.99")).cells == (4, 3, 3)
    path.write_text("inception: resnet-v2\nscaling: 3\n")
    with pytest.raises(ReskerasError, match=r"scaling.*\(in .*mine.yaml, line 2\)"):
        reskeras.network(path)
