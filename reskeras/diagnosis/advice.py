"""Advice on a machine, a line each: pure functions of what was found."""

from __future__ import annotations

from collections.abc import Iterator

from reskeras.diagnosis.facts import Capability, Choices, Finding, Gpu, Machine, Speed
from reskeras.diagnosis.kernels import code_for, cuda_version, first_cuda, least_capability
from reskeras.launch.places import visible_gpus
from reskeras.printable import counted, few

INSTALL = "pip install 'tensorflow[and-cuda]'"
# words in TensorFlow's errors, and what helped those who met them
KNOWN = {
    ("libdevice", "ptxas"): f"{INSTALL}, or set XLA_FLAGS=--xla_gpu_cuda_data_dir=DIR to a CUDA toolkit",
    ("dnn library", "cudnn", "no algorithm worked"): (
        "check with nvidia-smi whether another process holds the GPU's memory; if none does, cuDNN is of the wrong "
        f"version: {INSTALL} in a new virtual environment"
    ),
    ("invalid_handle", "no kernel image", "unsupported toolchain", "unsupported_ptx"): (
        "TensorFlow's kernels do not fit this GPU or its driver: update the driver, or use a build for this generation"
    ),
}
KEPT_STATES = "its training states and models"
CLOSE = 1.2  # an input that is less than so many times as fast as the steps is worth a note


def findings(machine: Machine, choices: Choices, speed: Speed) -> tuple[Finding, ...]:
    """Everything worth knowing, problems first."""
    found = [*_on_gpus(machine), *_on_cores(machine), *_on_choices(machine, choices), *_on_speed(machine, speed)]
    order = ("problem", "warning", "note")
    return tuple(sorted(found, key=lambda each: order.index(each.level)))


def _on_gpus(machine: Machine) -> Iterator[Finding]:
    if not machine.gpus:
        yield _why_no_gpu(machine)
        return
    for gpu in dict.fromkeys(machine.gpus):  # equal ones once
        yield from _on_kernels(gpu, machine)
    capabilities = {gpu.capability for gpu in machine.gpus if gpu.capability}
    if len(capabilities) > 1:
        names = ", ".join(_named(gpu) for gpu in dict.fromkeys(machine.gpus))
        yield Finding(
            "warning",
            f"GPUs of several generations ({names}): the weakest decides the precision, and each step waits for the "
            "slowest; set CUDA_VISIBLE_DEVICES to equal ones",
        )
    seen = len(machine.gpus)
    if (lent := len(machine.driver.gpus)) > seen and (ignored := _ignored(machine)):
        yield Finding("warning", f"TensorFlow uses {seen} of {lent} GPUs; {ignored}")


def _why_no_gpu(machine: Machine) -> Finding:
    """Why TensorFlow has no GPU, and what to do: what is hidden on purpose is a note."""
    build, driver, visible = machine.build, machine.driver, machine.visible
    if driver.amd:
        return Finding(
            "problem",
            "an AMD GPU is not used: this TensorFlow is built for NVIDIA's; AMD has builds of its own, tensorflow-rocm",
        )
    if not driver.loaded and not driver.devices:
        return Finding("note", f"no GPU in this system: training runs on {_cores(machine.cores)}")
    if visible is not None and not visible_gpus({"CUDA_VISIBLE_DEVICES": visible}):
        return Finding("note", f"CUDA_VISIBLE_DEVICES={visible!r} hides the GPUs; unset it to train on them")
    if not driver.devices:
        return Finding(
            "problem",
            "NVIDIA's driver is loaded, but /dev has no GPU: start the container with docker run --gpus all, or ask "
            "the scheduler for one (sbatch --gres=gpu:1)",
        )
    if len(driver.forbidden) == len(driver.devices):
        return Finding(
            "problem", f"{driver.forbidden[0]} may not be opened by this user; join the group that owns it (ls -l /dev)"
        )
    if build.cuda is None:
        return Finding("problem", f"a GPU is not used: this TensorFlow is built without CUDA; {INSTALL}")
    if driver.error:
        return Finding("problem", f"a GPU is not used: {driver.error}; check nvidia-smi and install NVIDIA's driver")
    return Finding("problem", f"a GPU is not used: {_beyond_the_driver(machine)}")


def _beyond_the_driver(machine: Machine) -> str:
    """Why TensorFlow has no GPU although the driver lends some, with advice."""
    build, driver = machine.build, machine.driver
    needed = cuda_version(build.cuda)
    if needed and driver.cuda and driver.cuda[0] < needed[0]:
        return (
            f"NVIDIA's driver runs CUDA {_version(driver.cuda)} at most, and TensorFlow is built with {build.cuda}; "
            "update the driver"
        )
    if ignored := _ignored(machine):
        return ignored
    if build.missing:
        return f"TensorFlow cannot load CUDA's libraries; {INSTALL} ({few(build.missing)})"
    return (
        "TensorFlow cannot load CUDA's libraries although they are installed; unset LD_LIBRARY_PATH if it leads to "
        f"others, or make a new virtual environment and {INSTALL}"
    )


def _ignored(machine: Machine) -> str:
    """Which GPUs are older than all kernels of the build, with advice; empty when none is."""
    least = least_capability(machine.build.kernels)
    old = [gpu for gpu in machine.driver.gpus if least and gpu.capability and gpu.capability < least]
    if not old or least is None:
        return ""
    return (
        f"{_named(old[0])} is older than {_version(least)}, the oldest generation that this TensorFlow has kernels "
        "for; use a newer GPU, or a build of TensorFlow that has them"
    )


def _on_kernels(gpu: Gpu, machine: Machine) -> Iterator[Finding]:
    """Whether the build's kernels fit a GPU that TensorFlow uses."""
    build, driver = machine.build, machine.driver
    if gpu.capability is None or not build.kernels:
        return
    code, cuda = code_for(gpu.capability, build.kernels), cuda_version(build.cuda)
    if code is None:
        yield Finding(
            "problem",
            f"{_named(gpu)}: this TensorFlow has no kernels for it; install one that is built for its generation",
        )
        return
    if cuda and cuda < (first := first_cuda(gpu.capability)):
        yield Finding(
            "warning",
            f"{_named(gpu)} is newer than this TensorFlow's CUDA {build.cuda}, and kernels may fail; use a build with "
            f"CUDA {_version(first)} or later",
        )
    if code == "machine code":
        return
    if driver.cuda and cuda and driver.cuda < cuda:
        yield Finding(
            "problem",
            f"{_named(gpu)}: kernels are compiled from PTX of CUDA {build.cuda}, which a driver for CUDA "
            f"{_version(driver.cuda)} cannot do; update the driver",
        )
    else:
        yield Finding(
            "warning",
            f"{_named(gpu)}: the driver compiles TensorFlow's kernels from PTX when they are first used, which may "
            "take minutes; CUDA_CACHE_MAXSIZE=4294967296 keeps all of them in ~/.nv for the next start",
        )


def _on_cores(machine: Machine) -> Iterator[Finding]:
    if machine.cores < machine.processors:
        yield Finding(
            "note",
            f"a limit (affinity, container or job) leaves {_cores(machine.cores)} of {machine.processors}; images are "
            "decoded on them",
        )
    if not machine.gpus and not machine.halves:
        yield Finding("note", "this processor has no bf16 units (AVX512_BF16, AMX); training computes in float32")
    if machine.place.refusal:
        yield Finding("warning", f"runs cannot be written here: {machine.place.refusal}; use --out")


def _on_choices(machine: Machine, choices: Choices) -> Iterator[Finding]:
    if choices.refusal:
        yield Finding("problem", f"training would be refused: {choices.refusal}")
    if choices.note:
        yield Finding("warning", choices.note)
    if machine.xla_error:
        without = "set xla: false in the recipe" if choices.xla else "auto does without it"
        ways = "; ".join([*_known(machine.xla_error), without])
        yield Finding("problem" if choices.xla else "note", f"XLA cannot compile here ({machine.xla_error}); {ways}")
    if choices.run_bytes > machine.place.free and not machine.place.refusal:
        yield Finding(
            "warning",
            f"a run of {choices.network} takes about {_gib(choices.run_bytes)} with {KEPT_STATES}, and "
            f"{_gib(machine.place.free)} are free; use --out on a larger disk, or keep: 1 in the recipe",
        )


def _known(error: str) -> list[str]:
    """Advice on what TensorFlow says of a GPU that it cannot compute on."""
    return [advice for needles, advice in KNOWN.items() if any(needle in error.lower() for needle in needles)][:1]


def _on_speed(machine: Machine, speed: Speed) -> Iterator[Finding]:
    if speed.failure:
        yield Finding("problem", "; ".join([f"a training step fails: {speed.failure}", *_known(speed.failure)]))
    if speed.step is None or speed.input is None:
        return
    if speed.input >= CLOSE * speed.step:
        return
    waits = f"the input makes {speed.input:,.0f} images/s and the steps could take {speed.step:,.0f}"
    ways = "store images not much larger than the network's input, or augment less"
    if machine.gpus:
        needed = -(-machine.cores * speed.step // speed.input)
        ways = f"use about {needed:,.0f} cores instead of {machine.cores}, {ways}"
    yield Finding("warning" if speed.bottleneck == "input" else "note", f"{waits}; {ways}")


def _named(gpu: Gpu) -> str:
    return f"{gpu.name} (compute capability {_version(gpu.capability)})" if gpu.capability else gpu.name


def _version(pair: Capability) -> str:
    return f"{pair[0]}.{pair[1]}"


def _cores(count: int) -> str:
    return counted(count, "core")


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
