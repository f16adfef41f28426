"""A training on several replicas; run as a script by test_strategy.py: devices are fixed once TensorFlow starts.

Arguments: run folder, strategy, devices, then recipe fields as YAML, those of the network under `network`, the source
under `data`. Prints what the replicas hold.
"""

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import yaml

import reskeras
from tests.tasks.multilabel.pairs import known

NETWORK = {
    "family": "cifar",
    "stages": [{"units": 2, "width": 8}],
    "stem": {"convs": [{"width": 8}]},
    "input_shape": [8, 8, 1],
}
RECIPE = {
    "epochs": 1,
    "batch_size": 64,
    "deterministic": True,
    "learning_rate": 0.02,
    "precision": "float32",
    "holdout": 0.07,
}


class Apart(keras.callbacks.Callback):
    """Notes the largest difference between replicas of any variable, and whether all saw the same metrics."""

    largest = 0.0

    def on_train_end(self, logs=None):
        strategy = self.model.distribute_strategy
        for variable in self.model.variables:
            local = [value.numpy() for value in strategy.experimental_local_results(variable.value)]
            self.largest = max(self.largest, *(float(np.abs(local[0] - other).max()) for other in local))


def counted_collectives():
    """Counts, by graph, the collective reductions of many numbers and of one: the training step has most of many."""
    from tensorflow.python.ops import collective_ops

    found, reduce = {}, collective_ops.all_reduce_v2

    def counting(*args, **keywords):
        counts = found.setdefault(id(tf.compat.v1.get_default_graph()), [0, 0])
        counts[args[0].shape.num_elements() == 1] += 1
        return reduce(*args, **keywords)

    collective_ops.all_reduce_v2 = counting
    return found


def main():
    found = counted_collectives()
    out, strategy, devices = sys.argv[1:4]
    fields, apart = yaml.safe_load(sys.argv[4]), Apart()
    network, data = NETWORK | fields.pop("network", {}), fields.pop("data", "digits")
    known()
    run = reskeras.train(
        reskeras.network(**network),
        data,
        out=Path(out),
        strategy=strategy,
        devices=int(devices) or None,
        callbacks=[apart],
        **{**RECIPE, **fields},
    )
    print("apart", apart.largest)
    print("collectives", *max(found.values(), default=[0, 0]))
    print("finished", run.path)


if __name__ == "__main__":
    main()
