"""The cluster that this process is a worker of: from TF_CONFIG, Vertex AI's CLUSTER_SPEC or Slurm, or none."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from reskeras.errors import ReskerasError, shown, unknown
from reskeras.stored import parsed

# roles by the names of the jobs in each variable; the chief is the first worker, as TensorFlow sees it
ROLES = {
    "TF_CONFIG": {"chief": "chief", "master": "chief", "worker": "worker", "ps": "ps", "evaluator": "evaluator"},
    "CLUSTER_SPEC": {"workerpool0": "chief", "workerpool1": "worker", "workerpool2": "ps", "workerpool3": "evaluator"},
}
VARIABLES = (*ROLES, "SLURM_PROCID")  # those that may name a cluster
# roles that take no part in a synchronous training: other tasks ignore them, and such a task is refused
IDLE = {
    "ps": "parameter servers are not used, because the workers sum their gradients among themselves; start workers "
    "instead",
    "evaluator": "the chief evaluates after each epoch, so start no evaluator; to evaluate a run here, unset {name} "
    "and use reskeras evaluate RUN",
}
# below Linux' ephemeral ports, which begin at 32768
FIRST_PORT, PORTS = 12000, 16000
MOST_WORKERS = 100_000  # longer lists of nodes or tasks are not real, and would take gigabytes to expand
WHOLE = re.compile(r"[0-9]{1,18}")
HOST_NAME = re.compile(r"[\w.-]+|\[[0-9a-fA-F:.%\w]+\]")  # or an IPv6 address
STEP_STRIDE = 101  # keeps the ports of a job's steps apart


@dataclass(frozen=True)
class Cluster:
    """The workers as `host:port`, and the index of this process. One worker is a cluster too."""

    workers: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the run folder."""
        return self.index == 0

    def tf_config(self) -> dict[str, Any]:
        """The equivalent TF_CONFIG as a dict, with every process a worker."""
        return {"cluster": {"worker": list(self.workers)}, "task": {"type": "worker", "index": self.index}}


def workers_here() -> int:
    """How many workers of the cluster run on this machine; 1 without a cluster."""
    here = cluster()
    hosts = [address.rpartition(":")[0] for address in here.workers] if here else [""]
    return hosts.count(hosts[here.index if here else 0])


def cluster(environ: Mapping[str, str] | None = None) -> Cluster | None:
    """The cluster of TF_CONFIG, else of Vertex AI's CLUSTER_SPEC, else of Slurm's step, else None.

    An empty cluster, which AI Platform and Vertex AI set for a single machine, is None too. Raises ReskerasError
    (status 2), which names the variable and what is wrong with it.
    """
    environ = os.environ if environ is None else environ
    for name, roles in ROLES.items():
        text = environ.get(name, "")
        if text.strip() and (name == "TF_CONFIG" or "workerpool" in text):  # others use the name CLUSTER_SPEC too
            return _from_json(text, name, roles)
    # a batch script itself sees PROCID 0 of its whole job, but only processes that srun starts are tasks
    in_step = "SLURM_STEP_ID" in environ or "SLURM_STEP_NODELIST" in environ or "SLURM_JOB_ID" not in environ
    return _from_slurm(environ) if "SLURM_PROCID" in environ and in_step else None


def _from_json(text: str, name: str, roles: Mapping[str, str]) -> Cluster | None:
    try:
        config = parsed(text)
    except ValueError as error:
        raise ReskerasError(f"{name}: {shown(text)} is not JSON: {error}") from None
    if config == {}:
        return None
    if not isinstance(config, dict):
        raise ReskerasError(f"{name}: {shown(config)} is not an object with cluster and task")
    if "sparseCluster" in config:
        raise ReskerasError(
            f"{name}: sparseCluster lists only some of the workers, and each must know all; start the TFJob without "
            "enableDynamicWorker"
        )
    task = config.get("task")
    kind = task.get("type") if isinstance(task, dict) else None
    if isinstance(kind, str) and (idle := IDLE.get(roles.get(kind, ""))):
        raise ReskerasError(f"{name}: task.type: {kind}: {idle.format(name=name)}")
    if config.get("cluster") == {}:  # a single machine, with a task or without
        return None
    jobs = _object(config, "cluster", '{"worker": ["host:port", ...]}', name)
    task = _object(config, "task", '{"type": "worker", "index": 0}', name)
    for job in jobs:
        if job not in roles:
            raise unknown(f"{name}: cluster", job, roles)
    addresses = {job: _addresses(job, listed, name) for job, listed in jobs.items() if roles[job] not in IDLE}
    if not isinstance(kind, str) or kind not in addresses:
        raise unknown(f"{name}: task.type", kind, addresses)
    index = _index(task.get("index"), kind, len(addresses[kind]), name)
    chiefs = [each for job, listed in addresses.items() if roles[job] == "chief" for each in listed]
    workers = [each for job, listed in addresses.items() if roles[job] == "worker" for each in listed]
    if len(chiefs) > 1:
        raise ReskerasError(f"{name}: cluster: {', '.join(chiefs)} are {len(chiefs)} chiefs; there should be one")
    together = (*chiefs, *workers)
    if len({each.lower() for each in together}) < len(together):
        raise ReskerasError(f"{name}: cluster: {', '.join(together)} lists an address twice")
    return Cluster(together, index + (len(chiefs) if roles[kind] == "worker" else 0))


def _index(given: Any, kind: str, count: int, name: str) -> int:
    index = int(given) if isinstance(given, str) and WHOLE.fullmatch(given) else given  # TensorFlow takes "0" too
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < count:
        raise ReskerasError(
            f"{name}: task.index: {shown(index)}: should be an integer between 0 and {count - 1}; cluster.{kind} "
            f"lists {count}"
        )
    return index


def _object(config: Mapping[str, Any], key: str, example: str, name: str) -> dict[str, Any]:
    if key not in config:
        raise ReskerasError(f"{name}: {key} is missing; give one such as {example}")
    if not isinstance(config[key], dict) or not config[key]:
        raise ReskerasError(f"{name}: {key}: {shown(config[key])} is not an object such as {example}")
    return config[key]


def _addresses(job: str, listed: Any, name: str) -> tuple[str, ...]:
    if not isinstance(listed, list) or not listed:
        raise ReskerasError(f"{name}: cluster.{job}: {shown(listed)} is not a list of host:port")
    for address in listed:
        host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
        if not HOST_NAME.fullmatch(host) or not WHOLE.fullmatch(port) or not 0 < int(port) < 65536:
            raise ReskerasError(f"{name}: cluster.{job}: {shown(address)} is not host:port")
    return tuple(listed)


def _from_slurm(environ: Mapping[str, str]) -> Cluster:
    """Worker i is task i, in the order of the nodes, as srun's default `--distribution=block` places them."""
    rank = _number(environ, "SLURM_PROCID")
    count_name = _named(environ, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
    count = _number(environ, count_name)
    if rank >= count:
        raise ReskerasError(f"SLURM_PROCID: {rank}: should be between 0 and {count - 1}; {count_name} is {count}")
    name = _named(environ, "SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
    nodes = expand_nodes(environ[name], name)
    tasks = _tasks_per_node(environ, len(nodes), count)
    job, step = (_number(environ, key, 0) for key in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    port = FIRST_PORT + (job + STEP_STRIDE * step) % PORTS  # two jobs may share a node
    places = [(node, local) for node, here in enumerate(tasks) for local in range(here)]
    if _number(environ, "SLURM_NODEID", places[rank][0]) != places[rank][0]:
        raise ReskerasError(
            f"SLURM_NODEID: task {rank} runs on node {environ['SLURM_NODEID']}, but block distribution "
            f"puts it on node {places[rank][0]}; start the tasks with srun --distribution=block"
        )
    return Cluster(tuple(f"{nodes[node]}:{port + local}" for node, local in places), rank)


def _named(environ: Mapping[str, str], *names: str) -> str:
    for name in names:
        if environ.get(name):
            return name
    raise ReskerasError(f"{' or '.join(names)}: missing, although SLURM_PROCID is set")


def _number(environ: Mapping[str, str], name: str, otherwise: int | None = None) -> int:
    text = environ.get(name)
    if text is None and otherwise is not None:
        return otherwise
    if text is None or not WHOLE.fullmatch(text):
        raise ReskerasError(f"{name}: {shown(text)} is not an integer")
    return int(text)


def _tasks_per_node(environ: Mapping[str, str], nodes: int, count: int) -> list[int]:
    """Tasks of each node, from `4(x2),1`; equally many where no variable says so."""
    for name in ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"):
        if name not in environ:
            continue
        parts = [re.fullmatch(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?", part) for part in environ[name].split(",")]
        whole = [part for part in parts if part]
        if len(whole) < len(parts) or sum(int(part[2] or 1) for part in whole) > MOST_WORKERS:
            raise ReskerasError(f"{name}: {shown(environ[name])} is not of the form 4(x2),1")
        tasks = [int(part[1]) for part in whole for _ in range(int(part[2] or 1))]
        if len(tasks) == nodes and sum(tasks) == count:
            return tasks
        if name.startswith("SLURM_STEP"):
            raise ReskerasError(
                f"{name}: {environ[name]} means {sum(tasks)} tasks on {len(tasks)} nodes, not {count} tasks on {nodes}"
            )
    if not nodes or count % nodes:  # the job's own variable need not hold for a step of fewer tasks
        raise ReskerasError(
            f"SLURM_STEP_TASKS_PER_NODE: missing, and {count} tasks cannot be divided equally among {nodes} nodes"
        )
    return [count // nodes] * nodes


def expand_nodes(text: str, name: str = "nodes") -> list[str]:
    """The hosts of a Slurm list: `node[01-03,7],gpu4` is node01, node02, node03, node7, gpu4, in that order.

    Several brackets in a name multiply, the last fastest. Raises ReskerasError (status 2) naming `name`.
    """
    wrong = ReskerasError(f"{name}: {shown(text)} is not a list of nodes such as node[1-3,7],gpu4")
    hosts: list[str] = []
    rest = text.strip()
    while rest:
        entry = re.match(r"((?:[^\s,\[\]]|\[[\d,-]+\])+)(,(?=.)|$)", rest)
        if entry is None:
            raise wrong
        rest = rest[entry.end() :]
        pieces = re.split(r"\[(.*?)\]", entry[1])  # fixed, bracket, fixed, ...
        choices = [_range(piece, wrong) if place % 2 else [piece] for place, piece in enumerate(pieces)]
        if prod(map(len, choices)) + len(hosts) > MOST_WORKERS:
            raise wrong
        hosts.extend(map("".join, product(*choices)))
    if not hosts:
        raise wrong
    return hosts


def _range(text: str, wrong: ReskerasError) -> list[str]:
    numbers: list[str] = []
    for part in text.split(","):
        ends = re.fullmatch(r"([0-9]{1,18})(?:-([0-9]{1,18}))?", part)
        if ends is None or int(ends[2] or ends[1]) < int(ends[1]):
            raise wrong
        width = len(ends[1])  # leading zeros are part of a name
        if int(ends[2] or ends[1]) - int(ends[1]) >= MOST_WORKERS:
            raise wrong
        numbers.extend(f"{number:0{width}}" for number in range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    return numbers
