"""Proofs of integer files: each network's file computes what its integer form does, and others are rejected."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from reskeras.data.preprocessing import Preprocessing
from reskeras.export import runtimes
from reskeras.export.integer_proof import prove_integers
from reskeras.export.integers import IntegerInference, Integers
from reskeras.export.lite import LITE_KINDS, write_lite_model
from reskeras.export.lite_graph import CONVOLUTIONS, LiteGraph
from reskeras.plans import operations as op
from reskeras.plans.nodes import rewritten
from tests.graph.integer_networks import NETWORKS, network

KINDS = ["int8", "int8-io", "int8-w4"]
CLASSES = "abcde"
FAST = ("full_preact", "pooled", "inception-v4")


def raw(plan, count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *plan.input_shape), dtype=np.uint8)


def integers_of(name, bits, by_pixel=False, kept=()):
    _, plan, weights = network(name)
    size = plan.input_shape
    mean = np.random.default_rng(5).uniform(90, 150, size if by_pixel else size[-1:]).astype(np.float32)
    preprocessing = Preprocessing(*size, "scale", mean, np.array([50, 60, 70], np.float32))
    return Integers.of(plan, weights, preprocessing, raw(plan, 50), bits, kept)


def written(integers, kind, folder):
    """A file and its content."""
    return write_lite_model(IntegerInference(integers, CLASSES), folder / f"{kind}.tflite", kind)


def proof_of(path, integers, bits, count=150):
    images = raw(integers.plan, count, seed=1)
    logits = runtimes.LiteModel(path)(images=images)["logits"]
    return prove_integers(path, integers, images, logits, bits, partial(integers.logits, images, None))


def failed(proof):
    return {name for name, (met, _) in proof.criteria.items() if not met}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in NETWORKS]
)
@pytest.mark.parametrize("bits", [8, pytest.param(4, marks=pytest.mark.slow)])
def test_every_network_s_file_computes_its_integer_form(name, bits, tmp_path):
    integers = integers_of(name, bits)
    proof = proof_of(written(integers, "int8" if bits == 8 else "int8-w4", tmp_path), integers, bits)
    assert proof.holds, proof.objections
    assert proof.worst.steps <= 1
    assert proof.equal > 0.99


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A file of each kind, with all that it was made of; one is not to be changed."""
    bits = LITE_KINDS[request.param].bits
    integers = integers_of("original", bits)
    path = written(integers, request.param, tmp_path_factory.mktemp(request.param))
    return SimpleNamespace(kind=request.param, bits=bits, integers=integers, path=path)


def spoilt(made, tmp_path, change):
    """The proof of the file after `change` of its model, given the constants of its convolutions."""
    model = LiteGraph.of(made.path.read_bytes()).model
    change(LiteGraph(model))
    path = tmp_path / "spoilt.tflite"
    path.write_bytes(LiteGraph(model).content())
    return proof_of(path, made.integers, made.bits)


def convolutions(graph):
    return [each for name, each in graph.operations if name in CONVOLUTIONS]


def add_to(graph, place, amount, kind):
    """Change a constant."""
    buffer = graph.model.buffers[graph.tensors[place].buffer]
    values = np.frombuffer(np.asarray(buffer.data, np.uint8).tobytes(), kind).copy()
    values[len(values) // 2] += amount if values[len(values) // 2] < 0 else -amount
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)


def change_a_weight(graph):
    place = int(convolutions(graph)[2].inputs[1])
    add_to(graph, place, 3 if graph.type_of(place) == "int8" else 1, np.int8)


def change_a_bias_by_one(graph):
    add_to(graph, int(convolutions(graph)[2].inputs[2]), 1, np.int32)


def change_a_range(graph):
    """5 % wider: what is computed is rounded otherwise."""
    quantised = graph.tensors[convolutions(graph)[2].outputs[0]].quantization
    quantised.scale = np.asarray(quantised.scale, np.float32) * np.float32(1.05)


def change_the_normalisation(graph):
    """By another standard deviation: the first convolution's steps."""
    quantised = graph.tensors[convolutions(graph)[0].inputs[1]].quantization
    quantised.scale = np.asarray(quantised.scale, np.float32) * np.float32(1.1)


def test_a_file_of_each_kind_is_proven(made):
    proof = proof_of(made.path, made.integers, made.bits)
    assert proof.holds, proof.objections
    assert (proof.equal, proof.steps, proof.top) == (1.0, 0.0, 1.0)
    assert not proof.floats
    assert not proof.changed


@pytest.mark.parametrize(
    ("change", "seen", "named"),
    [
        (change_a_weight, "constants", "other weights than the network in stage1_unit1_conv1"),
        (change_a_bias_by_one, "constants", "other weights than the network in stage1_unit1_conv1"),
        (change_a_range, "operations", "differs by inf steps"),
        (change_the_normalisation, "constants", "other weights than the network in normalise"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_file_that_was_changed_is_rejected(made, tmp_path, change, seen, named):
    proof = spoilt(made, tmp_path, change)
    assert not proof.holds
    assert seen in failed(proof)
    assert any(named in objection for objection in proof.objections), proof.objections


def without(plan, name):
    return plan.mapped(lambda node: None if node.name == name else node)


def with_more(plan, name, more):
    """`plan` with the operation `more` behind the node `name`."""

    def change(nodes):
        return tuple(each for node in nodes for each in ((node, more) if node.name == name else (node,)))

    return plan.rewritten(lambda nodes: rewritten(nodes, change))


def leave_one_out(integers):
    weights = {name: value for name, value in integers.weights.items() if "stage2_unit1_conv2_range" not in name}
    return Integers(without(integers.plan, "stage2_unit1_conv2_range"), weights)


def round_before_the_relu(integers):
    """What an addition gives, instead of what its ReLU does."""
    early = op.Quantise(name="early_range", fixed=(-4.0, 4.0))
    plan = with_more(integers.plan, "stage2_unit1_add", early)
    weights = {name: value for name, value in integers.weights.items() if "stage2_unit1_out_relu_range" not in name}
    return Integers(without(plan, "stage2_unit1_out_relu_range"), weights)


def round_again(integers):
    """What is rounded already, to another range."""
    again = op.Quantise(name="again_range", fixed=(-1.0, 1.0))
    return Integers(with_more(integers.plan, "stage2_unit1_relu1_range", again), integers.weights)


def widen_a_range(integers):
    name = "stage2_unit1_relu1_range/high"
    return Integers(integers.plan, {**integers.weights, name: integers.weights[name] * np.float32(1.05)})


def normalise_otherwise(integers):
    name = "normalise/kernel"
    return Integers(integers.plan, {**integers.weights, name: integers.weights[name] * np.float32(1.1)})


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (leave_one_out, "floats"),
        (round_before_the_relu, "operations"),
        pytest.param(round_again, "constants", marks=pytest.mark.slow),
        pytest.param(widen_a_range, "operations", marks=pytest.mark.slow),
        pytest.param(normalise_otherwise, "constants", marks=pytest.mark.slow),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_file_of_another_simulation_is_rejected(made, tmp_path, change, seen):
    proof = proof_of(written(change(made.integers), made.kind, tmp_path), made.integers, made.bits)
    assert not proof.holds
    assert seen in failed(proof)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_with_a_mean_of_their_own_are_proven(kind, tmp_path):
    bits = LITE_KINDS[kind].bits
    integers = integers_of("original", bits, by_pixel=True)
    proof = proof_of(written(integers, kind, tmp_path), integers, bits)
    assert proof.holds, proof.objections


@pytest.mark.parametrize("kept", ["stage2_unit1_conv1", pytest.param("logits", marks=pytest.mark.slow)])
def test_just_the_layers_that_are_kept_compute_in_float(kept, tmp_path):
    integers = integers_of("original", 8, kept=[kept])
    path = written(integers, "int8", tmp_path)
    proof = proof_of(path, integers, 8)
    assert proof.holds, proof.objections
    graph = LiteGraph.of(path.read_bytes())
    floats = [each for each in convolutions(graph) if graph.type_of(each.outputs[0]) == "float32"]
    assert len(floats) == 1
    assert graph.type_of(floats[0].inputs[1]) == "float32"
    # two layers in float where one was to be kept
    twice = integers_of("original", 8, kept=[kept, "stage1_unit1_conv2"])
    proof = proof_of(written(twice, "int8", tmp_path), integers, 8)
    assert "floats" in failed(proof)
    assert "CONV_2D" in proof.floats


def test_answers_that_are_no_numbers_prove_nothing(made):
    images = raw(made.integers.plan, 20, seed=1)
    logits = np.full((20, 5), np.nan, np.float32)
    exact = partial(made.integers.logits, images, None)
    proof = prove_integers(made.path, made.integers, images, logits, made.bits, exact)
    assert not proof.holds
    assert {"equal", "steps"} <= failed(proof)


def test_criteria_are_those_of_the_bits():
    from reskeras.export.proof import IntegerProof, Operation

    proof = IntegerProof(8, 0.86, 3, 0.996, (), (), Operation("a", 1.0, 1.0))
    assert proof.holds
    for bits, change, name in (
        (8, {"equal": 0.84}, "equal"),
        (8, {"steps": 4}, "steps"),
        (8, {"top": 0.994}, "top"),
        (4, {"steps": 9}, "steps"),
        (4, {"top": 0.98}, "top"),
        (8, {"worst": Operation("a", 0.9, 2.0)}, "operations"),
        (8, {"floats": ("ADD",)}, "floats"),
        (8, {"changed": ("a",)}, "constants"),
    ):
        assert failed(replace(proof, bits=bits, **change)) == {name}
    assert replace(proof, bits=4, steps=8, top=0.99).holds
