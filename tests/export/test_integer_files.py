"""Integer ONNX and OpenVINO files compute what the network's integer form does; a network that differs from the file in
one number, one range or one rounding is told from it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.evaluation.heads import SIGMOID, SOFTMAX
from reskeras.export import runtimes
from reskeras.export.aside import answers_aside
from reskeras.export.integer_files import taken_apart
from reskeras.export.integer_proof import prove_integers
from reskeras.export.integers import IntegerInference, Integers
from reskeras.export.portable import write_onnx, write_openvino
from reskeras.export.usage import Usage
from reskeras.plans import operations as op
from reskeras.tasks.classification.export import bits_of, check_integer_kinds
from tests.cli.running import printed, refused
from tests.graph.test_fold import shaken

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")
pytest.importorskip("tf2onnx")

KINDS = {"onnx-int8": (write_onnx, "network.onnx"), "openvino-int8": (write_openvino, "network.xml")}
STAGES = [{"units": 1, "width": 4}, {"units": 2, "width": 8}]
SMALL = {"family": "cifar", "stages": STAGES, "stem": {"convs": [{"kernel": 3, "width": 4}]}, "classes": 5}
NETWORKS = {
    "residual": {**SMALL, "input_shape": [12, 12, 3]},
    "plain": {**SMALL, "input_shape": [12, 12, 3], "shortcut": "none"},
    "full pre-activation": {**SMALL, "input_shape": [12, 12, 3], "order": "full_preact", "shortcut": "B"},
    "squeeze-and-excitation": {**SMALL, "input_shape": [12, 12, 3], "squeeze": 2},
    "cells": {
        "inception": "resnet-v2",
        "stem": "small",
        "cells": [1, 1, 1],
        "width_factor": 0.1,
        "input_shape": [17, 17, 3],
        "classes": 5,
    },
}
IMAGES = 64


def form_of(name, mean=(111.37, 118.91, 127.53)):
    """(the integer form of a small network, raw images)."""
    plan = reskeras.plan(**NETWORKS[name])
    images = np.random.default_rng(3).integers(0, 256, (IMAGES, *plan.input_shape)).astype(np.uint8)
    statistics = np.array(mean, np.float32), np.array([61.73, 56.19, 64.87], np.float32)
    preprocessing = Preprocessing(*plan.input_shape, "per_channel", *statistics)
    return Integers.of(plan, shaken(plan), preprocessing, images, 8), images


def written(kind, integers, folder, head=SOFTMAX):
    write, name = KINDS[kind]
    module = IntegerInference(integers, list("abcde"), head, pixels="uint8")
    write(module, folder / name, Usage("none", 3, ["normalise"], module.classes), "Image classifier", kind)
    return folder / name


def proof_of(path, integers, images):
    answers = answers_aside(path, {"images": images}, "f32" if path.suffix == ".xml" else "")
    exact = partial(integers.logits, images, None)
    return prove_integers(path, integers, images, answers.values["logits"], 8, exact, answers.precision)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(the integer form of the residual network, raw images, the file of each kind)."""
    integers, images = form_of("residual")
    return integers, images, {kind: written(kind, integers, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_computes_its_integer_form(made, kind):
    integers, images, files = made
    proof = proof_of(files[kind], integers, images)
    assert proof.holds, proof.objections
    assert proof.worst.steps <= 1 and proof.worst.equal > 0.999 and proof.equal > 0.95 and not proof.floats


@pytest.mark.sample(2)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", list(NETWORKS)[1:])
def test_other_networks_too(tmp_path, kind, name):
    if name == "plain":  # a mean for each pixel, too
        integers, images = form_of(name, np.random.default_rng(1).uniform(90, 150, (12, 12, 3)))
    else:
        integers, images = form_of(name)
    proof = proof_of(written(kind, integers, tmp_path, SIGMOID), integers, images)
    assert proof.holds, proof.objections


def test_what_openvino_adds_to_at_once_is_not_rounded(made):
    integers, images, files = made
    unrounded = taken_apart(files["openvino-int8"], images, "f32").unrounded
    convolutions = [node for node in integers.plan.ops() if node.name.endswith("conv2_range")]
    assert len(convolutions) == 3
    assert sum(any(z == integers.range(node)[1] for _, z in unrounded) for node in convolutions) == 3
    assert not taken_apart(files["onnx-int8"], images, "").unrounded


def changed(integers, name, change):
    weights = dict(integers.weights)
    weights[name] = change(np.array(weights[name]))
    return replace(integers, weights=weights)


def negated_once(kernel):
    kernel = kernel.copy()
    kernel.flat[np.abs(kernel).argmin() + 1] *= -1
    return kernel


def one_step_more(integers):
    [(node, step)] = [each for each in integers.convolutions if each[0].name == "stage2_unit1_conv1"]
    kernel = integers.weights[f"{node.name}/kernel"]
    more = np.zeros(kernel.shape[-1], np.float32)
    more[0] = step * np.abs(kernel[..., 0]).max() / 127
    return changed(integers, f"{node.name}/bias", lambda bias: bias + more)


def moved(integers):
    """A convolution's result is rounded before its ReLU, too."""

    def nodes(unit):
        for node in unit.nodes:
            yield node
            if node.name == "stem_conv":
                yield op.Quantise(name="stem_conv_range", fixed=(-3.0, 3.0))

    units = tuple(replace(unit, nodes=tuple(nodes(unit))) for unit in integers.plan.units)
    return replace(integers, plan=replace(integers.plan, units=units))


MUTANTS = {
    "weight": (lambda it: changed(it, "stage1_unit1_conv1/kernel", negated_once), "constants"),
    "bias": (one_step_more, "constants"),
    "normalisation": (lambda it: changed(it, "normalise/bias", lambda bias: bias + 0.1), "constants"),
    "range": (lambda it: changed(it, "stage1_unit1_out_relu_range/high", lambda high: high * 1.02), "operations"),
    "place": (moved, "operations"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_file_of_another_network_is_rejected(made, kind, mutant):
    integers, images, files = made
    change, criterion = MUTANTS[mutant]
    proof = proof_of(files[kind], change(integers), images)
    assert not proof.holds
    assert not proof.criteria[criterion][0], proof.objections


def test_a_float_operation_in_the_file_is_told(made, tmp_path):
    model = onnx.load(made[2]["onnx-int8"])
    taken = next(node for node in model.graph.node if node.op_type == "Conv" and "conv2" in node.name)
    taken.input[0], before = f"{taken.name}/sine", taken.input[0]
    model.graph.node.insert(
        list(model.graph.node).index(taken), onnx.helper.make_node("Sin", [before], [taken.input[0]])
    )
    onnx.save(model, tmp_path / "network.onnx")
    proof = proof_of(tmp_path / "network.onnx", *made[:2])
    assert "Sin" in proof.floats and not proof.criteria["floats"][0]


def test_processors_that_would_saturate_sum_otherwise(made, monkeypatch):
    def setting(known):
        monkeypatch.setattr(runtimes, "integer_instructions", lambda: known)
        session = runtimes.OnnxModel(made[2]["onnx-int8"])._session
        try:
            return session.get_session_options().get_session_config_entry("session.x64quantprecision")
        except RuntimeError:  # that is not there
            return "0"

    assert setting(["avx512_vnni"]) == "0"
    assert setting([]) == "1"


def test_a_run_is_exported_as_both(trained, copied):
    proofs = {proof.kind: proof for proof in copied.export("onnx", *KINDS)}
    for kind in KINDS:
        proof = proofs[kind]
        assert proof.holds and proof.integers.holds and proof.agreement > 0.95, proof.objection
    assert Path(proofs["onnx-int8"].path).name == f"{copied.name}-int8.onnx"
    assert [trial.holds for trial in proofs["openvino-int8"].trials] == [True]
    session = onnxruntime.InferenceSession(proofs["onnx-int8"].path)
    assert [(each.name, each.type) for each in session.get_inputs()] == [("images", "tensor(uint8)")]
    shown = printed("report", copied.path)
    assert "compared with exact integers" in shown and "processor" in shown


def test_kinds_go_with_the_bits_that_a_run_was_trained_for():
    check_integer_kinds(list(KINDS), "int8", ())
    for kind in KINDS:
        assert bits_of(kind, "explain") == 8
        with pytest.raises(reskeras.ReskerasError, match=f"to: {kind}: the run was trained as int8-w4"):
            check_integer_kinds([kind], "int8-w4", ())


@pytest.mark.sample(1)
@pytest.mark.parametrize("kind", KINDS)
def test_layers_stay_in_float32(copied, kind):
    [proof] = copied.export(kind, keep_float=["stage1_unit1_conv2"], timing=False)
    assert proof.holds and not proof.integers.floats


def test_layers_to_keep_in_float32_are_checked_and_nothing_is_left(copied):
    assert "keep-float: 'stage9' is not one of" in refused(
        "export", copied.path, "--to", "onnx-int8", "--keep-float", "stage9"
    )
    assert not copied.folder.export_folder.exists()
