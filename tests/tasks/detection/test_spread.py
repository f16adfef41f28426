"""A detector's evaluation on two devices finds what it finds on one."""

import json

import pytest

from tests.graph.two_devices import found_by

TWO = """
from reskeras.tasks.detection import detector_inference
detector_inference.spread = counted
for devices in ([], ["/cpu:0", "/cpu:1"]):
    detector_inference.inference_devices = lambda: devices
    results.append(reskeras.Run(sys.argv[1]).evaluate().as_dict())
"""


@pytest.mark.slow
def test_a_detector_on_two_devices_finds_what_it_finds_on_one(detector_run):
    found = found_by(TWO, detector_run)
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
