"""The seed that a search gives KerasTuner's oracle."""

from __future__ import annotations

import hashlib

SCHEME = 2  # the current way of deriving the oracle's seed from the search's
MOST = 2**32 - 1  # largest seed of NumPy's RandomState


def oracle_seed(seed: int, scheme: int = SCHEME) -> int:
    """The oracle's seed for a search's `seed`, 1 to 2**32 - 1: KerasTuner takes 0 for "any".

    KerasTuner increments its seed for each value that it samples, so that searches with adjacent seeds would sample the
    same values, shifted by a trial. Scheme 2 separates them with a hash; scheme 1, kept for searches that were begun
    with it, adds one to the seed.
    """
    if scheme == 1:
        return seed + 1
    digest = hashlib.sha256(f"reskeras search {seed}".encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % MOST
