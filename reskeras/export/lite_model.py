"""Run a `.tflite` with ai-edge-litert, without TensorFlow; as a script, called with MODEL, in a subprocess.

Quantised kernels have been seen to abort the process (XNNPACK, SIGABRT), so a file is first run in a subprocess; it
imports no TensorFlow and starts in half a second.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 100
LONGEST = 200


class LiteModel:
    """A `.tflite` loaded once, as a function from raw images to outputs by name; quantised ones are converted.

    `aside` is a context manager that is entered while LiteRT may write to standard error, as it does about delegates.
    """

    def __init__(self, path: Path, aside: Callable[[], AbstractContextManager] = nullcontext):
        self._aside = aside
        with aside():
            from ai_edge_litert.interpreter import Interpreter

            self._runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
        self._input = self._runner.get_input_details()["images"]
        self._outputs = self._runner.get_output_details()

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of a batch; real numbers are float32."""
        with self._aside():
            answer = self._runner(images=_quantised(images.astype(np.float32), self._input))
        return {name: _real(values, self._outputs[name]) for name, values in answer.items()}


class LiteCrash(Exception):
    """A `.tflite` that could not be run; the message is a clause whose subject is the file."""


def answers_aside(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs, as of LiteModel, for `images` of 0..255 by the `.tflite` at `path`, run in a subprocess.

    It is run on one image, then on all in chunks. Raises LiteCrash when the subprocess dies or the file is refused.
    """
    asked = io.BytesIO()
    np.save(asked, images)
    # -P keeps this file's folder, with modules such as `timing`, off the module search path
    done = subprocess.run(
        [sys.executable, "-P", __file__, path], input=asked.getbuffer(), capture_output=True, check=False
    )
    if done.returncode < 0:
        raise LiteCrash(f"crashes the process that runs it ({signal.Signals(-done.returncode).name})")
    if done.returncode:
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise LiteCrash(f"is rejected by LiteRT: {said[:LONGEST]}")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as told:
        return dict(told)


def _quantised(values: np.ndarray, details: dict) -> np.ndarray:
    kind, (scale, zero) = details["dtype"], details["quantization"]
    if kind == np.float32:
        return values
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    return np.clip(np.round(values / scale) + zero, low, high).astype(kind)


def _real(values: np.ndarray, details: dict) -> np.ndarray:
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * scale if scale else values  # whole numbers have no scale


def _main(model: str) -> None:
    """Read images from standard input, as .npy, and write the outputs to standard output, as .npz."""
    out = os.dup(1)
    os.dup2(2, 1)  # keeps what libraries print out of the output
    asked = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    try:
        ask = LiteModel(Path(model))
        ask(asked[:1])  # a batch of one may use other kernels
        answers = [ask(asked[start : start + CHUNK]) for start in range(0, len(asked), CHUNK)]
    except (ValueError, RuntimeError) as error:
        sys.exit(" ".join(str(error).split()) or type(error).__name__)
    told = io.BytesIO()  # np.savez calls tell(), which a pipe does not support
    joined: dict[str, Any] = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    np.savez(told, **joined)
    with open(out, "wb") as answered:
        answered.write(told.getbuffer())


if __name__ == "__main__":
    _main(*sys.argv[1:])
