"""Distribution strategies: one device, all devices of this machine, or several workers."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import tensorflow as tf

from reskeras.errors import ReskerasError, failure, unknown
from reskeras.launch.cluster import Cluster, cluster
from reskeras.launch.meeting import Tell, meet
from reskeras.printable import counted
from reskeras.recipes.recipe import Recipe
from reskeras.training.agreement import check_equal, introduction
from reskeras.training.exchange import Exchange
from reskeras.training.start_limit import ends_within

STRATEGIES = ("auto", "one", "mirrored", "multi-worker")
START = 120.0  # seconds for the start of TensorFlow's servers, once all workers have met


@dataclass(frozen=True)
class Replicas(Exchange):
    """A tf.distribute strategy, and what its workers tell each other."""

    @property
    def count(self) -> int:
        """Number of replicas over all workers."""
        return self.strategy.num_replicas_in_sync

    def check(self, recipe: Recipe) -> None:
        """Raise ReskerasError when the recipe asks for what several replicas cannot do."""
        recipe.check_replicas(self.count)

    def dataset(self, shard: Callable[[tuple[int, int]], tf.data.Dataset], rows: int) -> tf.data.Dataset:
        """This process' dataset: `shard((worker, workers))` is a worker's shard of each global batch of `rows` rows."""
        if self.count == 1:
            return shard((0, 1))
        if rows % self.count:  # a batch of all images, where there are fewer than batch_size
            raise ReskerasError(
                f"batch_size: {rows} images cannot be split evenly over {self.count} replicas; use a "
                f"multiple of {self.count} that is at most {rows}"
            )
        each = rows // self.count
        return self.strategy.distribute_datasets_from_function(
            lambda _: shard((self.worker, self.workers)).rebatch(each, drop_remainder=True).prefetch(self.count)
        )


def chosen_strategy(name: str = "auto", devices: int | None = None) -> str:
    """The strategy that `open_replicas` opens for these arguments: one, mirrored or multi-worker. ReskerasError as
    there, except for a number of devices that there are not."""
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    if devices is not None and devices < 1:
        raise ReskerasError(f"devices: {devices}: should be at least 1")
    here = cluster()
    if name == "auto":
        several = len(tf.config.list_physical_devices("GPU")) > 1 or devices
        return "multi-worker" if here and len(here.workers) > 1 else "mirrored" if several else "one"
    if name == "one" and devices not in (None, 1):
        raise ReskerasError(f"devices: {devices} contradicts strategy one; use mirrored")
    if name == "multi-worker" and here is None:
        raise ReskerasError(
            "strategy: multi-worker needs TF_CONFIG or Slurm's variables; on one machine use "
            "reskeras launch --workers N -- train ..."
        )
    return name


def open_replicas(name: str = "auto", devices: int | None = None, tell: Tell = lambda line: None) -> Replicas:
    """The replicas of the strategy `name`. Call before TensorFlow computes anything.

    one: the first GPU, or the CPU. mirrored: every GPU, or `devices` of them; without a GPU `devices` logical
    CPUs, which share the cores (for tests). multi-worker: the cluster of TF_CONFIG or of Slurm. auto: multi-worker if
    there are several workers, mirrored if there are several GPUs, else one; `tell` gets a line while they wait for each
    other. Raises ReskerasError for devices that do not exist and workers that do not come or are of other versions.
    """
    name = chosen_strategy(name, devices)
    gpus = tf.config.list_physical_devices("GPU")
    if name == "one":
        return Replicas(tf.distribute.get_strategy())
    if name == "multi-worker" and (here := cluster()):
        return Replicas(_cluster_strategy(here, len(gpus), tell), here.index, len(here.workers), here)
    return Replicas(_mirrored(*_mirrored_devices(len(gpus), devices)))


@cache
def _mirrored(*devices: str) -> tf.distribute.Strategy:
    """One strategy for all trainings of a process: each counts its reductions from the same number on, and TensorFlow
    refuses one of another shape than an earlier strategy's of that number."""
    return tf.distribute.MirroredStrategy(devices)


def _cluster_strategy(here: Cluster, gpus: int, tell: Tell) -> tf.distribute.Strategy:
    """The strategy of all workers, once they have met and are of the same versions."""
    if len(here.workers) > 1:
        check_equal(meet(here, introduction(here, gpus), tell))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(here.workers)}), task_type="worker", task_id=here.index, rpc_layer="grpc"
    )
    late = f"workers: TensorFlow did not start within {START:g} s, because a worker has gone or its port is closed"
    try:
        with ends_within(START, late):
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except tf.errors.OpError as error:
        raise failure(
            f"workers: TensorFlow could not start at {here.workers[here.index]}: {error.message.splitlines()[0]}"
        ) from error
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):  # TensorFlow's server has taken SIGTERM
            with suppress(ValueError, TypeError):  # not the main thread, or a handler from outside Python
                signal.signal(number, signal.getsignal(number))


def _mirrored_devices(gpus: int, devices: int | None) -> list[str]:
    if gpus:
        if devices and devices > gpus:
            raise ReskerasError(f"devices: {devices}, but this machine has {counted(gpus, 'GPU')}")
        return [f"/gpu:{index}" for index in range(devices or gpus)]
    if not devices or devices < 2:
        raise ReskerasError(
            "strategy: mirrored needs several devices, and this machine has no GPU; "
            "use --devices 2 for logical CPUs, which share its cores"
        )
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.list_logical_devices("CPU") if _started() else []) not in (0, devices):
        raise failure(f"devices: {devices} logical CPUs can only be created before TensorFlow has computed anything")
    if not _started():
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
    return [f"/cpu:{index}" for index in range(devices)]


def _started() -> bool:
    """Whether TensorFlow's devices are initialised already."""
    from tensorflow.python.eager import context  # no public name

    return context.context()._context_handle is not None
