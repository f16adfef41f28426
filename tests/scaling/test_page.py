"""Claims of docs/guides/scaling.md: its Python and its figures."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import reskeras
from reskeras.recipes.recipe import recipe
from reskeras.scaling.bounds import CIFAR, IMAGENET, step_bound
from tests.scaling.published import PUBLISHED, RESNET_50

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "scaling.md").read_text(encoding="utf-8")
A100 = [("a100", "1x1"), ("a100-80", "1x1")]


def share(network, device, cluster, each, precision, published, source):
    """The part of its bound that a published throughput reaches."""
    chosen = recipe("modern-imagenet", precision=precision)
    return published / step_bound(reskeras.plan(**network), cluster, device, chosen, each).images_per_second


def test_the_python_of_the_page_runs():
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+\.\d ms, limited by \w+: {'compute'", done.stdout)


def test_the_page_says_how_near_to_the_bounds_others_came():
    shares = [share(*row) for row in PUBLISHED]
    text = " ".join(PAGE.split())
    assert f"Of the {len(PUBLISHED)} published throughputs" in text
    assert f"they reach {min(shares):.0%} to {max(shares):.0%} of it" in text
    half = [share(*row) for row in PUBLISHED if row[0] is RESNET_50 and row[1:3] in A100 and row[4] == "mixed_float16"]
    assert len(half) == 2
    assert f"ResNet-50 in half precision on one A100 {min(half):.0%} to {max(half):.0%}" in text


def test_the_page_says_what_an_image_takes():
    text = " ".join(PAGE.split())
    for data in (IMAGENET, CIFAR):
        assert f"{data.core_ms:g} ms for {data.measured}" in text
