"""Float files in float16 for real: what overflows there is found and named, and none of our networks is built so."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.export.aside import answers_aside
from reskeras.export.half import layer_at_fault, layer_of
from reskeras.export.inference import Inference
from reskeras.export.lite import write_lite_model

OPERATORS = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}


class Averaged(tf.Module):
    """An image of SIDE pixels a side, scaled in one layer and averaged in the next; the sum passes float16's 65,504."""

    classes = ("a", "b", "c")
    SIDE = 56

    def __init__(self, average):
        super().__init__()
        self.average = average

    def signatures(self, names=()):
        images = tf.TensorSpec([None, self.SIDE, self.SIDE, 3], tf.float32, name="images")
        return {"serving_default": tf.function(self.__call__).get_concrete_function(images)}

    def __call__(self, images):
        with tf.name_scope("inference_1/stage1_scale_1"):
            scaled = images * 0.5 + 20.0
        with tf.name_scope("inference_1/stage1_average_2"):
            logits = self.average(scaled)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}


def by_pool(values):
    return tf.nn.avg_pool2d(values, Averaged.SIDE, 1, "VALID")[:, 0, 0]


@pytest.mark.parametrize(
    ("average", "layer"), [(by_pool, "stage1_average"), (lambda values: tf.reduce_mean(values, [1, 2]), "")]
)
def test_an_average_that_overflows_is_named_and_a_mean_does_not(average, layer, tmp_path):
    path = write_lite_model(Averaged(average), tmp_path / "net.tflite")
    images = np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), np.uint8)
    half = answers_aside(path, {"images": images}, "float16")
    exact = answers_aside(path, {"images": images})
    assert (half.precision, exact.precision) == ("float16", "float32")
    assert np.isfinite(exact.values["logits"]).all()
    assert np.isfinite(half.values["logits"]).all() == (not layer)
    if layer:
        assert layer_at_fault(path, {"images": images}, half.values) == layer
    else:
        off = np.abs(half.values["logits"] - exact.values["logits"]).max() / exact.values["logits"].max()
        assert 0 < off < 0.01  # what is computed in float16 differs


def test_of_a_file_that_is_right_the_layer_that_errs_most_is_named(tmp_path):
    class Fine(Averaged):
        def __call__(self, images):
            with tf.name_scope("inference_1/stage1_scale_1"):
                scaled = tf.reduce_mean(images, [1, 2]) * 0.1
            with tf.name_scope("inference_1/stage1_large_1"):
                large = tf.sqrt(scaled + 4000.0)  # float16 has steps of 2 at 4,000
            with tf.name_scope("inference_1/stage1_cancel_1"):
                cancelled = tf.square(large) - 4000.0
            logits = tf.maximum(cancelled, -1e30)
            return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    path = write_lite_model(Fine(None), tmp_path / "net.tflite")
    images = np.random.default_rng(0).integers(0, 256, (4, 56, 56, 3), np.uint8)
    half = answers_aside(path, {"images": images}, "float16")
    assert layer_at_fault(path, {"images": images}, half.values) == "stage1_cancel"


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("inference_1/stem_relu_1/Relu;inference_1/stem_conv_1/BiasAdd", "stem_relu"),
        ("inference_2/stage1_unit1_conv1_12/convolution", "stage1_unit1_conv1"),
        ("StatefulPartitionedCall:0", "StatefulPartitionedCall:0"),
    ],
)
def test_layers_in_names_of_tensors(tensor, layer):
    assert layer_of(tensor) == layer


def test_it_is_a_finding_of_the_proof_and_the_file_is_not_rejected(copied, monkeypatch):
    network = Inference.__call__

    def overflowing(self, images):
        """The same logits, by way of numbers that float16 does not have."""
        logits = network(self, images)["logits"]
        with tf.name_scope("inference_1/stage9_huge_1"):
            logits = tf.where(tf.abs(logits) < 1e9, logits, 0.0) * 2.0**14
        with tf.name_scope("inference_1/stage9_small_1"):
            logits = tf.maximum(logits, -1e30) * 2.0**-14
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    monkeypatch.setattr(Inference, "__call__", overflowing)
    [proof] = copied.export("tflite", timing=False)
    [trial] = proof.trials
    assert proof.holds and proof.difference < 1e-4
    assert not trial.holds and not trial.bound and trial.found == "stage9_huge"
    [stored] = copied.proofs()
    assert stored.trials == proof.trials


NETWORKS = {
    "cifar": {"family": "cifar", "stages": [1, 1], "input_shape": [32, 32, 3]},
    "average": {"family": "cifar", "stages": [1, 1], "input_shape": [32, 32, 3], "skip": "exclusive_gate"},
    "preact": {"family": "cifar", "stages": [1, 1], "input_shape": [32, 32, 3], "order": "full_preact"},
    "vgg-19": {"name": "vgg-19", "input_shape": [32, 32, 3]},
    "squeeze": {"family": "imagenet", "depth": 18, "squeeze": 4, "input_shape": [96, 96, 3]},
    "resnet-18": {"name": "resnet-18", "input_shape": [96, 96, 3]},
    "resnet-50-d": {"name": "resnet-50-d", "input_shape": [96, 96, 3]},
    "cifar-inception-v4": {"name": "cifar-inception-v4", "input_shape": [32, 32, 3]},
    "cifar-inception-resnet-v2": {"name": "cifar-inception-resnet-v2", "input_shape": [32, 32, 3]},
    "inception-v4": {"name": "inception-v4", "input_shape": [203, 203, 3]},
    "cifar-fast": {"name": "cifar-fast", "input_shape": [32, 32, 3]},
}


@pytest.mark.sample(4)
@pytest.mark.parametrize("name", NETWORKS)
def test_no_file_sums_or_pools_a_whole_map(name, tmp_path):
    fields = dict(NETWORKS[name])
    spec = reskeras.network(*([fields.pop("name")] if "name" in fields else []), **fields, classes=4)
    size = spec.input_shape
    half = np.full(size[-1], 127.5, np.float32)
    preprocessing = Preprocessing(*size, "scale", half, half)
    inference = Inference(reskeras.plan(spec), reskeras.build(spec, seed=1), preprocessing, "abcd", "float32")
    inference.guarded = False
    path = write_lite_model(inference, tmp_path / "net.tflite")
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    [graph], codes = graph.subgraphs, graph.operatorCodes
    found = [
        (OPERATORS[max(codes[each.opcodeIndex].builtinCode, codes[each.opcodeIndex].deprecatedBuiltinCode)], each)
        for each in graph.operators
    ]
    kinds = {kind for kind, _ in found}
    assert "SUM" not in kinds and kinds & {"MEAN", "FULLY_CONNECTED"}
    for kind, each in found:
        if kind == "AVERAGE_POOL_2D":
            shape, options = graph.tensors[each.inputs[0]].shape, each.builtinOptions
            assert (options.filterHeight, options.filterWidth) < (shape[1], shape[2])
