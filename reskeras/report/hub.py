"""Names on the Hugging Face hub of data and networks that are also there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

DATASETS = {
    "cifar10": "uoft-cs/cifar10",
    "cifar100": "uoft-cs/cifar100",
    "mnist": "ylecun/mnist",
    "fashion_mnist": "zalando-datasets/fashion_mnist",
    "imagenet2012": "ILSVRC/imagenet-1k",
    "food101": "ethz/food101",
}
_NAME = re.compile(r"[\w.-]{1,96}", re.ASCII)
_TIMM = re.compile(r"timm [\w.+-]+'s ([\w-]+\.[\w.-]+)", re.ASCII)


def dataset_id(name: str) -> str:
    """The hub's id of data called `name`, such as tfds:mnist or cifar10@1000; else the name itself where the hub would
    take it for one, and "" where it would not."""
    plain = re.sub(r"@\d+$", "", name).removeprefix("tfds:").partition("/")[0]
    return DATASETS.get(plain) or (name if _NAME.fullmatch(name) else "")


def model_id(provenance: Mapping[str, Any]) -> str:
    """The hub's id of the weights that a run was ported from: only of timm's, which are all there. Else ""."""
    ported = provenance.get("ported")
    proof = ported.get("proof") if isinstance(ported, Mapping) else None
    found = _TIMM.fullmatch(str(proof.get("against"))) if isinstance(proof, Mapping) else None
    return f"timm/{found[1]}" if found else ""
