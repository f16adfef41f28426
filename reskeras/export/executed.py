"""What onnxruntime or OpenVINO makes of an integer file: the integers in it, what the runtime computes in float32 or
leaves unrounded, and the same file with its rounded tensors as outputs. A script, run in a process of its own.

It is called with MODEL TELLING PRECISION, writes the file TELLING, and an .npz of the rest to standard output. It
imports nothing of reskeras.
"""

from __future__ import annotations

import runpy
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

Found = dict[str, Any]
Range = tuple[Any, int, float, float]
"""The step of a rounded tensor, the int8 that stands for zero, and how the output tells integers: -128 as what, and in
what steps."""
STEPS, LOWEST = 255, -128
ENDS = ("QuantizeLinear", "DequantizeLinear")  # of ONNX, between integers and real numbers
MOVES = ("Reshape", "Transpose", "ReorderInput", "ReorderOutput")  # of ONNX, which compute nothing
# of OpenVINO: what computes nothing, and what may turn logits into probabilities
SILENT = ("Input", "Output", "Const", "Constant", "Reshape", "Reorder", "Convert", "FakeQuantize", "Transpose")
JOINS = ("Add", "Multiply")  # what is computed in one operation with the convolution before it
ANSWERS = ("Softmax", "Eltwise", "Sigmoid")
FLOATS = ("f32", "f16", "bf16")


def of_onnx(path: str, telling: str, precision: str) -> Found:
    """Of a file that onnxruntime runs."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    held = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    convolutions = [
        [held[made_by[name].input[0]] for name in node.input[1:]] + [held[made_by[node.input[1]].input[1]]]
        for node in graph.node
        if node.op_type == "Conv" and node.input[1] in made_by
    ]
    floats = list(_floats_of_onnx(onnx, path))
    results = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    ranges: dict[str, Range] = {
        node.output[0]: (held[node.input[1]], int(held[node.input[2]]) + LOWEST, 0.0, 1.0) for node in results
    }
    del graph.output[:]
    graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in ranges)
    onnx.save(model, telling)
    return _found(convolutions, floats, ranges, [])


def _floats_of_onnx(onnx: Any, path: str) -> Iterable[str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder, "executed.onnx"))
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath).graph
    real = {each.name for each in graph.input if each.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    real |= {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
    for node in graph.node:
        kind = node.op_type
        if kind == "DequantizeLinear" or (not _whole(kind) and real & set(node.input)):
            real |= set(node.output)
            if kind not in (*ENDS, *MOVES):
                yield kind


def _whole(kind: str) -> bool:
    """Whether the results of an operation are integers, whatever the real numbers among its inputs, its steps."""
    return kind.startswith("QLinear") or kind == "QuantizeLinear"


def of_openvino(path: str, telling: str, precision: str) -> Found:
    """Of a file that OpenVINO runs, in `precision`."""
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    operations = {each.get_friendly_name(): each for each in model.get_ordered_ops()}
    convolutions = []
    for each in operations.values():
        if each.get_type_name() in ("Convolution", "GroupConvolution"):
            kernel, steps = _constant(each.input_value(1).get_node())
            if kernel.dtype == np.int8:
                [taken] = each.output(0).get_target_inputs()
                bias, _ = _constant(taken.get_node().input_value(1).get_node())
                convolutions.append([kernel.reshape(-1, *kernel.shape[-3:]), bias.reshape(-1), steps.reshape(-1)])
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision} if precision else {})
    executed = compiled.get_runtime_model().get_ordered_ops()
    kinds = {name: each.get_type_name() for name, each in operations.items()}
    chains = [_said(each, "originalLayersNames").split(",") for each in executed]
    inside = {
        name
        for chain in chains
        for place, name in enumerate(chain)
        if any(kinds.get(after) in JOINS for after in chain[place:])
    }
    rounded = [name for name, each in operations.items() if each.get_type_name() == "FakeQuantize"]
    unrounded = [_range(operations[name])[:2] for name in rounded if name in inside]
    ranges = [_range(operations[name]) for name in rounded]
    told = [each.any_name for each in model.add_outputs([(name, 0) for name in rounded])]
    openvino.save_model(model, telling, compress_to_fp16=False)
    return _found(convolutions, _floats_of_openvino(executed), dict(zip(told, ranges, strict=True)), unrounded)


def _floats_of_openvino(executed: list[Any]) -> list[str]:
    """The kinds of operations in real numbers but those after the last in integers, where they make probabilities."""
    found, before = [], False
    for each in reversed(executed):
        kind, precision = _said(each, "layerType"), _said(each, "runtimePrecision")
        if precision in FLOATS and kind not in SILENT and (before or kind not in ANSWERS):
            found.append(kind)
        before = before or (precision not in FLOATS and kind not in SILENT)
    return found[::-1]


def _said(executed: Any, name: str) -> str:
    value = executed.get_rt_info()[name]
    return str(getattr(value, "value", value))


def _constant(node: Any) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that are stored behind `node`, and what they are multiplied by."""
    steps = np.ones(1, np.float32)
    while node.get_type_name() != "Constant":
        if node.get_type_name() == "Multiply":
            steps = node.input_value(1).get_node().data
        node = node.input_value(0).get_node()
    return np.array(node.data), np.array(steps)


def _range(node: Any) -> Range:
    low, high, least, most = (float(node.input_value(place).get_node().data.reshape(-1)[0]) for place in range(1, 5))
    step = (high - low) / STEPS
    return np.float32(step), round(LOWEST - low / step), least, (most - least) / STEPS


def _found(
    convolutions: list[list[np.ndarray]],
    floats: Iterable[str],
    results: dict[str, Range],
    unrounded: list[tuple[Any, int]],
) -> Found:
    """All of it by name."""
    rows = {
        f"{number}/{role}": value
        for number, each in enumerate(convolutions)
        for role, value in zip(("kernel", "bias", "steps"), each, strict=True)
    }
    return rows | {
        "floats": np.array(list(floats), np.str_),
        "results": np.array(list(results), np.str_),
        "ranges": np.array(list(results.values()), np.float64).reshape(-1, 4),
        "unrounded": np.array(unrounded, np.float64).reshape(-1, 2),
    }


LOOKS: dict[str, Callable[[str, str, str], Found]] = {".onnx": of_onnx, ".xml": of_openvino}


if __name__ == "__main__":
    model, *rest = sys.argv[1:]
    runtimes = runpy.run_path(str(Path(__file__).with_name("runtimes.py")))
    runtimes["reply"](lambda: runtimes["packed"](LOOKS[Path(model).suffix](model, *rest)))
