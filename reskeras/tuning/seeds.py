"""The seed that a search gives KerasTuner's oracle."""

from __future__ import annotations

import hashlib

SCHEME = 2  # how the oracle's seed of a new search is derived from the search's
MOST = 2**32 - 1  # NumPy's RandomState takes no more


def oracle_seed(seed: int, scheme: int = SCHEME) -> int:
    """The oracle's seed for a search's `seed`, 1 to 2**32 - 1: KerasTuner takes 0 for "any".

    KerasTuner raises its seed by one for each value that it draws, so that searches whose seeds are neighbours would
    draw the same values, shifted by a trial. Scheme 2 keeps them far apart with a hash; scheme 1, which is kept for
    searches that were begun with it, adds one to the seed.
    """
    if scheme == 1:
        return seed + 1
    digest = hashlib.sha256(f"reskeras search {seed}".encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % MOST
