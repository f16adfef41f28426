"""What two workers tell each other; run as a script by test_exchange.py with TF_CONFIG set. Prints what it heard."""

import hashlib
import json

import numpy as np

from reskeras.errors import ReskerasError
from reskeras.files import Unwritable
from reskeras.training import exchange
from reskeras.training.checkpoints import packed, unpacked
from reskeras.training.strategy import open_replicas


def heard(call):
    """A value, or the error with what a launcher needs to know of it."""
    try:
        return call()
    except ReskerasError as error:
        return [str(error), error.status, error.final]


def arrays():
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 256, 9_000_001, np.uint8)  # more than a chunk, and not of whole words
    return {"bits": bits, "nan": np.array([np.nan, -0.0, np.inf], np.float16), "none": np.zeros((0, 3), np.int64)}


def main():
    exchange.SIZES = (1 << 8, 1 << 14, 1 << 20)  # several chunks at smaller cost
    replicas = open_replicas("multi-worker")

    def on(worker, error):
        if replicas.worker == worker:
            raise error

    def together(worker, error):
        with replicas.together():
            on(worker, error)

    received = replicas.from_chief(arrays, packed, unpacked)
    total = hashlib.sha256(b"".join(name.encode() + each.tobytes() for name, each in sorted(received.items())))
    told = {
        "arrays": total.hexdigest(),
        "shapes": {name: [str(each.dtype), list(each.shape)] for name, each in received.items()},
        "facts": replicas.from_chief(lambda: {"of": replicas.worker, "words": "é" * 300}),
        "none": replicas.from_chief(lambda: None),
        "failed": heard(lambda: replicas.from_chief(lambda: on(0, Unwritable("run cannot be written", 1)))),
        "refused": heard(lambda: together(1, ReskerasError("data: folder not found"))),
        "texts": replicas.told_by_all("x" * replicas.worker * 5000),
        "any": [replicas.any(replicas.worker == 1, 7 + replicas.worker), replicas.any(False)],
        "went on": heard(lambda: together(2, ReskerasError("nobody"))),
    }
    print(json.dumps(told))
    replicas.finish()


if __name__ == "__main__":
    main()
