"""Training precision: bfloat16 where the hardware multiplies it faster than float32."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def training_precision(asked: str) -> str:
    """The Keras dtype policy for `asked`; `auto` is mixed_bfloat16 with a GPU, AVX512_BF16 or AMX, else float32.

    Elsewhere a CPU emulates bf16, which is several times slower than float32.
    """
    if asked != "auto":
        return asked
    return "mixed_bfloat16" if tf.config.list_physical_devices("GPU") or _cpu_flags() & BF16_FLAGS else "float32"


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return set()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
