"""The weights of classes in a loss, as data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reskeras.documents.fields import within

Name = Annotated[str, Field(max_length=1000)]
ClassWeights = Annotated[
    Literal["none", "balanced"] | dict[Name, Annotated[float, within(0, 1000, above=True)]],
    Field(
        description="balanced: weight losses by inverse class frequency; or weights by the names of classes, 1 for "
        "others. In a detector they weight the cross-entropy of its regions, in a localiser that of its anchors, where "
        "background has 1"
    ),
]
