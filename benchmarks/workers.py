"""One contender in a process of its own: build, warm up, then run the steps that stdin asks for and print the seconds.

`python -m benchmarks.workers '{"library": "reskeras", ...}'`, started by `interleave.py`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

Steps = Callable[[int], float]  # number of steps to seconds

CLASSES = {"resnet-50": 1000}
SIZES = {"resnet-50": 224}


def batch_of(network: str, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (batch, height, width, 3) of normal noise, and labels: one batch, the same for every contender."""
    random, size = np.random.default_rng(0), SIZES.get(network, 32)
    images = random.normal(size=(batch, size, size, 3)).astype("float32")
    return images, random.integers(0, CLASSES.get(network, 10), batch).astype("int32")


def keras_steps(library: str, network: str, precision: str, task: str, batch: int) -> Steps:
    """Steps of a Keras network: `fit`, timed from the first step's begin to the last one's end, or inference."""
    import keras
    import tensorflow as tf

    from reskeras.recipes.recipe import recipe
    from reskeras.tasks.classification.subject import compiled

    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    images, labels = batch_of(network, batch)
    if library == "reskeras":
        import reskeras

        chosen = recipe("step-cifar", precision=policy)
        model = compiled(reskeras.plan(network), network, chosen, steps=1)
    else:
        keras.config.set_dtype_policy(policy)
        if library == "applications":
            model = keras.applications.ResNet50(weights=None, classifier_activation=None)
        else:
            from benchmarks.networks.stock import build

            model = build(network)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9, weight_decay=1e-4), loss, metrics=["accuracy"])
    if task == "inference":
        infer = tf.function(lambda x: model(x, training=False))
        images = tf.constant(images)

        def run(count: int) -> float:
            began = time.perf_counter()
            for _ in range(count):
                infer(images).numpy()
            return time.perf_counter() - began

        return run
    options = tf.data.Options()
    options.autotune.enabled = False
    data = tf.data.Dataset.from_tensors((images, labels)).repeat().with_options(options)

    class Clock(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.began = time.perf_counter() if batch == 0 else self.began

        def on_train_batch_end(self, batch, logs=None):
            self.ended = time.perf_counter()

    def fit(count: int) -> float:
        clock = Clock()
        model.fit(data, epochs=1, steps_per_epoch=count, verbose=0, callbacks=[clock])
        return clock.ended - clock.began

    return fit


def torch_steps(network: str, precision: str, task: str, batch: int) -> Steps:
    """Steps of a PyTorch network, channels last; bf16 by autocast."""
    import torch

    from benchmarks.networks.torch_nets import build

    model = build(network)
    images, labels = (torch.from_numpy(array) for array in batch_of(network, batch))
    images = images.permute(0, 3, 1, 2)  # channels-last memory already
    labels = labels.long()
    cast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16")
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)

    def infer(count: int) -> float:
        model.eval()
        with torch.inference_mode(), cast:
            began = time.perf_counter()
            for _ in range(count):
                model(images)
        return time.perf_counter() - began

    def train(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            with cast:
                loss = torch.nn.functional.cross_entropy(model(images).float(), labels)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            loss.item()
        return time.perf_counter() - began

    return infer if task == "inference" else train


def main() -> None:
    """Serve steps until stdin closes."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    facts = json.loads(sys.argv[1])
    library = facts.pop("library")
    run = torch_steps(**facts) if library == "torch" else keras_steps(library, **facts)
    run(2)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        print(run(int(line)), file=answers, flush=True)


if __name__ == "__main__":
    main()
