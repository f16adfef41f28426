"""A localiser and a refiner that learn squares and discs in seconds."""

import reskeras

SPEC = {
    "trunk": {
        "family": "cifar",
        "stages": [{"units": 1, "width": 16}, {"units": 1, "width": 32}],
        "stem": {"convs": [{"width": 16, "stride": 2}]},
        "input_shape": [40, 40, 3],
    },
    "anchors": {"sizes": [10, 16, 24], "ratios": [1.0]},
    "sample": 64,
}
LEARNING = {"epochs": 12, "batch_size": 4, "learning_rate": 0.05, "precision": "float32"}
SHORT = {**LEARNING, "epochs": 2, "deterministic": True, "checkpoint_steps": 3}


def train(data, spec=SPEC, **how):
    return reskeras.train(reskeras.LocaliserSpec.model_validate(spec), data, task="localisation", **how)


REFINER = {"judge": {**SPEC["trunk"], "input_shape": [24, 24, 3]}, "count": 20, "regions": 8}
REFINING = {**SHORT, "batch_size": 32, "learning_rate": 0.02}


def refine(data, localiser, spec=REFINER, **how):
    return reskeras.train(
        reskeras.RefinerSpec.model_validate(spec), data, task="refinement", teacher=str(localiser.path), **how
    )
