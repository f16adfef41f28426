"""The one error class of reskeras: a message for the user and the exit status of the command."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from reskeras.addresses import named

WRONG_REQUEST = 2
FAILED = 1
LONGEST_VALUE = 100
MOST_LISTED = 20  # choices; more of them would push the hint off the line


class ReskerasError(Exception):
    """What a user did wrong (status 2) or what broke while working (status 1), in one or two lines.

    `final` failures would only repeat themselves if a launcher started the process again. A program should end
    `at_once` after others, because TensorFlow, at its own end, waits for workers that are gone.
    """

    final = at_once = False

    def __init__(self, message: str, status: int = WRONG_REQUEST):
        super().__init__(named(message))
        self.status = status


def failure(message: str) -> ReskerasError:
    """A `ReskerasError` for work that failed or a file that is broken: exit status 1."""
    return ReskerasError(message, FAILED)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or else its type."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def shown(value: object) -> str:
    """`value` as a message shows it: its repr, shortened if long."""
    try:
        text = named(repr(value))
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits; nested too deeply
        return f"a value of type {type(value).__name__} that is too large to show"
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def unknown(field: str, value: object, choices: Iterable[str], where: str = "") -> ReskerasError:
    """A `ReskerasError` that names the field, the value, the nearest choice and all choices.

    `where` is a place such as `net.yaml, line 4`.
    """
    names = [str(choice) for choice in choices]
    text = str(value)
    # of a path such as stages.1.wdith, the last part is what was mistyped
    near = get_close_matches(text, names, n=1) or get_close_matches(text.rpartition(".")[2], names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    place = f" (in {where})" if where else ""
    listed = ", ".join(names) if len(names) <= MOST_LISTED else f"{len(names)} names such as {', '.join(names[:5])}"
    return ReskerasError(f"{field}: {shown(value)} is not one of {listed}{hint}{place}")
