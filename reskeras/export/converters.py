"""Make an ONNX file of a SavedModel, or OpenVINO's files of an ONNX file; a script, run in a process of its own.

It is called with SOURCE TARGET, and reads from standard input what the file is to say, as JSON: `inputs` and `outputs`,
each [name, shape] with null for the free batch, or for OpenVINO `outputs` by name alone, `about`, and `metadata`, texts
by name. It imports nothing of reskeras.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

OPSET = 17  # tf2onnx 1.17 refuses those after 20, and runtimes on devices are behind
BATCH = "batch"


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
