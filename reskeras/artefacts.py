"""The kinds of artefacts that runs are exported as: how each is named, what it is, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any

CLASSIFIER, DETECTOR = "reskeras.tasks.classification.export", "reskeras.tasks.detection.export"
BOXES = "reskeras.tasks.detection.boxes_export"
VERIFIED, VERIFIED_BOXES = 1000, 200  # test images that an artefact is verified on, where no number is given
# by how many threads it is measured, in how many turns, and how many seconds each batch size has in a turn
THREADS, TURNS, SECONDS = 1, 3, 0.3
FILE = "reskeras.export.file_kinds:write_file"
SERVED = "SavedModel for TensorFlow Serving"
SERVING = "serving"
OF_BOXES = ("detection", "localisation", "refinement")  # tasks that find boxes


@dataclass(frozen=True)
class Artefact:
    """A kind of artefact of a task's runs. `writer`, "module:function", takes the task's exporter, the kind and a
    folder, and gives `export.exporter.Written`: the artefact with its proof. `packages`, by the names that they are
    imported by, come with an `extra` of setup.py. One that is `batched` can have a fixed batch.
    """

    kind: str
    task: str
    writer: str
    help: str = ""
    packages: tuple[str, ...] = ()
    extra: str = ""
    batched: bool = False

    @property
    def write(self) -> Callable[[Any, str, Any], Any]:
        """The writer, imported now."""
        writer: Callable[[Any, str, Any], Any] = resolve_name(self.writer)
        return writer

    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [name for name in self.packages if find_spec(name) is None]

    @property
    def command(self) -> str:
        """What installs them."""
        return f"pip install 'reskeras[{self.extra}]'"


def _of(task: str, *artefacts: Artefact) -> list[Artefact]:
    return [replace(each, task=task) for each in artefacts]


LITE = Artefact("tflite", "", FILE, "float32", batched=True)
HALF = replace(LITE, kind="tflite-float16", help="")
QUANTISED = [replace(HALF, kind=f"tflite-{kind}") for kind in ("dynamic", "int8", "int8-io", "int8-w4", "int16x8")]
ONNX = Artefact("onnx", "", FILE, "float32", ("onnx", "tf2onnx", "onnxruntime"), "onnx", batched=True)
OPENVINO = Artefact("openvino", "", FILE, "float32", ("onnx", "tf2onnx", "openvino"), "openvino", batched=True)
PORTABLE_INT8 = [replace(each, kind=f"{each.kind}-int8", help="") for each in (ONNX, OPENVINO)]
OF_CLASSIFIERS = [
    Artefact(SERVING, "classification", f"{CLASSIFIER}:write_served", SERVED),
    *_of("classification", LITE, HALF, *QUANTISED, ONNX, OPENVINO, *PORTABLE_INT8),
    *(
        Artefact(kind, "classification", f"{CLASSIFIER}:write_foreign")
        for kind in ("keras-weights", "torchvision-state-dict", "timm-state-dict")
    ),
]
ARTEFACTS = [
    *OF_CLASSIFIERS,
    *_of("multilabel", *OF_CLASSIFIERS),
    *(Artefact(SERVING, task, f"{BOXES}:write_served", SERVED) for task in OF_BOXES),
    Artefact(
        "torchvision-state-dict", "detection", f"{DETECTOR}:write_foreign", "weights for torchvision's Faster R-CNN"
    ),
    *(each for task in ("detection", "localisation") for each in _of(task, LITE, HALF, ONNX, OPENVINO)),
]


def artefacts_of(task: str) -> dict[str, Artefact]:
    """The kinds that a task's runs are exported as, by name."""
    return {each.kind: each for each in ARTEFACTS if each.task == task}


def kinds_listed(task: str) -> str:
    """The kinds for a help text: "serving (SavedModel for TensorFlow Serving), tflite (float32), tflite-float16"."""
    return ", ".join(f"{each.kind} ({each.help})" if each.help else each.kind for each in artefacts_of(task).values())
