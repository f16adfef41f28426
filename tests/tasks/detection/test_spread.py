"""A detector's evaluation on two devices finds what it finds on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
TWO = """
import json, sys
import reskeras, reskeras.engine
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from reskeras.tasks.detection import detector_inference
from reskeras.graph.spread import spread
shared, results = [], []
def counted(function, devices):
    shared.append(list(devices))
    return spread(function, devices)
detector_inference.spread = counted
for devices in ([], ["/cpu:0", "/cpu:1"]):
    detector_inference.inference_devices = lambda: devices
    results.append(reskeras.Run(sys.argv[1]).evaluate().as_dict())
print(json.dumps({"results": results, "shared": shared}))
"""


def test_a_detector_on_two_devices_finds_what_it_finds_on_one(detector_run):
    done = subprocess.run(
        [sys.executable, "-c", TWO, str(detector_run.path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    one, two = (json.dumps(rounded(each), sort_keys=True) for each in found["results"])
    assert one == two
    assert found["shared"] == [[], ["/cpu:0", "/cpu:1"]]


def rounded(value):
    """Figures within rounding."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value
