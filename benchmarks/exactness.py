"""Checks that an accelerator computes what a processor does: each gives a figure, and the bound that it must keep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

STEPS = 3
BATCH = 32
NETWORK = {"family": "cifar", "stages": [2, 2], "classes": 10, "input_shape": [16, 16, 3]}
DIGITS = {"family": "cifar", "stages": [1, 1], "input_shape": [8, 8, 1]}
# how float32 without TF32 may differ after STEPS steps, of the largest weight of each variable
ROUNDING = 1e-3
LEARNT = 0.6  # accuracy on digits after EPOCHS epochs, of which a guess has 0.1
EPOCHS = 4
Check = tuple[float, float, bool]  # figure, bound, whether the figure should be at most the bound (or at least)


def trained_weights(**fields) -> dict[str, np.ndarray]:
    """Weights by name after STEPS steps in float32 on random images."""
    import tensorflow as tf

    import reskeras
    from reskeras.graph.weights import read
    from reskeras.tasks.classification.subject import compiled

    tf.config.experimental.enable_tensor_float_32_execution(False)
    plan = reskeras.plan(**NETWORK)
    chosen = reskeras.recipe("quick", precision="float32", batch_size=BATCH, learning_rate=0.02, **fields)
    model, random = compiled(plan, "net", chosen, STEPS), np.random.default_rng(0)
    for _ in range(STEPS):
        images = random.normal(size=(BATCH, *plan.input_shape)).astype(np.float32)
        model.train_on_batch(images, random.integers(0, 10, BATCH))
    return read(model)


def largest_difference(**fields) -> Check:
    """Largest difference of any weight from the plain, unrolled form, relative to its variable's largest."""
    plain, other = trained_weights(xla=False, form="unrolled"), trained_weights(**fields)
    assert plain.keys() == other.keys()
    return (
        max(float(np.abs(plain[name] - other[name]).max() / np.abs(plain[name]).max()) for name in plain),
        ROUNDING,
        True,
    )


def digits_run(folder: Path, **fields):
    """A network trained on handwritten digits; a folder that is there is resumed."""
    import reskeras

    how = {"epochs": EPOCHS, "batch_size": 64, "learning_rate": 0.05, "schedule": {"kind": "constant"}, "resume": True}
    return reskeras.train(reskeras.network(**DIGITS), "digits", "quick", out=folder, **{**how, **fields})


def float16_trains(folder: Path) -> Check:
    """Accuracy on digits, computed in float16 with the loss scaled."""
    return digits_run(folder / "float16", precision="mixed_float16").evaluate().top1, LEARNT, False


def resumed(folder: Path) -> Check:
    """1 where a training that was resumed after an epoch ends with other bits than a whole one, else 0."""
    digests = set()
    for name, parts in (("whole", (2,)), ("parts", (1, 2))):
        for epochs in parts:
            run = digits_run(folder / name, epochs=epochs, deterministic=True)
        digests.add(run.folder.provenance()["trained_sha256"])
    return len(digests) - 1, 0, True


def exported(folder: Path) -> Check:
    """Largest difference of a SavedModel's logits from Keras', of the largest logit: the export's own proof."""
    run = digits_run(folder / "exported", epochs=1)
    [proof] = run.export("serving", timing=False)
    return proof.measured, proof.tolerance, True


CHECKS: dict[str, Callable[[Path], Check]] = {
    "XLA equals plain": lambda folder: largest_difference(xla=True, form="unrolled"),
    "scanned equals unrolled": lambda folder: largest_difference(xla=False, form="scanned"),
    "float16 trains": float16_trains,
    "resumed is bit-equal": resumed,
    "export equals Keras": exported,
}
