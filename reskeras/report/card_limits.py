"""The limits of a model, as its card states them: what the figures do not tell, and what was not tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reskeras.printable import counted
from reskeras.recipes.recipe import Recipe
from reskeras.report.card_results import CardResults

SMALL = 1000  # test images


def limits(
    results: CardResults | None, recipe: Recipe | None, provenance: Mapping[str, Any], caveats: Sequence[str]
) -> Iterator[str]:
    """Sentences, of our own words; `caveats` are those of the task."""
    if results is None:
        yield "How good it is is not known: it has not been tested."
    else:
        yield (
            "All figures are of test images from the same data as the training images. It has not been tested on "
            "images from elsewhere: other cameras, light, places or choices of what is shown."
        )
        if 0 < results.images < SMALL:
            size = counted(results.images, "image")
            yield f"The test set is small, {size}: differences within the intervals mean nothing."
        yield from results.limits
    if recipe is not None:
        yield (
            f"It is one training, with the seed {recipe.seed}. Others differ, and one does not show by how much; "
            "`reskeras train --seeds` does."
        )
        if recipe.schedule.kind == "plateau" and str(provenance.get("watched", "")).endswith("test images"):
            yield ("The learning rate was dropped by the error on the test images, so the figures may be too good.")
    if provenance.get("ported") and not provenance.get("data"):
        yield (
            "It was ported without data. Unless images were given to the export, its artefacts are compared on random "
            "images, where accuracies mean nothing."
        )
    if provenance.get("recalibrated"):
        yield "The statistics of batch norm were measured anew after the training."
    yield from caveats
    yield (
        "Its robustness to noise, blur and attacks has not been tested, nor whether its errors differ between groups "
        "of people. Test it on images of your own before you rely on it."
    )
