"""A run's recipe from before a field existed means what it meant then; a group of fields is one change, not each."""

import json

import pytest
import yaml

import reskeras
from reskeras.documents.changes import changes
from reskeras.errors import ReskerasError
from reskeras.recipes.recipe import Recipe
from reskeras.runs import check_same, new_run

SPEC = reskeras.DetectorSpec.model_validate({"backbone": {"family": "cifar", "depth": 8}, "classes": 2})
OLD = {  # as it was written before mosaic, rotate, hue and images
    "epochs": 3,
    "batch_size": 4,
    "augment": {"flip": "auto", "scale": [0.7, 1.4]},
}


@pytest.fixture
def older(tmp_path):
    with new_run(tmp_path / "run", SPEC) as run:
        (run.path / "recipe.yaml").write_text(yaml.safe_dump(OLD))
        (run.path / "provenance.json").write_text(json.dumps({"data": {"name": "digits-boxes"}, "task": "detection"}))
    return tmp_path / "run"


def told(path, **augment):
    chosen = Recipe.model_validate({**OLD, "augment": {**OLD["augment"], **augment}})
    with pytest.raises(ReskerasError) as refused:
        check_same(path, SPEC, chosen, "digits-boxes")
    return str(refused.value).partition("holds another training: ")[2]


def test_a_recipe_from_before_a_field_is_the_same_without_it(older):
    check_same(older, SPEC, Recipe.model_validate(OLD), "digits-boxes")
    off = {**OLD, "images": None, "augment": {**OLD["augment"], "mosaic": None, "rotate": 0, "hue": 0.0}}
    check_same(older, SPEC, Recipe.model_validate(off), "digits-boxes")


def test_a_group_that_is_turned_on_is_one_change_so_that_others_are_seen(older):
    mosaic = "{'probability': 0.5, 'scale': [0.5, 1.5], 'except_last': 0}"
    assert told(older, mosaic={"probability": 0.5}) == f"recipe.augment.mosaic {mosaic} instead of None"
    assert told(older, mosaic={"probability": 0.5}, rotate=90, hue=0.1) == (
        f"recipe.augment.rotate 90 instead of 0; recipe.augment.mosaic {mosaic} instead of None; "
        "recipe.augment.hue 0.1 instead of 0.0"
    )


def test_groups_are_put_together_on_either_side_and_only_where_the_other_is_null():
    before, after = {"a": None, "b": {"c": 1, "d": 2}, "e": {"f": 1}}, {"a": {"x": 1, "y": 2}, "b": None, "e": {"f": 2}}
    found = changes(before, after, "net", groups=True)
    assert {str(each) for each in found} == {
        "net.a {'x': 1, 'y': 2} instead of None",
        "net.b None instead of {'c': 1, 'd': 2}",
        "net.e.f 2 instead of 1",
    }
    assert [each.field for each in changes(before, after)] == ["b.c", "b.d", "e.f", "a.x", "a.y"]
