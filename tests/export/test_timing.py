"""What is said of an artefact's speed, with a clock that is told what time it is."""

from types import SimpleNamespace

import numpy as np
import pytest

from reskeras.export import timing


def test_timings_are_percentiles_of_a_second_without_the_first_runs(monkeypatch):
    usual = np.repeat([0.01, 0.02, 0.3], [20, 30, 2])
    now, left, asked = [0.0], [5.0] * timing.WARMING + usual.tolist(), []

    def ask(images):
        asked.append(images)
        now[0] += left.pop(0)

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    found = timing.timed(ask, np.arange(3), 8)
    timed = usual[: len(asked) - timing.WARMING]
    assert timed.sum() >= timing.SECONDS > timed[:-1].sum()
    assert (found.batch, found.p50_ms, found.p99_ms, found.images_per_second) == pytest.approx(
        (8, 1000 * np.median(timed), 1000 * np.percentile(timed, 99), 8 / np.median(timed))
    )
    assert found.p99_ms > found.p50_ms
    assert all(images.tolist() == [0, 1, 2, 0, 1, 2, 0, 1] for images in asked)


@pytest.mark.parametrize(("seconds", "runs"), [(10.0, timing.LEAST), (1e-6, timing.MOST)])
def test_slow_artefacts_are_asked_often_enough_and_fast_ones_not_for_ever(monkeypatch, seconds, runs):
    now, asked = [0.0], []

    def ask(images):
        asked.append(images)
        now[0] += seconds

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    assert timing.timed(ask, np.arange(3), 1).p50_ms == pytest.approx(1000 * seconds)
    assert len(asked) == timing.WARMING + runs
