"""Numbers with units on a command line: `1.5M`, `2GiB`."""

from __future__ import annotations

import re

import click

SIZES = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
}
FORM = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-zA-Z]*)")


class Quantity(click.ParamType):
    """An integer, given with k, M or G, or in bytes with KiB, MiB or GiB."""

    name = "quantity"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; click's error for anything else."""
        if isinstance(value, int):
            return value
        match = FORM.fullmatch(str(value).strip())
        if not match or match["unit"].lower() not in SIZES:
            self.fail(f"{value!r} is not a number such as 300000, 1.5M or 2GiB", param, ctx)
        return round(float(match["number"]) * SIZES[match["unit"].lower()])
