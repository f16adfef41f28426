"""NVIDIA's driver as the system shows it: device files, its version, and what libcuda tells without TensorFlow."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reskeras.diagnosis.facts import Driver, Gpu
from reskeras.machine import SYSTEM

LIBRARY = "libcuda.so.1"
MOST_GPUS = 64
NAME_BYTES = 256
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
# what users meet, of cuda.h's errors
ERRORS = {
    34: "the library is a stub, not a driver",
    100: "no device",
    101: "an invalid device",
    802: "the system is not ready: is NVIDIA's fabric manager running?",
    803: "its library and the kernel's module are of different versions: reboot",
    804: "its compatibility library does not support this GPU",
    999: "an unknown error: reload the module nvidia_uvm, or reboot",
}


def find_driver(system: Path = SYSTEM, load: Callable[[str], Any] = ctypes.CDLL) -> Driver:
    """The driver, found by its files below `system` and by calling its library, which `load` opens."""
    version = _read(system / "proc/driver/nvidia/version")
    devices = _devices(system / "dev")
    amd = (system / "dev/kfd").exists() and not devices
    if not version and not devices:
        return Driver(amd=amd)
    told = re.search(r"(?:Kernel Module|x86_64|aarch64)\s+(\d+(?:\.\d+)+)", version)
    forbidden = tuple(str(each) for each in devices if not os.access(each, os.R_OK | os.W_OK))
    cuda, gpus, error = _ask(load)
    return Driver(bool(version), told[1] if told else None, tuple(map(str, devices)), forbidden, cuda, gpus, error, amd)


def _devices(folder: Path) -> list[Path]:
    """The GPUs' device files; WSL has one for all."""
    try:
        names = sorted(name for name in os.listdir(folder) if re.fullmatch(r"nvidia\d+|dxg", name))
    except OSError:
        return []
    return [folder / name for name in names]


def _ask(load: Callable[[str], Any]) -> tuple[tuple[int, int] | None, tuple[Gpu, ...], str | None]:
    """The newest CUDA that the driver runs, its GPUs, and why it lends none."""
    try:
        cuda = load(LIBRARY)
    except OSError:
        return None, (), f"{LIBRARY} is not found"
    number = ctypes.c_int()
    newest = None
    if not cuda.cuDriverGetVersion(ctypes.byref(number)) and number.value:
        newest = number.value // 1000, number.value % 1000 // 10
    if status := cuda.cuInit(0):
        return newest, (), f"cuInit fails with {status}, {ERRORS.get(status, 'see cuda.h')}"
    if status := cuda.cuDeviceGetCount(ctypes.byref(number)):
        return newest, (), f"cuDeviceGetCount fails with {status}, {ERRORS.get(status, 'see cuda.h')}"
    return newest, tuple(_gpu(cuda, index) for index in range(min(number.value, MOST_GPUS))), None


def _gpu(cuda: Any, index: int) -> Gpu:
    device, major, minor, total = ctypes.c_int(), ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(NAME_BYTES)
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, NAME_BYTES, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, device)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    known = (major.value, minor.value) if major.value else None
    return Gpu(name.value.decode(errors="replace") or f"GPU {index}", known, total.value or None)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")[:10_000]
    except OSError:
        return ""
