"""Run an artefact with the runtime that it is for, without TensorFlow; as a script, in a process of its own.

It is called with MODEL PRECISION CHUNK and a folder of inputs, one .npy for each, and writes the outputs to standard
output, as .npz. It imports nothing of reskeras, so that it starts in half a second; `stopwatch` and `executed`, scripts
too, take what they need of it by its path.
"""

from __future__ import annotations

import io
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

Arrays = dict[str, np.ndarray]
Aside = Callable[[], AbstractContextManager]
SIGNATURE = "serving_default"
IN_FLOAT16 = 4  # XNNPACK's flag to compute in float16 whatever the file says
USED = "precision used"  # among the outputs of the script: what it computed in, as characters


class Model(ABC):
    """An artefact loaded once, as a function from raw inputs by name to outputs by name.

    `batch` is how many images the file takes at a time, None for any number; `precision` what it is computed in, by
    `threads` threads or as many as the runtime takes by itself. `library` is the module of the runtime.
    """

    library: ClassVar[str]
    batch: int | None = None
    precision = "float32"

    @abstractmethod
    def __init__(self, path: Path, precision: str = "", threads: int | None = None, aside: Aside = nullcontext):
        """`aside` is a context manager that is entered while the runtime may write to standard error."""

    def __call__(self, **inputs: np.ndarray) -> Arrays:
        """The outputs for a batch; real numbers are float32. ValueError for a batch that the file does not take."""
        count = len(next(iter(inputs.values())))
        if self.batch is not None and count != self.batch:
            raise ValueError(f"the file takes {self.batch} images at a time, not {count}")
        return self._answer(inputs)

    def all_of(self, inputs: Mapping[str, np.ndarray], chunk: int) -> Arrays:
        """The outputs for any number of images, `chunk` at a time or as many as the file takes; the last batch is
        filled up with its last image."""
        count, step = len(next(iter(inputs.values()))), self.batch or chunk
        rows = [np.arange(start, min(start + step, count)) for start in range(0, count, step)]
        answers = []
        for each in rows:
            taken = np.pad(each, (0, (self.batch or len(each)) - len(each)), mode="edge")
            answer = self(**{name: values[taken] for name, values in inputs.items()})
            answers.append({name: values[: len(each)] for name, values in answer.items()})
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    @abstractmethod
    def _answer(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """The outputs for a batch that the file takes."""


class LiteModel(Model):
    """A `.tflite` in LiteRT's interpreter, which writes about delegates; inputs and outputs of quantised ones are
    converted."""

    library = "ai_edge_litert.interpreter"

    def __init__(self, path: Path, precision: str = "", threads: int | None = None, aside: Aside = nullcontext):
        self._aside = aside
        with aside():
            from ai_edge_litert.interpreter import Interpreter

            self._runner = Interpreter(model_path=str(path), num_threads=threads).get_signature_runner(SIGNATURE)
        self._inputs, self._outputs = self._runner.get_input_details(), self._runner.get_output_details()
        first = int(next(iter(self._inputs.values()))["shape_signature"][0])
        self.batch = None if first < 0 else first

    def _answer(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        given = {name: _quantised(values.astype(np.float32), self._inputs[name]) for name, values in inputs.items()}
        with self._aside():
            answer = self._runner(**given)
        return {name: _real(values, self._outputs[name]) for name, values in answer.items()}


class HalfLiteModel(Model):
    """A float `.tflite` that XNNPACK computes in float16, as phones do; outputs are of static shapes but the batch."""

    library = LiteModel.library
    precision = "float16"

    def __init__(self, path: Path, precision: str = "float16", threads: int | None = None, aside: Aside = nullcontext):
        self._aside = aside
        known = LiteModel(path, aside=aside)
        self.batch, self._outputs = known.batch, known._outputs
        with aside():
            from ai_edge_litert import schema_py_generated as schema
            from ai_edge_litert.compiled_model import CompiledModel
            from ai_edge_litert.hardware_accelerator import HardwareAccelerator
            from ai_edge_litert.options import CpuOptions, Options

            how = CpuOptions(xnnpack_flags=IN_FLOAT16, num_threads=threads or 0)
            self._model = CompiledModel.from_file(
                str(path), options=Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=how)
            )
        if self.batch is None and schema.Model.GetRootAs(path.read_bytes(), 0).SubgraphsLength() > 1:
            self.batch = 1  # CompiledModel 2.3 crashes where loops are over a free batch that is another

    def _answer(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        count = len(next(iter(inputs.values())))
        with self._aside():
            given, told = {}, {}
            for name, values in inputs.items() if self.batch is None else ():
                self._model.resize_input_tensor_by_name(SIGNATURE, name, list(values.shape))
            for name, values in inputs.items():
                given[name] = self._model.create_input_buffer_by_name(SIGNATURE, name)
                given[name].write(np.ascontiguousarray(values, np.float32))
            for name in self._outputs:
                told[name] = self._model.create_output_buffer_by_name(SIGNATURE, name)
            self._model.run_by_name(SIGNATURE, given, told)
            answer = {}
            for name, details in self._outputs.items():
                shape = (count, *(int(side) for side in details["shape"][1:]))
                answer[name] = told[name].read(int(np.prod(shape)), details["dtype"]).reshape(shape)
        return answer


class OnnxModel(Model):
    """An `.onnx` in onnxruntime, on this machine's processor."""

    library = "onnxruntime"

    def __init__(self, path: Path, precision: str = "", threads: int | None = None, aside: Aside = nullcontext):
        import onnxruntime

        how = onnxruntime.SessionOptions()
        how.intra_op_num_threads = threads or 0  # 0: its own choice
        if not integer_instructions():
            how.add_session_config_entry(EXACT_SUMS, "1")
        self._session = onnxruntime.InferenceSession(str(path), how, providers=["CPUExecutionProvider"])
        self._types = {each.name: ONNX_TYPES[each.type] for each in self._session.get_inputs()}
        self._names = [each.name for each in self._session.get_outputs()]
        first = self._session.get_inputs()[0].shape[0]
        self.batch = first if isinstance(first, int) else None

    def _answer(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        given = {name: values.astype(self._types[name]) for name, values in inputs.items()}
        return dict(zip(self._names, self._session.run(self._names, given), strict=True))


EXACT_SUMS = "session.x64quantprecision"  # else sums of products saturate on x86 processors without VNNI
ADDING = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")  # instructions that add products of integers


def integer_instructions() -> list[str]:
    """Those that this machine's processor has, as Linux calls them; none where they are not known."""
    told = Path("/proc/cpuinfo")
    known = set(told.read_text(errors="replace").split()) if told.is_file() else set()
    return [name for name in ADDING if name in known]


ONNX_TYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8}


class OpenVinoModel(Model):
    """OpenVINO's `.xml` with the `.bin` beside it, on this machine's processor, in `precision`: `f32`, or "" for the
    device's own choice, which is bfloat16 where the processor has that."""

    library = "openvino"

    def __init__(self, path: Path, precision: str = "", threads: int | None = None, aside: Aside = nullcontext):
        import openvino

        how: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision} if precision else {}
        how |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
        read = openvino.Core().read_model(str(path))
        self._model = openvino.Core().compile_model(read, "CPU", how)
        names = [each.any_name for each in read.outputs]  # in the compiled one they may have others too
        self._names = dict(zip(names, self._model.outputs, strict=True))
        self._types = {each.any_name: each.element_type.to_dtype() for each in self._model.inputs}
        first = self._model.inputs[0].partial_shape[0]
        self.batch = first.get_length() if first.is_static else None
        self.precision = self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name()

    def _answer(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        answer = self._model({name: values.astype(self._types[name]) for name, values in inputs.items()})
        return {name: np.array(answer[place]) for name, place in self._names.items()}


class ServedModel(Model):
    """A SavedModel's serving signature in TensorFlow, which takes a number of threads before it begins to compute; by
    these it computes on the processor, as the other runtimes do."""

    library = "tensorflow"

    def __init__(self, path: Path, precision: str = "", threads: int | None = None, aside: Aside = nullcontext):
        with aside():
            import tensorflow as tf

            if threads:
                tf.config.set_visible_devices([], "GPU")
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
            self._loaded = tf.saved_model.load(str(path))
        self._serve, self._cast = self._loaded.signatures[SIGNATURE], tf.cast
        self._types = {name: spec.dtype for name, spec in self._serve.structured_input_signature[1].items()}

    def _answer(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        given = {name: self._cast(values, self._types[name]) for name, values in inputs.items()}
        return {name: values.numpy() for name, values in self._serve(**given).items()}


RUNTIMES: dict[str, type[Model]] = {".tflite": LiteModel, ".onnx": OnnxModel, ".xml": OpenVinoModel, "": ServedModel}
NAMES = {".tflite": "LiteRT", ".onnx": "ONNX Runtime", ".xml": "OpenVINO", "": "TensorFlow"}


def opened_file(artefact: Path) -> Path:
    """What a runtime opens of an exported artefact: the artefact itself, or the `.xml` in OpenVINO's folder."""
    return next(artefact.glob("*.xml"), artefact)


def has_runtime(artefact: Path) -> bool:
    """Whether one opens an exported artefact; weights for other libraries have none."""
    file = opened_file(artefact)
    return (file / "saved_model.pb").is_file() if file.is_dir() else file.is_file() and file.suffix in RUNTIMES


def _kind(path: Path) -> str:
    return "" if path.is_dir() else path.suffix  # a SavedModel is a folder, whatever its name


def name_of(path: Path) -> str:
    """What the runtime that opens an artefact is called."""
    return NAMES[_kind(path)]


def runtime_of(path: Path, precision: str = "") -> type[Model]:
    """What opens an artefact."""
    half = precision == HalfLiteModel.precision and path.suffix == ".tflite"
    return HalfLiteModel if half else RUNTIMES[_kind(path)]


def open_model(path: Path, precision: str = "", threads: int | None = None, aside: Aside = nullcontext) -> Model:
    """The artefact at `path` in its runtime, computed in `precision`; "" is what a program gets that asks for none."""
    return runtime_of(path, precision)(path, precision, threads, aside)


def _quantised(values: np.ndarray, details: dict) -> np.ndarray:
    kind, (scale, zero) = details["dtype"], details["quantization"]
    if kind == np.float32:
        return values
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    return np.clip(np.round(values / scale) + zero, low, high).astype(kind)


def _real(values: np.ndarray, details: dict) -> np.ndarray:
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * scale if scale else values  # whole numbers have no scale


def reply(answer: Callable[[], bytes]) -> None:
    """Write what `answer` gives to standard output, which nothing that libraries print gets into; if it fails, exit
    with the reason in one line."""
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        told = answer()
    except Exception as error:  # noqa: BLE001 - of whatever kind the runtime raises
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
    with open(out, "wb") as answered:
        answered.write(told)


def packed(arrays: Mapping[str, Any]) -> bytes:
    """Arrays by name as .npz."""
    told = io.BytesIO()  # np.savez calls tell(), which a pipe does not support
    np.savez(told, **arrays)
    return told.getvalue()


def inputs_in(folder: Path) -> Arrays:
    """The inputs in a folder, by name."""
    return {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}


def _answers(model: str, precision: str, chunk: str, folder: str) -> bytes:
    asked, ask = inputs_in(Path(folder)), open_model(Path(model), precision)
    if ask.batch is None:
        ask(**{name: values[:1] for name, values in asked.items()})  # a batch of one may use other kernels
    return packed(ask.all_of(asked, int(chunk)) | {USED: np.array(ask.precision)})


if __name__ == "__main__":
    reply(lambda: _answers(*sys.argv[1:]))
