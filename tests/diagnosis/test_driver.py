"""NVIDIA's driver is found by its files and asked through its library, or described by why it does not answer."""

import ctypes
import shutil
import subprocess

import pytest

from reskeras.diagnosis.driver import find_driver
from reskeras.diagnosis.facts import Driver, Gpu

VERSION = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.90.07  Fri May 31 09:35:42 UTC 2024\nGCC version: 12\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\n"
LIBRARY = r"""
#include <string.h>
#include <stddef.h>
int cuDriverGetVersion(int *v) { *v = 12040; return 0; }
int cuInit(unsigned f) { return STATUS; }
int cuDeviceGetCount(int *n) { *n = 2; return 0; }
int cuDeviceGet(int *d, int i) { *d = i + 10; return 0; }
int cuDeviceGetName(char *s, int n, int d) { strncpy(s, d == 10 ? "NVIDIA H200" : "Tesla V100", n); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? (d == 10 ? 9 : 7) : a == 76 ? 0 : -1; return 0; }
int cuDeviceTotalMem_v2(size_t *b, int d) { *b = (size_t)141 << 30; return 0; }
"""


def system(folder, version=VERSION, devices=("nvidia0", "nvidia1", "nvidiactl")):
    (folder / "proc/driver/nvidia").mkdir(parents=True)
    (folder / "proc/driver/nvidia/version").write_text(version)
    (folder / "dev").mkdir()
    for name in devices:
        (folder / "dev" / name).touch()
    return folder


def library(folder, status=0):
    """Opens a driver's library with the real calling convention, compiled here."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler")
    (folder / "cuda.c").write_text(LIBRARY)
    made = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", f"-DSTATUS={status}", "-o", made, folder / "cuda.c"], check=True)
    return lambda name: ctypes.CDLL(str(folder / name))


def absent(name):
    raise OSError(f"{name}: cannot open shared object file")


def test_a_driver_tells_its_gpus(tmp_path):
    found = find_driver(system(tmp_path), library(tmp_path))
    assert (found.loaded, found.version, found.cuda, found.error) == (True, "550.90.07", (12, 4), None)
    assert found.gpus == (Gpu("NVIDIA H200", (9, 0), 141 << 30), Gpu("Tesla V100", (7, 0), 141 << 30))
    assert found.devices == (str(tmp_path / "dev/nvidia0"), str(tmp_path / "dev/nvidia1"))
    assert found.forbidden == ()


@pytest.mark.parametrize(("status", "words"), [(100, "no device"), (803, "reboot"), (7, "see cuda.h")])
def test_a_driver_that_refuses_says_why(tmp_path, status, words):
    found = find_driver(system(tmp_path, OPEN), library(tmp_path, status))
    assert found.version == "580.65.06"
    assert found.gpus == () and f"cuInit fails with {status}, " in found.error and words in found.error


def test_without_a_library_the_files_remain(tmp_path):
    found = find_driver(system(tmp_path), absent)
    assert len(found.devices) == 2 and found.error == "libcuda.so.1 is not found"


def test_a_system_without_a_gpu_asks_nothing(tmp_path):
    def asked(name):
        raise AssertionError

    assert find_driver(tmp_path, asked) == Driver()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    assert find_driver(tmp_path, asked) == Driver(amd=True)
    (tmp_path / "dev/dxg").touch()  # WSL
    assert find_driver(tmp_path, absent).devices == (str(tmp_path / "dev/dxg"),)


def test_a_container_without_devices_has_a_driver_alone(tmp_path):
    found = find_driver(system(tmp_path, devices=()), absent)
    assert found.loaded and found.devices == ()
