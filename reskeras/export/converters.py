"""Make an ONNX file of a SavedModel, or OpenVINO's files of an ONNX file; a script, run in a process of its own.

It is called with SOURCE TARGET, and reads from standard input what the file is to say, as JSON: `inputs` and `outputs`,
each [name, shape] with null for the free batch, or for OpenVINO `outputs` by name alone, `about`, and `metadata`, texts
by name; `integers` says that the SavedModel is of a network's integer form. It imports nothing of reskeras.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

OPSET = 17  # tf2onnx 1.17 refuses those after 20, and runtimes on devices are behind
BATCH = "batch"
LEAST, MOST = 1e-8, 127  # the least range of a kernel's filter, and the largest integer
UINT8 = 2  # in the numbers of ONNX
LIKE = 1e-3  # of a step, that rounding errors of float32 stay below
MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten")  # runtimes leave integers as they are in these
CHOOSES = ("MaxPool", "Pad", "Slice")  # and in these where they are given integers
ROUNDED, REAL = "QuantizeLinear", "DequantizeLinear"


def to_onnx(source: str, target: str, said: dict[str, Any]) -> None:
    """Write `target`, the ONNX form of the SavedModel `source`."""
    import onnx
    import tensorflow as tf
    from tf2onnx import optimizer, tf_loader, tfonnx

    frozen, inputs, outputs, renamed = tf_loader.from_saved_model(
        source, None, None, tag="serve", signatures=["serving_default"], return_tensors_to_rename=True
    )
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen, name="")
        made = tfonnx.process_tf_graph(
            graph,
            opset=OPSET,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=renamed,
            custom_op_handlers={"SelectV2": (_where, [])},
        )
    model = optimizer.optimize_graph(made, catch_errors=False).make_model("network")
    for values, wanted in ((model.graph.input, said["inputs"]), (model.graph.output, said["outputs"])):
        _ordered(values, wanted)
    _without_carried_constants(model.graph)
    del model.graph.value_info[:]  # shapes with made-up names for the batch
    if said.get("integers"):
        _Integers(model.graph).write()
    model.producer_name, model.doc_string = "reskeras", said["about"]
    onnx.helper.set_model_props(model, said["metadata"])
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, target)


def _where(context: Any, node: Any, name: str, arguments: list[Any]) -> None:
    """tf2onnx multiplies by zero instead, which makes NaN of an infinity that is left out."""
    node.type = "Where"


def _ordered(values: Any, wanted: list[Any]) -> None:
    """Bring a graph's inputs or outputs into the order that is `wanted`, with those shapes."""
    by_name = {each.name: each for each in values}
    found = []
    for name, shape in wanted:
        value = by_name[name]
        value.type.tensor_type.ClearField("shape")
        for side in shape:
            axis = value.type.tensor_type.shape.dim.add()
            if side is None:
                axis.dim_param = BATCH
            else:
                axis.dim_value = side
        found.append(value)
    del values[:]
    values.extend(found)


def _without_carried_constants(graph: Any) -> None:
    """Let the bodies of loops read from outside what they would carry along unchanged, such as the free batch: OpenVINO
    2026.4 refuses loops with such variables."""
    renamed: dict[str, str] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        if node.op_type != "Loop":
            continue
        [body] = [each.g for each in node.attribute if each.name == "body"]
        carried = range(len(node.input) - 3, -1, -1)  # from behind: places shift where one is left out
        for place in (each for each in carried if body.input[each + 2].name == body.output[each + 1].name):
            own, outside = body.input[place + 2].name, node.input[place + 2]
            for inner in body.node:
                for at, name in enumerate(inner.input):
                    inner.input[at] = outside if name == own else name
            renamed[node.output[place]] = outside
            del node.input[place + 2], node.output[place], body.input[place + 2], body.output[place + 1]
    for output in graph.output:
        if output.name in renamed:
            raise ValueError(f"{output.name} is what a loop carries along")


class _Integers:
    """Writes what tf2onnx makes of rounding in float32 as integers: kernels and biases, pixels, and what is chosen of
    rounded tensors. onnxruntime and OpenVINO compute in integers between what is written so."""

    def __init__(self, graph: Any):
        from onnx import helper, numpy_helper

        self.graph, self.node, self.stored = graph, helper.make_node, numpy_helper.from_array
        self.constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        self.made_by = {name: node for node in graph.node for name in node.output}
        self.taken_by: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self.taken_by.setdefault(name, []).append(node)
        self.nodes: list[Any] = []

    def write(self) -> None:
        """Change the graph."""
        for node in list(self.graph.node):
            if node.op_type == "Conv":
                self._convolution(node)
            if node.op_type == "Add":
                self._offset(node)
            if node.op_type == "Concat":
                self._joined(node)
            if node.op_type == ROUNDED and self._is_pixels(node):
                for each in self.taken_by[node.output[0]]:
                    each.input[0] = self.made_by[node.input[0]].input[0]
                continue
            self.nodes.append(node)
            if node.op_type in CHOOSES:
                self._chosen(node)
        del self.graph.node[:]
        self.graph.node.extend(_used(self.nodes, {each.name for each in self.graph.output}))
        taken = {name for node in self.graph.node for name in node.input}
        stored = [self.stored(value, name) for name, value in self.constants.items() if name in taken]
        del self.graph.initializer[:]
        self.graph.initializer.extend(stored)

    def _convolution(self, node: Any) -> None:
        """Store kernel and bias as integers, unless the kernel is none of them: a layer kept in float32."""
        kernel, source = self.constants[node.input[1]], self._rounding_of(node.input[0])
        steps = (np.maximum(np.abs(kernel).max(axis=(1, 2, 3)), LEAST) / MOST).astype(np.float32)
        whole = kernel / steps[:, None, None, None]
        if source is None or np.abs(whole - np.rint(whole)).max() > LIKE:
            return
        units = (steps * self.constants[source.input[1]]).astype(np.float32)
        bias = self.constants[node.input[2]] if len(node.input) > 2 else np.zeros(len(steps), np.float32)
        rows = (
            ("kernel", np.rint(whole).astype(np.int8), steps),
            ("bias", np.rint(bias / units).astype(np.int32), units),
        )
        names = []
        for role, values, unit in rows:
            name = f"{node.name}/{role}"
            zero = np.zeros(len(unit), values.dtype)
            self.constants |= {name: values, f"{name}/step": unit, f"{name}/zero": zero}
            given = [name, f"{name}/step", f"{name}/zero"]
            self.nodes.append(self.node(REAL, given, [f"{name}/real"], f"{name}/{REAL}", axis=0))
            names.append(f"{name}/real")
        node.input[:] = [node.input[0], *names]

    def _offset(self, node: Any) -> None:
        """Store what is added to a rounded tensor as integers in its own range, which reaches from 0 to 255."""
        for place, name in enumerate(node.input):
            if name not in self.constants or self._rounding_of(node.input[1 - place]) is None:
                continue
            values = self.constants[name]
            least, most = min(values.min(), 0), max(values.max(), 0)
            step = np.float32(max(most - least, LEAST) / (2 * MOST + 1))
            zero = np.uint8(np.rint(-least / step))
            whole = f"{node.name}/offset"
            self.constants |= {whole: np.rint(values / step + zero).astype(np.uint8)}
            self.constants |= {f"{whole}/step": np.array(step), f"{whole}/zero": np.array(zero)}
            given = [whole, f"{whole}/step", f"{whole}/zero"]
            self.nodes.append(self.node(REAL, given, [f"{whole}/real"], f"{whole}/{REAL}"))
            node.input[place] = f"{whole}/real"

    def _joined(self, node: Any) -> None:
        """Round each tensor that is joined, where all of them are rounded afterwards, to the same range."""
        after = self.taken_by.get(node.output[0], [])
        if [each.op_type for each in after] != [ROUNDED]:
            return
        ends = list(after[0].input[1:3])
        for place, name in enumerate(node.input):
            if self._rounding_of(name) is None:
                own = f"{node.name}/{place}"
                self.nodes.append(self.node(ROUNDED, [name, *ends], [own], f"{own}/{ROUNDED}"))
                self.nodes.append(self.node(REAL, [own, *ends], [f"{own}/real"], f"{own}/{REAL}"))
                node.input[place] = f"{own}/real"

    def _rounding_of(self, name: str) -> Any:
        """The operation that gives a tensor its range; None for one that is not rounded."""
        while (node := self.made_by.get(name)) is not None and node.op_type in (*MOVES, *CHOOSES):
            name = node.input[0]
        return node if node is not None and node.op_type == REAL else None

    def _is_pixels(self, node: Any) -> bool:
        """Whether it rounds pixels that are integers already, by a Cast that tf2onnx writes."""
        cast = self.made_by.get(node.input[0])
        if cast is None or cast.op_type != "Cast" or cast.input[0] not in {each.name for each in self.graph.input}:
            return False
        [kind] = {each.type.tensor_type.elem_type for each in self.graph.input if each.name == cast.input[0]}
        step, zero = (self.constants[name] for name in node.input[1:3])
        return bool(kind == UINT8 and zero.dtype == np.uint8 and step == 1 and zero == 0)

    def _chosen(self, node: Any) -> None:
        """Choose among the integers of a rounded tensor, which runtimes else do among real numbers."""
        source, name, result = self.made_by.get(node.input[0]), f"{node.output[0]}/chosen", node.output[0]
        if source is None or source.op_type != REAL:
            return
        whole, step, zero = source.input
        node.input[0] = whole
        if node.op_type == "Pad":
            node.input[:] = [*node.input[:2], zero]
        node.output[0] = name
        self.made_by[result] = made = self.node(REAL, [name, step, zero], [result], f"{name}/{REAL}")
        self.nodes.append(made)


def _used(nodes: list[Any], outputs: set[str]) -> list[Any]:
    """Those whose results lead to outputs."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def to_openvino(source: str, target: str, said: dict[str, Any]) -> None:
    """Write `target`, an .xml, and the .bin beside it, of the ONNX file `source`, with its weights as they are."""
    import openvino

    model = openvino.convert_model(source)
    for output, name in zip(model.outputs, said["outputs"], strict=True):
        output.get_tensor().set_names({name})  # some have those of ONNX nodes too
    for name, text in said["metadata"].items():
        model.set_rt_info(text, ["reskeras", name])
    openvino.save_model(model, target, compress_to_fp16=False)


def _main(source: str, target: str) -> None:
    said = json.load(sys.stdin)
    try:
        (to_openvino if Path(target).suffix == ".xml" else to_onnx)(source, target, said)
    except Exception as error:  # noqa: BLE001 - of whatever kind the converter raises
        sys.exit(" ".join(str(error).split()) or type(error).__name__)


if __name__ == "__main__":
    _main(*sys.argv[1:])
