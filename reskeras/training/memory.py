"""Whether a training step fits into memory: an estimate beforehand, and advice when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from reskeras.errors import ReskerasError, failure
from reskeras.machine import memory
from reskeras.plans.plan import Plan
from reskeras.printable import counted
from reskeras.recipes.recipe import Recipe
from reskeras.training.precision import training_precision

MOST_PARTS = 1024  # the recipe's bound on `accumulate`
WARNED = 0.5  # share of the memory; temporaries come on top of what a step keeps


def check_memory(plan: Plan, recipe: Recipe, images: int) -> str:
    """A note when a step on `images` images may not fit into this process' memory; empty when it does.

    ReskerasError (status 2) when it cannot fit. GPU memory is not estimated.
    """
    if tf.config.list_physical_devices("GPU"):
        return ""
    precision = training_precision(recipe.precision)
    needed, available = recipe.step_bytes(plan, images, precision), memory()
    if needed <= WARNED * available:
        return ""
    fixed = recipe.step_bytes(plan, 0, precision)
    fitting = int(images * (WARNED * available - fixed) / (needed - fixed)) if needed > fixed else 0
    advice = advised(recipe, fitting)
    told = (
        f"a step on {counted(images, 'image')} keeps at least {_gib(needed)} for its backward pass, and this process "
        f"may use {_gib(available)}"
    )
    if needed > available:
        raise ReskerasError(f"batch_size: {recipe.batch_size}: {told}; {advice}")
    return f"memory: {told}; if it runs out, {advice}"


def advised(recipe: Recipe, fitting: int = 0) -> str:
    """Advice for a step that is too large; `fitting` is the number of images that would fit, if known."""
    ways = [f"--batch-size {fitting}" if fitting else "a smaller --batch-size"]
    if not recipe.recompute and recipe.form != "unrolled" and not recipe.sync_bn:
        ways.append("--recompute")
    largest = fitting or recipe.step_images // 2
    parts = [
        count
        for count in range(recipe.accumulate + 1, min(recipe.batch_size, MOST_PARTS) + 1)
        if recipe.batch_size % count == 0 and recipe.batch_size // count <= largest
    ]
    if parts:
        ways.append(f"accumulate: {parts[0]} in the recipe")
    if recipe.sizes:
        ways.append("smaller sizes")
    return f"use {', '.join(ways[:-1])} or {ways[-1]}" if len(ways) > 1 else f"use {ways[0]}"


@contextmanager
def memory_failures(recipe: Recipe) -> Iterator[None]:
    """Turn out-of-memory errors in the block into a failure with advice."""
    try:
        yield
    except (MemoryError, tf.errors.OpError) as error:
        if not ran_out(error):
            raise
        raise failure(
            f"out of memory in a training with steps of {counted(recipe.step_images, 'image')}; {advised(recipe)}"
        ) from error


def ran_out(error: BaseException) -> bool:
    """Whether `error` means that memory ran out; TensorFlow raises the same error for a full disk."""
    exhausted = isinstance(error, tf.errors.ResourceExhaustedError) and "No space left" not in str(error)
    return exhausted or isinstance(error, MemoryError) or "std::bad_alloc" in str(error)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
