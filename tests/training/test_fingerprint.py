"""Fields that recipes got later do not make checkpoints of before another training's, unless they are set."""

import hashlib
import json
from dataclasses import dataclass

import pytest

import reskeras
from reskeras.recipes.later import LATER, OF_NETWORKS, identifying
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
    "bn_statistics": {"bn_statistics": {"images": 64}},
    "images": {"images": 50},
    "augment.repeats": {"augment": {"repeats": 2}},
    "augment.rotate": {"augment": {"rotate": 90}},
    "augment.mosaic": {"augment": {"mosaic": {}}},
    "augment.hue": {"augment": {"hue": 0.1}},
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


def test_networks_are_known_without_the_later_fields_that_have_their_defaults():
    plain = reskeras.network("cifar-resnet-20").decided()
    before = plain.model_dump(mode="json", exclude={"name", "activation", "quantise"})
    del before["head"]["scale"], before["stem"]["convs"][0]["bn"]
    assert identifying(plain, ("name",), OF_NETWORKS) == before
    stem = {"convs": [{"width": 8, "bn": False}, {"width": 8}]}
    changed = reskeras.network(
        family="cifar", stages=[1, 1, 1], activation="gelu", head={"scale": 2.0}, stem=stem
    ).decided()
    known = identifying(changed, ("name",), OF_NETWORKS)
    assert (known["activation"], known["head"]["scale"]) == ("gelu", 2.0)
    assert [conv.get("bn") for conv in known["stem"]["convs"]] == [False, None]
    inception = reskeras.network("cifar-inception-v4").decided()
    assert identifying(inception, ("name",), OF_NETWORKS) == inception.model_dump(
        mode="json", exclude={"name", "quantise"}
    )
