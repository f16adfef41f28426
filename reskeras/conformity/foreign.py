"""An operation that no spec makes, so that a model which has one can still be compared with a plan."""

from __future__ import annotations

from dataclasses import dataclass

from reskeras.spec.operations import Op


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign(Op):
    """`what` it is in words; `weighted` when it does the work of a convolution, so that no block can be made of it."""

    what: str
    weighted: bool = False

    @property
    def kind(self) -> str:
        """What tables and differences call it."""
        return self.what
