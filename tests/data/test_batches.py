"""Batches read ahead: bounded by memory, whatever the number of cores."""

from math import prod

import pytest

from reskeras.data.batches import AHEAD, FLOATS, MOST, PIXELS, ReadAhead


@pytest.mark.parametrize("taken", [PIXELS, FLOATS])
@pytest.mark.parametrize("readers", [1, 2, 16, 256])
@pytest.mark.parametrize("room", [1, 100_000_000, 10**10, 10**13])
@pytest.mark.parametrize(
    ("count", "size"), [(1, (8, 8, 1)), (128, (32, 32, 3)), (256, (224, 224, 3)), (8, (608, 1008, 3))]
)
def test_batches_in_the_making_and_those_that_wait_fit_in_the_room(taken, readers, room, count, size):
    found, numbers = ReadAhead.of(count, size, taken, readers, room), count * prod(size)
    assert found.parallel == 1 or found.parallel * taken.making * numbers <= room
    assert found.ready == 1 or found.ready * taken.ready * numbers <= room
    assert readers <= found.parallel * found.images < readers + found.parallel  # every reader has something to do
    assert 1 <= found.ready <= AHEAD


def test_small_batches_are_as_many_as_readers():
    assert ReadAhead.of(128, (32, 32, 3), readers=64, room=2 << 30) == ReadAhead(parallel=64, images=1, ready=AHEAD)


def test_large_batches_take_no_more_on_a_large_machine(monkeypatch):
    monkeypatch.setattr("reskeras.data.batches.memory", lambda: 1 << 40)
    found = ReadAhead.of(1024, (224, 224, 3), PIXELS, readers=192)
    assert found == ReadAhead(parallel=4, images=48, ready=AHEAD)
    assert (3 * found.parallel + found.ready) * 1024 * 224 * 224 * 3 < 1.2 * MOST
