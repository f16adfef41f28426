"""The environment of each worker on one machine: ports, its share of cores and GPUs, TF_CONFIG."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Collection, Mapping, Sequence
from itertools import repeat, takewhile

from reskeras.errors import ReskerasError
from reskeras.machine import cores

HOST = "127.0.0.1"
PORTS = 65536
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
DEVICE = re.compile(r"\d+|(GPU|MIG)-.+")


def free_ports(count: int, first: int | None = None, avoid: Collection[int] = ()) -> list[int]:
    """`count` free TCP ports: the first ones from `first` on, or the system's choice; none of `avoid`.

    Another program may take one before the worker does: the worker then fails, and the group restarts on others.
    Raises ReskerasError (status 2) when there are too few.
    """
    ports: list[int] = []
    held: list[socket.socket] = []
    try:
        for port in repeat(0) if first is None else range(first, PORTS):
            if len(ports) == count:
                break
            held.append(socket.socket())  # kept open until all are chosen, or the system may choose one twice
            try:
                held[-1].bind(("", port))  # on all interfaces, as TensorFlow's server does
            except OSError:
                continue
            bound = held[-1].getsockname()[1]
            if bound not in avoid:
                ports.append(bound)
    finally:
        for each in held:
            each.close()
    if len(ports) < count:
        raise ReskerasError(f"port: {first}: {count} workers need {count} free ports from here on; found {len(ports)}")
    return ports


def environments(ports: Sequence[int], environ: Mapping[str, str]) -> list[dict[str, str]]:
    """Environment variables of each worker on these ports, in addition to `environ`.

    Cores are divided evenly unless OMP_NUM_THREADS or TF_NUM_INTRAOP_THREADS is set. So are GPUs; a remainder is
    unused, because a strategy needs the same number on each worker. Raises ReskerasError (status 2) when there are
    GPUs, but fewer than workers.
    """
    count = len(ports)
    gpus = visible_gpus(environ)
    if gpus and count > len(gpus):
        raise ReskerasError(
            f"workers: {count} are more than the GPUs of this machine ({', '.join(gpus)}); use at "
            f"most {len(gpus)}, or set CUDA_VISIBLE_DEVICES=-1 to train on its cores"
        )
    shared = dict(UNBUFFERED)
    shared.update({name: str(max(cores() // count, 1)) for name in THREADS if name not in environ})
    workers = [f"{HOST}:{port}" for port in ports]
    each = len(gpus) // count
    settings = []
    for index in range(count):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        setting = {"TF_CONFIG": json.dumps(config), **shared}
        if gpus:
            setting["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[index * each : (index + 1) * each])
        settings.append(setting)
    return settings


def visible_gpus(environ: Mapping[str, str]) -> tuple[str, ...]:
    """GPU names for CUDA_VISIBLE_DEVICES: the ones that it lists, or those of `nvidia-smi -L`.

    Like CUDA, this ignores everything from the first invalid entry on, such as -1.
    """
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return tuple(takewhile(DEVICE.fullmatch, (name.strip() for name in listed.split(","))))
    program = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if program is None:
        return ()
    try:
        done = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):  # a broken driver: TensorFlow would find no GPU either
        return ()
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return tuple(map(str, range(count)))
