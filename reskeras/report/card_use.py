"""How the model of a card is used: the run in Python and on the command line, its artefacts without reskeras."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from reskeras.export.proof import Proof
from reskeras.export.server import container_words
from reskeras.printable import printable
from reskeras.report.markdown import block, text

EXPORT = "export"  # the folder of artefacts in a run


def use(
    program: Sequence[str], usage: Sequence[str], proofs: Sequence[Proof], versions: Mapping[str, Any], beside: bool
) -> Iterator[str]:
    """The section on use, of a card in the run folder or `beside` the artefacts; paths are from the card's folder."""
    yield "## Use\n"
    if not beside:
        yield from _of_run(program, usage, versions)
    places = {proof.kind: _place(proof, beside) for proof in proofs if proof.holds}
    if "serving" in places:
        yield from _of_saved_model(places["serving"], "." if beside else EXPORT)
    if "onnx" in places:
        yield from _of_onnx(places["onnx"])
    if lite := next((place for kind, place in places.items() if kind.startswith("tflite")), None):
        yield from _of_lite(lite)


def _of_run(program: Sequence[str], usage: Sequence[str], versions: Mapping[str, Any]) -> Iterator[str]:
    yield f"With reskeras {text(versions.get('reskeras', ''))}, in the folder of this file:\n"
    yield block(
        "\n".join(["import reskeras", "", 'run = reskeras.Run(".")', *(usage or ["model = run.model()"])]), "python"
    )
    if usage:
        yield f"or {'`'}{shlex.join([*program, 'predict', '.', 'image.jpg'])}{'`'}.\n"


def _of_saved_model(place: str, folder: str) -> Iterator[str]:
    yield "The SavedModel takes image files, and needs only TensorFlow:\n"
    lines = [
        "import tensorflow as tf",
        "",
        f'infer = tf.saved_model.load({place!r}).signatures["bytes"]',
        'print(infer(image_bytes=tf.constant([tf.io.read_file("image.jpg").numpy()])))',
    ]
    yield block("\n".join(lines), "python")
    source = "$PWD" if folder == "." else f"$PWD/{folder}"
    words = [f'"{word}"' if "$" in word else shlex.quote(word) for word in container_words(source)]
    yield f"TensorFlow Serving serves it, to this machine only:\n\n{block(' '.join(words), 'sh')}"


def _of_onnx(place: str) -> Iterator[str]:
    yield "The ONNX file says itself, and the JSON file of its name too, how it takes pixels:\n"
    lines = [
        "import onnxruntime",
        "",
        f"session = onnxruntime.InferenceSession({place!r})",
        "print(session.get_inputs(), session.get_outputs(), session.get_modelmeta().custom_metadata_map)",
    ]
    yield block("\n".join(lines), "python")


def _of_lite(place: str) -> Iterator[str]:
    yield (
        "The `.tflite` file runs on phones and small machines; the JSON file of the same name says how to give it "
        "pixels:\n"
    )
    lines = [
        "from ai_edge_litert.interpreter import Interpreter",
        "",
        f"interpreter = Interpreter(model_path={place!r})",
        "print(interpreter.get_input_details(), interpreter.get_output_details())",
    ]
    yield block("\n".join(lines), "python")


def _place(proof: Proof, beside: bool) -> str:
    """The path of an artefact from the folder of the card: what follows the export folder's name."""
    parts = Path(proof.path).parts
    last = len(parts) - 1 - parts[::-1].index(EXPORT) if EXPORT in parts else len(parts) - 2
    return printable("/".join(parts[last + 1 if beside else last :]))
