"""What was found on a machine, as plain data, so that advice is a pure function of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Capability = tuple[int, int]  # an NVIDIA GPU's compute capability, (major, minor)
Level = Literal["problem", "warning", "note"]


@dataclass(frozen=True)
class Gpu:
    """A GPU by name, its compute capability, its memory in bytes; None where that could not be found out."""

    name: str
    capability: Capability | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Build:
    """How the installed TensorFlow was built. `kernels` are the GPU generations it has kernels for, as nvcc calls them:
    sm_80 is machine code for 8.0, compute_90 code that the driver compiles for 9.0 and later. `cuda` is None for a
    build without CUDA. `missing` are the packages of `tensorflow[and-cuda]` that are missing or of another version."""

    version: str
    keras: str
    cuda: str | None = None
    cudnn: str | None = None
    kernels: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver: `loaded` in the kernel, its `version`, the `devices` it has in /dev, those of them that this
    user may not open (`forbidden`), the newest CUDA that it runs, the GPUs that it lends to this process, or the
    `error` with which it refused. `amd` is whether AMD's driver is there instead."""

    loaded: bool = False
    version: str | None = None
    devices: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    cuda: tuple[int, int] | None = None
    gpus: tuple[Gpu, ...] = ()
    error: str | None = None
    amd: bool = False


@dataclass(frozen=True)
class Place:
    """The working directory, where runs are written: free bytes, and why nothing can be written there, or None."""

    folder: str
    free: int
    refusal: str | None = None


@dataclass(frozen=True)
class Machine:
    """Everything found. `gpus` are those that TensorFlow uses, `visible` is CUDA_VISIBLE_DEVICES, `processors` are all
    of the machine and `cores` those that this process may use; `halves` are the half precisions that the device is
    fast in; `xla_error` is why XLA could not compile a small function."""

    build: Build
    driver: Driver
    gpus: tuple[Gpu, ...]
    visible: str | None
    processors: int
    cores: int
    memory: int
    halves: tuple[str, ...]
    place: Place
    xla_error: str | None = None


@dataclass(frozen=True)
class Choices:
    """What training chooses for a network and a recipe on this machine. `refusal` is why it would not start; `workers`
    counts those of a cluster, `devices` the replicas on this machine, `batch` the images of a step over all."""

    network: str
    recipe: str
    strategy: str
    workers: int
    devices: int
    batch: int
    precision: str | None
    xla: bool
    form: str
    step_bytes: int
    run_bytes: int
    refusal: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Speed:
    """Images per second: of training steps on one repeated batch of `step_batch` images, and of the input pipeline
    alone. None where that was not measured; `failure` is why a step failed."""

    step: float | None = None
    step_batch: int = 0
    input: float | None = None
    data: str | None = None
    images: int = 0
    shared: bool = False
    failure: str | None = None

    @property
    def expected(self) -> float | None:
        """Images per second of a training with this data: the slower of both where a GPU computes; on a CPU steps and
        input share the cores, so that their times add up."""
        if self.step is None or self.input is None:
            return self.step
        return 1 / (1 / self.step + 1 / self.input) if self.shared else min(self.step, self.input)

    @property
    def bottleneck(self) -> Literal["input", "compute"] | None:
        """Which of both limits a training; None where only one was measured."""
        if self.step is None or self.input is None:
            return None
        return "input" if self.input < self.step else "compute"


@dataclass(frozen=True)
class Finding:
    """Something worth knowing, in one line. A problem makes training fail or leaves a GPU unused."""

    level: Level
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """What `reskeras doctor` found."""

    machine: Machine
    choices: Choices
    speed: Speed
    findings: tuple[Finding, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether there is no problem."""
        return all(each.level != "problem" for each in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain data for JSON."""
        speed = asdict(self.speed) | {"expected": self.speed.expected, "bottleneck": self.speed.bottleneck}
        return {**asdict(self), "speed": speed, "healthy": self.healthy}
