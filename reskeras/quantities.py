"""Numbers with units as people read them: `25.6 M`, `3.00 MiB`, `12.0 ms`."""

from __future__ import annotations

UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
TIME_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"))
BYTE_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def short(number: float) -> str:
    """Three significant figures with k, M, G, T or P, such as `25.6 M` and `3.86 G`."""
    for size, unit in UNITS:
        if number >= size * 0.9995:  # 999,600 is 1.00 M, not 1000 k
            return f"{_figures(number / size)} {unit}"
    return f"{number:g}"


def short_bytes(number: int) -> str:
    """Three significant figures with KiB, MiB or GiB."""
    for size, unit in BYTE_UNITS:
        if number >= size:
            return f"{_figures(number / size)} {unit}"
    return f"{number} B"


def short_time(seconds: float) -> str:
    """Three significant figures with ms, s, min, h or d; microseconds below."""
    for size, unit in TIME_UNITS:
        if seconds >= size * 0.9995:
            return f"{_figures(seconds / size)} {unit}"
    return f"{_figures(seconds * 1e6)} µs"


def _figures(number: float) -> str:
    return f"{number:.{2 if number < 9.995 else 1 if number < 99.95 else 0}f}"
