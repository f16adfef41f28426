"""Inference latency of a network for one image, measured on this machine."""

from __future__ import annotations

import time
from statistics import median

import tensorflow as tf

from reskeras.evaluation.views import forward
from reskeras.graph.compile import compile_plan
from reskeras.plans.plan import Plan

WARMING, TIMED = 3, 20


def latency_ms(plan: Plan) -> float:
    """Median latency in milliseconds for one float32 image: of TIMED runs, after WARMING warm-up runs."""
    run = forward(compile_plan(plan, "timed"))
    image = tf.zeros([1, *plan.input_shape])
    times = []
    for _ in range(WARMING + TIMED):
        began = time.perf_counter()
        run(image).numpy()
        times.append(time.perf_counter() - began)
    return median(times[WARMING:]) * 1000
