"""The optimiser as a recipe's data: what it may hold, what else follows from it, and what older files mean."""

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import reskeras
from reskeras.documents.document import to_yaml
from reskeras.errors import ReskerasError
from reskeras.experiments.paper_differences import recipe_differences
from reskeras.networks.overrides import laid_over
from reskeras.recipes.optimizer import OPTIMIZERS, AdamW
from reskeras.recipes.rate_note import rate_note
from reskeras.recipes.recipe import Recipe, recipe
from reskeras.scaling.step import moved_bytes
from reskeras.training.fit import fingerprint
from reskeras_cli.main import commands

REFUSED = [
    ({"optimizer": "adam"}, "optimizer: 'adam' is not one of sgd, adamw, lamb, muon; did you mean adamw?"),
    (
        {"optimizer": {"kind": "adamw", "momentum": 0.9}},
        "field of adamw: 'optimizer.momentum' is not one of beta_1, beta",
    ),
    ({"optimizer": {"kind": "lamb", "beta_1": 1.5}}, "optimizer.beta_1: 1.5: should be at least 0 and less than 1"),
    ({"optimizer": {"kind": "muon", "ns_steps": 2.5}}, "optimizer.ns_steps: 2.5: "),
    ({"optimizer": {"kind": "sgd", "momentum": 0.5}}, "sgd's momentum is a field of the recipe itself"),
    ({"optimizer": {"beta_1": 0.8}}, "optimizer.kind: required, but not set"),
    ({"optimizer": "lamb", "momentum": 0.5}, "momentum: is only for sgd; lamb has fields of its own"),
    ({"optimizer": "adamw", "nesterov": True}, "which are set under optimizer: beta_1, beta_2, epsilon"),
    ({"optimizer.beta_1": 0.8}, "field of sgd: 'optimizer.beta_1'"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED, ids=[said[:30] for _, said in REFUSED])
def test_a_field_that_the_optimizer_does_not_have_is_refused_with_those_that_it_has(fields, said):
    with pytest.raises(ReskerasError) as caught:
        laid_over(recipe("quick"), fields)
    assert said in str(caught.value)
    assert caught.value.status == 2


def test_the_line_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("epochs: 3\noptimizer:\n  kind: lamb\n  nesterov: true\n")
    with pytest.raises(ReskerasError, match=r"field of lamb: 'optimizer\.nesterov' .*mine\.yaml, line 4\)"):
        recipe(tmp_path / "mine.yaml")


def test_another_optimizer_leaves_sgds_fields_behind_unless_they_are_asked_for():
    base = recipe("quick", momentum=0.8)
    assert base.nesterov
    for changes in ({"optimizer": "lamb"}, {"optimizer": {"kind": "lamb"}}, {"optimizer.kind": "lamb"}):
        changed = laid_over(base, changes)
        assert changed.optimizer.kind == "lamb"
        assert not changed.model_dump().keys() & {"momentum", "nesterov"}
    assert recipe(base, optimizer=AdamW(kind="adamw", beta_1=0.8)).optimizer.beta_1 == 0.8
    kept = laid_over(base, {"optimizer": "sgd", "learning_rate": 0.2})
    assert (kept.momentum, kept.nesterov) == (0.8, True)
    assert laid_over(recipe(base, optimizer="lamb"), {"optimizer": "sgd"}).momentum == 0.9
    assert laid_over(base, {"optimizer": "adamw", "optimizer.beta_2": 0.9}).optimizer.beta_2 == 0.9
    assert laid_over(recipe(base, optimizer="adamw"), {"optimizer.beta_2": 0.9}).sparse()["optimizer"] == {
        "kind": "adamw",
        "beta_2": 0.9,
    }


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_recipe_printed_whole_is_the_same_recipe(kind, tmp_path):
    chosen = recipe("quick", optimizer=kind)
    (tmp_path / "whole.yaml").write_text(to_yaml(chosen.model_dump(mode="json")))
    again = recipe(tmp_path / "whole.yaml")
    assert again.model_dump() == chosen.model_dump()
    assert ("nesterov" in again.model_dump()) is (kind == "sgd")
    assert kind in json.dumps(Recipe.model_json_schema()["properties"]["optimizer"])


def test_recipes_tell_their_optimizer():
    shown = CliRunner().invoke(commands, ["recipes"])
    assert shown.exit_code == 0
    assert "optimiser" in shown.output and "sgd" in shown.output


def test_checkpoints_from_before_there_was_a_choice_fit_sgd_alone():
    subject = SimpleNamespace(described=lambda: {"units": []})
    expected = fingerprint(subject, recipe("quick"))  # as before: see test_fingerprint
    others = {fingerprint(subject, recipe("quick", optimizer=kind)) for kind in OPTIMIZERS}
    assert len(others) == len(OPTIMIZERS) and expected in others


@pytest.mark.parametrize(("fields", "slots"), [({}, 1), ({"momentum": 0.0}, 0), ({"optimizer": "adamw"}, 2)])
def test_memory_and_traffic_follow_what_the_optimizer_keeps(fields, slots):
    plan, chosen = reskeras.plan("cifar-resnet-20"), recipe("quick", **fields)
    parameters = plan.complexity().parameters
    assert chosen.step_bytes(plan, 0, "float32") == 4 * (3 + slots) * plan.complexity().total.parameters
    more = moved_bytes(plan, chosen, 0, "float32")
    assert more == 2 * 4 * (1 + slots) * parameters  # each is read and written
    assert moved_bytes(plan, recipe(chosen, accumulate=2), 0, "float32") == 2 * 4 * parameters


@pytest.mark.parametrize(("kind", "rate"), [("sgd", "0.2"), ("lamb", "0.1")])
def test_the_usual_rate_of_another_batch_is_that_of_the_optimizer(kind, rate):
    base = recipe("quick", optimizer=kind, batch_size=64, learning_rate=0.05)
    note = rate_note(recipe(base, batch_size=256), {"batch_size": 256}, base)
    assert f"--learning-rate {rate}" in note


def test_a_rate_meant_for_another_optimizer_is_noted():
    base, changed = recipe("quick"), recipe("quick", optimizer="lamb")
    told = rate_note(changed, {"optimizer": "lamb"}, base)
    assert told == "learning_rate 0.05 is meant for sgd; with lamb 0.002 to 0.02 is usual"
    assert rate_note(changed, {"optimizer": "lamb", "learning_rate": 0.05}, base) == ""
    assert rate_note(changed, {"batch_size": 64}, changed) == ""


def test_recipes_with_other_optimizers_are_compared():
    mine, theirs = (SimpleNamespace(recipe=recipe("quick", optimizer=kind)) for kind in ("lamb", "sgd"))
    assert recipe_differences(mine, theirs) == ["optimizer lamb instead of sgd"]
    assert recipe_differences(theirs, mine) == ["optimizer sgd instead of lamb"]


def test_patterns_of_kernels_for_adam_that_match_nothing_are_refused():
    plan = reskeras.plan("vgg-19")  # has no stem_conv, which the default names
    recipe("quick", optimizer="muon").check(plan)
    with pytest.raises(ReskerasError, match=r"optimizer\.adam: 'logit/\*' matches no weight of this network"):
        recipe("quick", optimizer={"kind": "muon", "adam": ["logit/*"]}).check(plan)


def test_the_command_line_chooses_one(tmp_path):
    network = ("--family", "cifar", "--set", "stages=[1]", "--input-shape", "8x8x1", "--data", "digits@60")
    short = ("--recipe", "paper-cifar", "--epochs", "1", "--batch-size", "20", "--out", str(tmp_path / "run"))
    refused = CliRunner().invoke(commands, ["train", *network, *short, "--optimizer", "lamp"])
    assert refused.exit_code == 2 and "did you mean lamb?" in refused.stderr
    done = CliRunner().invoke(commands, ["train", *network, *short, "--optimizer", "adamw", "--learning-rate", "0.002"])
    assert done.exit_code == 0, done.output
    chosen = reskeras.Run(tmp_path / "run").folder.recipe()
    assert (chosen.optimizer.kind, chosen.schedule.kind) == ("adamw", recipe("paper-cifar").schedule.kind)
