"""Claims about the JSON Schema that editors use: it accepts the catalogue and refuses what the spec refuses."""

from __future__ import annotations

import json

import jsonschema
import pytest
from click.testing import CliRunner

from reskeras.networks.catalog import catalog
from reskeras.networks.inception import InceptionSpec
from reskeras.networks.network import NetworkSpec
from reskeras_cli.main import commands


@pytest.fixture(scope="module")
def validator():
    return jsonschema.Draft202012Validator(NetworkSpec.model_json_schema())


def test_every_catalogued_spec_is_accepted(validator):
    for name, row in catalog().items():
        if isinstance(row.spec, NetworkSpec):
            assert validator.is_valid(row.spec.sparse()), name


def test_every_inception_network_is_accepted_by_its_own_schema():
    own = jsonschema.Draft202012Validator(InceptionSpec.model_json_schema())
    rows = {name: row.spec for name, row in catalog().items() if isinstance(row.spec, InceptionSpec)}
    assert len(rows) == 7
    for name, spec in rows.items():
        assert own.is_valid(spec.sparse()), name
        assert own.is_valid(spec.model_dump(mode="json")), name
    assert own.is_valid({"inception": "resnet-v1", "scaling": 0.2})
    for wrong in ({}, {"inception": "v3"}, {"inception": "v4", "cells": [1, 2]}, {"inception": "v4", "depth": 5}):
        assert not own.is_valid(wrong)


@pytest.mark.parametrize(
    "data",
    [
        {"family": "cifar", "stages": [1, {"units": 2, "skip": "dropout"}]},
        {"depth": 20, "input_shape": "32x32x1", "skip": {"kind": "scale", "shortcut": 0.5}},
        {},
    ],
)
def test_shorthands_are_accepted(validator, data):
    assert validator.is_valid(data)


@pytest.mark.parametrize(
    "data",
    [
        {"depht": 20},
        {"depth": "twenty"},
        {"shortcut": "D"},
        {"skip": "sideways"},
        {"skip": {"kind": "scale", "shortcut": 2}},
        {"stages": []},
        {"stages": [{"width": 3}]},
        {"classes": 0},
        {"bn": {"momentum": 1}},
        {"input_shape": [32, 32]},
        [18],
    ],
)
def test_what_the_spec_refuses_is_refused(validator, data):
    assert not validator.is_valid(data)


def test_schemas_of_localisers_and_refiners_accept_theirs():
    for name, good, wrong in (
        ("localiser", {"trunk": {"family": "cifar", "depth": 8}, "sample": 16}, {"trunk": {"depth": 8}, "sampel": 16}),
        ("refiner", {"judge": "cifar-resnet-20", "count": 50}, {"judge": "cifar-resnet-20", "count": 0}),
    ):
        printed = json.loads(CliRunner().invoke(commands, ["schema", name]).stdout)
        own = jsonschema.Draft202012Validator(printed)
        assert own.is_valid(good) and not own.is_valid(wrong)
