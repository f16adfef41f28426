"""Promised times: the seconds of processor time that something takes, on the machine for which they were promised."""

import time
from collections.abc import Callable

PROMISED_FOR = 0.03  # seconds that `_work` takes on that machine, a fast core with nothing beside it


def shortest(measured: Callable[[], float], times: int = 5) -> float:
    """The shortest of `times` measurements in seconds, less what this machine is slower at the moment.

    Other work on the machine slows the processor's caches too, so the machine is measured between the others.
    """
    found, here = [], []
    for _ in range(times):
        here.append(_work())
        found.append(measured())
    return min(found) * min(1.0, PROMISED_FOR / min(here))


def _work() -> float:
    """Seconds of processor time of what interpreters mostly do: calls, attributes, small objects and their hashes."""

    class Box:
        def __init__(self, number: int):
            self.number = number

        def doubled(self) -> int:
            return 2 * self.number

    began = time.process_time()
    kept = {}
    for number in range(150_000):
        box = Box(number)
        kept[str(number % 1000), box.doubled() % 7] = [box.number]
    return time.process_time() - began
