"""One contender in a process of its own: build, warm up, then run the steps that stdin asks for and print the seconds.

`python -m benchmarks.workers '{"library": "reskeras", ...}'`, started by `interleave.py`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.detectors import Steps, detector_steps

CLASSES = {"resnet-50": 1000}
SIZES = {"resnet-50": 224}
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def batch_of(network: str, batch: int, size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Images (batch, size, size, 3) of normal noise, and labels: one batch, the same for every contender."""
    random, size = np.random.default_rng(0), size or SIZES.get(network, 32)
    images = random.normal(size=(batch, size, size, 3)).astype("float32")
    return images, random.integers(0, CLASSES.get(network, 10), batch).astype("int32")


def keras_model(library: str, network: str, precision: str, xla: bool | str = "auto", **shape: Any) -> Any:
    """A compiled Keras model: ours, keras.applications' or stock layers'; `shape` is `input_shape` and `classes`."""
    import keras

    from reskeras.recipes.recipe import recipe
    from reskeras.tasks.classification.subject import compiled

    policy = POLICIES[precision]
    if library == "reskeras":
        import reskeras

        chosen = recipe("step-cifar", precision=policy, xla=xla)
        start, _, depth = network.rpartition("-")
        asked = {"family": "cifar", "depth": int(depth)} if start == "cifar-resnet" else {"source": network}
        return compiled(reskeras.plan(**asked, **shape), network, chosen, steps=1)
    keras.config.set_dtype_policy(policy)
    if library == "applications":
        model = keras.applications.ResNet50(weights=None, classifier_activation=None, **shape)
    else:
        from benchmarks.networks.stock import build

        model = build(network)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimiser = keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=1e-4)
    model.compile(optimiser, loss, metrics=["accuracy"], jit_compile=xla)
    return model


def keras_steps(library: str, network: str, precision: str, task: str, batch: int) -> Steps:
    """Steps of a Keras network: `fit`, timed from the first step's begin to the last one's end, or inference."""
    import tensorflow as tf

    from reskeras.diagnosis.speed import repeated_batch, seconds_of

    images, labels = batch_of(network, batch)
    model = keras_model(library, network, precision)
    if task == "inference":
        infer = tf.function(lambda x: model(x, training=False))
        images = tf.constant(images)

        def run(count: int) -> float:
            began = time.perf_counter()
            for _ in range(count):
                infer(images).numpy()
            return time.perf_counter() - began

        return run
    data = repeated_batch(images, labels)
    return lambda count: seconds_of(model, data, count)


def torch_steps(network: str, precision: str, task: str, batch: int, compiled: bool = False) -> Steps:
    """Steps of a PyTorch network, channels last, on the GPU if there is one; half precision by autocast, float16 with
    its scaled loss, `compiled` by torch.compile."""
    import torch

    from benchmarks.networks.torch_nets import build

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build(network).to(device)
    images, labels = (torch.from_numpy(array).to(device) for array in batch_of(network, batch))
    images = images.permute(0, 3, 1, 2)  # channels-last memory already
    labels = labels.long()
    half = precision != "float32"
    cast = torch.autocast(device, getattr(torch, precision) if half else None, enabled=half)
    scaler = torch.amp.GradScaler(device, enabled=precision == "float16")
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    run = torch.compile(model) if compiled else model

    def infer(count: int) -> float:
        model.eval()
        with torch.inference_mode(), cast:
            began = time.perf_counter()
            for _ in range(count):
                logits = run(images)
            logits[0, 0].item()  # waits for the device
        return time.perf_counter() - began

    def train(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            with cast:
                loss = torch.nn.functional.cross_entropy(run(images).float(), labels)
            optimiser.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(optimiser)
            scaler.update()
        loss.item()  # waits for the device
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return infer if task == "inference" else train


def serve(steps: Callable[[dict[str, Any]], tuple[Steps, dict[str, float]]]) -> None:
    """What a contender's process does: make the steps of the facts on the command line, answer with what is told of
    their start, then with the seconds of as many steps as each line of stdin says; at its end with the most memory that
    was resident, in GB. Answers are JSON, a line each."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print

    def answer(found: Any) -> None:
        print(json.dumps(found), file=answers, flush=True)

    run, start = steps(json.loads(sys.argv[1]))
    answer(start)
    for line in sys.stdin:
        answer(run(int(line)))
    answer(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9)


def warm(facts: dict[str, Any]) -> tuple[Steps, dict[str, float]]:
    """Steps of the library that `facts` name, run twice."""
    library = facts.pop("library")
    if library == "torch":
        run = torch_steps(**facts)
    elif library == "detectors":
        run = detector_steps(**facts)
    else:
        run = keras_steps(library, **facts)
    run(2)
    return run, {}


if __name__ == "__main__":
    serve(warm)
