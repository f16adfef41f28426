"""Tensors and metadata of a `.tflite` file, as tools for such files expect them.

Metadata are a flatbuffer with the published schema metadata_schema.fbs (identifier M001) inside the model's own, and
class names a file in a ZIP archive at its end. The library for them, tflite-support, stopped at Python 3.11.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from reskeras.export.usage import IMAGES, Tensor

FORM, METADATA_FORM = b"TFL3", b"M001"
METADATA = b"TFLITE_METADATA"
LABELS = "labels.txt"
ALIGNMENT = 16  # bytes, of buffers: the schema's force_align, which its Python code leaves out
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # a fixed time stamp makes files reproducible
TYPES = {number: name.lower() for name, number in vars(schema.TensorType).items() if name.isupper()}
RGB, GREY = 1, 2  # ColorSpaceType
IMAGE, NORMALISATION = 2, 1  # indices in the unions ContentProperties and ProcessUnitOptions
AXIS_LABELS = 2  # AssociatedFileType


def tensors_of(content: bytes) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs in the file's order, named as in its signature."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    return (
        [_tensor(graph, place, signature.inputs) for place in graph.inputs],
        [_tensor(graph, place, signature.outputs) for place in graph.outputs],
    )


def _tensor(graph: Any, place: int, named: Sequence[Any]) -> Tensor:
    [name] = [each.name.decode() for each in named if each.tensorIndex == place]
    tensor = graph.tensors[place]
    shape = tensor.shape if tensor.shapeSignature is None else tensor.shapeSignature
    quantised = tensor.quantization is not None and tensor.quantization.scale is not None
    return Tensor(
        name,
        tuple(int(side) for side in shape),
        TYPES[tensor.type],
        float(tensor.quantization.scale[0]) if quantised else None,
        int(tensor.quantization.zeroPoint[0]) if quantised else None,
    )


def with_metadata(content: bytes, name: str, description: str, classes: Sequence[str]) -> bytes:
    """`content`, a `.tflite` that takes raw pixels, with metadata and class names added."""
    inputs, outputs = tensors_of(content)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    model.metadata = [each for each in model.metadata or [] if each.name != METADATA]
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(_metadata(name, description, inputs, outputs, len(classes)), np.uint8)
    entry.name, entry.buffer = METADATA.decode(), len(model.buffers)
    model.buffers.append(buffer)
    model.metadata.append(entry)
    builder = _Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=FORM)
    held = io.BytesIO(bytes(builder.Output()))
    with zipfile.ZipFile(held, "a") as archive:  # after the flatbuffer, whose readers begin at its start
        lines = (" ".join(each.splitlines()) for each in classes)
        archive.writestr(zipfile.ZipInfo(LABELS, LONG_AGO), "\n".join(lines) + "\n")
    return held.getvalue()


class _Builder(flatbuffers.Builder):
    """Aligns vectors of bytes to ALIGNMENT."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:
        return super().StartVector(elemSize, numElems, ALIGNMENT if elemSize == 1 else alignment)


class _Byte(int):
    """A one-byte field."""


class _Table(dict):
    """A flatbuffer table: fields by their slot numbers."""


def _metadata(name: str, description: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], classes: int) -> bytes:
    """ModelMetadata; the keys are slot numbers of fields in the schema's tables. Outputs with a number for each of the
    `classes` are labelled with their names."""
    [images] = [each for each in inputs if each.name == IMAGES]
    height, width, channels = images.shape[1:]
    image = _Table({0: _Byte(RGB if channels == 3 else GREY), 1: _Table({0: width, 1: height})})
    # normalised pixels are (x - 0) / 1: all that is done to them is inside the model
    unit = _Table({0: _Byte(NORMALISATION), 1: _Table({0: [0.0], 1: [1.0]})})
    pixels = _Table(
        {
            0: images.name,
            1: "Pixels 0 to 255; normalisation is part of the model.",
            3: _Table({0: _Byte(IMAGE), 1: image}),
            4: [unit],
            5: _Table({0: [255.0], 1: [0.0]}),
        }
    )
    labels = _Table({0: LABELS, 1: "Names of the classes, in order.", 2: _Byte(AXIS_LABELS)})
    told = [
        _Table(
            {0: each.name, 1: f"{each.name.capitalize()} of the classes."}
            | ({6: [labels]} if each.shape[1:] == (classes,) else {})
        )
        for each in outputs
    ]
    given = [pixels if each is images else _Table({0: each.name}) for each in inputs]
    graph = _Table({0: name, 2: given, 3: told})
    builder = flatbuffers.Builder()
    root = _put(builder, _Table({0: name, 1: description, 3: [graph], 7: "1.0.0"}))
    builder.Finish(root, file_identifier=METADATA_FORM)
    return bytes(builder.Output())


def _put(builder: flatbuffers.Builder, value: Any) -> int:
    """Write a string, vector or table after everything it refers to; returns its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, list):
        return _put_vector(builder, value)
    offsets = {slot: _put(builder, each) for slot, each in value.items() if not isinstance(each, int)}
    builder.StartObject(max(value) + 1)
    for slot, each in value.items():
        if slot in offsets:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
        elif isinstance(each, _Byte):
            builder.PrependInt8Slot(slot, each, 0)
        else:
            builder.PrependUint32Slot(slot, each, 0)
    return builder.EndObject()


def _put_vector(builder: flatbuffers.Builder, values: list[Any]) -> int:
    if isinstance(values[0], float):
        return builder.CreateNumpyVector(np.array(values, np.float32))
    offsets = [_put(builder, each) for each in values]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
