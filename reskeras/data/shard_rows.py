"""Which rows of each global batch one process reads."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from reskeras.errors import ReskerasError


@dataclass(frozen=True)
class Rows:
    """Rows first..last-1 of batches of `of`. Random numbers are drawn for the whole batch and then
    sliced, so that a row's do not depend on the number of shards."""

    first: int
    last: int
    of: int

    @classmethod
    def shard(cls, batch_size: int, index: int, count: int) -> Rows:
        """The rows of shard `index` of `count`; ReskerasError (status 2) when a batch cannot be divided evenly."""
        if not 0 <= index < count:
            raise ValueError(f"shard {index} of {count}")
        if batch_size % count:
            raise ReskerasError(f"batch_size: {batch_size} images cannot be divided evenly among {count} processes")
        own = batch_size // count
        return cls(index * own, (index + 1) * own, batch_size)

    @property
    def count(self) -> int:
        """How many rows."""
        return self.last - self.first

    def taken(self, drawn: tf.Tensor) -> tf.Tensor:
        """The rows of a tensor (of, ...)."""
        return drawn if self.count == self.of else drawn[self.first : self.last]
