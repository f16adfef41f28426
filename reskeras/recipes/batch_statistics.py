"""BatchStatisticsSpec: batch norm's statistics measured anew where a training starts from another run, as data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reskeras.documents.fields import Spec, whole


class BatchStatisticsSpec(Spec):
    """Means and variances over the images of the run that a training starts from, instead of its moving averages, which
    lag behind its weights (v1 appendix A: "we compute the BN statistics for each layer on the ImageNet training set").

    They are measured layer after layer, each by the statistics of those before it, as when all are frozen.
    """

    images: Annotated[
        int,
        whole(1, 10_000_000),
        Field(description="Number of training images, evenly spaced; all of them if there are fewer"),
    ] = 10_000
    data: Annotated[
        str | None,
        Field(max_length=4096, description="Source of these images; default: the one that run was trained on"),
    ] = None
