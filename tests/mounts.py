"""Real file systems that refuse: a full one and a read-only one, mounted below a temporary folder."""

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def mounted(place, options):
    """A tmpfs on the new folder `place`; the test is skipped where mounting is not permitted."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting a file system is not permitted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place):
    """Use up a file system to its last byte."""
    with contextlib.suppress(OSError), open(place / "ballast", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def make_read_only(place):
    """Mount it once more, without the right to write."""
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
