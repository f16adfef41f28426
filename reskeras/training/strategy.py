"""Distribution strategies: one device, all devices of this machine, or several workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from reskeras.errors import ReskerasError, failure, unknown
from reskeras.recipes.recipe import Recipe
from reskeras.training.cluster import cluster

STRATEGIES = ("auto", "one", "mirrored", "multi-worker")


@dataclass(frozen=True)
class Replicas:
    """A tf.distribute strategy, this process' worker index and the number of workers."""

    strategy: tf.distribute.Strategy
    worker: int = 0
    workers: int = 1

    @property
    def count(self) -> int:
        """Number of replicas over all workers."""
        return self.strategy.num_replicas_in_sync

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.worker == 0

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

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set on any worker. A collective: all workers must call it."""
        if self.workers == 1:
            return flag
        return float(self._summed(tf.constant(float(flag)))) > 0

    def told_by_all(self, text: str) -> list[str]:
        """The `text` of every worker, in order (all-gather). A collective: all workers must call it."""
        own = np.frombuffer(text.encode(), np.uint8)
        lengths = self._from_all(np.array([len(own)], np.int32), 1)[:, 0]
        rows = self._from_all(own.astype(np.int32), int(lengths.max()))
        return [row[:length].astype(np.uint8).tobytes().decode() for row, length in zip(rows, lengths, strict=True)]

    def _from_all(self, row: np.ndarray, length: int) -> np.ndarray:
        """int32 (workers, length): the rows of all workers, padded with 0."""
        table = np.zeros((self.workers, length), np.int32)
        table[self.worker, : len(row)] = row
        # every worker has the same number of replicas
        return self._summed(tf.constant(table)).numpy() // (self.count // self.workers)

    @cached_property
    def _summed(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """All-reduce: the sum of a tensor over all replicas, in a graph."""
        strategy = self.strategy
        return tf.function(lambda value: strategy.reduce("SUM", strategy.run(tf.identity, args=(value,)), axis=None))


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


def open_replicas(name: str = "auto", devices: int | None = None) -> Replicas:
    """The replicas of the strategy `name`. Call before TensorFlow computes anything.

    one: the first GPU, or the CPU. mirrored: every GPU, or `devices` of them; without a GPU `devices` logical
    CPUs, which share the cores (for tests). multi-worker: the cluster of TF_CONFIG or of Slurm. auto: multi-worker if
    there are several workers, mirrored if there are several GPUs, else one. Raises ReskerasError for devices that do
    not exist.
    """
    name = chosen_strategy(name, devices)
    gpus = tf.config.list_physical_devices("GPU")
    if name == "one":
        return Replicas(tf.distribute.get_strategy())
    if name == "multi-worker" and (here := cluster()):
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": list(here.workers)}),
            task_type="worker",
            task_id=here.index,
            rpc_layer="grpc",
        )
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        return Replicas(strategy, here.index, len(here.workers))
    return Replicas(tf.distribute.MirroredStrategy(_mirrored_devices(len(gpus), devices)))


def _mirrored_devices(gpus: int, devices: int | None) -> list[str]:
    if gpus:
        if devices and devices > gpus:
            raise ReskerasError(f"devices: {devices}, but this machine has {gpus} GPU{'s' * (gpus > 1)}")
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
