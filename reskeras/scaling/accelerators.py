"""The accelerators that a training can be planned for, one row each, from their vendor's data sheets."""

from __future__ import annotations

from dataclasses import dataclass

from reskeras.errors import unknown
from reskeras.recipes.gpu_precision import Capability


@dataclass(frozen=True)
class Accelerator:
    """Peaks of an accelerator, as its data sheet has them.

    memory: GiB, which data sheets call GB. half: dense TFLOP/s of float16, and of bf16 where the generation has it,
    accumulated in float32. single: those of float32 as TensorFlow multiplies it, which is TF32 from Ampere on.
    bandwidth: GB/s of its memory. link: GB/s in each direction to the others in a machine.
    """

    product: str
    capability: Capability
    memory: int
    half: float
    single: float
    bandwidth: float
    link: float
    linked_by: str
    source: str

    def peak(self, precision: str) -> float:
        """FLOP/s in a Keras dtype policy."""
        return 1e12 * (self.single if precision == "float32" else self.half)


# data sheets give tensor cores with sparsity, which is twice the dense rate here, and links in both directions together
ACCELERATORS: dict[str, Accelerator] = {
    "t4": Accelerator("Tesla T4", (7, 5), 16, 65, 8.1, 320, 16, "PCIe 3", "NVIDIA T4 product brief"),
    "v100": Accelerator("Tesla V100 SXM2", (7, 0), 16, 125, 15.7, 900, 150, "NVLink", "NVIDIA V100 data sheet"),
    "v100-32": Accelerator("Tesla V100 SXM2", (7, 0), 32, 125, 15.7, 900, 150, "NVLink", "NVIDIA V100 data sheet"),
    "a10": Accelerator("A10", (8, 6), 24, 125, 62.5, 600, 32, "PCIe 4", "NVIDIA A10 data sheet"),
    "a100": Accelerator("A100 SXM4", (8, 0), 40, 312, 156, 1555, 300, "NVLink", "NVIDIA A100 data sheet"),
    "a100-80": Accelerator("A100 SXM4", (8, 0), 80, 312, 156, 2039, 300, "NVLink", "NVIDIA A100 data sheet"),
    "l4": Accelerator("L4", (8, 9), 24, 121, 60, 300, 32, "PCIe 4", "NVIDIA L4 data sheet"),
    "rtx-3090": Accelerator(
        "GeForce RTX 3090", (8, 6), 24, 71, 35.6, 936, 32, "PCIe 4", "NVIDIA Ampere GA102 white paper"
    ),
    "rtx-4090": Accelerator(
        "GeForce RTX 4090", (8, 9), 24, 165.2, 82.6, 1008, 32, "PCIe 4", "NVIDIA Ada architecture white paper"
    ),
    "h100": Accelerator("H100 SXM5", (9, 0), 80, 989.4, 494.7, 3350, 450, "NVLink", "NVIDIA H100 data sheet"),
    "h200": Accelerator("H200 SXM", (9, 0), 141, 989.4, 494.7, 4800, 450, "NVLink", "NVIDIA H200 data sheet"),
    "b200": Accelerator("B200 SXM", (10, 0), 180, 2250, 1125, 8000, 900, "NVLink", "NVIDIA DGX B200 data sheet"),
}


def accelerator(name: str) -> Accelerator:
    """The row called `name`; ReskerasError (status 2) with the choices for any other."""
    if name not in ACCELERATORS:
        raise unknown("device", name, ACCELERATORS)
    return ACCELERATORS[name]
