"""Finds out what a machine has: the TensorFlow build, its GPUs, cores, memory, XLA, the working directory."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import keras
import tensorflow as tf
from packaging.requirements import Requirement

from reskeras.diagnosis.driver import find_driver
from reskeras.diagnosis.facts import Build, Driver, Gpu, Machine, Place
from reskeras.engine import stderr_aside
from reskeras.errors import ReskerasError, first_line
from reskeras.files import check_place
from reskeras.machine import cores, memory
from reskeras.runs import HOME
from reskeras.training.precision import fast_halves

EXTRA = "and-cuda"  # of the package tensorflow: the libraries that it loads for GPUs
LONGEST_REASON = 200


def find_machine(environ: Mapping[str, str] = os.environ) -> Machine:
    """This machine. Open the replicas before: TensorFlow's devices are fixed once it has computed something."""
    driver = find_driver()
    return Machine(
        build=find_build(),
        driver=driver,
        gpus=used_gpus(driver),
        visible=environ.get("CUDA_VISIBLE_DEVICES"),
        processors=os.cpu_count() or 1,
        cores=cores(),
        memory=memory(),
        halves=fast_halves(),
        place=_place(),
        xla_error=_xla_error(),
    )


def find_build() -> Build:
    """The installed TensorFlow."""
    told = tf.sysconfig.get_build_info()
    return Build(
        version=tf.__version__,
        keras=keras.__version__,
        cuda=told.get("cuda_version") if told.get("is_cuda_build") else None,
        cudnn=told.get("cudnn_version"),
        kernels=tuple(told.get("cuda_compute_capabilities", ())),
        missing=_missing(),
    )


def _missing() -> tuple[str, ...]:
    """Packages that `tensorflow[and-cuda]` requires, as its own metadata says, and that are not installed so."""
    try:
        required = [Requirement(each) for each in metadata.requires("tensorflow") or ()]
    except metadata.PackageNotFoundError:  # tensorflow-cpu, a build of one's own
        return ()
    return tuple(each.name for each in required if _is_extra(each) and not _installed(each))


def _is_extra(required: Requirement) -> bool:
    marker = required.marker
    return marker is not None and marker.evaluate({"extra": EXTRA}) and not marker.evaluate({"extra": ""})


def _installed(required: Requirement) -> bool:
    try:
        return required.specifier.contains(metadata.version(required.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def used_gpus(driver: Driver) -> tuple[Gpu, ...]:
    """The GPUs that TensorFlow uses, with the memory that the driver says they have."""
    devices = tf.config.list_physical_devices("GPU")
    memories = [gpu.memory for gpu in driver.gpus] if len(driver.gpus) == len(devices) else [None] * len(devices)
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    return tuple(
        Gpu(each.get("device_name", "GPU"), each.get("compute_capability"), size)
        for each, size in zip(details, memories, strict=True)
    )


def _place() -> Place:
    refusal = None
    try:
        check_place(HOME / "run")
    except ReskerasError as error:
        refusal = str(error)
    folder = Path.cwd()
    return Place(str(folder), shutil.disk_usage(folder).free, refusal)


def _xla_error() -> str | None:
    """Why XLA cannot compile a small function for the first device, or None; on GPUs it needs ptxas and libdevice."""

    @tf.function(jit_compile=True)
    def small(x: tf.Tensor) -> tf.Tensor:
        return tf.math.tanh(tf.matmul(x, x)) + tf.math.lgamma(x)

    sys.stdout.flush()
    try:
        with stderr_aside():
            small(tf.ones([8, 8])).numpy()
    except (tf.errors.OpError, ValueError) as error:
        return first_line(error)[:LONGEST_REASON]
    return None
