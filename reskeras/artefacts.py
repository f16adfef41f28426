"""The kinds of artefacts that runs are exported as: how each is named, what it is, and the function that writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import Any

CLASSIFIER, DETECTOR = "reskeras.tasks.classification.export", "reskeras.tasks.detection.export"
BOXES, LOCALISER = "reskeras.tasks.detection.boxes_export", "reskeras.tasks.localisation.export"
SERVED = "SavedModel for TensorFlow Serving"
OF_BOXES = ("detection", "localisation", "refinement")  # tasks that find boxes


@dataclass(frozen=True)
class Artefact:
    """A kind of artefact of a task's runs. `writer`, "module:function", takes the task's exporter, the kind and a
    folder, and gives `export.exporter.Written`: the artefact with its proof."""

    kind: str
    task: str
    writer: str
    help: str = ""

    @property
    def write(self) -> Callable[[Any, str, Any], Any]:
        """The writer, imported now."""
        writer: Callable[[Any, str, Any], Any] = resolve_name(self.writer)
        return writer


OF_CLASSIFIERS = [
    Artefact("serving", "classification", f"{CLASSIFIER}:write_served", SERVED),
    Artefact("tflite", "classification", f"{CLASSIFIER}:write_lite", "float32"),
    *(
        Artefact(f"tflite-{kind}", "classification", f"{CLASSIFIER}:write_lite")
        for kind in ("float16", "dynamic", "int8", "int8-io", "int16x8")
    ),
    *(
        Artefact(kind, "classification", f"{CLASSIFIER}:write_foreign")
        for kind in ("keras-weights", "torchvision-state-dict", "timm-state-dict")
    ),
]
ARTEFACTS = [
    *OF_CLASSIFIERS,
    *(replace(each, task="multilabel") for each in OF_CLASSIFIERS),
    *(
        Artefact("serving", task, f"{BOXES}:write_served", SERVED)
        for task in ("detection", "localisation", "refinement")
    ),
    Artefact(
        "torchvision-state-dict", "detection", f"{DETECTOR}:write_foreign", "weights for torchvision's Faster R-CNN"
    ),
    Artefact("tflite", "localisation", f"{LOCALISER}:write_lite", "float32"),
    Artefact("tflite-float16", "localisation", f"{LOCALISER}:write_lite"),
]


def artefacts_of(task: str) -> dict[str, Artefact]:
    """The kinds that a task's runs are exported as, by name."""
    return {each.kind: each for each in ARTEFACTS if each.task == task}


def kinds_listed(task: str) -> str:
    """The kinds for a help text: "serving (SavedModel for TensorFlow Serving), tflite (float32), tflite-float16"."""
    return ", ".join(f"{each.kind} ({each.help})" if each.help else each.kind for each in artefacts_of(task).values())
