"""A localiser and a refiner trained on one device and on two; run as a script by test_replicas.py: devices are fixed
once TensorFlow starts.

Arguments: a folder for the runs, data, and the number of devices.
"""

import sys
from pathlib import Path

from tests.tasks.localisation.shapes import LEARNING, REFINING, refine, train

COMMON = {"epochs": 1, "deterministic": True, "sync_bn": True, "augment": {"flip": True}}


def main():
    out, data, devices = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    how = {**COMMON, "strategy": "mirrored", "devices": devices} if devices > 1 else {**COMMON, "strategy": "one"}
    first = out / "localiser-1"
    made = train(data, out=out / f"localiser-{devices}", **{**LEARNING, **how})
    refine(data, made if devices == 1 else Known(first), out=out / f"refiner-{devices}", **{**REFINING, **how})


class Known:
    """The localiser that was trained on one device."""

    def __init__(self, path):
        self.path = path


if __name__ == "__main__":
    main()
