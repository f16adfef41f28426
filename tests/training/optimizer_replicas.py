"""A training by an optimiser on one device and on two logical ones; run as a script by test_optimizers.py.

Arguments: the kind of optimiser, and maybe lookahead instead of averages. Prints the largest difference between the
replicas' variables, and between the weights of both trainings, relative to each weight's norm.
"""

import sys

import numpy as np

KINDS = {
    "sgd": {"nesterov": True},
    "adamw": {"optimizer": "adamw", "learning_rate": 0.005},
    "lamb": {"optimizer": "lamb", "learning_rate": 0.01},
    "muon": {"optimizer": "muon", "learning_rate": 0.01},
}
NETWORK = {
    "family": "cifar",
    "stages": [{"units": 4, "width": 4}],
    "stem": {"convs": [{"width": 4}]},
    "input_shape": [8, 8, 1],
    "classes": 3,
}
# a stack of three units has other numbers in each: units 2 to 4, when it is cut after the first
RULES = {
    "learning_rate": 0.02,
    "schedule": {"kind": "constant"},
    "weight_decay": 0.1,
    "decayed": [
        "stem_conv/kernel",
        "stage1_unit[134]_conv?/kernel",
        "stage1_unit2_conv1/kernel",
        "stage1_unit3_bn1/gamma",
        "logits/kernel",
    ],
    "rate_factors": {"stage1_unit2_*": 0.5, "stage1_unit4_*": 0.0},
    "clip_norm": 0.5,
}
STEPS, BATCH = 3, 16


def main():
    import tensorflow as tf

    import reskeras
    from reskeras.graph.weights import read
    from reskeras.tasks.classification.subject import compiled
    from reskeras.training.strategy import open_replicas

    plan = reskeras.plan(**NETWORK)
    average = {"lookahead": {"steps": 2, "momentum": 0.9}} if "lookahead" in sys.argv else {"ema": 0.9}
    chosen = reskeras.recipe(
        **{**RULES, **KINDS[sys.argv[1]]}, **average, sync_bn=True, batch_size=BATCH, precision="float32"
    )
    rng = np.random.default_rng(0)
    batch = rng.normal(0, 1, (STEPS * BATCH, *plan.input_shape)).astype(np.float32)
    labels = rng.integers(0, plan.output_shape[-1], STEPS * BATCH)
    found, apart = [], 0.0
    for replicas in (open_replicas("mirrored", 2), open_replicas("one")):
        data = tf.data.Dataset.from_tensor_slices((batch, labels)).batch(BATCH)
        with replicas.strategy.scope():
            model = compiled(plan, "net", chosen, 10, synchronized=replicas.count > 1)
            model.prepare(lambda *parts: parts, *data.element_spec)
        model.fit(data, epochs=1, shuffle=False, verbose=0)
        found.append((read(model), read(model, model.optimizer.averages())))
        for variable in (*model.variables, *model.optimizer.variables):
            local = [value.numpy() for value in replicas.strategy.experimental_local_results(variable.value)]
            if not variable.name.endswith("gradient_norm"):  # kept by the first
                apart = max(apart, *(float(np.abs(local[0] - other).max()) for other in local))
    different = 0.0
    for ours, theirs in zip(*found, strict=True):
        for name, value in theirs.items():
            different = max(different, np.linalg.norm(ours[name] - value) / max(np.linalg.norm(value), 1e-3))
    print(apart, different)


if __name__ == "__main__":
    main()
