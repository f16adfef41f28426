"""Batches read ahead: bounded by memory, whatever the number of cores."""

from math import prod

import pytest

from reskeras.data.batches import AHEAD, COPIES, ReadAhead


@pytest.mark.parametrize("readers", [1, 2, 16, 256])
@pytest.mark.parametrize("room", [1, 100_000_000, 10**10, 10**13])
@pytest.mark.parametrize(
    ("count", "size"), [(1, (8, 8, 1)), (128, (32, 32, 3)), (256, (224, 224, 3)), (8, (608, 1008, 3))]
)
def test_batches_in_the_making_and_those_that_wait_fit_in_the_room(readers, room, count, size):
    found, each = ReadAhead.of(count, size, readers, room), 4 * count * prod(size)
    assert found.parallel == 1 or COPIES * found.parallel * each <= room
    assert found.ready == 1 or found.ready * each <= room
    assert readers <= found.parallel * found.images < readers + found.parallel  # every reader has something to do
    assert 1 <= found.ready <= AHEAD


def test_small_batches_are_as_many_as_readers():
    assert ReadAhead.of(128, (32, 32, 3), readers=64, room=2 << 30) == ReadAhead(parallel=64, images=1, ready=AHEAD)
