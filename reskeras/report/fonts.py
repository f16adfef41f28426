"""Fonts for the characters of a text: the default, installed ones for other scripts, escapes where none has a glyph."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import accumulate
from typing import Any

from rich.cells import cell_len

from reskeras.printable import printable

USUAL = "DejaVu Sans"  # comes with matplotlib
# mathematical fonts, and one with a placeholder box for every character
UNFIT = ("Last Resort", "STIX", "cm", "DejaVu")


def drawable(text: str, families: Iterable[str] | None = None) -> tuple[str, tuple[str, ...]]:
    """`text` on one line, and the font families that draw it, the default first.

    A character without a glyph in any installed font (or in any of `families`, if given) is written as an escape such
    as `\\u65e5`.
    """
    text = printable(text)
    if text.isascii():
        return text, (USUAL,)
    missing, chosen = {ord(character) for character in text} - _characters(USUAL), [USUAL]
    choices = {name: _characters(name) for name in (_others() if families is None else families)} if missing else {}
    while missing and choices:
        best = max(choices, key=lambda name: len(choices[name] & missing))
        if not choices[best] & missing:
            break
        chosen.append(best)
        missing -= choices.pop(best)
    return "".join(_escaped(each) if ord(each) in missing else each for each in text), tuple(chosen)


def picture_font(texts: Iterable[str], size: int) -> tuple[dict[str, str], Any]:
    """One Pillow font of `size` pixels for all of `texts`, and how each text is written in it."""
    from PIL import ImageFont

    texts = list(texts)
    if all(text.isascii() for text in texts):
        return {text: printable(text) for text in texts}, ImageFont.load_default(size)
    _, families = drawable("".join(texts))
    wanted = {ord(character) for character in "".join(texts)}
    family = max(families, key=lambda name: len(_characters(name) & wanted))
    has = _characters(family)
    written = {
        text: "".join(each if ord(each) in has else _escaped(each) for each in printable(text)) for text in texts
    }
    return written, ImageFont.truetype(_files()[family], size)


def shortened(text: str, most: int) -> str:
    """`text`, with its middle replaced by an ellipsis if it is wider than `most` usual characters; Chinese and Japanese
    ones are as wide as two."""
    if cell_len(text) <= most:
        return text
    head = _beginning(text, (most - 1) * 2 // 3)
    return f"{head}…{_beginning(text[::-1], most - 1 - cell_len(head))[::-1]}"


def _beginning(text: str, most: int) -> str:
    widths = accumulate(map(cell_len, text))
    return text[: sum(width <= most for width in widths)]


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _others() -> list[str]:
    return sorted(name for name in _files() if name != USUAL)


@cache
def _files() -> dict[str, str]:
    """File of the upright, regular style of each usable font family."""
    from matplotlib.font_manager import findfont, fontManager

    files: dict[str, str] = {USUAL: findfont(USUAL)}
    for font in fontManager.ttflist:
        if font.style == "normal" and font.weight in (400, "normal", "regular") and not font.name.startswith(UNFIT):
            files.setdefault(font.name, font.fname)
    return files


@cache
def _characters(family: str) -> frozenset[int]:
    """Code points that a family has glyphs for; none if it cannot be drawn with, such as colour bitmap fonts."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(_files()[family])
    except (OSError, RuntimeError):  # a file that has gone, or that FreeType rejects
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
