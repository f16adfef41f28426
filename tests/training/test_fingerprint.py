"""Fields that recipes got later do not make checkpoints of before another training's, unless they are set."""

import hashlib
import json
from dataclasses import dataclass

import pytest

from reskeras.recipes.later import LATER
from reskeras.recipes.recipe import recipe
from reskeras.training.fit import fingerprint

BOOKKEEPING = ("keep", "checkpoint_steps", "description")


@dataclass
class Subject:
    """What is trained, as far as the fingerprint asks."""

    def described(self):
        return {"units": []}


def before(chosen, *later):
    """The fingerprint of the time when the fields `later` did not exist."""
    data = chosen.model_dump(mode="json")
    for path in (*BOOKKEEPING, *later):
        *groups, name = path.split(".")
        part = data
        for group in groups:
            part = part[group]
        del part[name]
    return hashlib.sha256(json.dumps({"units": [], "recipe": data}, sort_keys=True).encode()).hexdigest()


CHANGED = {
    "xla": {"xla": False},
    "optimizer": {"optimizer": "adamw"},
    "loss": {"loss": "focal"},
    "teacher": {"teacher": "saved_models/wide"},
    "distillation": {"teacher": "saved_models/wide", "distillation": {"share": 0.5}},
    "lookahead": {"lookahead": {}},
    "whiten": {"whiten": {}},
    "test_crop": {"test_crop": 0.9},
    "sizes": {"sizes": [[0, 128]]},
    "augment.repeats": {"augment": {"repeats": 2}},
    "augment.rand_augment.deviation": {"augment": {"rand_augment": {"deviation": 1}}},
    "augment.rand_augment.probability": {"augment": {"rand_augment": {"probability": 0.5}}},
    "augment.rand_augment.increasing": {"augment": {"rand_augment": {"increasing": True}}},
}


@pytest.mark.parametrize("path", CHANGED)
def test_later_fields_that_are_set_make_another_training(path):
    plain = {"augment": {"rand_augment": {}}} if "rand_augment" in path else {}
    assert fingerprint(Subject(), recipe("quick", **CHANGED[path])) != fingerprint(Subject(), recipe("quick", **plain))


@pytest.mark.parametrize("augment", [{}, {"rand_augment": {"magnitude": 7}}])
def test_defaults_of_later_fields_leave_the_fingerprint_as_it_was(augment):
    chosen = recipe("quick", augment=augment)
    assert CHANGED.keys() == set(LATER)
    later = [path for path in LATER if augment or "rand_augment" not in path]
    assert fingerprint(Subject(), chosen) == before(chosen, *later)
