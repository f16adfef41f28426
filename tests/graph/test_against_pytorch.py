"""Groups, squeeze-and-excitation and the pooled projection are PyTorch's, weight for weight."""

import numpy as np
import pytest
import tensorflow as tf
import torch

import reskeras
from reskeras.graph.layers import convolution as layers
from tests.graph.by_hand import distance, randomised

nn = torch.nn


def to_torch(images):
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(images), -1, 1)))


def from_torch(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def test_what_is_said_of_gradients_of_grouped_convolutions_is_so():
    x, kernel = tf.ones([2, 5, 5, 6]), tf.ones([3, 3, 2, 6])
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = tf.nn.conv2d(x, kernel, 1, "SAME")
    try:
        tape.gradient(y, [x, kernel])
        has = True
    except tf.errors.InvalidArgumentError:
        has = False
    assert layers.has_gradients() is has

    layers.has_gradients.cache_clear()
    asked_in_a_graph = []
    tf.function(lambda: asked_in_a_graph.append(layers.has_gradients()))()
    assert asked_in_a_graph == [has]


@pytest.mark.parametrize("native", [True, False], ids=["native", "group by group"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_grouped_convolution_and_its_gradients(monkeypatch, native, stride):
    if native and not layers.has_gradients():
        pytest.skip("this TensorFlow has no gradients of grouped convolutions")
    monkeypatch.setattr(layers, "has_gradients", lambda: native)
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=size).astype(np.float32) for size in ((3, 9, 9, 12), (3, 3, 3, 16)))

    @tf.function
    def ours(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = layers.convolution(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), kernel, (stride, stride), "valid")
            loss = tf.reduce_sum(y * y)
        return y, *tape.gradient(loss, [x, kernel])

    their_x = to_torch(x).requires_grad_()
    their_kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()).requires_grad_()
    theirs = nn.functional.conv2d(their_x, their_kernel, stride=stride, padding=1, groups=4)
    (theirs * theirs).sum().backward()
    y, of_x, of_kernel = ours(x, kernel)
    assert distance(y, from_torch(theirs)) < 1e-5
    assert distance(of_x, from_torch(their_x.grad)) < 1e-5
    assert distance(of_kernel, their_kernel.grad.numpy().transpose(2, 3, 1, 0)) < 1e-5


@pytest.mark.parametrize("channels", [4, 12, 16])
@pytest.mark.parametrize("size", [(96, 80), (33, 31)], ids=["even", "odd"])
def test_a_strided_convolution_of_few_channels_and_its_gradients(channels, size):
    # the first crashes TensorFlow 2.21 with oneDNN on a CPU with AVX-512, mostly
    rng = np.random.default_rng(0)
    x, kernel = (rng.normal(size=each).astype(np.float32) for each in ((2, *size, channels), (1, 1, channels, 8)))
    layer = layers.SubsamplingConv2D(8, 1, strides=2, use_bias=False)
    layer.build(x.shape)
    layer.set_weights([kernel])

    def ours(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * y)
        return y, *tape.gradient(loss, [x, layer.kernel.value])

    their_x = to_torch(x).requires_grad_()
    their_kernel = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()).requires_grad_()
    theirs = nn.functional.conv2d(their_x, their_kernel, stride=2)
    (theirs * theirs).sum().backward()
    for run in (ours, tf.function(ours)):
        y, of_x, of_kernel = run(tf.constant(x))
        assert distance(y, from_torch(theirs)) < 1e-5
        assert distance(of_x, from_torch(their_x.grad)) < 1e-5
        assert distance(of_kernel, their_kernel.grad.numpy().transpose(2, 3, 1, 0)) < 1e-5


class Unit(nn.Module):
    """A bottleneck as torchvision and timm have it: groups, inner width, gate, average pool before the projection."""

    def __init__(self, channels, width, inner, groups, squeeze, stride, pooled):
        super().__init__()
        out = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, out, 1, bias=False), nn.BatchNorm2d(out)
        if squeeze:
            self.se_conv1, self.se_conv2 = nn.Conv2d(out, out // squeeze, 1), nn.Conv2d(out // squeeze, out, 1)
        self.squeeze, self.pool = squeeze, None
        if channels != out or stride > 1:
            if pooled and stride > 1:
                self.pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
            self.shortcut_conv = nn.Conv2d(channels, out, 1, 1 if self.pool else stride, bias=False)
            self.shortcut_bn = nn.BatchNorm2d(out)

    def forward(self, x):
        relu = nn.functional.relu
        y = relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(relu(self.bn2(self.conv2(y)))))
        if self.squeeze:
            y = y * torch.sigmoid(self.se_conv2(relu(self.se_conv1(y.mean((2, 3), keepdim=True)))))
        shortcut = x if self.pool is None else self.pool(x)
        if hasattr(self, "shortcut_conv"):
            shortcut = self.shortcut_bn(self.shortcut_conv(shortcut))
        return relu(y + shortcut)


def with_weights_of(model, prefix, module):
    """`module` with the weights of the layers `prefix`_NAME of a Keras model, none of them left over."""
    state, taken = {}, 0
    for name, part in module.named_children():
        layer = (
            {weight.name: weight.numpy() for weight in model.get_layer(f"{prefix}_{name}").weights}
            if (list(part.parameters()))
            else {}
        )
        taken += len(layer)
        if isinstance(part, nn.Conv2d):
            state[f"{name}.weight"] = layer["kernel"].transpose(3, 2, 0, 1)
            state |= {f"{name}.bias": layer["bias"]} if "bias" in layer else {}
        elif isinstance(part, nn.BatchNorm2d):
            theirs = {
                "weight": "gamma",
                "bias": "beta",
                "running_mean": "moving_mean",
                "running_var": "moving_variance",
            }
            state |= {f"{name}.{their}": layer[our] for their, our in theirs.items()}
            state[f"{name}.num_batches_tracked"] = np.array(0)
    module.load_state_dict({name: torch.tensor(value) for name, value in state.items()}, strict=True)
    assert taken == sum(len(layer.weights) for layer in model.layers if layer.name.startswith(prefix))
    return module.eval()


FAMILIES = {
    "resnext": {"groups": 4, "inner_factor": 2.0},
    "wide": {"inner_factor": 2.0},
    "squeeze": {"squeeze": 4},
    "resnet-d": {"projection": "pooled"},
    "all of them": {"groups": 2, "inner_factor": 1.5, "squeeze": 8, "projection": "pooled"},
}


@pytest.mark.parametrize("size", [10, 9])
@pytest.mark.parametrize("name", FAMILIES)
def test_units_give_what_pytorchs_give_with_the_same_weights(name, size):
    fields = FAMILIES[name]
    model = randomised(
        reskeras.build(
            stages=[{"units": 2, "width": 8}, {"units": 2, "width": 16}],
            block="bottleneck",
            stride_on="3x3",
            stem={"convs": [{"width": 8}]},
            classes=3,
            input_shape=[size, size, 3],
            **fields,
            outputs=["stem", "stage1_unit1", "stage1_unit2", "stage2_unit1", "stage2_unit2"],
        )
    )
    images = np.random.default_rng(1).normal(size=(4, size, size, 3)).astype(np.float32)
    ours = model(images, training=False)
    channels, x = 8, ours["stem"]
    for unit, width, stride in (
        ("stage1_unit1", 8, 1),
        ("stage1_unit2", 8, 1),
        ("stage2_unit1", 16, 2),
        ("stage2_unit2", 16, 1),
    ):
        theirs = with_weights_of(
            model,
            unit,
            Unit(
                channels,
                width,
                round(width * fields.get("inner_factor", 1)),
                fields.get("groups", 1),
                fields.get("squeeze"),
                stride,
                "projection" in fields,
            ),
        )
        assert distance(ours[unit], from_torch(theirs(to_torch(x)))) < 1e-5
        channels, x = 4 * width, ours[unit]


def torchs_count(units, groups=1, inner=1, squeeze=None, deep=False):
    """Trainable parameters of a network of these units for ImageNet, as PyTorch counts them, made on no device."""
    with torch.device("meta"):
        convs = [(3, 32), (32, 32), (32, 64)] if deep else [(3, 64)]
        parts = [nn.Conv2d(*pair, 3 if deep else 7, bias=False) for pair in convs]
        parts += [nn.BatchNorm2d(width) for _, width in convs]
        channels = 64
        for stage, count in enumerate(units):
            width = 64 << stage
            for unit in range(count):
                stride = 2 if stage and not unit else 1
                parts.append(Unit(channels, width, inner * width, groups, squeeze, stride, deep))
                channels = 4 * width
        parts.append(nn.Linear(2048, 1000))
        return sum(weight.numel() for part in parts for weight in part.parameters())


# as torchvision and timm publish them
PUBLISHED = {
    "resnext-50-32x4d": (25_028_904, {"units": (3, 4, 6, 3), "groups": 32, "inner": 2}),
    "resnext-101-32x8d": (88_791_336, {"units": (3, 4, 23, 3), "groups": 32, "inner": 4}),
    "wide-resnet-50-2": (68_883_240, {"units": (3, 4, 6, 3), "inner": 2}),
    "wide-resnet-101-2": (126_886_696, {"units": (3, 4, 23, 3), "inner": 2}),
    "se-resnet-50": (28_088_024, {"units": (3, 4, 6, 3), "squeeze": 16}),
    "resnet-50-d": (25_576_264, {"units": (3, 4, 6, 3), "deep": True}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_that_torchvision_and_timm_publish(name):
    published, how = PUBLISHED[name]
    assert reskeras.plan(name).complexity().parameters == published == torchs_count(**how)


@pytest.mark.parametrize("border", ["edge", "zero"])
@pytest.mark.parametrize("size", [32, 33])
def test_the_border_of_a_pool_after_a_stem_without_activation(border, size):
    stem = {"convs": [{"kernel": 7, "width": 6, "stride": 2}], "pool": {"border": border}, "activated": False}
    model = reskeras.build(
        stages=[1], family="imagenet", stem=stem, order="full_preact", input_shape=[size, size, 3], until="stem", seed=1
    )
    images = np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)
    kernel = torch.from_numpy(model.get_layer("stem_conv").kernel.numpy().transpose(3, 2, 0, 1).copy())
    convolved = nn.functional.conv2d(to_torch(images), kernel, stride=2, padding=3)
    pooled = nn.functional.max_pool2d(convolved, 3, 2, 1)
    if border == "zero":
        pooled = nn.functional.max_pool2d(nn.functional.pad(convolved, [1, 1, 1, 1]), 3, 2)
    assert distance(model(images, training=False), from_torch(pooled)) < 1e-5


def test_the_border_of_a_pool_in_reduced_precision_learns():
    stem = {"convs": [{"kernel": 3, "width": 6}], "pool": {"border": "edge"}, "activated": False}
    model = reskeras.build(
        stages=[1],
        family="cifar",
        stem=stem,
        order="full_preact",
        precision="mixed_bfloat16",
        input_shape=[8, 8, 3],
        classes=2,
    )
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)) ** 2)
    assert np.isfinite(tape.gradient(loss, model.get_layer("stem_conv").kernel)).all()
