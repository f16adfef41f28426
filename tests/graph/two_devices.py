"""Programs of tests that see two logical CPUs: devices are fixed once TensorFlow starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BEGIN = """
import json, sys
import reskeras, reskeras.engine
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from reskeras.graph.spread import spread
shared, results = [], []
def counted(function, devices):
    shared.append(list(devices))
    return spread(function, devices)
"""
END = """
print(json.dumps({"results": results, "shared": shared}))
"""


def found_by(program, run):
    """The `results` of a program on the folder of a run, and to which devices `counted` has `shared`."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program + END, str(run.path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
