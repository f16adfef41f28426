"""What is called the time of an image is that of the usual one, however slow the first and a few others are."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from reskeras.tuning import latency


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([9.0] * latency.WARMING + [0.002] * 11 + [0.001] * 5 + [1.0] * 4, 2.0),
        ([0.0] * latency.WARMING + [0.004, 0.002] * 10, 3.0),
    ],
)
def test_it_is_the_median_of_the_timed_runs(monkeypatch, seconds, expected):
    now, left, seen = [0.0], list(seconds), []

    def run(image):
        seen.append(image.shape)
        now[0] += left.pop(0)
        return image

    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(latency, "compile_plan", lambda plan, name: plan)
    monkeypatch.setattr(latency, "forward", lambda model: run)
    assert latency.latency_ms(SimpleNamespace(input_shape=(4, 5, 3))) == pytest.approx(expected)
    assert seen == [tf.TensorShape([1, 4, 5, 3])] * 23
    assert not left
