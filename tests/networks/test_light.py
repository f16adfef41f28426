"""The claim that everything about specs and plans happens without TensorFlow, Keras or NumPy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reskeras.networks.skips import SKIPS
from reskeras.plans.merges import MERGES
from reskeras.plans.operations import OPERATIONS

PROGRAM = """
import sys
import reskeras
import reskeras.networks.request
import reskeras.networks.diff
import reskeras.recipes.recipe
reskeras.plan("resnet-50", order="full_preact").complexity()
reskeras.NetworkSpec.model_json_schema()
print(*sorted({name.partition(".")[0] for name in sys.modules} & {"tensorflow", "keras", "numpy"}))
"""


def test_specs_plans_and_costs_import_no_tensorflow_keras_or_numpy():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == ""


@pytest.mark.parametrize("first", ["identification.foreign", "networks.diff", "plans.merges", "networks.skips"])
def test_the_tables_are_the_same_whatever_is_imported_first(first):
    program = f"""
import reskeras.{first}
from reskeras.networks.skips import SKIPS
from reskeras.plans.merges import MERGES
from reskeras.plans.operations import OPERATIONS
print(*OPERATIONS, "|", *MERGES, "|", *SKIPS)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split("|") == [" ".join(OPERATIONS) + " ", " " + " ".join(MERGES) + " ", f" {' '.join(SKIPS)}\n"]
