"""A detector's training that kills itself with SIGKILL at a chosen moment; run as a script by test_training.py.

Arguments: run folder, data folder, moment (never, step:N, validation:N, writing:N), devices, and if others are wanted
fields of the detector as YAML.
"""

import sys
from pathlib import Path

import yaml

import reskeras
from tests.tasks.detection.shapes import DETECTOR, LEARNING
from tests.training.killed import killed_at

RECIPE = {
    **LEARNING,
    "epochs": 3,
    "deterministic": True,
    "checkpoint_steps": 3,
    "ema": 0.9,
    "augment": {"scale": [0.8, 1.25], "flip": True, "colour": 0.1},
}


def main():
    out, shapes, moment, devices = sys.argv[1:5]
    fields = yaml.safe_load(sys.argv[5]) if sys.argv[5:] else {}
    run = reskeras.train_detector(
        reskeras.DetectorSpec.model_validate({**DETECTOR, **fields}),
        f"voc:{shapes}",
        out=Path(out),
        resume=True,
        tell=print,
        **killed_at(moment, int(devices)),
        **RECIPE,
    )
    print("digest", run.folder.provenance()["trained_sha256"])


if __name__ == "__main__":
    main()
