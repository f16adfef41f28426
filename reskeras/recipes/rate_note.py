"""A note on the learning rate of a recipe whose batch size or optimiser was changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reskeras.recipes.recipe import Recipe, recipe


def rate_note(chosen: Recipe, fields: dict[str, Any], source: str | Path | Recipe) -> str:
    """A note for when batch size or optimiser was changed and the learning rate was not; empty if there is nothing to
    note.

    The gradient of a batch is a mean, so the learning rate depends on the batch size: as a rule proportionally for SGD
    (arXiv:1706.02677), and to the square root for optimisers that scale their updates (arXiv:1904.00962, section 4).
    """
    if fields.get("learning_rate") is not None:
        return ""
    base, rate = recipe(source), chosen.learning_rate
    if chosen.optimizer.kind != base.optimizer.kind:
        low, high = chosen.optimizer.usual_rates
        return (
            f"learning_rate {rate:g} is meant for {base.optimizer.kind}; with {chosen.optimizer.kind} "
            f"{low:g} to {high:g} is usual"
        )
    ratio = chosen.batch_size / base.batch_size
    if fields.get("batch_size") is None or 0.5 < ratio < 2:
        return ""
    return (
        f"learning_rate {rate:g} is meant for batches of {base.batch_size} images; the usual rule for "
        f"{chosen.batch_size} is --learning-rate {rate * ratio**chosen.optimizer.batch_power:.2g}"
    )
