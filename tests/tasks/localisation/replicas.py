"""A localiser, or a refiner of its boxes, trained on so many devices; run as a script by test_replicas.py: devices are
fixed once TensorFlow starts.

Arguments: a folder for the runs, data, the kind, and the number of devices.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

from tests.tasks.localisation.shapes import LEARNING, REFINING, refine, train

COMMON = {"epochs": 1, "deterministic": True, "sync_bn": True, "augment": {"flip": True}}


def main():
    out, data, kind, devices = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    how = {**COMMON, "out": out / f"{kind}-{devices}", "strategy": "one"}
    if devices > 1:
        how |= {"strategy": "mirrored", "devices": devices}
    if kind == "localiser":
        train(data, **{**LEARNING, **how})
    else:
        refine(data, SimpleNamespace(path=out / "localiser-1"), **{**REFINING, **how})


if __name__ == "__main__":
    main()
