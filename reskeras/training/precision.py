"""Training precision: the half precision that the hardware multiplies faster than float32."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from reskeras.recipes.gpu_precision import Capability, gpu_halves, gpu_precision

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def training_precision(asked: str) -> str:
    """The Keras dtype policy for `asked`.

    `auto` is the first of mixed_bfloat16 and mixed_float16 that every GPU has tensor cores for, else float32; without a
    GPU mixed_bfloat16 with AVX512_BF16 or AMX, else float32: elsewhere a CPU emulates it, which is several times
    slower. ReskerasError (status 2) for bf16 on a GPU that lacks it.
    """
    capabilities = _capabilities()
    if asked != "auto":
        return gpu_precision(asked, min(capabilities)) if capabilities else asked
    return next(iter(fast_halves()), "float32")


def fast_halves() -> tuple[str, ...]:
    """The half-precision policies that the devices for training multiply faster than float32, the best first."""
    if capabilities := _capabilities():
        return gpu_halves(min(capabilities))
    has_bf16 = tf.config.list_physical_devices("GPU") or _cpu_flags() & BF16_FLAGS
    return ("mixed_bfloat16",) if has_bf16 else ()


def _capabilities() -> list[Capability]:
    """Compute capabilities of the NVIDIA GPUs that TensorFlow sees."""
    details = (tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU"))
    return [each["compute_capability"] for each in details if "compute_capability" in each]


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
