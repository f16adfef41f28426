"""Spaces: what they accept, what a tuner's values stand for, and that everything a shipped one varies matters."""

import random

import keras_tuner
import pytest

from reskeras import ReskerasError, network, recipe, space
from reskeras.documents.shipped import shipped_names
from reskeras.networks.request import localiser, refiner
from reskeras.tuning.candidates import Candidates, pinned_by, sample
from reskeras.tuning.hyperparameters import declare

BASE = network("cifar-resnet-20")


def made(**parameters):
    return space({"parameters": {name.replace("__", "."): value for name, value in parameters.items()}})


@pytest.mark.parametrize(
    "document, said",
    [
        ({"parameters": {}}, "parameters: {}: needs at least 1 entry"),
        ({"parameters": {"depth": [8]}}, "depth"),
        ({"parameters": {"network.depth": []}}, "needs at least 1 entry"),
        ({"parameters": {"network.depth": {"low": 3}}}, "needs choices, or low and high"),
        ({"parameters": {"recipe.epochs": {"low": 3, "high": 3}}}, "the range from 3 to 3 is empty"),
        ({"parameters": {"recipe.ema": {"low": 0.0, "high": 0.5, "sampling": "log"}}}, "needs a low above 0"),
        ({"parameters": {"recipe.epochs": {"low": 1, "high": 5, "step": 0.5}}}, "should be an integer"),
        ({"parameters": {"recipe.epochs": {"low": 1, "high": 5, "step": 0}}}, "step: 0 should be more than 0"),
        (
            {"parameters": {"recipe.epochs": {"low": 1, "high": 5, "step": 1, "sampling": "log"}}},
            "step: 1 should be more than 1",
        ),
        ({"parameters": {"recipe.epochs": {"choices": [1, 2], "low": 1}}}, "cannot be combined"),
        ({"parameters": {"recipe.epochs": [2, 2]}}, "choices: one is given twice"),
        ({"parameters": {"recipe.epochs": {"choices": [1, 2], "default": 3}}}, "default: 3 is not one of the choices"),
        ({"parameters": {"recipe.epochs": {"low": 1, "high": 5, "default": 9}}}, "default: 9 is not between 1 and 5"),
        ({"parameters": {"recipe.epochs": {"low": 1, "high": 5, "scale": 9}}}, "scale"),
        (
            {"parameters": {"recipe.epochs": {"choices": [1], "when": {"network.skip": "dropout"}}}},
            "'network.skip' is not one of the parameters before it: there are none",
        ),
        (
            {
                "parameters": {
                    "network.skip": ["identity"],
                    "recipe.epochs": {"choices": [1], "when": {"network.skip": "dropout"}},
                }
            },
            "network.skip has no choice 'dropout'; it has identity",
        ),
    ],
)
def test_what_is_no_space_is_refused(document, said):
    with pytest.raises(ReskerasError) as caught:
        space(document)
    assert said in str(caught.value)
    assert caught.value.status == 2


def test_a_file_is_refused_with_its_line(tmp_path):
    (tmp_path / "mine.yaml").write_text("parameters:\n  network.depth: [8]\n  recipe.epochs: {low: 4, high: 2}\n")
    with pytest.raises(ReskerasError, match=r"the range from 4 to 2 is empty \(in .*mine\.yaml, line 3\)"):
        space(tmp_path / "mine.yaml")
    with pytest.raises(ReskerasError, match=r"space: file not found: absent\.yaml"):
        space("absent.yaml")
    with pytest.raises(ReskerasError, match="space: 'deep' is not one of all, depth-width"):
        space("deep")


@pytest.mark.parametrize(
    "parameters, said",
    [
        ({"network__depht": [8]}, "space: network.depht: 8 is never valid: field: 'depht' is not one of"),
        ({"network__depth": [8, 21]}, "space: network.depth: 21 is never valid: depth: 21"),
        ({"recipe__schedule__kind": ["cosine", "sawtooth"]}, "space: recipe.schedule.kind: 'sawtooth' is never valid"),
        ({"recipe__momentum": {"low": 0.5, "high": 1.0}}, "space: recipe.momentum: 1.0 is never valid"),
        ({"network__stages__7__units": [3]}, "stages has no entry 7, only 0 to 2"),
        ({"network__shortcut__kind": [3]}, "is never valid"),
    ],
)
def test_paths_and_values_that_fit_nowhere_are_refused(parameters, said):
    with pytest.raises(ReskerasError) as caught:
        Candidates(made(**parameters), BASE, recipe("quick")).check()
    assert said in str(caught.value)


def test_a_value_that_fits_with_others_is_no_mistake():
    Candidates(
        made(network__block=["basic", "bottleneck"], network__depth=[20, 29]),
        network(family="cifar", depth=20),
        recipe("quick"),
    ).check()


def test_values_stand_for_choices_of_any_kind():
    over = made(network__stages=[[1, 1, 1], [2, 1, 1]], recipe__patience=[None, 3], recipe__nesterov=[True, False])
    hp = declare(over, keras_tuner.HyperParameters())
    assert set(hp.values) == {"network.stages", "recipe.patience", "recipe.nesterov"}
    chosen = over.active({"network.stages": "[2, 1, 1]", "recipe.patience": "null", "recipe.nesterov": False})
    assert chosen == {"network.stages": [2, 1, 1], "recipe.patience": None, "recipe.nesterov": False}
    spec, by = over.applied({"network.stages": "[2, 1, 1]", "recipe.patience": "3"}, BASE, recipe("quick"))
    assert [row.units for row in spec.decided().stages] == [2, 1, 1]
    assert by.patience == 3


def test_conditions_hold_for_us_as_for_kerastuner():
    over = space("all")
    hp = declare(over, keras_tuner.HyperParameters())
    assert [each.name for each in hp.space] == list(over.parameters)
    for seed in range(50):
        values = sample(over, random.Random(seed))
        mine = keras_tuner.HyperParameters()
        declare(over, mine)
        mine.values = dict(values)
        theirs = {each.name for each in mine.space if mine.is_active(each)}
        active = {name for name in values if mine.is_active(name)}
        assert set(over.active({name: values[name] for name in active})) == theirs
    assert "network.skip.rate" in over.active({**values, "network.skip": "dropout"})
    assert "network.skip.rate" not in over.active({**values, "network.skip": "scale"})


@pytest.mark.parametrize(
    "low, high, sampling", [(1, 9, "linear"), (0.01, 1.0, "log"), (2, 64, "log"), (0.0, 0.5, "linear")]
)
def test_a_range_is_the_same_to_kerastuner(low, high, sampling):
    over = made(recipe__x={"low": low, "high": high, "sampling": sampling})
    [hp] = declare(over, keras_tuner.HyperParameters()).space
    drawn = [hp.random_sample(seed) for seed in range(300)]
    assert low <= min(drawn) and max(drawn) <= high
    assert all(isinstance(over.parameters["recipe.x"].value(each), type(low)) for each in drawn)
    below = sum(each < ((low * high) ** 0.5 if sampling == "log" else (low + high) / 2) for each in drawn)
    assert 90 < below < 210


# what a space is of, where it is not a residual network
BASES = {
    "inception": network("cifar-inception-resnet-v1"),
    "localiser": localiser("cifar-resnet-20"),
    "refiner": refiner("cifar-resnet-20"),
}
SHIPPED = [(name, parameter) for name in shipped_names("space") for parameter in space(name).parameters]


@pytest.mark.parametrize("name, parameter", SHIPPED)
def test_every_value_of_a_shipped_space_changes_the_network_or_the_recipe(name, parameter):
    over, by = space(name), recipe("quick")
    pinned, domain = pinned_by(over, parameter), over.parameters[parameter]
    seen = []
    for label in domain.probes():
        spec, chosen = over.applied({**pinned, parameter: label}, BASES.get(name, BASE), by)
        decided = spec.decided()
        seen.append((decided.model_dump_json(), chosen.model_dump_json()))
    assert len(seen) > 1
    assert len(set(seen)) == len(seen)
