"""What no spec makes: an operation that can still be compared with a plan, and the refusal of a whole graph."""

from __future__ import annotations

from dataclasses import dataclass

from reskeras.errors import ReskerasError
from reskeras.spec.operations import Op

LONGEST_NAME = 80


class Unlike(ReskerasError):
    """No network of this space is near; the message says why, as what "it" has or does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign(Op):
    """`what` it is in words; `weighted` when it does the work of a convolution, so that no block can be made of it."""

    what: str
    weighted: bool = False

    @property
    def kind(self) -> str:
        """What tables and differences call it."""
        return self.what


def legible(text: object) -> str:
    """What a file says, fit for a message: one line of letters that a terminal does not obey, not too long."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return shown if len(shown) <= LONGEST_NAME else f"{shown[:LONGEST_NAME]}..."
