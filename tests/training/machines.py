"""Machines of a cluster in network namespaces: each has an address and a folder of its own, and a link to a switch."""

import os
import subprocess
from contextlib import contextmanager, suppress
from itertools import count

import pytest

PORT = 2222
_NUMBERS = count()


def ip(*words):
    subprocess.run(["ip", *map(str, words)], check=True, capture_output=True, text=True)


class Machine:
    """A network namespace of one end of a cable, and a folder."""

    def __init__(self, name, index, folder):
        self.name, self.folder = f"{name}-{index}", folder / f"machine{index}"
        self.address = f"10.77.0.{index + 1}:{PORT}"
        self.folder.mkdir()

    def start(self, command, **keywords):
        """A process on the machine, in a session of its own."""
        keywords = {"cwd": self.folder, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | keywords
        return subprocess.Popen(["ip", "netns", "exec", self.name, *command], start_new_session=True, **keywords)

    def link(self, state):
        """Plug the cable in (up) or out (down): nothing is said to either side."""
        ip("-n", self.name, "link", "set", "eth0", state)


@contextmanager
def machines(number, folder):
    """So many machines on one switch; the test is skipped where the system does not permit namespaces."""
    name = f"rk{os.getpid()}x{next(_NUMBERS)}"
    switch, made = f"{name}-switch", []
    try:
        try:
            ip("netns", "add", switch)
            made.append(switch)
            ip("-n", switch, "link", "add", "br0", "type", "bridge")
            ip("-n", switch, "link", "set", "br0", "up")
            for index in range(number):
                ip("netns", "add", f"{name}-{index}")
                made.append(f"{name}-{index}")
                cable = ["name", "eth0", "type", "veth", "peer", "name", f"port{index}", "netns", switch]
                ip("-n", f"{name}-{index}", "link", "add", *cable)
                ip("-n", switch, "link", "set", f"port{index}", "master", "br0", "up")
                ip("-n", f"{name}-{index}", "addr", "add", f"10.77.0.{index + 1}/24", "dev", "eth0")
                for device in ("lo", "eth0"):
                    ip("-n", f"{name}-{index}", "link", "set", device, "up")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"this system permits no network namespaces: {getattr(error, 'stderr', '') or error}")
        yield [Machine(name, index, folder) for index in range(number)]
    finally:
        for each in reversed(made):
            with suppress(OSError, subprocess.CalledProcessError):
                ip("netns", "del", each)
