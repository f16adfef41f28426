"""Untrusted text made safe to print: characters that control a terminal or reorder a line are escaped."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from reskeras.addresses import named

# C0 and C1 controls, marks and overrides of writing direction, separators of lines, lone surrogates
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
Name = TypeVar("Name")
_UNDECODED = range(0xDC80, 0xDD00)  # what Python makes of the bytes of a file's name that are not UTF-8


def printable(text: str, keep: str = "") -> str:
    r"""`text` on one line, with control characters as escapes; the characters of `keep` stay as they are. Paths in the
    local copy of a remote folder become addresses.

    >>> printable("cat\x1b[31m")
    'cat\\x1b[31m'
    """
    return _UNSAFE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), named(text))


def is_utf8(name: str) -> bool:
    """Whether a file's name is text that UTF-8 has a form for: bytes that are none come as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _escape(character: str) -> str:
    code = ord(character)
    if code in _UNDECODED:
        code -= 0xDC00
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def few(many: Sequence[Name], most: int = 3, named: Callable[[Name], str] = str) -> str:
    """The names of the first of many, and how many more there are.

    >>> few(["a", "b", "c", "d"], 2)
    'a, b and 2 more'
    """
    more = f" and {len(many) - most:,} more" if len(many) > most else ""
    return ", ".join(map(named, many[:most])) + more


def counted(count: int, one: str, more: str = "") -> str:
    """A number of things, in the singular where it is one; `more` is the plural of irregular words.

    >>> counted(1, "image"), counted(2000, "image"), counted(2, "class", "classes")
    ('1 image', '2,000 images', '2 classes')
    """
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def short_repr(shown: object, *parts: str, **facts: object) -> str:
    """A `__repr__` on one line: the kind of `shown`, `parts` as they are, and facts by name; None is left out.

    >>> short_repr(1.5, "half of three", loss=0.123456, name=None)
    'float(half of three, loss=0.1235)'
    """
    named = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value!r}"
        for name, value in facts.items()
        if value is not None
    ]
    return f"{type(shown).__name__}({', '.join([*map(printable, parts), *named])})"
