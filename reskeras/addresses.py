"""Addresses of remote folders, such as s3://bucket/run, and what is shown and written instead of their local copies."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Path("gs://bucket") is gs:/bucket; one letter is a drive
SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):(/+)", re.IGNORECASE)
SECRETS = re.compile(r"(?<=//)[^/\s@]*:[^/\s@]*(?=@)|(?<=\?)\S+")

_addresses: dict[str, str] = {}  # by the forms that the path of a local copy takes in texts
_plain = False  # whether `named` leaves texts as they are


def is_address(path: str | Path) -> bool:
    """Whether `path` is an address such as s3://bucket/run, not a path of this machine."""
    return SCHEME.match(str(path)) is not None


def address_form(path: str | Path) -> str:
    """An address as it is written: two slashes after the scheme, which a Path takes one of, and none at its end."""
    text = str(path)
    scheme = SCHEME.match(text)
    if scheme is None:
        raise ValueError(f"{text} is not an address")
    return f"{scheme[1].lower()}://{'/' * (len(scheme[2]) > 2)}{text[scheme.end() :].rstrip('/')}"


def masked(text: str) -> str:
    """`text` with user names and passwords, and the queries of addresses, as ***."""
    return SECRETS.sub("***", text)


def stands_for(copy: Path, address: str) -> None:
    """Let `named` show `address` wherever a text has the path of its local `copy`."""
    text = str(copy)
    for form in (text, json.dumps(text)[1:-1], html.escape(text)):
        _addresses[form] = address


def named(text: str) -> str:
    """`text` with the address of a remote folder in place of the path of its local copy."""
    if _plain:
        return text
    for copy, address in tuple(_addresses.items()):
        text = text.replace(copy, address)
    return text


@contextmanager
def copies_named() -> Iterator[None]:
    """Leave the paths of local copies in texts while the block runs: for commands of programs that need them."""
    global _plain
    _plain, before = True, _plain
    try:
        yield
    finally:
        _plain = before
