"""ONNX files, made by tf2onnx of a SavedModel, and OpenVINO's, made of an ONNX file; both in processes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reskeras.export import converters
from reskeras.export.aside import run_aside
from reskeras.export.serving import Convertible, save
from reskeras.export.usage import Usage, metadata_of, signature_of
from reskeras.files import make_folder, scratch
from reskeras.strict_json import to_json

CONVERTED_WITHIN = 1200.0  # seconds; a network of 200 layers takes one minute
ONNX, OPENVINO = "onnx", "openvino"
INTEGER_KINDS = {f"{ONNX}-int8": 8, f"{OPENVINO}-int8": 8}  # with the bits of their kernels
INTEGER_TOLERANCE = 0.05  # of their disagreement with the Keras model


def write_onnx(module: Convertible, path: Path, usage: Usage, what: str, kind: str = ONNX) -> dict[str, Any]:
    """Write `path`, an ONNX file that computes what `module` does; returns the facts that its metadata say. Of integer
    kinds the module is of the network's integer form.

    Raises `Crash` where tf2onnx does not make one.
    """
    functions = module.signatures(["serving_default"])
    given, told = signature_of(functions["serving_default"])
    facts = usage.facts(kind, given, told)
    said = _said(facts, what) | {"integers": kind in INTEGER_KINDS}
    said |= {
        name: [(each.name, [None if side < 0 else side for side in each.shape]) for each in tensors]
        for name, tensors in (("inputs", given), ("outputs", told))
    }
    with scratch() as folder:
        _convert(save(module, folder, functions), path, "tf2onnx", said)
    return facts


def write_openvino(module: Convertible, path: Path, usage: Usage, what: str, kind: str = OPENVINO) -> dict[str, Any]:
    """Write `path`, an .xml, and the .bin beside it, as `write_onnx`; by way of ONNX, because OpenVINO's conversion of
    a detector's SavedModel computes something else without a word (2026.4)."""
    with scratch() as folder:
        between = folder / "network.onnx"
        facts = write_onnx(module, between, usage, what, kind)
        make_folder(path.parent)
        names = {"outputs": [each["name"] for each in facts["outputs"]]}
        _convert(between, path, "OpenVINO", _said(facts, what) | names)
    return facts


def _said(facts: Mapping[str, Any], what: str) -> dict[str, Any]:
    return {"about": f"{what}, {facts['kind']}; made by reskeras.", "metadata": metadata_of(facts)}


def _convert(source: Path, target: Path, by: str, said: Mapping[str, Any]) -> None:
    run_aside(converters.__file__, [source, target], by, CONVERTED_WITHIN, to_json(said).encode())
