"""Metadata of a `.tflite`, read by field numbers of the published schema (metadata_schema.fbs) and by zipfile."""

import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import encode, number_types
from flatbuffers.table import Table

import reskeras
from reskeras.data.preprocessing import Preprocessing
from reskeras.export.inference import Inference
from reskeras.export.integers import IntegerInference, Integers
from reskeras.export.lite import LITE_KINDS, write_lite_model
from reskeras.export.lite_metadata import LABELS, with_metadata
from reskeras.graph.weights import read

CLASSES = ("red", "blau und grün", "日本", "two\nlines")


class Read:
    """A table of a flatbuffer, whose fields are asked for by their numbers."""

    def __init__(self, data, place):
        self.table = Table(data, place)

    @classmethod
    def root(cls, data):
        return cls(data, encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))

    def _place(self, field):
        offset = self.table.Offset(4 + 2 * field)
        return offset and offset + self.table.Pos

    def text(self, field):
        return self.table.String(self._place(field)).decode() if self._place(field) else None

    def child(self, field):
        return Read(self.table.Bytes, self.table.Indirect(self._place(field)))

    def children(self, field):
        offset = self.table.Offset(4 + 2 * field)
        start = self.table.Vector(offset)
        return (
            [
                Read(self.table.Bytes, self.table.Indirect(start + 4 * place))
                for place in range(self.table.VectorLen(offset))
            ]
            if offset
            else []
        )

    def number(self, field, flags):
        return self.table.Get(flags, self._place(field))

    def floats(self, field):
        return list(self.table.GetVectorAsNumpy(number_types.Float32Flags, self.table.Offset(4 + 2 * field)))


@pytest.fixture(scope="module", params=["float32", "int8-io"])
def written(request, tmp_path_factory):
    """A small colour network as a `.tflite`, wider than high."""
    spec = reskeras.network(family="cifar", stages=[1], input_shape=[16, 24, 3], classes=4)
    plan, net, ones = reskeras.plan(spec), reskeras.build(spec, seed=1), np.ones(3, np.float32)
    preprocessing = Preprocessing(16, 24, 3, "per_channel", 100 * ones, 50 * ones)
    images = np.random.default_rng(0).integers(0, 255, (8, 16, 24, 3), np.uint8)
    inference = (
        IntegerInference(Integers.of(plan, read(net), preprocessing, images, 8), CLASSES)
        if LITE_KINDS[request.param].bits
        else Inference(plan, net, preprocessing, CLASSES, "float32", guarded=False)
    )
    return write_lite_model(inference, tmp_path_factory.mktemp("lite") / "net.tflite", request.param)


@pytest.fixture(scope="module")
def model(written):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(written.read_bytes(), 0))


@pytest.fixture(scope="module")
def metadata(model):
    [buffer] = [model.buffers[each.buffer].data for each in model.metadata if each.name == b"TFLITE_METADATA"]
    data = bytes(buffer)
    assert flatbuffers.util.BufferHasIdentifier(data, 0, b"M001")
    return Read.root(bytearray(data))


def test_the_input_is_an_image_whose_pixels_are_left_as_they_are(metadata):
    [graph] = metadata.children(3)
    [images] = graph.children(2)
    assert images.text(0) == "images"
    content = images.child(3)
    assert content.number(0, number_types.Int8Flags) == 2  # ContentProperties.ImageProperties
    image = content.child(1)
    assert image.number(0, number_types.Int8Flags) == 1  # ColorSpaceType.RGB
    size = image.child(1)
    assert [size.number(field, number_types.Uint32Flags) for field in (0, 1)] == [24, 16]  # width, height
    [unit] = images.children(4)
    assert unit.number(0, number_types.Int8Flags) == 1  # ProcessUnitOptions.NormalizationOptions
    assert (unit.child(1).floats(0), unit.child(1).floats(1)) == ([0], [1])
    assert (images.child(5).floats(0), images.child(5).floats(1)) == ([255], [0])


def test_outputs_stand_in_the_files_order_and_have_the_class_names(metadata, written):
    [graph] = metadata.children(3)
    interpreter = Interpreter(str(written))
    named = {
        each["index"]: name
        for name, each in interpreter.get_signature_runner("serving_default").get_output_details().items()
    }
    assert [each.text(0) for each in graph.children(3)] == [
        named[each["index"]] for each in interpreter.get_output_details()
    ]
    for output in graph.children(3):
        [labels] = output.children(6)
        assert labels.text(0) == LABELS
        assert labels.number(2, number_types.Int8Flags) == 2  # AssociatedFileType.TENSOR_AXIS_LABELS


def test_class_names_are_a_file_in_the_archive_a_line_each(written):
    with zipfile.ZipFile(written) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [LABELS]
        assert archive.read(LABELS).decode().splitlines() == ["red", "blau und grün", "日本", "two lines"]


def test_buffers_stay_aligned(written):
    content = written.read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    starts = []
    for place in range(model.BuffersLength()):
        table = model.Buffers(place)._tab
        if offset := table.Offset(4):  # the field `data`
            starts.append(table.Vector(offset))
    assert len(starts) > 3
    assert {start % 16 for start in starts} == {0}


def test_the_same_model_makes_the_same_file(written):
    content = written.read_bytes()
    again = with_metadata(content, "net", "the same", CLASSES)
    assert again == with_metadata(content, "net", "the same", CLASSES)
    assert again.count(b"TFLITE_METADATA") == content.count(b"TFLITE_METADATA") == 1
