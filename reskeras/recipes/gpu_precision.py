"""The precision that a generation of GPUs computes in, for what a recipe asks."""

from __future__ import annotations

from reskeras.errors import ReskerasError

Capability = tuple[int, int]  # of CUDA, such as (8, 0)
# compute capabilities from which NVIDIA's GPUs have tensor cores for a precision, and the first such generation
CAPABILITIES: dict[str, tuple[Capability, str]] = {
    "mixed_bfloat16": ((8, 0), "Ampere"),
    "mixed_float16": ((7, 0), "Volta"),
}


def gpu_precision(asked: str, capability: Capability) -> str:
    """The Keras dtype policy for `asked` on GPUs of at least compute capability `capability`.

    `auto` is the first of mixed_bfloat16 and mixed_float16 that they have tensor cores for, else float32. ReskerasError
    (status 2) for bf16 where they lack it.
    """
    if asked == "mixed_bfloat16" and capability < CAPABILITIES[asked][0]:
        raise ReskerasError(
            f"precision: {asked} needs a GPU of the {CAPABILITIES[asked][1]} generation or later, and this one has "
            f"compute capability {capability[0]}.{capability[1]}; use mixed_float16 or auto"
        )
    return next(iter(gpu_halves(capability)), "float32") if asked == "auto" else asked


def gpu_halves(capability: Capability) -> tuple[str, ...]:
    """The half-precision policies that such GPUs have tensor cores for, the best first."""
    return tuple(policy for policy, (least, _) in CAPABILITIES.items() if capability >= least)
