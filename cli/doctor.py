"""`reskeras doctor`: what this machine has for training, what training chooses on it, how fast it is, and advice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from reskeras.errors import FAILED
from reskeras.printable import counted
from reskeras.quantities import short, short_bytes

from .completion import complete_data, complete_network, complete_recipe
from .output import Styled, echo, emit_json, facts, heading, json_option, working
from .paths import data_dir_option

if TYPE_CHECKING:
    from reskeras.diagnosis.facts import Choices, Diagnosis, Finding, Gpu, Machine, Speed

COLOURS = {"problem": "red", "warning": "yellow", "note": None}
Line = tuple[str, str, str]


@click.command(
    "doctor",
    epilog="\b\nExamples:\n"
    "  reskeras doctor\n"
    "  reskeras doctor folder:photos --network resnet-50 --recipe modern-imagenet\n"
    "  reskeras doctor cifar10 --data-dir ~/tensorflow_datasets --json",
)
@click.argument("data", required=False, shell_complete=complete_data)
@data_dir_option
@click.option(
    "--network",
    default="cifar-resnet-20",
    show_default=True,
    metavar="NETWORK",
    shell_complete=complete_network,
    help="Network whose steps are timed: a name, a YAML file or a run.",
)
@click.option(
    "--recipe",
    metavar="RECIPE",
    shell_complete=complete_recipe,
    help="Recipe to train it with: a name or a YAML file.  [default: the one in NETWORK's file, else quick]",
)
@click.option(
    "--strategy", default="auto", show_default=True, metavar="S", help="As in train: one, mirrored, multi-worker, auto."
)
@click.option("--devices", type=int, metavar="N", help="As in train: number of GPUs; without a GPU, of logical CPUs.")
@json_option
def command(
    data: str | None,
    data_dir: Path | None,
    network: str,
    recipe: str | None,
    strategy: str,
    devices: int | None,
    as_json: bool,
) -> int:
    """Examine this machine for training: GPUs and whether TensorFlow can use them, what training would choose, its
    speed, and advice.

    With DATA the input pipeline is timed too, and compared with the steps: a source such as those of train.
    Nothing is written. The exit status is 1 when there is a problem: something that makes training fail or leaves a GPU
    unused.
    """
    from reskeras.networks.request import network as read_network
    from reskeras.networks.request import recipe_of
    from reskeras.recipes.recipe import recipe as read_recipe

    read_network(network)
    read_recipe(recipe or recipe_of(network))  # wrong requests fail before TensorFlow loads
    with working("examining this machine, which takes up to a minute"):
        from reskeras.diagnosis.doctor import doctor

        found = doctor(data, network, recipe, data_dir=data_dir, strategy=strategy, devices=devices)
    if as_json:
        emit_json(found.as_dict())
    else:
        _echo(found)
    return 0 if found.healthy else FAILED


def _echo(found: Diagnosis) -> None:
    heading("machine")
    facts(_machine(found.machine))
    echo()
    heading("training would use", f"{found.choices.network}, recipe {found.choices.recipe}")
    facts(_choices(found.choices))
    if lines := _speed(found.speed, found.machine):
        echo()
        heading("images per second")
        facts(lines)
    if found.findings:
        echo()
    for each in found.findings:
        _echo_finding(each)


def _echo_finding(found: Finding) -> None:
    echo(Styled(found.level, colour=COLOURS[found.level]), f": {found.text}")


def _machine(machine: Machine) -> list[Line]:
    from reskeras.diagnosis.kernels import described

    build, driver, place = machine.build, machine.driver, machine.place
    cuda = f"CUDA {build.cuda}, cuDNN {build.cudnn}; {described(build.kernels)}" if build.cuda else "without CUDA"
    runs = f", runs CUDA {driver.cuda[0]}.{driver.cuda[1]}" if driver.cuda else ""
    return [
        ("TensorFlow", build.version, f"Keras {build.keras}; {cuda}"),
        *([("driver", driver.version or "found", f"NVIDIA's{runs}")] if driver.loaded or driver.devices else []),
        *_gpus(machine.gpus),
        ("cores", str(machine.cores), f"of {machine.processors}"),
        ("memory", short_bytes(machine.memory), "that this process may use"),
        ("16-bit", ", ".join(each.removeprefix("mixed_") for each in machine.halves) or "none", "that is fast here"),
        ("XLA", "fails" if machine.xla_error else "works", machine.xla_error or "compiled a small function"),
        ("disk", short_bytes(place.free), f"free in {place.folder}"),
    ]


def _gpus(gpus: tuple[Gpu, ...]) -> list[Line]:
    if not gpus:
        return [("GPUs", "none", "that TensorFlow uses")]
    lines = []
    for gpu in dict.fromkeys(gpus):
        capability = f"compute capability {gpu.capability[0]}.{gpu.capability[1]}" if gpu.capability else ""
        memory = short_bytes(gpu.memory) if gpu.memory else ""
        lines.append(("GPUs", str(gpus.count(gpu)), ", ".join(filter(None, (gpu.name, capability, memory)))))
    return lines


def _choices(choices: Choices) -> list[Line]:
    count = choices.devices * choices.workers
    over = f"over {choices.workers} workers" if choices.workers > 1 else ""
    each = f"{choices.batch // count} images on each" if count > 1 and not choices.batch % count else ""
    return [
        ("strategy", choices.strategy, f"{counted(count, 'replica')} {over}".rstrip()),
        ("batch", str(choices.batch), each),
        ("precision", choices.precision or "none", ""),
        ("XLA", "yes" if choices.xla else "no", "compiles the step"),
        ("form", choices.form, ""),
        ("memory", short_bytes(choices.step_bytes), "that a step keeps on each device, at least"),
        ("run", short_bytes(choices.run_bytes), "on disk, with its states and models"),
    ]


def _speed(speed: Speed, machine: Machine) -> list[Line]:
    lines = []
    if speed.step is not None:
        where = "on the GPU" if machine.gpus else "on the processor"
        lines.append(("steps", short(round(speed.step, 1)), f"on one batch of {speed.step_batch} {where}"))
    if speed.input is not None:
        lines.append(("input", short(round(speed.input, 1)), f"{speed.data}, read and augmented alone"))
    if speed.expected is not None and speed.bottleneck:
        how = "cores are shared by both" if speed.shared else "the slower of both"
        epoch = f"{speed.images / speed.expected:,.0f} s an epoch of {speed.images:,} images"
        lines.append(("expected", short(round(speed.expected, 1)), f"{how}; limited by {speed.bottleneck}; {epoch}"))
    return lines
