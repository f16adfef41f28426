"""The operations and tensors of a `.tflite`, and the same file with the results of operations among its outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from reskeras.export.lite_metadata import FORM, TYPES

NAMES = {number: name for name, number in vars(schema.BuiltinOperator).items() if name.isupper()}
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
NUMBERS = {"int8": np.int8, "int32": np.int32, "float32": np.float32}


@dataclass(frozen=True)
class LiteGraph:
    """A `.tflite` with one graph and one signature, taken apart; a tensor is known by its place."""

    model: Any

    @classmethod
    def of(cls, content: bytes) -> LiteGraph:
        """The file with this `content`."""
        return cls(schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0)))

    @property
    def tensors(self) -> list[Any]:
        """All tensors."""
        return list(self.model.subgraphs[0].tensors)

    @property
    def operations(self) -> list[tuple[str, Any]]:
        """The name of each operation, such as CONV_2D, with its inputs and outputs."""
        codes = self.model.operatorCodes
        # codes from 127 on do not fit into the older field
        numbers = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in codes]
        return [(NAMES[numbers[each.opcodeIndex]], each) for each in self.model.subgraphs[0].operators]

    @property
    def inputs(self) -> list[int]:
        """The places of what it takes."""
        return [int(place) for place in self.model.subgraphs[0].inputs]

    @property
    def outputs(self) -> dict[int, str]:
        """The places of what it gives, with their names."""
        return {each.tensorIndex: each.name.decode() for each in self.model.signatureDefs[0].outputs}

    def range_of(self, place: int) -> tuple[np.float32, int]:
        """The step of a quantised tensor, and the integer that stands for zero."""
        quantised = self.tensors[place].quantization
        return np.float32(quantised.scale[0]), int(quantised.zeroPoint[0])

    def type_of(self, place: int) -> str:
        """The type of a tensor's numbers: `int8`."""
        return TYPES[self.tensors[place].type]

    def results(self, *types: str) -> list[int]:
        """The places of what operations compute, of these types."""
        return [int(place) for _, each in self.operations for place in each.outputs if self.type_of(place) in types]

    def constant(self, place: int) -> np.ndarray:
        """The numbers of a tensor that is stored in the file; those of 4 bits as int8."""
        tensor, kind = self.tensors[place], self.type_of(place)
        data = np.asarray(self.model.buffers[tensor.buffer].data, np.uint8)
        if kind == "int4":
            # two to a byte, the first in the lower half, with a sign
            halves = np.stack([data & 15, data >> 4], axis=1).reshape(-1)[: int(np.prod(tensor.shape))]
            return ((halves.astype(np.int8) ^ 8) - 8).reshape(tensor.shape)
        return np.frombuffer(data.tobytes(), NUMBERS[kind]).reshape(tensor.shape)

    def telling(self, places: Iterable[int]) -> bytes:
        """The file with the tensors at `places` as its outputs, named after their places."""
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(self.content(), 0))
        graph, signature = model.subgraphs[0], model.signatureDefs[0]
        graph.outputs = np.array(list(places), np.int32)
        signature.outputs = [_named(place) for place in graph.outputs]
        return LiteGraph(model).content()

    def content(self) -> bytes:
        """The file's bytes."""
        builder = flatbuffers.Builder()
        builder.Finish(self.model.Pack(builder), file_identifier=FORM)
        return bytes(builder.Output())


def _named(place: int) -> Any:
    named = schema.TensorMapT()
    named.name, named.tensorIndex = str(place), place
    return named
