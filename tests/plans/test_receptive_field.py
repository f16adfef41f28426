"""Receptive fields, against the pixels that have a gradient in networks whose weights are all positive."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import reskeras
from reskeras.graph.compile import compile_plan
from reskeras.graph.weights import read, write
from reskeras.plans import operations as op
from reskeras.plans.receptive_field import ReceptiveField, receptive_field

SMALL = {"stages": [1, 2, 1], "width_factor": 1 / 16, "classes": 3}
NETS = {
    "imagenet": {"family": "imagenet", "block": "basic", **SMALL},
    "bottleneck, stride on the 3x3": {"family": "imagenet", "block": "bottleneck", "stride_on": "3x3", **SMALL},
    "bottleneck, stride on the first": {"family": "imagenet", "block": "bottleneck", "stride_on": "first_1x1", **SMALL},
    "cifar": {"family": "cifar", "stages": [1, 2, 1], "width_factor": 0.25, "classes": 3},
    "pre-activation": {"family": "imagenet", "block": "basic", "order": "full_preact", **SMALL},
    "plain": {"family": "imagenet", "block": "basic", "shortcut": "none", **SMALL},
    "option A": {"family": "imagenet", "block": "basic", "shortcut": "A", **SMALL},
    "deep stem": {
        "family": "imagenet",
        "block": "basic",
        "stem": {"convs": [{"width": 8, "stride": 2}, {"width": 8}, {"width": 16}]},
        **SMALL,
    },
    "pooled projections": {"family": "imagenet", "block": "basic", "projection": "pooled", **SMALL},
    "no pool": {
        "family": "imagenet",
        "block": "basic",
        "stem": {"convs": [{"kernel": 2, "width": 64, "stride": 2}]},
        **SMALL,
    },
    "downsampling last": {"family": "imagenet", "block": "basic", "downsample": "last", **SMALL},
    "groups": {"family": "imagenet", "block": "bottleneck", "groups": 2, **SMALL, "width_factor": 0.25},
}


def positive(plan):
    """The compiled `plan` with means in the place of maxima and all weights positive."""
    model = compile_plan(
        plan.mapped(lambda node: replace(node, reduce="average") if isinstance(node, op.Pool) else node), "positive"
    )
    values = read(model)
    for name, value in values.items():
        role = name.rpartition("/")[2]
        fan_in = value.size // value.shape[-1]
        start = {"kernel": 1 / fan_in, "gamma": 1, "moving_variance": 1}.get(role, 0)
        values[name] = np.full(value.shape, start, np.float32)
    write(model, values)
    return model


def seen(model, row, column):
    """The first and last row and column of the input on which a position of the output depends."""
    image = tf.ones([1, *model.input_shape[1:]])
    with tf.GradientTape() as tape:
        tape.watch(image)
        output = tf.reduce_sum(model(image)[0, row, column])
    gradient = tape.gradient(output, image)[0]
    rows, columns = (tf.reduce_sum(gradient, axis=axes).numpy() for axes in ([1, 2], [0, 2]))
    # fast convolutions leave rounding errors where the gradient is 0
    rows, columns = (np.flatnonzero(sums > 1e-6 * sums.max()) for sums in (rows, columns))
    return [(rows[0], rows[-1]), (columns[0], columns[-1])]


@pytest.mark.sample(24)
@pytest.mark.parametrize("size", [(192, 160), (161, 195)], ids=["even", "odd"])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("net", NETS)
def test_it_is_where_the_gradient_is(net, padding, size):
    whole = reskeras.plan(**NETS[net], padding=padding, input_shape=(*size, 3))
    for endpoint in ("stem", "stage2", "stage3"):
        plan = whole.slice(until=endpoint)
        fields, shape, model = receptive_field(plan), plan.output_shape, positive(plan)
        # one position in the middle, and the last one, of whose field a part is outside
        for places in ((shape[0] // 2, shape[1] // 2), (shape[0] - 1, shape[1] - 1)):
            expected = [
                (max(field.first + place * field.stride, 0), min(field.last + place * field.stride, length - 1))
                for field, place, length in zip(fields, places, size, strict=True)
            ]
            assert seen(model, *places) == expected, (endpoint, places)


def test_of_resnet_18_with_symmetric_padding_it_is_half_a_stride_off():
    down, across = receptive_field(reskeras.plan("resnet-18").slice(until="stage3"))
    assert down == across == ReceptiveField(-105, 105, 16)  # 211 pixels
    assert down.stride / 2 - down.middle == 7.5


def test_pooled_gates_do_not_count_and_a_head_has_no_positions():
    plain, gated = (reskeras.plan(**NETS["imagenet"], squeeze=squeeze) for squeeze in (None, 4))
    assert receptive_field(gated.slice(until="stage3")) == receptive_field(plain.slice(until="stage3")) is not None
    assert receptive_field(plain) is None
