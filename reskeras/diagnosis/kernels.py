"""Which GPU generations a TensorFlow build has kernels for, as CUDA's compatibility rules say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from reskeras.diagnosis.facts import Capability

# a build names its kernels sm_80 (machine code), compute_90 (PTX), or 8.0 (both); the last digit is the minor number.
# A suffix, as in sm_90a, means: for this generation alone
KERNEL = re.compile(r"(?:(?P<kind>sm|compute)_)?(?P<major>\d+)(?P<dot>\.)?(?P<minor>\d)(?P<only>[a-z]?)")
Code = Literal["machine code", "PTX"]
# the first CUDA version that knows a generation; NVIDIA's release notes of 11.8 and 12.8
FIRST_CUDA: tuple[tuple[Capability, tuple[int, int]], ...] = (
    ((10, 0), (12, 8)),
    ((8, 9), (11, 8)),
    ((8, 6), (11, 1)),
    ((8, 0), (11, 0)),
)


def code_for(capability: Capability, kernels: Iterable[str]) -> Code | None:
    """What a build with `kernels` runs on a GPU of `capability`, or None when it has nothing for it.

    Machine code runs on GPUs of the same major number and the same or a higher minor one; PTX is compiled by the driver
    for its own and every later generation (CUDA C++ programming guide, application compatibility).
    """
    fitting = [
        (kind, built)
        for kind, built, only in _parsed(kernels)
        if built == capability or (built < capability and not only)
    ]
    if any(kind != "compute" and built[0] == capability[0] for kind, built in fitting):
        return "machine code"
    return "PTX" if any(kind != "sm" for kind, _ in fitting) else None


def least_capability(kernels: Iterable[str]) -> Capability | None:
    """The oldest generation that a build has kernels for: TensorFlow ignores GPUs below it."""
    return min((built for _, built, _ in _parsed(kernels)), default=None)


def described(kernels: Iterable[str]) -> str:
    """`machine code for 8.0, 8.9; PTX for 9.0`."""
    found = [(kind, f"{major}.{minor}{only}") for kind, (major, minor), only in _parsed(kernels)]
    parts = {
        "machine code for": [name for kind, name in found if kind != "compute"],
        "PTX for": [name for kind, name in found if kind != "sm"],
    }
    return "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names)


def first_cuda(capability: Capability) -> tuple[int, int]:
    """The first CUDA version that compiles for a GPU of `capability`."""
    return next((cuda for least, cuda in FIRST_CUDA if capability >= least), (10, 0))


def cuda_version(text: str | None) -> tuple[int, int] | None:
    """`12.5.1` to (12, 5); None for what is no version."""
    match = re.match(r"(\d+)\.(\d+)", text or "")
    return (int(match[1]), int(match[2])) if match else None


def _parsed(kernels: Iterable[str]) -> list[tuple[str | None, Capability, str]]:
    matches = (KERNEL.fullmatch(each.strip()) for each in kernels)
    return [(m["kind"], (int(m["major"]), int(m["minor"])), m["only"]) for m in matches if m]
