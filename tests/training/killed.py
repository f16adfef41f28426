"""A training that kills itself with SIGKILL at a chosen moment; run as a script by test_resume.py.

Arguments: run folder or address, moment (never, step:N, validation:N, writing:N, putting:N, naming:N), devices, and
if others are wanted fields of the recipe as YAML, those of the network under `network`.
"""

import os
import signal
import sys
from pathlib import Path

import keras
import yaml

import reskeras
from reskeras.files.store import Store
from reskeras.training import checkpoints

# dropout, plateaus, averages, warm-up by error: all that has a state
NETWORK = {
    "family": "cifar",
    "stages": [{"units": 2, "width": 8}],
    "stem": {"convs": [{"width": 8}]},
    "drop_path": 0.2,
    "input_shape": [8, 8, 1],
}
RECIPE = {
    "epochs": 3,
    "batch_size": 64,
    "deterministic": True,
    "ema": 0.9,
    "checkpoint_steps": 7,
    "learning_rate": 0.02,
    "precision": "float32",
    "label_smoothing": 0.1,
    "clip_norm": 1.0,
    "schedule": {"kind": "plateau", "patience": 1, "least": 0.5, "warmup_until": {"error": 0.85}},
}


def die():
    """As kill -9 would."""
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(keras.callbacks.Callback):
    """Dies after so many training steps, or evaluation steps."""

    def __init__(self, train, test):
        super().__init__()
        self.train, self.test = train, test

    def on_train_batch_end(self, batch, logs=None):
        self.train -= 1
        if self.train == 0:
            die()

    def on_test_batch_end(self, batch, logs=None):
        self.test -= 1
        if self.test == 0:
            die()


def torn_writing(number):
    """Die in the middle of writing the state of this number."""
    write, count = checkpoints.np.savez, [0]

    def torn(file, **arrays):
        state = isinstance(file, Path) and file.name.startswith("state-")  # other arrays are written by it too
        count[0] += state
        if state and count[0] == number:
            file.write_bytes(b"half of a state")
            die()
        write(file, **arrays)

    checkpoints.np.savez = torn


def torn_putting(number):
    """Die in the middle of putting the state of this number at a store where an object is not whole or absent."""
    put, count = Store.put, [0]

    def torn(self, file, name):
        count[0] += "state-" in name
        if "state-" in name and count[0] == number:
            self.write(name, file.read_bytes()[: file.stat().st_size // 2])
            die()
        put(self, file, name)

    Store.put = torn


def torn_naming(number):
    """Die after so many objects were put, before the manifest names the last of them."""
    put, count = Store.put, [0]

    def last(self, file, name):
        put(self, file, name)
        count[0] += 1
        if count[0] == number:
            die()

    Store.put = last


def killed_at(moment, devices):
    """How a training is called that dies at a moment (never, step:N, validation:N, writing:N, putting:N, naming:N), on
    so many devices."""
    kind, _, number = moment.partition(":")
    number = int(number or 0)
    if kind == "putting":
        torn_putting(number)
    if kind == "naming":
        torn_naming(number)
    if kind == "writing":
        torn_writing(number)
    killer = Killer(number if kind == "step" else -1, number if kind == "validation" else -1)
    mirrored = {"strategy": "mirrored", "devices": devices} if devices > 1 else {"strategy": "one"}
    return {"callbacks": [killer], **mirrored}


def main():
    out, moment, devices = sys.argv[1:4]
    fields = yaml.safe_load(sys.argv[4]) if sys.argv[4:] else {}
    network = NETWORK | fields.pop("network", {})
    run = reskeras.train(
        reskeras.network(**network),
        recipe="quick",
        out=Path(out),
        resume=True,
        tell=print,
        **killed_at(moment, int(devices)),
        **{**RECIPE, **fields},
    )
    print("digest", run.folder.provenance()["trained_sha256"])


if __name__ == "__main__":
    main()
